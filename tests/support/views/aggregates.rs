//! Random calls of aggregates over groups, each with the call or the expression whose batch answer is the right one.
//!
//! Of sums of doubles the engine's answer is exact and rounded once. So the doubles here are quarters, which DataFusion adds exactly too, and
//! what it has by running formulas (variances and their kin) is written out over whole numbers, so that only the last quotient is rounded.

use super::answers::answered_by;
use super::queries::{From, simple};
use super::random::Random;

// Two aggregates that differ by a cast have one name to DataFusion, and it takes only one of them: what is written out is times 1.
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
    let mut columns: Vec<(String, String)> =
        key.split(", ").filter(|key| !key.is_empty()).enumerate().map(|(n, key)| alike(format!("{key} AS k{n}"))).collect();
    let calls = 1 + random.below(3);
    // DataFusion takes calls in one order at a time.
    let list = random.percent(40).then(|| random.below(calls));
    for n in 0..calls {
        let (call, same) = of.call(list == Some(n), random);
        columns.push((format!("{call} AS a{n}"), format!("{same} AS a{n}")));
    }
    let filter = if random.percent(20) { format!(" WHERE {}", simple(&of.from, random)) } else { String::new() };
    let group = if key.is_empty() { String::new() } else { format!(" GROUP BY {key}") };
    let having = if random.percent(15) { format!(" HAVING count(*) > {}", random.below(3)) } else { String::new() };
    let select = |columns: Vec<&str>| format!("SELECT {} FROM {}{filter}{group}{having}", columns.join(", "), of.from.text);
    answered_by(
        &select(columns.iter().map(|(call, _)| call.as_str()).collect()),
        &select(columns.iter().map(|(_, same)| same.as_str()).collect()),
    )
}

/// The document is put together from the counts of each value.
fn histogram(random: &mut Random) -> String {
    let from = From { text: format!("s.t{} x", random.below(4)), aliases: vec!["x"] };
    let (key, value) = (*random.pick(&["x.a", "x.c", "x.id % 3"]), format!("x.{}", random.pick(&ALL)));
    let filter = filtered(&random.percent(25).then(|| simple(&from, random)));
    let query = format!("SELECT {key} AS k0, histogram({value}){filter} AS a0 FROM {} GROUP BY {key}", from.text);
    let counts = format!("SELECT {key} AS k0, {value} AS w, count(*){filter} AS n FROM {} GROUP BY {key}, {value}", from.text);
    let fields = "string_agg(concat('\"', CAST(w AS TEXT), '\":', CAST(n AS TEXT)), ',' ORDER BY w) FILTER (WHERE w IS NOT NULL AND n > 0)";
    answered_by(&query, &format!("SELECT k0, concat('{{', coalesce({fields}, ''), '}}') AS a0 FROM ({counts}) h GROUP BY k0"))
}

struct Group {
    from: From,
    stream: bool,
}

/// DataFusion's own answer is right.
fn alike(call: String) -> (String, String) {
    (call.clone(), call)
}

impl Group {
    fn number(&self, random: &mut Random) -> String {
        format!("x.{}", random.pick(&NUMBERS))
    }

    fn any(&self, random: &mut Random) -> String {
        format!("x.{}", random.pick(&ALL))
    }

    /// A call and what answers it.
    fn call(&self, list: bool, random: &mut Random) -> (String, String) {
        let filter = random.percent(25).then(|| simple(&self.from, random));
        match random.below(5) {
            _ if list => self.list(random, filter),
            4 => self.percentile(random, filter),
            0 => self.sum(random, filter),
            1 => self.variance(random, filter),
            2 => self.pairs(random, filter),
            _ => self.counted(random, filter),
        }
    }

    fn sum(&self, random: &mut Random, filter: Option<String>) -> (String, String) {
        let value = match random.below(4) {
            0 => format!("CAST({} AS FLOAT) / 2", self.number(random)),
            1 => format!("CAST({} AS DOUBLE) / 4", self.number(random)),
            2 => format!("CAST({} - 2 AS DOUBLE) * 1024 * 1024 * 1024 * 1024", self.number(random)),
            _ => format!("CAST({} AS DOUBLE)", self.number(random)),
        };
        let distinct = if random.percent(20) { "DISTINCT " } else { "" };
        alike(format!("{}({distinct}{value}){}", random.pick(&["sum", "avg"]), filtered(&filter)))
    }

