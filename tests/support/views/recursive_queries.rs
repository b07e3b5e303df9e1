//! Random recursions that end: over a finite set of rows that UNION keeps distinct, or to a depth.

use super::random::Random;

const NUMBERS: [&str; 4] = ["id", "a", "b", "v"];

pub(crate) fn query(random: &mut Random) -> String {
    let recursion = match random.below(3) {
        0 => distinct("r", None, random),
        _ => to_a_depth("r", None, random),
    };
    match random.percent(15) {
        true => {
            let another = match random.below(2) {
                0 => distinct("q", Some("r"), random),
                _ => to_a_depth("q", Some("r"), random),
            };
            format!("WITH RECURSIVE {recursion}, {another} {}", outside("q", random))
        }
        false => format!("WITH RECURSIVE {recursion} {}", outside("r", random)),
    }
}

/// A recursion `r` with the numbers `m` and `n`, as it stands in WITH.
pub(super) fn recursion(random: &mut Random) -> String {
    distinct("r", None, random)
}

fn table(random: &mut Random) -> String {
    format!("s.t{}", random.below(4))
}

fn column(random: &mut Random) -> &'static str {
    NUMBERS[random.below(NUMBERS.len())]
}

/// Rows `m`, `n`, from which every recursion here starts.
fn base(from: Option<&str>, random: &mut Random) -> String {
    let filter = match random.below(4) {
        0 => format!(" WHERE x.n = {}", random.below(4)),
        1 => format!(" WHERE x.m < {}", random.below(4)),
        _ => String::new(),
    };
    match from {
        Some(recursion) => format!("SELECT x.m, x.n FROM {recursion} x{filter}"),
        None => {
            let filter = filter.replace("x.n", &format!("x.{}", column(random))).replace("x.m", &format!("x.{}", column(random)));
            format!("SELECT x.{} AS m, x.{} AS n FROM {} x{filter}", column(random), column(random), table(random))
        }
    }
}

/// What the recursion's rows are joined with, and a number of it.
fn joined(recursion: &str, random: &mut Random) -> (String, String) {
    let condition = |random: &mut Random| match random.below(4) {
        0 => format!(" AND y.{} < {recursion}.m", column(random)),
        1 => format!(" AND y.{} = {recursion}.m", column(random)),
        2 => format!(" AND y.{} <> {}", column(random), random.below(4)),
        _ => String::new(),
    };
    let table = table(random);
    let on = column(random);
    let of_table = format!("y.{}", column(random));
    match random.below(9) {
        0 => {
            (format!("{recursion} LEFT JOIN {table} y ON y.{on} = {recursion}.n{}", condition(random)), format!("coalesce({of_table}, 1)"))
        }
        1 => {
            let grouped = format!("(SELECT g.{on} AS k, max(g.{}) AS most FROM {table} g GROUP BY g.{on}) y", column(random));
            (format!("{recursion} JOIN {grouped} ON y.k = {recursion}.n"), "y.most".into())
        }
        2 => (format!("{recursion} JOIN {table} y ON y.{on} > {recursion}.n + 1"), of_table),
        3 => (format!("{table} y RIGHT JOIN {recursion} ON y.{on} = {recursion}.n{}", condition(random)), of_table),
        4 => (recursion.to_string(), format!("({recursion}.n + 1) % 5")),
        5 => {
            let first = format!("{recursion} JOIN {table} y ON y.{on} = {recursion}.n{}", condition(random));
            (
                format!("{first} LEFT JOIN s.t{} z ON z.{} = y.{}", random.below(4), column(random), column(random)),
                "coalesce(z.v, y.a)".into(),
            )
        }
        6 => (format!("{table} y JOIN {recursion} ON {recursion}.n = y.{on}{}", condition(random)), of_table),
        _ => (format!("{recursion} JOIN {table} y ON y.{on} = {recursion}.n{}", condition(random)), of_table),
    }
}

/// What must be true of the recursion's row for there to be others after it.
fn condition(recursion: &str, random: &mut Random) -> String {
    let inner = |random: &mut Random| format!("s.t{} i WHERE i.{} = {recursion}.n", random.below(4), column(random));
    match random.below(9) {
        0 => format!("EXISTS (SELECT 1 FROM {})", inner(random)),
        1 => format!("NOT EXISTS (SELECT 1 FROM {} AND i.{} < {recursion}.m)", inner(random), column(random)),
        2 => format!("{recursion}.m IN (SELECT i.{} FROM s.t{} i)", column(random), random.below(4)),
        3 => format!("(EXISTS (SELECT 1 FROM {}) OR {recursion}.m < 2)", inner(random)),
        4 => format!("{recursion}.m <= (SELECT max(i.{}) FROM {})", column(random), inner(random)),
        5 => format!("({recursion}.n > 1 OR {recursion}.m IS NULL)"),
        _ => "true".into(),
    }
}

fn distinct(name: &str, from: Option<&str>, random: &mut Random) -> String {
    let (base, (joined, number), condition) = (base(from, random), joined(name, random), condition(name, random));
    let distinct = if random.percent(15) { "DISTINCT " } else { "" };
    format!("{name} AS ({base} UNION SELECT {distinct}{name}.m, {number} FROM {joined} WHERE {condition})")
}

/// With the depth `d` and the way there, `p`.
fn to_a_depth(name: &str, from: Option<&str>, random: &mut Random) -> String {
    let (base, (joined, number), condition) = (base(from, random), joined(name, random), condition(name, random));
    let union = *random.pick(&["UNION ALL", "UNION ALL", "UNION"]);
    let depth = 1 + random.below(3);
    let more = match random.percent(40) {
        true => ("'x' AS p", format!("{name}.p || '/' || coalesce(cast({number} AS varchar), '-')")),
        false => ("1 AS p", format!("{name}.p * ({name}.m % 3 + 1)")),
    };
    format!(
        "{name} AS (SELECT b.m, b.n, 0 AS d, {} FROM ({base}) b {union} SELECT {name}.m, {number}, {name}.d + 1, {} FROM {joined} \
         WHERE {name}.d < {depth} AND {condition})",
        more.0, more.1
    )
}

/// A query over the recursion.
fn outside(name: &str, random: &mut Random) -> String {
    match random.below(7) {
        0 => format!("SELECT n AS k0, count(*) AS a0, min(m) AS a1 FROM {name} GROUP BY n"),
        1 => format!("SELECT DISTINCT n AS n0 FROM {name} WHERE n < 3"),
        2 => format!("SELECT x.id AS n0, {name}.n AS n1 FROM s.t{} x LEFT JOIN {name} ON x.{} = {name}.n", random.below(4), column(random)),
        3 => format!(
            "SELECT x.id AS n0 FROM s.t{} x WHERE NOT EXISTS (SELECT 1 FROM {name} WHERE {name}.n = x.{})",
            random.below(4),
            column(random)
        ),
        4 => format!("SELECT count(*) AS a0, sum(n) AS a1 FROM {name}"),
        5 => format!("SELECT n AS n0 FROM {name} UNION ALL SELECT m AS n0 FROM {name} WHERE m > 1"),
        _ => format!("SELECT * FROM {name}"),
    }
}
