//! Random queries whose tables are queries again: subqueries in FROM, WITH, and other views, of every form that has an answer of its own.

use super::queries::{From, from, number, simple};
use super::random::Random;
use super::{chains, queries, recursive_queries};

/// A few views, some of which read the others.
pub(crate) fn views(random: &mut Random) -> Vec<String> {
    let mut views: Vec<String> = Vec::new();
    for _ in 0..2 {
        views.push(inner(&names(views.len()), random));
    }
    for _ in 0..3 {
        let (outer, narrow) = match random.below(8) {
            0 => (chains::query(random), false),
            1 => (recursive_queries::query(random), true),
            _ => (queries::query(random), false),
        };
        views.push(over(outer, &names(2), narrow, random));
    }
    views
}

fn names(views: usize) -> Vec<String> {
    (0..views).map(|n| format!("q{n}")).collect()
}

/// A query with other relations in place of some of its tables; `narrow`: with columns of the types that tables have, as a recursion wants
/// them that goes on as it begins.
fn over(mut query: String, views: &[String], narrow: bool, random: &mut Random) -> String {
    for n in 0..4 {
        let table = format!("s.t{n} ");
        if !query.contains(&table) {
            continue;
        }
        let narrowed = |inner: String| if narrow { narrowed(&inner) } else { inner };
        match random.below(10) {
            0..3 => {
                let inner = narrowed(inner(views, random));
                query = with(query, &table, is_limited(&inner), &format!("({inner}) "));
            }
            3..5 => {
                let (inner, name) = (narrowed(inner(views, random)), format!("w{} ", random.below(1_000_000)));
                query = with(query, &table, is_limited(&inner), &name);
                query = with_clause(&format!("{name}AS ({inner})"), &query);
            }
            5..7 if !views.is_empty() => {
                let view = random.pick(views);
                let view = if narrow { format!("({}) ", narrowed(format!("SELECT * FROM {view}"))) } else { format!("{view} ") };
                query = with(query, &table, false, &view);
            }
            _ => {}
        }
    }
    query
}

fn narrowed(query: &str) -> String {
    let columns = ["id", "a", "b", "v"].map(|column| format!("CAST({column} AS INT) AS {column}")).join(", ");
    format!("SELECT {columns}, c FROM ({query}) n")
}

fn is_limited(query: &str) -> bool {
    query.contains("LIMIT")
}

/// With another relation in place of a table. One that is limited stands in FROM only, not where a condition looks it up: what looks at
/// the row around it cannot be made a join with a LIMIT inside.
fn with(query: String, table: &str, limited: bool, other: &str) -> String {
    let looked_up = if limited { &["i", "j", "k"][..] } else { &[] };
    let keep = |text: String, alias: &&str| text.replace(&format!("{table}{alias}"), &format!("{KEPT}{alias}"));
    looked_up.iter().fold(query, keep).replace(table, other).replace(KEPT, table)
}

const KEPT: &str = "s.kept ";

fn with_clause(named: &str, query: &str) -> String {
    for with in ["WITH RECURSIVE ", "WITH "] {
        if let Some(rest) = query.strip_prefix(with) {
            return format!("{with}{named}, {rest}");
        }
    }
    format!("WITH {named} {query}")
}

/// A query with the columns of a table, so that it can stand for one.
fn inner(views: &[String], random: &mut Random) -> String {
    let query = match random.below(13) {
        0 | 1 => distinct_on(random),
        2 | 3 => grouping_sets(random),
        4 | 5 => limited(random),
        6 => numbered(random),
        7 => first_ranks(random),
        8 => unnested(random),
        9 => set_operation(random),
        10 => grouped(random),
        11 => with_scalars(random),
        _ => chosen(random),
    };
    // Sometimes one in another.
    if random.percent(25) { over(query, views, false, random) } else { query }
}

/// A table, or several.
fn inner_from(random: &mut Random) -> From {
    if random.percent(40) { from(random) } else { From { text: format!("s.t{} x", random.below(4)), aliases: vec!["x"] } }
}

fn filter(from: &From, random: &mut Random) -> String {
    match random.below(8) {
        0..4 => String::new(),
        4 => format!(" WHERE EXISTS (SELECT 1 FROM s.t{} j WHERE j.a = {})", random.below(4), from.number(random)),
        5 => format!(" WHERE {} <= (SELECT max(j.v) FROM s.t{} j)", from.number(random), random.below(4)),
        _ => format!(" WHERE {}", simple(from, random)),
    }
}

