//! Random queries of typed values.

use super::from::{Scope, from};
use super::values::{condition, value};
use super::{KINDS, Kind};
use crate::support::random::Random;

pub(super) fn query(random: &mut Random) -> String {
    match random.below(12) {
        0..3 => grouped(random),
        3 => grouping_sets(random),
        4..6 => windowed(random),
        6 => set_operation(random),
        7 => limited(random),
        8 => over_a_query(random),
        _ => plain(random),
    }
}

fn filter(scope: &Scope, random: &mut Random) -> String {
    if random.percent(60) { format!(" WHERE {}", condition(scope, 2, random)) } else { String::new() }
}

fn shown(kind: Kind, scope: &Scope, random: &mut Random) -> String {
    let depth = 1 + random.below(3);
    value(kind, scope, depth, random)
}

fn any_kind(random: &mut Random) -> Kind {
    if random.percent(10) { Kind::Bool } else { *random.pick(&KINDS) }
}

fn plain(random: &mut Random) -> String {
    let (text, scope) = from("", None, random);
    let mut columns: Vec<String> =
        (0..1 + random.below(4)).map(|n| format!("{} AS n{n}", shown(any_kind(random), &scope, random))).collect();
    let distinct = if random.percent(15) { "DISTINCT " } else { "" };
    if distinct.is_empty() && random.percent(10) {
        columns.push(format!("{} AS j", if text.starts_with("s.u") { "p.j" } else { "1" }));
    }
    format!("SELECT {distinct}{} FROM {text}{}", columns.join(", "), filter(&scope, random))
}

/// An aggregate whose value is exact.
fn aggregate(scope: &Scope, random: &mut Random) -> String {
    let alone = Scope { columns: scope.columns.clone(), around: None, depth: 9 };
    let call = match random.below(9) {
        0 => "count(*)".into(),
        1 => format!("count({})", value(any_kind(random), &alone, 1, random)),
        2 => format!("count(DISTINCT {})", value(*random.pick(&KINDS), &alone, 1, random)),
        3 => format!("sum({})", value(*random.pick(&[Kind::Int, Kind::Decimal, Kind::Double]), &alone, 1, random)),
        4 => format!("avg({})", value(*random.pick(&[Kind::Int, Kind::Decimal, Kind::Double]), &alone, 1, random)),
        5 | 6 => format!("{}({})", random.pick(&["min", "max"]), value(*random.pick(&KINDS), &alone, 1, random)),
        7 => format!("sum(DISTINCT {})", scope.any(Kind::Decimal, random).unwrap_or("1.5".into())),
        _ => format!("{}({})", random.pick(&["bool_and", "bool_or"]), condition(&alone, 1, random)),
    };
    match random.percent(20) {
        true => format!("{call} FILTER (WHERE {})", condition(&alone, 1, random)),
        false => call,
    }
}

fn grouped(random: &mut Random) -> String {
    let (text, scope) = from("", None, random);
    let alone = Scope { columns: scope.columns.clone(), around: None, depth: 9 };
    let keys: Vec<String> = (0..random.below(3)).map(|_| value(*random.pick(&KINDS), &alone, random.below(2), random)).collect();
    let mut columns: Vec<String> = keys.iter().enumerate().map(|(n, key)| format!("{key} AS k{n}")).collect();
    columns.extend((0..1 + random.below(3)).map(|n| format!("{} AS a{n}", aggregate(&scope, random))));
    // By their places: a constant is none.
    let places: Vec<String> = (1..=keys.len()).map(|place| place.to_string()).collect();
    let group = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", places.join(", ")) };
    let having = if random.percent(25) { format!(" HAVING count(*) > {}", random.below(3)) } else { String::new() };
    format!("SELECT {} FROM {text}{}{group}{having}", columns.join(", "), filter(&scope, random))
}

fn grouping_sets(random: &mut Random) -> String {
    let (text, scope) = from("", None, random);
    let mut keys: Vec<String> = (0..1 + random.below(3)).filter_map(|_| scope.any(*random.pick(&KINDS), random)).collect();
    keys.sort();
    keys.dedup();
    if keys.is_empty() {
        return plain(random);
    }
    let all = keys.join(", ");
    let groups = match random.below(3) {
        0 => format!("ROLLUP ({all})"),
        1 => format!("CUBE ({all})"),
        _ => format!("GROUPING SETS (({all}), ({}), ())", keys[0]),
    };
    let mut columns: Vec<String> = keys.iter().enumerate().map(|(n, key)| format!("{key} AS k{n}")).collect();
    columns.push(format!("grouping({}) AS g", keys[0]));
    columns.push(format!("{} AS a0", aggregate(&scope, random)));
    format!("SELECT {} FROM {text}{} GROUP BY {groups}", columns.join(", "), filter(&scope, random))
}

