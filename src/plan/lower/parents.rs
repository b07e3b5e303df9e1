//! Determines which lookup is inside which: by its path, or by its relation if it has no path of its own.
//!
//! A lookup with a path of several parts is inside the lookup whose path is the same without the last part; with one part it is in the
//! root. The last part is the field that it becomes. A flattened lookup, or one with only aggregates, is inside the lookup that its
//! relation's fields name. No schema is needed here; checks that depend on columns are in [`relation`](super::relation).

use super::problems::ViewProblems;
use crate::plan::problem::{did_you_mean, listed};
use crate::plan::written::{Written, WrittenEmbed, WrittenLookup};

/// What a lookup is inside of: the root, or a lookup by its index in the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent {
    Root,
    Lookup(usize),
    /// Not known, which has been reported.
    Unknown,
}

/// Splits `a.b.column` into the path `a.b` and `column`. Without a dot the path is `None`.
pub(super) fn split_field(field: &str) -> (Option<&str>, &str) {
    match field.rsplit_once('.') {
        Some((path, column)) => (Some(path), column),
        None => (None, field),
    }
}

/// The parent of each lookup. Reports lookups whose parent is unknown.
pub(super) fn parents(lookups: &[WrittenLookup], found: &mut ViewProblems) -> Vec<Parent> {
    refuse_equal_paths(lookups, found);
    let of = |i: usize, found: &mut ViewProblems| match lookups[i].embed {
        None => Parent::Unknown,
        Some(WrittenEmbed::Object { .. } | WrittenEmbed::Array { .. }) => by_path(lookups, i, found),
        Some(WrittenEmbed::Flatten { .. } | WrittenEmbed::Aggregates) => by_relation(lookups, i, found),
    };
    (0..lookups.len()).map(|i| of(i, found)).collect()
}

fn refuse_equal_paths(lookups: &[WrittenLookup], found: &mut ViewProblems) {
    for (i, lookup) in lookups.iter().enumerate() {
        let path = &lookup.path;
        if !path.value.is_empty() && lookups[..i].iter().any(|other| other.path.value == path.value) {
            let message = format!("two lookups have the path `{}`", path.value.join("."));
            found.say(path.at, message, None, Some("give each a path of its own".into()));
        }
    }
}

fn by_path(lookups: &[WrittenLookup], i: usize, found: &mut ViewProblems) -> Parent {
    let path = &lookups[i].path.value;
    let Some((field, around)) = path.split_last() else { return Parent::Unknown };
    if around.is_empty() {
        return Parent::Root;
    }
    if let Some(parent) = lookups.iter().position(|l| l.path.value == around) {
        return Parent::Lookup(parent);
    }
    let known = paths(lookups, i);
    let wanted = around.join(".");
    let help = did_you_mean(&wanted, known.iter().map(String::as_str))
        .unwrap_or_else(|| format!("add a lookup with the path `{wanted}`, or use the path `{field}`"));
    let label = (!known.is_empty()).then(|| format!("paths: {}", listed(known.iter().map(String::as_str))));
    found.say(lookups[i].path.at, format!("no lookup has the path `{wanted}`"), label, Some(help));
    Parent::Unknown
}

fn by_relation(lookups: &[WrittenLookup], i: usize, found: &mut ViewProblems) -> Parent {
    let mut parent = None;
    for (field, _) in &lookups[i].on {
        let (prefix, _) = split_field(&field.value);
        match parent {
            None => parent = Some(prefix),
            Some(first) if first == prefix => {}
            Some(first) => {
                let name = |p: Option<&str>| p.map_or("the root".to_string(), |p| format!("`{p}`"));
                let message = format!("the relation names two parents, {} and {}", name(first), name(prefix));
                found.say(field.at, message, None, Some("relate the lookup to one of them".into()));
                return Parent::Unknown;
            }
        }
    }
    match parent {
        None => Parent::Unknown,
        Some(None) => Parent::Root,
        Some(Some(prefix)) => match lookups.iter().position(|l| l.path.value.join(".") == prefix) {
            Some(parent) => Parent::Lookup(parent),
            None => {
                for (field, _) in &lookups[i].on {
                    no_such_path(lookups, i, field, prefix, found);
                }
                Parent::Unknown
            }
        },
    }
}

/// Reports a field of a relation whose path no lookup has.
pub(super) fn no_such_path(lookups: &[WrittenLookup], i: usize, field: &Written<String>, path: &str, found: &mut ViewProblems) {
    let known = paths(lookups, i);
    let names = || known.iter().map(String::as_str);
    let label = (!known.is_empty()).then(|| format!("paths: {}", listed(names())));
    found.say(field.at, format!("no lookup has the path `{path}`"), label, did_you_mean(path, names()));
}

/// The paths of the other lookups.
fn paths(lookups: &[WrittenLookup], but: usize) -> Vec<String> {
    let others = lookups.iter().enumerate().filter(|(i, l)| *i != but && !l.path.value.is_empty());
    others.map(|(_, l)| l.path.value.join(".")).collect()
}
