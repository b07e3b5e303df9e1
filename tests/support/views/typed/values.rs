//! Random expressions of a kind.

use super::from::{Scope, from};
use super::{KINDS, Kind};
use crate::support::random::Random;

/// The most subqueries inside one another.
const DEEPEST: usize = 3;

fn literal(kind: Kind, random: &mut Random) -> String {
    let of: &[&str] = match kind {
        Kind::Int => &["-1", "0", "1", "2", "3", "7"],
        Kind::Decimal => &["-2.75", "0.05", "0.50", "1.0", "1.25", "2.500"],
        Kind::Double => &["cast(0.5 AS double precision)", "cast(-2 AS double precision)", "cast(1.25 AS double precision)"],
        // Of a bare one PostgreSQL does not always know that it is a text.
        Kind::Text => &["cast('' AS text)", "cast('a' AS text)", "cast('B' AS text)", "cast('é' AS text)", "cast('it''s' AS text)"],
        Kind::Bool => &["true", "false"],
        Kind::Date => &["date '2024-02-29'", "date '2015-07-15'", "date '1969-12-31'"],
        Kind::Local => &["timestamp '2024-03-31 02:30:00'", "timestamp '2015-07-15 10:20:30.5'", "timestamp '2024-02-29'"],
        Kind::Instant => {
            &["cast('2024-03-10 07:30:00+00' AS timestamp with time zone)", "cast('2015-07-15 10:20:30.5+02' AS timestamp with time zone)"]
        }
    };
    (*random.pick(of)).to_string()
}

/// An expression that is at most so deep.
pub(super) fn value(kind: Kind, scope: &Scope, depth: usize, random: &mut Random) -> String {
    if depth == 0 || random.percent(30) {
        let outer = scope.around.filter(|_| random.percent(20)).and_then(|around| around.in_full(kind, random));
        let own = outer.or_else(|| scope.any(kind, random)).filter(|_| random.percent(85));
        return own.unwrap_or_else(|| literal(kind, random));
    }
    let same = |random: &mut Random| value(kind, scope, depth - 1, random);
    match random.below(10) {
        0 => format!("coalesce({}, {})", same(random), same(random)),
        1 => format!("CASE WHEN {} THEN {} ELSE {} END", condition(scope, depth - 1, random), same(random), same(random)),
        2 => format!("nullif({}, {})", same(random), same(random)),
        3 if scope.depth < DEEPEST => subquery(kind, scope, random),
        _ => computed(kind, scope, depth - 1, random),
    }
}