/// Columns as a table has them: `id`, `a`, `b`, `c`, `v`.
fn columns(from: &From, random: &mut Random) -> [String; 5] {
    let alias = random.pick(&from.aliases);
    let text = match random.below(5) {
        0 => format!("CASE WHEN {} THEN {alias}.c ELSE 'z' END", simple(from, random)),
        _ => format!("{alias}.c"),
    };
    let mut plain = || if random.percent(25) { number(from, random) } else { from.number(random) };
    let [id, a, b, v] = [plain(), plain(), plain(), plain()];
    [id, a, b, text, v]
}

fn listed([id, a, b, c, v]: &[String; 5]) -> String {
    format!("{id} AS id, {a} AS a, {b} AS b, {c} AS c, {v} AS v")
}

fn direction(random: &mut Random) -> String {
    format!("{}{}", random.pick(&["", " DESC"]), random.pick(&["", " NULLS FIRST", " NULLS LAST"]))
}

fn distinct_on(random: &mut Random) -> String {
    let from = inner_from(random);
    let on: Vec<String> = (0..1 + random.below(2)).map(|_| from.any(random)).collect();
    let order: Vec<String> = on.iter().map(|by| by.clone() + &direction(random)).collect();
    let order = format!("{}, {}", order.join(", "), from.total_order());
    let (on, columns, filter) = (on.join(", "), listed(&columns(&from, random)), filter(&from, random));
    format!("SELECT DISTINCT ON ({on}) {columns} FROM {}{filter} ORDER BY {order}", from.text)
}

fn grouping_sets(random: &mut Random) -> String {
    let from = inner_from(random);
    let (first, second) = (from.number(random), format!("{}.c", random.pick(&from.aliases)));
    let sets = match random.below(4) {
        0 => format!("ROLLUP ({first}, {second})"),
        1 => format!("CUBE ({first}, {second})"),
        2 => format!("{second}, ROLLUP ({first})"),
        _ => format!("GROUPING SETS (({first}, {second}), ({}), ())", random.pick(&[&first, &second])),
    };
    let id = match random.below(3) {
        0 => format!("CASE WHEN grouping({first}) = 1 THEN 0 ELSE {first} END"),
        1 => format!("max({})", from.number(random)),
        _ => format!("grouping({first}, {second})"),
    };
    let (sum, filter) = (from.number(random), filter(&from, random));
    let having = if random.percent(20) { " HAVING count(*) > 1" } else { "" };
    format!(
        "SELECT {id} AS id, {first} AS a, count(*) AS b, {second} AS c, sum({sum}) AS v FROM {}{filter} GROUP BY {sets}{having}",
        from.text
    )
}

/// By the columns' numbers.
fn limited(random: &mut Random) -> String {
    let from = inner_from(random);
    let mut order = vec![1, 2, 3, 4, 5];
    random.shuffle(&mut order);
    let order: Vec<String> = order.iter().map(|by| format!("{by}{}", direction(random))).collect();
    let offset = if random.percent(30) { format!(" OFFSET {}", random.below(3)) } else { String::new() };
    let (columns, filter) = (listed(&columns(&from, random)), filter(&from, random));
    format!("SELECT {columns} FROM {}{filter} ORDER BY {} LIMIT {}{offset}", from.text, order.join(", "), random.below(6))
}

/// With window functions in place of two columns.
fn numbered(random: &mut Random) -> String {
    let from = inner_from(random);
    let mut columns = columns(&from, random);
    let (partition, total) = (from.any(random), from.total_order());
    columns[2] = match random.below(3) {
        0 => format!("row_number() OVER (PARTITION BY {partition} ORDER BY {total})"),
        1 => format!("rank() OVER (PARTITION BY {partition} ORDER BY {})", from.any(random)),
        _ => format!("lag({}) OVER (PARTITION BY {partition} ORDER BY {total})", from.number(random)),
    };
    columns[4] = match random.below(2) {
        0 => format!("sum({}) OVER (PARTITION BY {partition})", from.number(random)),
        _ => format!("max({}) OVER (ORDER BY {total} ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)", from.number(random)),
    };
    format!("SELECT {} FROM {}{}", listed(&columns), from.text, filter(&from, random))
}

fn first_ranks(random: &mut Random) -> String {
    let from = inner_from(random);
    let (partition, total) = (from.any(random), from.total_order());
    let number = match random.below(2) {
        0 => format!("row_number() OVER (PARTITION BY {partition} ORDER BY {total})"),
        _ => format!("dense_rank() OVER (PARTITION BY {partition} ORDER BY {})", from.number(random)),
    };
    let (columns, filter) = (listed(&columns(&from, random)), filter(&from, random));
    let most = 1 + random.below(2);
    format!("SELECT id, a, b, c, v FROM (SELECT {columns}, {number} AS r FROM {}{filter}) f WHERE r <= {most}", from.text)
}