    fn counted(&self, random: &mut Random, filter: Option<String>) -> (String, String) {
        let call = match random.below(8) {
            0 => "count(*)".to_string(),
            1 => format!("count(DISTINCT {})", self.any(random)),
            2 => {
                let value = self.any(random);
                let filter = filtered(&filter);
                return (format!("approx_distinct({value}){filter}"), format!("CAST(count(DISTINCT {value}){filter} AS BIGINT UNSIGNED)"));
            }
            3 => format!("{}({} < 3)", random.pick(&["bool_and", "bool_or"]), self.number(random)),
            4 => format!("{}({})", random.pick(&["min", "max"]), self.any(random)),
            // DataFusion's grouped bit_xor(DISTINCT) takes values as often as they are there.
            5 if random.percent(30) => format!("{}(DISTINCT {} - 2)", random.pick(&["bit_and", "bit_or"]), self.number(random)),
            5 => format!("{}({} - 2)", random.pick(&["bit_and", "bit_or", "bit_xor"]), self.number(random)),
            6 => format!("avg({} * 1)", self.number(random)),
            _ => format!("sum({} * 1)", self.number(random)),
        };
        alike(format!("{call}{}", filtered(&filter)))
    }

    /// At shares that DataFusion, which cuts them off behind six digits, takes as they are.
    fn percentile(&self, random: &mut Random, filter: Option<String>) -> (String, String) {
        let (value, filter) = (self.number(random), filtered(&filter));
        let distinct = if random.percent(20) { "DISTINCT " } else { "" };
        let share = *random.pick(&["0", "0.25", "0.5", "0.75", "1"]);
        let value = random.pick(&[value.clone(), format!("CAST({value} AS DOUBLE) / 4")]).clone();
        match random.below(5) {
            0 => alike(format!("median({distinct}{value}){filter}")),
            1 => alike(format!("median(CAST({value} AS DECIMAL(10, 2))){filter}")),
            2 => alike(format!("percentile_cont({share}) WITHIN GROUP (ORDER BY {value}{}){filter}", random.pick(&["", " DESC"]))),
            3 => alike(format!("percentile_cont({distinct}{value}, {share}){filter}")),
            _ => {
                let value = format!("CAST({value} AS DOUBLE) * 1");
                (format!("approx_percentile_cont({value}, {share}){filter}"), format!("percentile_cont({value}, {share}){filter}"))
            }
        }
    }

    fn variance(&self, random: &mut Random, filter: Option<String>) -> (String, String) {
        let (x, filter) = (self.number(random), filtered(&filter));
        let distinct = if random.percent(20) { "DISTINCT " } else { "" };
        let of = |what: &str, of: &str| format!("{what}({distinct}{of}){filter}");
        let (n, sum, squares) = (of("count", &x), of("sum", &format!("{x} * 1")), of("sum", &format!("{x} * {x}")));
        let spread = format!("({n} * {squares} - {sum} * {sum})");
        let name = *random.pick(&["var_pop", "var_samp", "var", "stddev_pop", "stddev_samp", "stddev"]);
        let variance = match name.ends_with("pop") {
            true => quotient(&spread, &format!("({n} * {n})")),
            false => quotient(&spread, &format!("({n} * ({n} - 1))")),
        };
        let same = if name.starts_with("stddev") { format!("sqrt({variance})") } else { variance };
        let value = random.pick(&[x.clone(), format!("CAST({x} AS DOUBLE) * 1")]).clone();
        (format!("{name}({distinct}{value}){filter}"), same)
    }

    fn pairs(&self, random: &mut Random, filter: Option<String>) -> (String, String) {
        let (y, x) = (self.number(random), self.number(random));
        let both = and(&format!("{x} IS NOT NULL AND {y} IS NOT NULL"), &filter);
        let sum = |of: &str| format!("sum({of} * 1) FILTER (WHERE {both})");
        let n = format!("count(*) FILTER (WHERE {both})");
        let spread = |a: &str, b: &str| format!("({n} * {} - {} * {})", sum(&format!("{a} * {b}")), sum(a), sum(b));
        let name = *random.pick(&[
            "covar_pop",
            "covar_samp",
            "covar",
            "corr",
            "regr_slope",
            "regr_intercept",
            "regr_r2",
            "regr_count",
            "regr_avgx",
            "regr_avgy",
            "regr_sxx",
            "regr_syy",
            "regr_sxy",
        ]);
        let enough = |value: String| format!("CASE WHEN {n} > 1 THEN {value} END");
        let square = |of: &str| format!("({of} * {of})");
        let variances = format!("({} * {})", spread(&x, &x), spread(&y, &y));
        let call = format!("{name}({y}, {x}){}", filtered(&filter));
        let same = match name {
            "covar_pop" => quotient(&spread(&x, &y), &square(&n)),
            "covar_samp" | "covar" => quotient(&spread(&x, &y), &format!("({n} * ({n} - 1))")),
            // Two roundings more than the engine has: of such small numbers, others differ by more than that.
            "corr" => {
                let same = enough(quotient(&spread(&x, &y), &format!("sqrt(CAST({variances} AS DOUBLE))")));
                return (format!("round({call}, 12)"), format!("round({same}, 12)"));
            }
            "regr_slope" => enough(quotient(&spread(&x, &y), &spread(&x, &x))),
            "regr_intercept" => {
                let (yxx, xxy) =
                    (format!("{} * {}", sum(&y), sum(&format!("{x} * {x}"))), format!("{} * {}", sum(&x), sum(&format!("{x} * {y}"))));
                enough(quotient(&format!("({yxx} - {xxy})"), &spread(&x, &x)))
            }
            "regr_r2" => enough(quotient(&square(&spread(&x, &y)), &variances)),
            "regr_count" => format!("CAST({n} AS BIGINT UNSIGNED)"),
            "regr_avgx" => quotient(&sum(&x), &n),
            "regr_avgy" => quotient(&sum(&y), &n),
            "regr_sxx" => quotient(&spread(&x, &x), &n),
            "regr_syy" => quotient(&spread(&y, &y), &n),
            _ => quotient(&spread(&x, &y), &n),
        };
        (call, same)
    }
}