fn computed(kind: Kind, scope: &Scope, depth: usize, random: &mut Random) -> String {
    let a = value(kind, scope, depth, random);
    let of = |kind: Kind, random: &mut Random| value(kind, scope, depth, random);
    match kind {
        Kind::Int => match random.below(12) {
            0..3 => format!("({a} {} {})", random.pick(&["+", "-", "*"]), of(kind, random)),
            3 => format!("({a} / nullif({}, 0))", of(kind, random)),
            4 => format!("({a} % nullif({}, 0))", of(kind, random)),
            5 => format!("cast({} AS int)", of(Kind::Decimal, random)),
            6 => format!("cast({} AS int)", of(Kind::Double, random)),
            7 => format!("length({})", of(Kind::Text, random)),
            8 => format!("cast(extract({} FROM {}) AS int)", random.pick(&["year", "month", "day", "dow", "doy"]), of(Kind::Date, random)),
            9 => format!("cast(extract({} FROM {}) AS int)", random.pick(&["hour", "minute", "day", "isodow"]), of(Kind::Local, random)),
            10 => format!("({} - {})", of(Kind::Date, random), of(Kind::Date, random)),
            _ => format!("abs({a})"),
        },
        Kind::Decimal => match random.below(9) {
            0..3 => format!("({a} {} {})", random.pick(&["+", "-"]), of(kind, random)),
            3 => format!("({a} {} {})", random.pick(&["+", "-"]), of(Kind::Int, random)),
            4 => format!("cast({} AS decimal(10, 2))", of(Kind::Int, random)),
            5 => format!("cast({a} AS decimal(12, 1))"),
            6 => format!("round({a}, {})", random.below(3)),
            7 => format!("cast({a} * {} AS decimal(14, 3))", of(kind, random)),
            _ => format!("cast({a} / nullif({}, 0) AS decimal(14, 2))", of(kind, random)),
        },
        Kind::Double => match random.below(6) {
            0..2 => format!("({a} {} {})", random.pick(&["+", "-", "*"]), of(kind, random)),
            2 => format!("({a} / nullif({}, 0))", of(kind, random)),
            3 => format!("cast({} AS double precision)", of(Kind::Int, random)),
            4 => format!("cast({} AS double precision)", of(Kind::Decimal, random)),
            _ => format!("{}({a})", random.pick(&["abs", "floor", "ceil", "round", "trunc"])),
        },
        Kind::Text => match random.below(8) {
            0..2 => format!("({a} || {})", of(kind, random)),
            2 => format!("{}({a})", random.pick(&["upper", "lower", "trim", "reverse"])),
            3 => format!("substr({a}, {}, {})", 1 + random.below(2), random.below(3)),
            4 => format!("cast({} AS text)", of(Kind::Int, random)),
            5 => format!("cast({} AS text)", of(Kind::Date, random)),
            6 => format!("replace({a}, 'a', 'xy')"),
            _ => format!("cast({} AS text)", of(Kind::Local, random)),
        },
        Kind::Bool => condition(scope, depth, random),
        Kind::Date => match random.below(4) {
            0 => format!("({a} {} {})", random.pick(&["+", "-"]), random.below(40)),
            1 => format!("cast({} AS date)", of(Kind::Local, random)),
            2 => format!("cast({} AS date)", of(Kind::Instant, random)),
            _ => format!("({a} + nullif({}, 2))", of(Kind::Int, random)),
        },
        Kind::Local => match random.below(6) {
            0 => format!("({a} {} {})", random.pick(&["+", "-"]), interval(scope, depth, random)),
            1 => format!("({} {} {})", of(Kind::Date, random), random.pick(&["+", "-"]), interval(scope, depth, random)),
            2 => format!("date_trunc('{}', {a})", random.pick(&["year", "quarter", "month", "week", "day", "hour", "minute"])),
            3 => format!("({} AT TIME ZONE '{}')", of(Kind::Instant, random), zone(random)),
            4 => format!("cast({} AS timestamp)", of(Kind::Date, random)),
            _ => format!("cast({} AS timestamp)", of(Kind::Instant, random)),
        },
        Kind::Instant => match random.below(4) {
            0 => format!("({a} {} {})", random.pick(&["+", "-"]), interval(scope, depth, random)),
            1 => format!("({} AT TIME ZONE '{}')", of(Kind::Local, random), zone(random)),
            2 => format!("date_trunc('{}', {a})", random.pick(&["month", "day", "hour"])),
            _ => format!("cast({} AS timestamp with time zone)", of(Kind::Local, random)),
        },
    }
}

fn zone(random: &mut Random) -> &'static str {
    const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"];
    ZONES[random.below(ZONES.len())]
}

/// An interval, or the time between two times.
fn interval(scope: &Scope, depth: usize, random: &mut Random) -> String {
    match random.below(8) {
        0 if depth > 0 => format!("({} - {})", value(Kind::Local, scope, depth - 1, random), value(Kind::Local, scope, depth - 1, random)),
        1 if depth > 0 => {
            format!("({} - {})", value(Kind::Instant, scope, depth - 1, random), value(Kind::Instant, scope, depth - 1, random))
        }
        n => format!(
            "interval '{}'",
            ["1 day", "1 month", "36 hours", "7 days", "-1 year", "90 minutes", "1 month -2 days", "0.5 seconds"][n]
        ),
    }
}

