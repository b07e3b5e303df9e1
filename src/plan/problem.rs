//! Problems of a view as written: what is wrong, where, and how to fix it.

use std::ops::Range;

use super::written::Place;

/// One problem of a view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("view `{view}`: {message}")]
pub struct ViewProblem {
    pub view: String,
    pub at: Place,
    /// The range of bytes in the text at `at`; `None` if the text is not SQL or the range is unknown.
    pub within: Option<Range<usize>>,
    pub message: String,
    /// A few words to show next to the underlined text.
    pub label: Option<String>,
    pub help: Option<String>,
}

/// The name that was most likely meant by `typed`: one that differs by a few letters, else one that contains it or is contained in it.
pub fn nearest<'n>(typed: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    const LEAST_PART: usize = 4;
    let wanted = typed.to_lowercase();
    let rank = |name: &str| {
        let name = name.to_lowercase();
        let distance = strsim::damerau_levenshtein(&wanted, &name);
        let slip = distance <= (wanted.chars().count().max(name.chars().count()) / 3).max(1);
        let part = wanted.len() >= LEAST_PART && name.contains(&wanted) || name.len() >= LEAST_PART && wanted.contains(&name);
        (slip || part).then_some((!slip, distance))
    };
    names.into_iter().filter_map(|name| Some((rank(name)?, name))).min_by_key(|(rank, _)| *rank).map(|(_, name)| name)
}

/// The help text "did you mean ...?", if a name is near.
pub fn did_you_mean<'n>(typed: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    nearest(typed, names).map(|name| format!("did you mean `{name}`?"))
}

/// Lists names for a message, cut to about one line.
pub fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let (mut out, mut left) = (String::new(), 0);
    for name in names {
        if left > 0 || out.len() + name.len() > 90 {
            left += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(name);
    }
    if left > 0 {
        out.push_str(&format!(" and {left} more"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near_and_none_is_better_than_a_far_one() {
        assert_eq!(nearest("customer_id", ["id", "customer", "total"]), Some("customer"));
        assert_eq!(nearest("form", ["from", "key"]), Some("from"));
        assert_eq!(nearest("ORDER_ID", ["order_id", "order_it"]), Some("order_id"));
        assert_eq!(nearest("city", ["customer_id", "customer_city"]), Some("customer_city"));
        assert_eq!(nearest("colour", ["price", "total"]), None);
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..40).map(|i| format!("column_{i}")).collect();
        assert!(listed(names.iter().map(String::as_str)).ends_with(" and 31 more"));
        assert_eq!(listed(["a", "b"]), "a, b");
    }
}
