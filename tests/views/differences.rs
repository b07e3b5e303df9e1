//! The lists of differences between our dialect and that of each judge.

use std::collections::HashSet;

use crate::support::judge::differences::{DIFFERENCES, Difference, Treatment};
use crate::support::judge::duckdb::differences::DUCKDB_DIFFERENCES;

/// A list, how many differences it had when this was written last, and of how many of them the judge says nothing: numbers that only fall.
const LISTS: [(&[Difference], usize, usize); 2] = [(DIFFERENCES, 23, 2), (DUCKDB_DIFFERENCES, 19, 3)];

#[test]
fn the_lists_of_differences_only_get_shorter() {
    for (differences, most, unjudged) in LISTS {
        assert_eq!(differences.len(), most, "with one less, the number falls too");
        assert_eq!(differences.iter().filter(|difference| difference.treatment == Treatment::Unjudged).count(), unjudged);
        assert!(differences.iter().all(|difference| !difference.what.is_empty() && !difference.why.is_empty()));
        let named: HashSet<&str> = differences.iter().map(|difference| difference.what).collect();
        assert_eq!(named.len(), differences.len(), "each is there once");
    }
}