/// The columns have other names where the rows are made: UNNEST takes none that its table has.
fn unnested(random: &mut Random) -> String {
    let from = inner_from(random);
    let [id, a, b, c, v] = columns(&from, random);
    let (c, v) = match random.below(4) {
        0 => (format!("unnest(string_to_array(concat({}.c, ',y'), ','))", random.pick(&from.aliases)), v),
        1 => (c, format!("unnest(CASE WHEN {} THEN make_array({}) END)", simple(&from, random), from.number(random))),
        _ => (c, format!("unnest(make_array({}, {}))", from.number(random), from.number(random))),
    };
    let rows = format!("SELECT {id} AS u0, {a} AS u1, {b} AS u2, {c} AS u3, {v} AS u4 FROM {}{}", from.text, filter(&from, random));
    format!("SELECT u0 AS id, u1 AS a, u2 AS b, u3 AS c, u4 AS v FROM ({rows}) u")
}

fn set_operation(random: &mut Random) -> String {
    let operator = *random.pick(&["UNION ALL", "UNION", "EXCEPT", "INTERSECT", "EXCEPT ALL", "INTERSECT ALL"]);
    let side = |random: &mut Random| {
        let from = inner_from(random);
        let columns = match random.percent(50) {
            // So that there is something in common.
            true => ["1".into(), from.number(random), "2".into(), "'x'".into(), "0".into()],
            false => columns(&from, random),
        };
        format!("SELECT {} FROM {}{}", listed(&columns), from.text, filter(&from, random))
    };
    let (left, right) = (side(random), side(random));
    format!("{left} {operator} {right}")
}

fn grouped(random: &mut Random) -> String {
    let from = inner_from(random);
    let (key, filter) = (from.number(random), filter(&from, random));
    let alias = random.pick(&from.aliases);
    let [id, v] = [from.number(random), from.number(random)];
    let having = if random.percent(30) { " HAVING count(*) > 1" } else { "" };
    let sum = match random.below(3) {
        0 => format!("CASE WHEN count(*) > 1 THEN sum({v}) ELSE max({v}) END"),
        1 => format!("sum(DISTINCT {v})"),
        _ => format!("count({v}) FILTER (WHERE {})", simple(&from, random)),
    };
    format!(
        "SELECT min({id}) AS id, {key} AS a, count(*) AS b, max({alias}.c) AS c, {sum} AS v FROM {}{filter} GROUP BY {key}{having}",
        from.text
    )
}

/// With scalar subqueries in place of two columns, one of which may look at the row around it.
fn with_scalars(random: &mut Random) -> String {
    let from = inner_from(random);
    let mut columns = columns(&from, random);
    let (table, column) = (random.below(4), *random.pick(&["id", "a", "b", "v"]));
    let call = *random.pick(&["max(j.v)", "count(*)", "sum(j.b)", "min(j.id)"]);
    columns[1] = format!("(SELECT {call} FROM s.t{table} j WHERE j.{column} = {})", from.number(random));
    columns[4] = match random.below(3) {
        0 => format!("(SELECT count(*) FROM s.t{} k)", random.below(4)),
        1 => format!("(SELECT k.a FROM s.t{} k ORDER BY k.a DESC NULLS LAST LIMIT 1)", random.below(4)),
        _ => format!("coalesce((SELECT max(k.{column}) FROM s.t{} k WHERE k.b < 3), {})", random.below(4), from.number(random)),
    };
    format!("SELECT {} FROM {}{}", listed(&columns), from.text, filter(&from, random))
}

/// Columns by case, of rows that the query itself gives or of a table's.
fn chosen(random: &mut Random) -> String {
    let mut rows = vec!["(0, 1, 2, 'x', 3)".to_string()];
    rows.extend(
        (1..=random.below(4))
            .map(|n| format!("({n}, {}, {}, {}, NULL)", random.below(3), random.below(3), random.pick(&["'x'", "'y'", "NULL"]))),
    );
    let given = From { text: format!("(VALUES {}) x(id, a, b, c, v)", rows.join(", ")), aliases: vec!["x"] };
    let from = if random.percent(30) { given } else { inner_from(random) };
    let mut columns = columns(&from, random);
    let known = format!("{} IS NOT NULL", from.any(random));
    let found = format!("(SELECT count(*) FROM s.t{} j WHERE j.id = {}) > 0", random.below(4), from.number(random));
    columns[2] = format!("CASE WHEN {known} THEN {} WHEN {} THEN 7 END", from.number(random), simple(&from, random));
    if random.percent(50) {
        columns[4] = format!("CASE WHEN {found} THEN {} ELSE -1 END", from.number(random));
    }
    format!("SELECT {} FROM {}{}", listed(&columns), from.text, filter(&from, random))
}
