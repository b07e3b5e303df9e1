//! Random SQL that joins three inputs or more by equal columns: tables, filtered and grouped ones, in chains, stars and circles.

use super::random::Random;

const NUMBERS: [&str; 4] = ["id", "a", "b", "v"];
const ALIASES: [&str; 5] = ["x", "y", "z", "w", "u"];

pub(crate) fn query(random: &mut Random) -> String {
    let aliases = &ALIASES[..3 + random.below(3)];
    let mut text = input(aliases[0], random);
    let mut filters = Vec::new();
    for (n, alias) in aliases.iter().enumerate().skip(1) {
        // Most are looked up by their key; some meet many rows, or nothing because of a NULL.
        let mut on =
            vec![format!("{}.{} = {alias}.{}", random.pick(&aliases[..n]), random.pick(&NUMBERS), random.pick(&["id", "id", "a", "b"]))];
        if random.percent(20) {
            on.push(format!("{}.{} = {alias}.{}", random.pick(&aliases[..n]), random.pick(&NUMBERS), random.pick(&NUMBERS)));
        }
        if random.percent(10) {
            on.push(format!("{}.{} < {alias}.{}", random.pick(&aliases[..n]), random.pick(&NUMBERS), random.pick(&NUMBERS)));
        }
        if random.percent(8) {
            // By no equal columns at all.
            let operator = *random.pick(&["<", ">=", "<>"]);
            on = vec![format!("{}.{} {operator} {alias}.{}", random.pick(&aliases[..n]), random.pick(&NUMBERS), random.pick(&NUMBERS))];
        }
        text += &format!(" JOIN {} ON {}", input(alias, random), on.join(" AND "));
    }
    let column = |random: &mut Random| format!("{}.{}", random.pick(aliases), random.pick(&["id", "a", "b", "c", "v"]));
    if random.percent(30) {
        filters.push(format!("{}.{} {} {}", random.pick(aliases), random.pick(&NUMBERS), random.pick(&["<", ">=", "="]), random.below(5)));
    }
    let filter = if filters.is_empty() { String::new() } else { format!(" WHERE {}", filters.join(" AND ")) };
    let columns: Vec<String> = (0..1 + random.below(5)).map(|n| format!("{} AS n{n}", column(random))).collect();
    match random.below(4) {
        0 => {
            let key = column(random);
            let sum = format!("{}.{}", random.pick(aliases), random.pick(&NUMBERS));
            format!("SELECT {key} AS k0, count(*) AS a0, sum({sum}) AS a1, min({sum}) AS a2 FROM {text}{filter} GROUP BY {key}")
        }
        1 => {
            // Between other joins.
            let (outer, kind) = (random.below(4), *random.pick(&["LEFT JOIN", "FULL JOIN", "JOIN"]));
            let key = format!("{}.{}", random.pick(aliases), random.pick(&NUMBERS));
            let inner = format!("(SELECT {key} AS k, {} FROM {text}{filter}) q", columns.join(", "));
            format!("SELECT o.id AS o0, q.n0 AS n0 FROM s.t{outer} o {kind} {inner} ON o.{} = q.k", random.pick(&["a", "id"]))
        }
        _ => format!("SELECT {} FROM {text}{filter}", columns.join(", ")),
    }
}

fn input(alias: &str, random: &mut Random) -> String {
    let table = random.below(4);
    match random.below(10) {
        0 => format!("(SELECT a AS id, count(*) AS a, sum(b) AS b, min(c) AS c, max(v) AS v FROM s.t{table} GROUP BY a) {alias}"),
        1 => format!("(SELECT * FROM s.t{table} WHERE {} > {}) {alias}", random.pick(&NUMBERS), random.below(3)),
        2 => format!("(SELECT id, a + 1 AS a, b, c, v FROM s.t{table}) {alias}"),
        _ => format!("s.t{table} {alias}"),
    }
}
