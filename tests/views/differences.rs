//! The list of differences between our dialect and PostgreSQL's, which judges it.

use std::collections::HashSet;

use crate::support::judge::differences::{DIFFERENCES, Treatment};

/// How many there were when this was written last: a number that only falls.
const MOST: usize = 23;
/// Of these PostgreSQL says nothing.
const UNJUDGED: usize = 2;

#[test]
fn the_list_of_differences_only_gets_shorter() {
    assert_eq!(DIFFERENCES.len(), MOST, "with one less, MOST falls too");
    assert_eq!(DIFFERENCES.iter().filter(|difference| difference.treatment == Treatment::Unjudged).count(), UNJUDGED);
    assert!(DIFFERENCES.iter().all(|difference| !difference.what.is_empty() && !difference.why.is_empty()));
    let named: HashSet<&str> = DIFFERENCES.iter().map(|difference| difference.what).collect();
    assert_eq!(named.len(), DIFFERENCES.len(), "each is there once");
}
