//! Random SQL over the random tables, from a grammar of what can be maintained.

use super::random::Random;
use super::related::related;
use super::windows::{distinct_on, first_rows, windowed};

pub(super) const NUMBERS: [&str; 4] = ["id", "a", "b", "v"];
const ALL: [&str; 5] = ["id", "a", "b", "c", "v"];

pub(crate) fn query(random: &mut Random) -> String {
    match random.below(21) {
        19.. => related(random),
        18 => unnested(random),
        17 => grouping_sets(random),
        10..14 => windowed(random),
        14..16 => first_rows(random),
        16 => distinct_on(random),
        0 => set_operation(random),
        1..4 => grouped(random),
        4 => over_subquery(random),
        5 => limited(random),
        _ => plain(random),
    }
}

/// Relations of a FROM clause, by alias.
pub(super) struct From {
    pub(super) text: String,
    pub(super) aliases: Vec<&'static str>,
}

impl From {
    pub(super) fn number(&self, random: &mut Random) -> String {
        format!("{}.{}", random.pick(&self.aliases), random.pick(&NUMBERS))
    }

    pub(super) fn any(&self, random: &mut Random) -> String {
        format!("{}.{}", random.pick(&self.aliases), random.pick(&ALL))
    }

    /// An order that leaves only rows equal that are equal in all columns.
    pub(super) fn total_order(&self) -> String {
        let of = |alias: &&str| ALL.map(|column| format!("{alias}.{column}")).join(", ");
        self.aliases.iter().map(of).collect::<Vec<_>>().join(", ")
    }
}

