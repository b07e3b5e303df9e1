//! Random subqueries among what is selected, each related to the row around it by one comparison: values, EXISTS and IN.

use super::queries::{NUMBERS, filter, from};
use super::random::Random;

pub(super) fn related(random: &mut Random) -> String {
    let from = from(random);
    let (column, key, filter) = (from.any(random), from.number(random), filter(&from, random));
    let compared = format!("i.{} {}", random.pick(&NUMBERS), random.pick(&["<", ">=", "<>", "="]));
    // In quotes, so that nothing is put in the table's place.
    let rows = format!("FROM s.\"t{}\" i WHERE {compared} {key}", random.below(4));
    let value = match random.below(4) {
        0 => format!("{}EXISTS (SELECT 1 {rows})", random.pick(&["", "NOT "])),
        1 => format!("{key} {}IN (SELECT i.{} {rows})", random.pick(&["", "NOT "]), random.pick(&NUMBERS)),
        2 => format!("(SELECT count(*) {rows})"),
        _ => {
            let call = *random.pick(&["sum(i.v)", "min(i.c)", "max(i.id)", "coalesce(min(i.b), 7)", "count(DISTINCT i.a) + 1"]);
            format!("(SELECT {call} {rows})")
        }
    };
    format!("SELECT {column} AS n0, {value} AS n1 FROM {}{filter}", from.text)
}
