//! Random subqueries among what is selected, each related to the row around it by one comparison: values, EXISTS and IN.

use super::answers::answered_by;
use super::queries::{NUMBERS, filter, from};
use super::random::Random;

/// DataFusion does not answer them. What they mean is a join of the rows around, each with a number of its own, and an aggregate.
pub(super) fn related(random: &mut Random) -> String {
    let from = from(random);
    let (column, key, filter) = (from.any(random), from.number(random), filter(&from, random));
    // In quotes, so that nothing is put in the table's place.
    let table = format!("s.\"t{}\"", random.below(4));
    let compared = format!("i.{} {}", random.pick(&NUMBERS), random.pick(&["<", ">=", "<>", "="]));
    let (inside, beside) = (format!("{compared} {key}"), format!("{compared} o.k"));
    let rows = format!("FROM {table} i WHERE {inside}");
    let found = *random.pick(&NUMBERS);
    let (value, same) = match random.below(4) {
        0 => {
            let (not, compared) = *random.pick(&[("", "> 0"), ("NOT ", "= 0")]);
            (format!("{not}EXISTS (SELECT 1 {rows})"), format!("count(i.there) {compared}"))
        }
        1 => {
            let not = *random.pick(&["", "NOT "]);
            let unknown = format!("bool_or(i.there AND i.{found} IS NULL) OR o.k IS NULL AND count(i.there) > 0");
            let is_in = format!("CASE WHEN bool_or(i.{found} = o.k) THEN true WHEN {unknown} THEN NULL ELSE false END");
            (format!("{key} {not}IN (SELECT i.{found} {rows})"), format!("{not}({is_in})"))
        }
        2 => (format!("(SELECT count(*) {rows})"), "count(i.there)".into()),
        _ => {
            let call = *random.pick(&["sum(i.v)", "min(i.c)", "max(i.id)", "coalesce(min(i.b), 7)", "count(DISTINCT i.a) + 1"]);
            (format!("(SELECT {call} {rows})"), call.into())
        }
    };
    let text = &from.text;
    let numbered = format!("SELECT row_number() OVER () AS r, {column} AS n0, {key} AS k FROM {text}{filter}");
    let there = format!("(SELECT *, true AS there FROM {table}) i");
    let joined = format!("SELECT o.n0, {same} AS n1 FROM ({numbered}) o LEFT JOIN {there} ON {beside} GROUP BY o.r, o.n0, o.k");
    answered_by(&format!("SELECT {column} AS n0, {value} AS n1 FROM {text}{filter}"), &joined)
}