pub(super) fn from(random: &mut Random) -> From {
    let mut from = From { text: table("x", random), aliases: vec!["x"] };
    let joined = [0, 0, 1, 1, 1, 2][random.below(6)];
    for alias in &["y", "z"][..joined] {
        let kind = *random.pick(&["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let table = table(alias, random);
        if random.percent(8) {
            from.text += &format!(" CROSS JOIN {table}");
            from.aliases.push(alias);
            continue;
        }
        if from.aliases.len() == 1 && random.percent(8) {
            // By the columns that both have.
            from.text += &match random.percent(30) {
                true => format!(" NATURAL {kind} {table}"),
                false => format!(" {kind} {table} USING ({})", random.pick(&ALL)),
            };
            from.aliases.push(alias);
            continue;
        }
        if random.percent(8) {
            // By no equal columns at all.
            let operator = *random.pick(&["<", ">=", "<>"]);
            from.text += &format!(" {kind} {table} ON {} {operator} {alias}.{}", from.number(random), random.pick(&NUMBERS));
            from.aliases.push(alias);
            continue;
        }
        let mut on = match random.percent(15) {
            true => format!("{} = {alias}.c", format_args!("{}.c", random.pick(&from.aliases))),
            false => format!("{} = {alias}.{}", from.number(random), random.pick(&NUMBERS)),
        };
        if random.percent(15) {
            on += &format!(" AND {} = {alias}.{}", from.number(random), random.pick(&NUMBERS));
        }
        if random.percent(25) {
            on += &format!(" AND {} < {alias}.{}", from.number(random), random.pick(&NUMBERS));
        }
        from.text += &format!(" {kind} {table} ON {on}");
        from.aliases.push(alias);
    }
    from
}

/// A table, sometimes one that the query gives itself.
fn table(alias: &str, random: &mut Random) -> String {
    if random.percent(94) {
        return format!("s.t{} {alias}", random.below(4));
    }
    let mut rows = vec![format!("({}, 1, 2, 'x', 3)", random.below(5))];
    for _ in 0..random.below(3) {
        let mut number = || if random.percent(20) { "NULL".to_string() } else { random.below(5).to_string() };
        let numbers = [number(), number(), number(), number()];
        let text = *random.pick(&["'x'", "'y'", "NULL"]);
        rows.push(format!("({}, {}, {}, {text}, {})", numbers[0], numbers[1], numbers[2], numbers[3]));
    }
    format!("(VALUES {}) {alias}(id, a, b, c, v)", rows.join(", "))
}

pub(super) fn number(from: &From, random: &mut Random) -> String {
    match random.below(6) {
        0 => format!("{} + {}", from.number(random), from.number(random)),
        1 => format!("coalesce({}, {})", from.number(random), random.below(5)),
        2 => format!("CASE WHEN {} THEN {} ELSE {} END", simple(from, random), from.number(random), random.below(3)),
        _ => from.number(random),
    }
}

pub(super) fn simple(from: &From, random: &mut Random) -> String {
    let operator = *random.pick(&["=", "<", ">=", "<>"]);
    match random.below(5) {
        0 => format!("{} IS NULL", from.any(random)),
        1 => format!("{}.c {operator} 'x'", random.pick(&from.aliases)),
        2 => format!("{} {operator} {}", from.number(random), from.number(random)),
        _ => format!("{} {operator} {}", from.number(random), random.below(5)),
    }
}

fn condition(from: &From, random: &mut Random) -> String {
    let inner = |random: &mut Random| {
        let (outer, column) = (from.number(random), *random.pick(&NUMBERS));
        format!("s.t{} i WHERE i.{column} = {outer}", random.below(4))
    };
    match random.below(16) {
        12 => membership(from, random),
        13 => format!("({} OR {})", membership(from, random), simple(from, random)),
        14 => format!("({}) {}", membership(from, random), random.pick(&["IS NULL", "IS NOT NULL", "IS NOT TRUE", "= (1 = 1)"])),
        15 => format!("NOT ({} AND {})", membership(from, random), simple(from, random)),
        0 => format!("EXISTS (SELECT 1 FROM {})", inner(random)),
        1 => format!("NOT EXISTS (SELECT 1 FROM {})", inner(random)),
        2 => format!("{} IN (SELECT i.{} FROM s.t{} i)", from.number(random), random.pick(&NUMBERS), random.below(4)),
        3 => format!("{} < (SELECT max(i.{}) FROM {})", from.number(random), random.pick(&NUMBERS), inner(random)),
        4 => format!("({} OR {})", simple(from, random), simple(from, random)),
        5 => format!("{} AND {}", simple(from, random), simple(from, random)),
        6 => format!("NOT ({})", simple(from, random)),
        _ => simple(from, random),
    }
}

/// IN, mostly negated, over what may be NULL.
fn membership(from: &From, random: &mut Random) -> String {
    let number = |random: &mut Random| from.number(random);
    let value = match random.below(8) {
        0 => "2".to_string(),
        1 => format!("nullif({}, 1)", number(random)),
        2 => format!("{} + {}", number(random), number(random)),
        _ => number(random),
    };
    let found = match random.below(6) {
        0 => format!("nullif(i.{}, 2)", random.pick(&NUMBERS)),
        _ => format!("i.{}", random.pick(&NUMBERS)),
    };
    let filter = match random.below(6) {
        0 => format!("i.{} = {}", random.pick(&NUMBERS), number(random)),
        1 => format!("i.{} < {}", random.pick(&NUMBERS), number(random)),
        2 => format!("i.{} > 1", random.pick(&NUMBERS)),
        3 => format!("i.{} IS NOT NULL", random.pick(&NUMBERS)),
        _ => "true".to_string(),
    };
    let table = format!("s.t{} i", random.below(4));
    let not = if random.percent(75) { "NOT " } else { "" };
    format!("{value} {not}IN (SELECT {found} FROM {table} WHERE {filter})")
}

/// A subquery that stands for one value without an aggregate: of the row with a key, or of the first in an order. Its table stands in quotes,
/// so that nothing is put in its place.
fn one_value(from: &From, random: &mut Random) -> String {
    let (table, column, outer) = (format!("s.\"t{}\"", random.below(4)), *random.pick(&ALL), from.number(random));
    let by = *random.pick(&NUMBERS);
    match random.below(2) {
        0 => format!("(SELECT i.m FROM (SELECT {by} AS k, max({column}) AS m FROM {table} GROUP BY {by}) i WHERE i.k = {outer})"),
        _ => {
            let of = *random.pick(&NUMBERS);
            let order = format!("i.{of}{}{}", random.pick(&["", " DESC"]), random.pick(&["", " NULLS FIRST", " NULLS LAST"]));
            let order = ALL.iter().filter(|column| **column != of).fold(order, |order, column| format!("{order}, i.{column}"));
            format!("(SELECT i.{column} FROM {table} i WHERE i.{by} = {outer} ORDER BY {order} LIMIT 1)")
        }
    }
}

pub(super) fn filter(from: &From, random: &mut Random) -> String {
    match random.percent(60) {
        true => format!(" WHERE {}", condition(from, random)),
        false => String::new(),
    }
}

fn plain(random: &mut Random) -> String {
    let from = from(random);
    let distinct = if random.percent(15) { "DISTINCT " } else { "" };
    let mut columns: Vec<String> = Vec::new();
    for n in 0..1 + random.below(4) {
        let column = match random.below(10) {
            0..3 => number(&from, random),
            3 => one_value(&from, random),
            _ => from.any(random),
        };
        columns.push(format!("{column} AS n{n}"));
    }
    let filter = filter(&from, random);
    format!("SELECT {distinct}{} FROM {}{filter}", columns.join(", "), from.text)
}

fn aggregate(from: &From, random: &mut Random) -> String {
    let argument = number(from, random);
    let call = match random.below(14) {
        12 => format!("bool_or({} < 2)", from.number(random)),
        13 => format!("{}(CAST({} AS BIGINT))", random.pick(&["bit_and", "bit_or", "bit_xor"]), from.number(random)),
        0 => "count(*)".to_string(),
        1 => format!("count({})", from.any(random)),
        2 => format!("count(DISTINCT {argument})"),
        3 => format!("sum({argument})"),
        4 => format!("avg({argument})"),
        5 => format!("min({})", from.any(random)),
        6 => format!("max({})", from.any(random)),
        7 => format!("sum({})", from.number(random)),
        8 => format!("sum(DISTINCT {})", from.number(random)),
        9 => format!("bool_and({} < 3)", from.number(random)),
        10 => format!("median({})", from.number(random)),
        _ => format!("avg({})", from.number(random)),
    };
    match random.percent(15) {
        true => format!("{call} FILTER (WHERE {})", simple(from, random)),
        false => call,
    }
}

fn grouped(random: &mut Random) -> String {
    let from = from(random);
    let keys: Vec<String> =
        (0..random.below(3)).map(|_| if random.percent(20) { number(&from, random) } else { from.any(random) }).collect();
    let mut columns: Vec<String> = keys.iter().enumerate().map(|(n, key)| format!("{key} AS k{n}")).collect();
    for n in 0..1 + random.below(3) {
        columns.push(format!("{} AS a{n}", aggregate(&from, random)));
    }
    let filter = filter(&from, random);
    let group = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
    let having = if random.percent(25) { format!(" HAVING count(*) > {}", random.below(3)) } else { String::new() };
    format!("SELECT {} FROM {}{filter}{group}{having}", columns.join(", "), from.text)
}

/// GROUPING SETS, ROLLUP and CUBE, with the set's number.
fn grouping_sets(random: &mut Random) -> String {
    let from = from(random);
    let mut keys: Vec<String> = (0..1 + random.below(3)).map(|_| from.any(random)).collect();
    keys.sort();
    keys.dedup();
    let all = keys.join(", ");
    let groups = match random.below(4) {
        0 => format!("ROLLUP ({all})"),
        1 => format!("CUBE ({all})"),
        2 => format!("{}, ROLLUP ({all})", from.any(random)),
        _ => {
            let mut sets = vec![format!("({all})")];
            for _ in 0..1 + random.below(3) {
                let some: Vec<&str> = keys.iter().filter(|_| random.percent(50)).map(String::as_str).collect();
                sets.push(format!("({})", some.join(", ")));
            }
            format!("GROUPING SETS ({})", sets.join(", "))
        }
    };
    let mut columns: Vec<String> = keys.iter().enumerate().map(|(n, key)| format!("{key} AS k{n}")).collect();
    if random.percent(60) {
        columns.push(format!("grouping({}) AS g", if random.percent(50) { &all } else { &keys[0] }));
    }
    for n in 0..1 + random.below(2) {
        columns.push(format!("{} AS a{n}", aggregate(&from, random)));
    }
    let having = if random.percent(20) { format!(" HAVING count(*) > {}", random.below(3)) } else { String::new() };
    format!("SELECT {} FROM {}{} GROUP BY {groups}{having}", columns.join(", "), from.text, filter(&from, random))
}

/// Rows of lists' elements.
fn unnested(random: &mut Random) -> String {
    let from = from(random);
    let mut columns = vec![format!("{} AS n0", from.any(random))];
    for n in 1..2 + random.below(2) {
        let list = match random.below(3) {
            0 => format!("make_array({}, {})", from.number(random), number(&from, random)),
            1 => format!("CASE WHEN {} THEN make_array({}) END", simple(&from, random), from.number(random)),
            _ => format!("string_to_array(concat({}, 'x', {}), 'x')", from.any(random), from.any(random)),
        };
        columns.push(format!("unnest({list}) AS n{n}"));
    }
    let filter = filter(&from, random);
    let query = format!("SELECT {} FROM {}{filter}", columns.join(", "), from.text);
    match random.below(6) {
        4.. => unnested_beside(&from, &filter, random),
        0 => format!("SELECT n1 AS k0, count(*) AS a0 FROM ({query}) u GROUP BY n1"),
        1 => format!(
            "SELECT k AS n0, unnest(l) AS n1 FROM (SELECT {} AS k, array_agg({}) AS l FROM {} GROUP BY 1) g",
            from.any(random),
            from.any(random),
            from.text
        ),
        _ => query,
    }
}

/// Lists in FROM, beside the rows that they are of.
fn unnested_beside(from: &From, filter: &str, random: &mut Random) -> String {
    let list = match random.below(3) {
        0 => format!("make_array({}, {})", from.number(random), from.number(random)),
        1 => format!("CASE WHEN {} THEN make_array({}) END", simple(from, random), from.number(random)),
        _ => format!("CASE WHEN {} THEN string_to_array(concat({}, 'x'), 'x') END", simple(from, random), from.any(random)),
    };
    let (lists, on) = match random.below(3) {
        0 => (format!("LEFT JOIN UNNEST({list}) u(a)"), " ON true"),
        1 => (format!("CROSS JOIN UNNEST({list}) u(a)"), ""),
        _ => (format!("CROSS JOIN LATERAL (SELECT unnest({list}) AS a) u"), ""),
    };
    format!("SELECT {} AS n0, u.a AS n1 FROM {} {lists}{on}{filter}", from.any(random), from.text)
}

fn set_operation(random: &mut Random) -> String {
    let operator = *random.pick(&["UNION ALL", "UNION", "EXCEPT", "INTERSECT", "EXCEPT ALL", "INTERSECT ALL"]);
    let width = 1 + random.below(2);
    let side = |random: &mut Random| {
        if random.percent(10) {
            return format!("SELECT {}", (0..width).map(|n| format!("{} AS n{n}", random.below(3))).collect::<Vec<_>>().join(", "));
        }
        let from = from(random);
        let columns: Vec<String> = (0..width).map(|n| format!("{} AS n{n}", from.number(random))).collect();
        let filter = filter(&from, random);
        format!("SELECT {} FROM {}{filter}", columns.join(", "), from.text)
    };
    let (left, right) = (side(random), side(random));
    format!("{left} {operator} {right}")
}

/// The order is total, so that there is one answer.
fn limited(random: &mut Random) -> String {
    let from = from(random);
    let mut columns: Vec<String> = (0..1 + random.below(3)).map(|_| from.any(random)).collect();
    columns.dedup();
    let named: Vec<String> = columns.iter().enumerate().map(|(n, column)| format!("{column} AS n{n}")).collect();
    let mut order = Vec::new();
    for n in 0..columns.len() {
        order.push(format!("n{n}{}{}", random.pick(&["", " DESC"]), random.pick(&["", " NULLS FIRST", " NULLS LAST"])));
    }
    let offset = if random.percent(30) { format!(" OFFSET {}", random.below(3)) } else { String::new() };
    let filter = filter(&from, random);
    format!("SELECT {} FROM {}{filter} ORDER BY {} LIMIT {}{offset}", named.join(", "), from.text, order.join(", "), random.below(5))
}

/// The first groups: in a total order, since the key is a part of it.
pub(crate) fn first_groups(random: &mut Random) -> String {
    let from = from(random);
    let (key, call, filter) = (from.any(random), aggregate(&from, random), filter(&from, random));
    let mut by = |name: &str| format!("{name}{}{}", random.pick(&["", " DESC"]), random.pick(&["", " NULLS FIRST", " NULLS LAST"]));
    let order = format!("{}, {}", by("a0"), by("k0"));
    let offset = if random.percent(30) { format!(" OFFSET {}", random.below(3)) } else { String::new() };
    let columns = if random.percent(75) { "k0, a0" } else { "a0, k0" };
    let groups = format!("SELECT {key} AS k0, {call} AS a0 FROM {}{filter} GROUP BY {key}", from.text);
    match random.percent(50) {
        true => format!("{groups} ORDER BY {order} LIMIT {}{offset}", random.below(6)),
        false => format!("SELECT {columns} FROM ({groups}) g ORDER BY {order} LIMIT {}{offset}", random.below(6)),
    }
}

/// Aggregates of aggregates, and joins with them.
fn over_subquery(random: &mut Random) -> String {
    let inner = From { text: format!("s.t{} x", random.below(4)), aliases: vec!["x"] };
    let (key, call) = (inner.number(random), aggregate(&inner, random));
    let sub = format!("(SELECT {key} AS k, {call} AS w, count(*) AS n FROM {} GROUP BY {key}) g", inner.text);
    match random.below(3) {
        0 => format!("SELECT n AS k0, count(*) AS a0, max(k) AS a1 FROM {sub} GROUP BY n"),
        1 => format!("SELECT t.id AS n0, g.w AS n1 FROM s.t{} t LEFT JOIN {sub} ON t.a = g.k", random.below(4)),
        _ => format!("SELECT g.k AS n0, g.w AS n1 FROM {sub} WHERE n > 1"),
    }
}
