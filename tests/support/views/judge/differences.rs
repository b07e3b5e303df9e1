//! The written list of where our dialect is another one than PostgreSQL's, and how PostgreSQL judges in spite of it. DuckDB's list is of the same
//! form: `duckdb/differences.rs`.

/// How a judge judges in spite of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It is asked in other words: `dialect.rs`.
    Reworded,
    /// By a function or an aggregate that it is given: `dialect.sql`, `duckdb/session.sql`.
    Function,
    /// By a setting of its session.
    Setting,
    /// Its values are turned into those of the view's columns: `values.rs`.
    Converted,
    /// Its rows are more than the view's, which must be some of them.
    Some,
    /// It does not.
    Unjudged,
}

#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) what: &'static str,
    pub(crate) why: &'static str,
    pub(crate) treatment: Treatment,
}

pub(super) const fn difference(what: &'static str, why: &'static str, treatment: Treatment) -> Difference {
    Difference { what, why, treatment }
}

use Treatment::{Converted, Function, Reworded, Some, Unjudged};

/// It may only get shorter.
pub(crate) const DIFFERENCES: &[Difference] = &[
    difference("QUALIFY", "PostgreSQL does not have it: a filter of the query around", Reworded),
    difference("IGNORE NULLS of lag and lead", "PostgreSQL 18 does not have it: of the list of what stands before or behind", Reworded),
    difference("DISTINCT in a window function", "PostgreSQL does not have it: of the list of what is in the frame", Reworded),
    difference("FULL JOIN by no equal columns", "PostgreSQL refuses it: with what is equal of all rows beside the condition", Reworded),
    difference("GROUP BY ... WITH ROLLUP", "MySQL's way to say ROLLUP", Reworded),
    difference("DOUBLE, FLOAT (of 4 bytes), TINYINT, STRING", "types that PostgreSQL calls otherwise, or has wider ones for", Reworded),
    difference("first_value, last_value, nth_value as aggregates", "PostgreSQL has them as window functions only", Reworded),
    difference(
        "percentile_cont(v, share), approx_percentile_cont",
        "with a list in place of WITHIN GROUP; the approximate one is exact",
        Reworded,
    ),
    difference("var, covar", "other names of var_samp and covar_samp", Reworded),
    difference("patterns of to_char", "they are strftime's", Reworded),
    difference("latest_by_time, earliest_by_time", "ksqlDB's users know them: the first in an order", Reworded),
    difference("latest_by_offset, earliest_by_offset, collect_list", "ksqlDB's users know them: in the order of arrival", Function),
    difference("topk, topkdistinct, collect_set, histogram", "ksqlDB's users know them", Function),
    difference("median, approx_distinct", "DataFusion has them; the approximate one is exact", Function),
    difference("make_array, array_length(list), array_slice", "DataFusion has lists where PostgreSQL has arrays", Function),
    difference("round(double, digits), repeat(text, bigint)", "PostgreSQL has them of other types of arguments only", Function),
    difference(
        "the type of a column",
        "DataFusion says it: avg of integers is a double, sum of bigint a bigint; the value must be the same",
        Converted,
    ),
    difference("digits of a decimal", "DataFusion says how many: PostgreSQL's value is rounded, half away from zero", Converted),
    difference("the last places of doubles", "the engine rounds once, PostgreSQL at each step: 4 units, of regressions 1e-12", Converted),
    difference(
        "a row that fails",
        "it is left out and counted; at PostgreSQL the query fails, or has a value beyond the view's type",
        Some,
    ),
    difference("a declared key, a key that is too long", "rows that break it are left out and counted", Some),
    difference("rows that an order leaves equal", "each engine has an order of its own for them", Unjudged),
    difference("a recursion that does not end", "it is stopped, at PostgreSQL it goes on", Unjudged),
];