/// What is true, false or NULL.
pub(super) fn condition(scope: &Scope, depth: usize, random: &mut Random) -> String {
    let operator = *random.pick(&["=", "<", ">=", "<>", "IS DISTINCT FROM"]);
    let kind = *random.pick(&KINDS);
    let less = depth.saturating_sub(1);
    match random.below(if depth == 0 { 6 } else { 18 }) {
        0 => format!("({} IS NULL)", value(kind, scope, less, random)),
        1 => format!("({} {operator} {})", value(kind, scope, less, random), literal(kind, random)),
        6 => format!("({} AND {})", condition(scope, less, random), condition(scope, less, random)),
        7 => format!("({} OR {})", condition(scope, less, random), condition(scope, less, random)),
        8 => format!("NOT ({})", condition(scope, less, random)),
        9 => format!(
            "({} {}BETWEEN {} AND {})",
            value(kind, scope, less, random),
            not(random),
            value(kind, scope, less, random),
            literal(kind, random)
        ),
        10 => format!(
            "{} {}IN ({}, {})",
            value(kind, scope, less, random),
            not(random),
            literal(kind, random),
            value(kind, scope, less, random)
        ),
        11 => format!("({} LIKE '{}')", value(Kind::Text, scope, less, random), random.pick(&["a%", "%b%", "_", "%"])),
        12 => format!("({} {operator} {})", interval(scope, less, random), interval(scope, less, random)),
        13 => {
            // Of kinds that can be compared.
            let (one, other) = *random.pick(&[
                (Kind::Int, Kind::Decimal),
                (Kind::Decimal, Kind::Double),
                (Kind::Date, Kind::Local),
                (Kind::Int, Kind::Double),
            ]);
            format!("({} {operator} {})", value(one, scope, less, random), value(other, scope, less, random))
        }
        14..17 if scope.depth < DEEPEST => among(scope, random),
        17 => format!("(({}) {})", condition(scope, less, random), random.pick(&["IS TRUE", "IS NOT TRUE", "IS NOT NULL", "IS UNKNOWN"])),
        _ => format!("({} {operator} {})", value(kind, scope, less, random), value(kind, scope, less, random)),
    }
}

fn not(random: &mut Random) -> &'static str {
    if random.percent(40) { "NOT " } else { "" }
}

/// What relates the rows of a subquery to the row around it, and filters them.
fn related(scope: &Scope, random: &mut Random) -> String {
    let around = scope.around.expect("it is a subquery's");
    let kinds: Vec<Kind> = KINDS
        .into_iter()
        .filter(|kind| {
            scope.columns.iter().any(|(_, is)| is == kind) && around.columns.iter().any(|(name, is)| is == kind && name.contains('.'))
        })
        .collect();
    let mut filters = Vec::new();
    if !kinds.is_empty() && random.percent(80) {
        let kind = *random.pick(&kinds);
        let operator = *random.pick(&["=", "=", "=", "<", "<>"]);
        filters.push(format!("({} {operator} {})", scope.any(kind, random).unwrap(), around.in_full(kind, random).unwrap()));
    }
    if random.percent(30) {
        let alone = Scope { columns: scope.columns.clone(), around: None, depth: if random.percent(40) { scope.depth } else { 9 } };
        filters.push(condition(&alone, 1, random));
    }
    if filters.is_empty() { String::new() } else { format!(" WHERE {}", filters.join(" AND ")) }
}

fn inside<'a>(scope: &'a Scope<'a>, random: &mut Random) -> (String, Scope<'a>) {
    from(["i", "k", "l", "o"][scope.depth.min(3)], Some(scope), random)
}

fn among(scope: &Scope, random: &mut Random) -> String {
    let (text, inner) = inside(scope, random);
    let filter = related(&inner, random);
    match random.below(3) {
        0 => format!("{}EXISTS (SELECT 1 FROM {text}{filter})", not(random)),
        1 => {
            let kind = *random.pick(&KINDS);
            let shown = inner.any(kind, random).unwrap_or_else(|| literal(kind, random));
            format!("({} {}IN (SELECT {shown} FROM {text}{filter}))", value(kind, scope, 1, random), not(random))
        }
        _ => format!("({} < (SELECT count(*) FROM {text}{filter}))", value(Kind::Int, scope, 1, random)),
    }
}

/// The value of an aggregate.
fn subquery(kind: Kind, scope: &Scope, random: &mut Random) -> String {
    let (text, inner) = inside(scope, random);
    let filter = related(&inner, random);
    let call = match kind {
        Kind::Bool => return among(scope, random),
        Kind::Int if random.percent(40) => "cast(count(*) AS int)".to_string(),
        Kind::Text | Kind::Date | Kind::Local | Kind::Instant | Kind::Int | Kind::Decimal | Kind::Double => {
            let alone = Scope { columns: inner.columns.clone(), around: None, depth: 9 };
            format!("{}({})", random.pick(&["min", "max"]), value(kind, &alone, 1, random))
        }
    };
    format!("(SELECT {call} FROM {text}{filter})")
}