/// Every column, so that only equal rows are equal in it.
fn total_order(scope: &Scope) -> String {
    scope.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

fn windowed(random: &mut Random) -> String {
    let (text, scope) = from("", None, random);
    let alone = Scope { columns: scope.columns.clone(), around: None, depth: 9 };
    let mut columns = vec![format!("{} AS n0", shown(*random.pick(&KINDS), &alone, random))];
    for n in 0..1 + random.below(2) {
        let partition = match random.percent(60) {
            true => format!("PARTITION BY {} ", value(*random.pick(&KINDS), &alone, 1, random)),
            false => String::new(),
        };
        let kind = *random.pick(&KINDS);
        let order =
            format!("ORDER BY {}{}", value(kind, &alone, 1, random), random.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]));
        let total = format!("{order}, {}", total_order(&scope));
        // Only one that numbers rows: of rows that are equal in all columns each chooses in its own way.
        // Only one that tells rows apart: of rows that are equal in all columns each does it in its own way.
        let call = match random.below(if n == 0 { 6 } else { 3 }) {
            0 => format!("{} OVER ({partition}{order})", random.pick(&["rank()", "dense_rank()"])),
            1 => format!("{} OVER ({partition}{order})", over_window(&alone, random)),
            2 => format!("{} OVER ({partition})", over_window(&alone, random)),
            3 => format!("row_number() OVER ({partition}{total})"),
            4 => format!(
                "{}({}) OVER ({partition}{total})",
                random.pick(&["lag", "lead", "first_value"]),
                value(*random.pick(&KINDS), &alone, 1, random)
            ),
            _ => {
                let frame =
                    *random.pick(&["1 PRECEDING AND CURRENT ROW", "UNBOUNDED PRECEDING AND 1 FOLLOWING", "CURRENT ROW AND 2 FOLLOWING"]);
                format!("{} OVER ({partition}{total} ROWS BETWEEN {frame})", over_window(&alone, random))
            }
        };
        columns.push(format!("{call} AS w{n}"));
    }
    format!("SELECT {} FROM {text}{}", columns.join(", "), filter(&scope, random))
}

fn over_window(scope: &Scope, random: &mut Random) -> String {
    match random.below(4) {
        0 => "count(*)".into(),
        1 => format!("sum({})", value(*random.pick(&[Kind::Int, Kind::Decimal, Kind::Double]), scope, 1, random)),
        2 => format!("avg({})", value(*random.pick(&[Kind::Decimal, Kind::Double]), scope, 1, random)),
        _ => format!("{}({})", random.pick(&["min", "max"]), value(*random.pick(&KINDS), scope, 1, random)),
    }
}

fn set_operation(random: &mut Random) -> String {
    let operator = *random.pick(&["UNION ALL", "UNION", "EXCEPT", "INTERSECT", "EXCEPT ALL", "INTERSECT ALL"]);
    let kinds: Vec<Kind> = (0..1 + random.below(2)).map(|_| *random.pick(&KINDS)).collect();
    let side = |random: &mut Random| {
        let (text, scope) = from("", None, random);
        let column = |(n, kind): (usize, &Kind)| {
            // Numbers of different kinds stand below one another.
            let kind = match kind {
                Kind::Int | Kind::Decimal if random.percent(30) => *random.pick(&[Kind::Int, Kind::Decimal]),
                kind => *kind,
            };
            format!("{} AS n{n}", value(kind, &scope, 1, random))
        };
        let columns: Vec<String> = kinds.iter().enumerate().map(column).collect();
        format!("SELECT {} FROM {text}{}", columns.join(", "), filter(&scope, random))
    };
    format!("{} {operator} {}", side(random), side(random))
}

/// In an order of all that is shown.
fn limited(random: &mut Random) -> String {
    let (text, scope) = from("", None, random);
    let columns: Vec<String> =
        (0..1 + random.below(3)).map(|n| format!("{} AS n{n}", shown(*random.pick(&KINDS), &scope, random))).collect();
    let order: Vec<String> = (0..columns.len())
        .map(|n| format!("n{n}{}{}", random.pick(&["", " DESC"]), random.pick(&["", " NULLS FIRST", " NULLS LAST"])))
        .collect();
    let filter = filter(&scope, random);
    format!("SELECT {} FROM {text}{filter} ORDER BY {} LIMIT {}", columns.join(", "), order.join(", "), 1 + random.below(4))
}

/// A query over another, by WITH or in FROM.
fn over_a_query(random: &mut Random) -> String {
    let kinds: Vec<Kind> = (0..2 + random.below(2)).map(|_| *random.pick(&KINDS)).collect();
    let (text, scope) = from("", None, random);
    let columns: Vec<String> = kinds.iter().enumerate().map(|(n, kind)| format!("{} AS n{n}", shown(*kind, &scope, random))).collect();
    let inner = format!("SELECT {} FROM {text}{}", columns.join(", "), filter(&scope, random));
    let outer = Scope { columns: kinds.iter().enumerate().map(|(n, kind)| (format!("q.n{n}"), *kind)).collect(), around: None, depth: 0 };
    let shown = value(*random.pick(&KINDS), &outer, 2, random);
    match random.below(3) {
        0 => format!("WITH q AS ({inner}) SELECT {shown} AS n0, q.n1 FROM q{}", filter(&outer, random)),
        1 => format!("SELECT q.n0 AS k0, {} AS a0 FROM ({inner}) q GROUP BY q.n0", aggregate(&outer, random)),
        _ => format!("SELECT {shown} AS n0 FROM ({inner}) q{}", filter(&outer, random)),
    }
}
