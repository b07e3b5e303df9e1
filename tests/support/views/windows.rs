//! Random window functions.

use super::queries::{From, filter, from, number, simple};
use super::random::Random;

const COLUMNS: [&str; 5] = ["id", "a", "b", "c", "v"];

/// Window functions beside columns, over one or two windows.
pub(crate) fn windowed(random: &mut Random) -> String {
    let from = from(random);
    windowed_over(&from, random)
}

/// As [`windowed`], over the first table alone.
pub(crate) fn windowed_long(random: &mut Random) -> String {
    windowed_over(&From { text: "s.t0 x".into(), aliases: vec!["x"] }, random)
}

fn windowed_over(from: &From, random: &mut Random) -> String {
    let mut columns: Vec<String> = (0..1 + random.below(2)).map(|n| format!("{} AS n{n}", from.any(random))).collect();
    let window = Window::new(from, random);
    for n in 0..1 + random.below(3) {
        let other = random.percent(25).then(|| Window::new(from, random));
        columns.push(format!("{} AS w{n}", other.as_ref().unwrap_or(&window).call(from, random)));
    }
    let filter = filter(from, random);
    format!("SELECT {} FROM {}{filter}", columns.join(", "), from.text)
}

/// The first rows of each partition, with or without their number.
pub(crate) fn first_rows(random: &mut Random) -> String {
    let from = from(random);
    let window = Window::new(&from, random);
    let by = |order: &[String]| if order.is_empty() { String::new() } else { format!("ORDER BY {}", order.join(", ")) };
    let (function, order) = match random.below(6) {
        0 | 1 => ("rank", by(&window.order)),
        2 => ("dense_rank", by(&window.order)),
        _ => ("row_number", by(&window.total)),
    };
    let number = format!("{function}() OVER ({}{order})", window.partition);
    let bound = match random.below(6) {
        0 => "= 1".to_string(),
        1 => format!("< {}", random.below(4)),
        2 => format!("= {}", random.below(4)),
        3 => format!("BETWEEN {} AND {}", random.below(4), random.below(5)),
        _ => format!("<= {}", 1 + random.below(3)),
    };
    let columns: Vec<String> = (0..1 + random.below(3)).map(|n| format!("{} AS n{n}", from.any(random))).collect();
    let (columns, filter) = (columns.join(", "), filter(&from, random));
    if random.percent(25) {
        let shown = if random.percent(50) { format!(", {number} AS r") } else { String::new() };
        return format!("SELECT {columns}{shown} FROM {}{filter} QUALIFY {number} {bound}", from.text);
    }
    let shown = *random.pick(&["*", "n0", "r, n0", "n0, r + 1 AS m"]);
    let more = *random.pick(&["", "", " AND n0 IS NOT NULL", " AND r <> 2"]);
    format!("SELECT {shown} FROM (SELECT {columns}, {number} AS r FROM {}{filter}) f WHERE r {bound}{more}", from.text)
}

/// DISTINCT ON in an order that is total, so that there is one answer.
pub(crate) fn distinct_on(random: &mut Random) -> String {
    let from = from(random);
    let direction = |random: &mut Random| format!("{}{}", random.pick(&["", " DESC"]), random.pick(&["", " NULLS FIRST", " NULLS LAST"]));
    let on: Vec<String> =
        (0..1 + random.below(2)).map(|_| if random.percent(20) { number(&from, random) } else { from.any(random) }).collect();
    let mut order: Vec<String> = on.iter().map(|by| by.clone() + &direction(random)).collect();
    order.extend((0..random.below(2)).map(|_| number(&from, random) + &direction(random)));
    for alias in &from.aliases {
        order.extend(COLUMNS.iter().map(|column| format!("{alias}.{column}")));
    }
    let mut columns = Vec::new();
    for n in 0..1 + random.below(3) {
        let column = if random.percent(20) { number(&from, random) } else { from.any(random) };
        columns.push(format!("{column} AS n{n}"));
    }
    let filter = filter(&from, random);
    let (on, columns, order) = (on.join(", "), columns.join(", "), order.join(", "));
    let query = format!("SELECT DISTINCT ON ({on}) {columns} FROM {}{filter} ORDER BY {order}", from.text);
    match random.percent(25) {
        true => format!("SELECT n0 AS k0, count(*) AS a0 FROM ({query}) d GROUP BY n0"),
        false => query,
    }
}

/// Partition and order.
struct Window {
    partition: String,
    order: Vec<String>,
    /// An order that leaves only rows equal that are equal in all columns.
    total: Vec<String>,
    /// The one number that the rows are ordered by.
    single: String,
}

