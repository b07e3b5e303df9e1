//! Random calls of aggregates over groups.
//!
//! Of sums of doubles the engine's answer is exact and rounded once. So the doubles here are quarters, which PostgreSQL adds exactly too.

use super::queries::{From, simple};
use super::random::Random;

const NUMBERS: [&str; 4] = ["id", "a", "b", "v"];
const ALL: [&str; 5] = ["id", "a", "b", "c", "v"];

/// The tables from this one on are streams.
const STREAMS: usize = 2;

pub(crate) fn query(random: &mut Random) -> String {
    if random.percent(8) {
        return histogram(random);
    }
    let table = random.below(4);
    let of = Group { from: From { text: format!("s.t{table} x"), aliases: vec!["x"] }, stream: table >= STREAMS };
    let key = *random.pick(&["", "x.a", "x.c", "x.a, x.b", "x.id % 3"]);
    let mut columns: Vec<String> =
        key.split(", ").filter(|key| !key.is_empty()).enumerate().map(|(n, key)| format!("{key} AS k{n}")).collect();
    for n in 0..1 + random.below(3) {
        columns.push(format!("{} AS a{n}", of.call(random)));
    }
    let filter = if random.percent(20) { format!(" WHERE {}", simple(&of.from, random)) } else { String::new() };
    let group = if key.is_empty() { String::new() } else { format!(" GROUP BY {key}") };
    let having = if random.percent(15) { format!(" HAVING count(*) > {}", random.below(3)) } else { String::new() };
    format!("SELECT {} FROM {}{filter}{group}{having}", columns.join(", "), of.from.text)
}

fn histogram(random: &mut Random) -> String {
    let from = From { text: format!("s.t{} x", random.below(4)), aliases: vec!["x"] };
    let (key, value) = (*random.pick(&["x.a", "x.c", "x.id % 3"]), format!("x.{}", random.pick(&ALL)));
    let filter = filtered(&random.percent(25).then(|| simple(&from, random)));
    format!("SELECT {key} AS k0, histogram({value}){filter} AS a0 FROM {} GROUP BY {key}", from.text)
}

struct Group {
    from: From,
    stream: bool,
}

impl Group {
    fn number(&self, random: &mut Random) -> String {
        format!("x.{}", random.pick(&NUMBERS))
    }

    fn any(&self, random: &mut Random) -> String {
        format!("x.{}", random.pick(&ALL))
    }

    fn call(&self, random: &mut Random) -> String {
        let filter = filtered(&random.percent(25).then(|| simple(&self.from, random)));
        let call = match random.below(7) {
            0 => self.sum(random),
            1 => self.variance(random),
            2 => self.pairs(random),
            3 => self.percentile(random),
            4 => return self.list(&filter, random),
            _ => self.counted(random),
        };
        format!("{call}{filter}")
    }

    fn sum(&self, random: &mut Random) -> String {
        let value = match random.below(4) {
            0 => format!("CAST({} AS FLOAT) / 2", self.number(random)),
            1 => format!("CAST({} AS DOUBLE) / 4", self.number(random)),
            2 => format!("CAST({} - 2 AS DOUBLE) * 1024 * 1024 * 1024 * 1024", self.number(random)),
            _ => format!("CAST({} AS DOUBLE)", self.number(random)),
        };
        let distinct = if random.percent(20) { "DISTINCT " } else { "" };
        format!("{}({distinct}{value})", random.pick(&["sum", "avg"]))
    }

    fn counted(&self, random: &mut Random) -> String {
        match random.below(8) {
            0 => "count(*)".to_string(),
            1 => format!("count(DISTINCT {})", self.any(random)),
            2 => format!("approx_distinct({})", self.any(random)),
            3 => format!("{}({} < 3)", random.pick(&["bool_and", "bool_or"]), self.number(random)),
            4 => format!("{}({})", random.pick(&["min", "max"]), self.any(random)),
            5 => {
                let distinct = if random.percent(30) { "DISTINCT " } else { "" };
                format!("{}({distinct}{} - 2)", random.pick(&["bit_and", "bit_or", "bit_xor"]), self.number(random))
            }
            6 => format!("avg({} * 1)", self.number(random)),
            _ => format!("sum({} * 1)", self.number(random)),
        }
    }