impl Group {
    /// Values in an order that leaves only equal ones equal.
    fn list(&self, random: &mut Random, filter: Option<String>) -> (String, String) {
        let value = self.any(random);
        let total = match self.stream {
            true => "x.\"ROWOFFSET\"".to_string(),
            false => ALL.map(|column| format!("x.{column}")).join(", "),
        };
        let direction = format!("{}{}", random.pick(&["", " DESC"]), random.pick(&["", " NULLS FIRST", " NULLS LAST"]));
        let (by_rows, by_value) = (format!("ORDER BY {}{direction}, {total}", self.any(random)), format!("ORDER BY {value}{direction}"));
        let (count, nulls) = (1 + random.below(4), *random.pick(&["", ", true", ", false"]));
        let there = |nulls: &str| match nulls {
            ", false" => filtered(&filter),
            _ => format!(" FILTER (WHERE {})", and(&format!("{value} IS NOT NULL"), &filter)),
        };
        let first = |list: String| format!("array_slice({list}, 1, {count})");
        let known = filtered(&filter);
        match random.below(if self.stream { 14 } else { 10 }) {
            0 => (format!("topk({value}, {count}){known}"), first(format!("array_agg({value} ORDER BY {value} DESC){}", there("")))),
            1 => {
                let same = first(format!("array_agg(DISTINCT {value} ORDER BY {value} DESC){}", there("")));
                (format!("topkdistinct({value}, {count}){known}"), same)
            }
            2 => (format!("collect_set({value}){known}"), format!("array_agg(DISTINCT {value} ORDER BY {value}){known}")),
            3 => alike(format!("array_agg({value} {by_rows}){known}")),
            4 => alike(format!("array_agg(DISTINCT {value} {by_value}){known}")),
            5 => alike(first(format!("array_agg({value} {by_rows}){known}"))),
            6 => alike(format!("string_agg(x.c, '+' {by_rows}){known}")),
            7 => alike(format!("string_agg(DISTINCT x.c, '' ORDER BY x.c{direction}){known}")),
            8 => {
                let number = count as i64 * if random.percent(50) { -1 } else { 1 };
                alike(format!("nth_value({value}, {number} {by_rows}){known}"))
            }
            9 => alike(format!("(array_agg({value} {by_rows}){known})[{count}]")),
            13 => {
                let (name, same) = *random.pick(&[("latest", "last_value"), ("earliest", "first_value")]);
                let same = format!("{same}({value} ORDER BY {total}){}", there(nulls));
                (format!("{name}_by_offset({value}{nulls}){known}"), same)
            }
            10 => (format!("collect_list({value}){known}"), format!("array_agg({value} ORDER BY {total}){known}")),
            11 => {
                let same = format!("array_reverse({})", first(format!("array_agg({value} ORDER BY {total} DESC){}", there(nulls))));
                (format!("latest_by_offset({value}, {count}{nulls}){known}"), same)
            }
            _ => {
                let same = first(format!("array_agg({value} ORDER BY {total}){}", there(nulls)));
                (format!("earliest_by_offset({value}, {count}{nulls}){known}"), same)
            }
        }
    }
}

fn filtered(filter: &Option<String>) -> String {
    filter.as_ref().map_or(String::new(), |filter| format!(" FILTER (WHERE {filter})"))
}

fn and(condition: &str, filter: &Option<String>) -> String {
    filter.as_ref().map_or(condition.to_string(), |filter| format!("{condition} AND ({filter})"))
}

/// The double of a quotient of whole numbers, NULL by 0.
fn quotient(number: &str, by: &str) -> String {
    format!("(CAST({number} AS DOUBLE) / nullif(CAST({by} AS DOUBLE), 0))")
}