impl Window {
    fn new(from: &From, random: &mut Random) -> Window {
        let key = |random: &mut Random| match random.percent(15) {
            true => format!("CASE WHEN {} THEN {} ELSE 1 END", simple(from, random), from.number(random)),
            false => from.any(random),
        };
        let keys: Vec<String> = (0..random.below(3)).map(|_| key(random)).collect();
        let partition = if keys.is_empty() { String::new() } else { format!("PARTITION BY {} ", keys.join(", ")) };
        let direction =
            |random: &mut Random| format!("{}{}", random.pick(&["", " DESC"]), random.pick(&["", " NULLS FIRST", " NULLS LAST"]));
        let mut order = Vec::new();
        for _ in 0..random.below(3) {
            let by = if random.percent(20) { number(from, random) } else { from.any(random) };
            order.push(by + &direction(random));
        }
        let mut total = order.clone();
        for alias in &from.aliases {
            total.extend(COLUMNS.iter().map(|column| format!("{alias}.{column}")));
        }
        let single = from.number(random) + &direction(random);
        Window { partition, order, total, single }
    }

    fn call(&self, from: &From, random: &mut Random) -> String {
        let by = |order: &[String]| if order.is_empty() { String::new() } else { format!("ORDER BY {}", order.join(", ")) };
        let (partition, total) = (&self.partition, by(&self.total));
        match random.below(10) {
            0 => format!(
                "{} OVER ({partition}{})",
                random.pick(&["rank()", "dense_rank()", "percent_rank()", "cume_dist()"]),
                by(&self.order)
            ),
            1 => format!("row_number() OVER ({partition}{total})"),
            2 => format!("ntile({}) OVER ({partition}{total})", 1 + random.below(3)),
            3 => format!("{} OVER ({partition}{total})", neighbour(from, random)),
            4 => format!("{} OVER ({partition}{total}{})", picked(from, random), frame("ROWS", random)),
            5 => format!("{} OVER ({partition})", aggregate(from, true, random)),
            6 => format!("{} OVER ({partition}{})", aggregate(from, false, random), by(&self.order)),
            7 => format!("{} OVER ({partition}ORDER BY {}{})", aggregate(from, false, random), self.single, frame("RANGE", random)),
            8 => format!("{} OVER ({partition}ORDER BY {}{})", aggregate(from, false, random), self.single, frame("GROUPS", random)),
            _ => format!("{} OVER ({partition}{total}{})", aggregate(from, false, random), frame("ROWS", random)),
        }
    }
}

fn neighbour(from: &From, random: &mut Random) -> String {
    let (function, value) = (*random.pick(&["lag", "lead"]), from.number(random));
    let nulls = *random.pick(&["", "", " IGNORE NULLS"]);
    match random.below(3) {
        0 => format!("{function}({value}){nulls}"),
        1 => format!("{function}({value}, {}){nulls}", random.below(4)),
        _ => format!("{function}({value}, {}, {}){nulls}", 1 + random.below(2), random.below(5)),
    }
}

fn picked(from: &From, random: &mut Random) -> String {
    match random.below(3) {
        0 => format!("first_value({})", from.any(random)),
        1 => format!("last_value({})", from.any(random)),
        _ => format!("nth_value({}, {})", from.any(random), 1 + random.below(3)),
    }
}

/// `whole`: of all rows of a partition, where every aggregate will do.
fn aggregate(from: &From, whole: bool, random: &mut Random) -> String {
    let call = match random.below(if whole { 9 } else { 7 }) {
        0 => "count(*)".to_string(),
        1 => format!("count({})", from.any(random)),
        2 => format!("sum({})", number(from, random)),
        3 => format!("avg({})", from.number(random)),
        4 => format!("min({})", from.any(random)),
        5 => format!("max({})", from.any(random)),
        6 => format!("{}({}{})", random.pick(&["sum", "count", "avg"]), random.pick(&["", "DISTINCT "]), from.number(random)),
        7 => format!("median({})", from.number(random)),
        _ => format!("bool_and({} < 3)", from.number(random)),
    };
    match random.percent(15) {
        true => format!("{call} FILTER (WHERE {})", simple(from, random)),
        false => call,
    }
}

fn frame(units: &str, random: &mut Random) -> String {
    let bounds = ["UNBOUNDED PRECEDING", "2 PRECEDING", "1 PRECEDING", "CURRENT ROW", "1 FOLLOWING", "2 FOLLOWING", "UNBOUNDED FOLLOWING"];
    let start = random.below(6);
    let end = start.max(1) + random.below(7 - start.max(1));
    match random.percent(25) {
        true => String::new(),
        false => format!(" {units} BETWEEN {} AND {}", bounds[start], bounds[end]),
    }
}