    fn percentile(&self, random: &mut Random) -> String {
        let value = self.number(random);
        let distinct = if random.percent(20) { "DISTINCT " } else { "" };
        let share = *random.pick(&["0", "0.25", "0.5", "0.75", "1"]);
        let value = random.pick(&[value.clone(), format!("CAST({value} AS DOUBLE) / 4")]).clone();
        match random.below(5) {
            0 => format!("median({distinct}{value})"),
            // Of decimals the mean of two is cut off: here there is nothing to cut off.
            1 => format!("median(CAST({value} AS DECIMAL(10, 3)))"),
            2 => format!("percentile_cont({share}) WITHIN GROUP (ORDER BY {value}{})", random.pick(&["", " DESC"])),
            3 => format!("percentile_cont({distinct}{value}, {share})"),
            _ => format!("approx_percentile_cont(CAST({value} AS DOUBLE) * 1, {share})"),
        }
    }

    fn variance(&self, random: &mut Random) -> String {
        let x = self.number(random);
        let distinct = if random.percent(20) { "DISTINCT " } else { "" };
        let name = *random.pick(&["var_pop", "var_samp", "var", "stddev_pop", "stddev_samp", "stddev"]);
        let value = random.pick(&[x.clone(), format!("CAST({x} AS DOUBLE) * 1")]).clone();
        format!("{name}({distinct}{value})")
    }

    fn pairs(&self, random: &mut Random) -> String {
        let name = *random.pick(&[
            "covar_pop",
            "covar_samp",
            "covar",
            "corr",
            "regr_slope",
            "regr_intercept",
            // Not regr_r2: it is NULL where it must be 1, of equal first arguments.
            "regr_count",
            "regr_avgx",
            "regr_avgy",
            "regr_sxx",
            "regr_syy",
            "regr_sxy",
        ]);
        format!("{name}({}, {})", self.number(random), self.number(random))
    }

    /// Values in an order that leaves only equal ones equal.
    fn list(&self, filter: &str, random: &mut Random) -> String {
        let value = self.any(random);
        let total = match self.stream {
            true => "x.\"ROWOFFSET\"".to_string(),
            false => ALL.map(|column| format!("x.{column}")).join(", "),
        };
        let direction = format!("{}{}", random.pick(&["", " DESC"]), random.pick(&["", " NULLS FIRST", " NULLS LAST"]));
        let (by_rows, by_value) = (format!("ORDER BY {}{direction}, {total}", self.any(random)), format!("ORDER BY {value}{direction}"));
        let (count, nulls) = (1 + random.below(4), *random.pick(&["", ", true", ", false"]));
        match random.below(if self.stream { 14 } else { 10 }) {
            0 => format!("topk({value}, {count}){filter}"),
            1 => format!("topkdistinct({value}, {count}){filter}"),
            2 => format!("collect_set({value}){filter}"),
            3 => format!("array_agg({value} {by_rows}){filter}"),
            4 => format!("array_agg(DISTINCT {value} {by_value}){filter}"),
            5 => format!("array_slice(array_agg({value} {by_rows}){filter}, 1, {count})"),
            6 => format!("string_agg(x.c, '+' {by_rows}){filter}"),
            7 => format!("string_agg(DISTINCT x.c, '' ORDER BY x.c{direction}){filter}"),
            8 => {
                let number = count as i64 * if random.percent(50) { -1 } else { 1 };
                format!("nth_value({value}, {number} {by_rows}){filter}")
            }
            9 => format!("(array_agg({value} {by_rows}){filter})[{count}]"),
            10 => format!("collect_list({value}){filter}"),
            11 => format!("latest_by_offset({value}, {count}{nulls}){filter}"),
            12 => format!("earliest_by_offset({value}, {count}{nulls}){filter}"),
            _ => format!("{}_by_offset({value}{nulls}){filter}", random.pick(&["latest", "earliest"])),
        }
    }
}

fn filtered(filter: &Option<String>) -> String {
    filter.as_ref().map_or(String::new(), |filter| format!(" FILTER (WHERE {filter})"))
}
