//! The written list of where our dialect is another one than DuckDB's, and how DuckDB judges in spite of it.

use super::super::differences::Treatment::{Converted, Function, Reworded, Setting, Unjudged};
use super::super::differences::{Difference, difference};

/// It may only get shorter.
pub(crate) const DUCKDB_DIFFERENCES: &[Difference] = &[
    difference("IGNORE NULLS of lag and lead", "at DuckDB it stands among the arguments", Reworded),
    difference("GROUP BY ... WITH ROLLUP", "MySQL's way to say ROLLUP", Reworded),
    difference("first_value, last_value, nth_value as aggregates", "DuckDB has them as window functions only", Reworded),
    difference(
        "percentile_cont(v, share), approx_percentile_cont",
        "with a list in place of WITHIN GROUP; the approximate one is exact",
        Reworded,
    ),
    difference("var, covar, approx_distinct, make_array", "other names of what DuckDB has; the approximate one is exact", Reworded),
    difference("patterns of to_char", "they are strftime's, which is the function's name at DuckDB", Reworded),
    difference("latest_by_time, earliest_by_time", "ksqlDB's users know them: the first in an order", Reworded),
    difference(
        "latest_by_offset, earliest_by_offset, topk, topkdistinct, collect_list, collect_set",
        "ksqlDB's users know them: parts of lists in an order",
        Reworded,
    ),
    difference("histogram of no values", "DuckDB has NULL, where ksqlDB has no counts", Function),
    difference("round(double)", "DuckDB rounds a half away from zero, PostgreSQL to the even number", Function),
    difference("corr, regr_slope of what does not vary", "DuckDB gives NaN for a division by nothing, PostgreSQL NULL", Function),
    difference("/ of whole numbers", "DuckDB has an operator of its own for quotients that are whole", Setting),
    difference("the order of NULLs", "DuckDB has them last in both directions, PostgreSQL as larger than all values", Setting),
    difference("the type of a column", "each says it for itself; the value must be the same", Converted),
    difference(
        "averages and quotients of decimals",
        "they are doubles at DuckDB: rounded to the digits that the view has, if a double has as many",
        Converted,
    ),
    difference("the last places of doubles", "each judge rounds at other steps: 4 units, of regressions 1e-12", Converted),
    difference(
        "* over a join with USING or NATURAL",
        "DuckDB leaves the merged columns in their place, PostgreSQL has them first",
        Unjudged,
    ),
    difference("a number with an exponent", "it is a double at DuckDB, a decimal at PostgreSQL", Unjudged),
    difference("what DuckDB does not have", "it refuses the query, PostgreSQL judges alone, and the tests count it", Unjudged),
];
