//! Checks the tree of a file against the grammar: unknown, missing and duplicate keys, and values of the wrong form.
//!
//! The readers of views and options skip everything that is reported here, without reporting it again.

use super::grammar::{Key, Shape};
use super::problem::Problem;
use super::span::Span;
use super::yaml::{NodeKind, YamlNode};
use crate::plan::{did_you_mean, listed};

/// Checks the value of `name`. If a key is missing in it, the problem is reported at `at`.
pub(super) fn check(node: &YamlNode, shape: &Shape, name: &str, at: Span, problems: &mut Vec<Problem>) {
    match shape {
        Shape::Text => {
            if node.text().is_none() {
                problems.push(wrong(node, name, "text"));
            }
        }
        Shape::Integer => {
            if node.integer().is_none() {
                problems.push(wrong(node, name, "a whole number"));
            }
        }
        Shape::OneOf(choices) => one_of(node, choices, name, problems),
        Shape::List(inner) => match &node.kind {
            NodeKind::List(items) => items.iter().for_each(|item| check(item, inner, name, item.head(), problems)),
            _ => problems.push(wrong(node, name, "a list")),
        },
        Shape::OneOrMany(inner) => match &node.kind {
            NodeKind::List(items) => items.iter().for_each(|item| check(item, inner, name, item.head(), problems)),
            _ => check(node, inner, name, at, problems),
        },
        Shape::Map(inner) => match &node.kind {
            NodeKind::Map(entries) => {
                refuse_doubles(entries, problems);
                entries.iter().for_each(|(key, value)| check(value, inner, key.key_text(), key.span, problems));
            }
            _ => problems.push(wrong(node, name, "a map of names")),
        },
        Shape::Record(keys) => record(node, keys, name, at, problems),
        Shape::Columns => columns(node, name, problems),
        Shape::Kind(_) | Shape::Options(_) => {}
    }
}

fn record(node: &YamlNode, keys: &[Key], name: &str, at: Span, problems: &mut Vec<Problem>) {
    let NodeKind::Map(entries) = &node.kind else {
        let first = keys.first().map_or("", |k| k.name);
        problems.push(wrong(node, name, &format!("a map, e.g. `{{{first}: ...}}`")));
        return;
    };
    refuse_doubles(entries, problems);
    for (key, value) in entries {
        match keys.iter().find(|k| k.name == key.key_text()) {
            Some(known) => check(value, &known.shape, known.name, key.span, problems),
            None => problems.push(unknown_key(key, keys.iter().map(|k| k.name), name)),
        }
    }
    for missing in keys.iter().filter(|k| k.required && node.get(k.name).is_none()) {
        problems.push(Problem::new(at, format!("`{}` is missing", missing.name)).help(missing.help));
    }
}

fn unknown_key<'n>(key: &YamlNode, known: impl Iterator<Item = &'n str> + Clone, owner: &str) -> Problem {
    let name = key.key_text();
    if name == "recursive" {
        return Problem::new(key.span, "`recursive` is not available yet")
            .help("embed as many levels as there are, each by a lookup of its own");
    }
    let problem = Problem::new(key.span, format!("`{owner}` takes no `{name}`")).label(format!("keys: {}", listed(known.clone())));
    Problem { help: did_you_mean(name, known), ..problem }
}

fn one_of(node: &YamlNode, choices: &[&str], name: &str, problems: &mut Vec<Problem>) {
    let Some(text) = node.word() else { return problems.push(wrong(node, name, &format!("one of {}", choices.join(", ")))) };
    if !choices.contains(&text) {
        let problem = Problem::new(node.span, format!("`{name}` cannot be `{text}`")).label(format!("one of: {}", choices.join(", ")));
        problems.push(Problem { help: did_you_mean(text, choices.iter().copied()), ..problem });
    }
}

fn columns(node: &YamlNode, name: &str, problems: &mut Vec<Problem>) {
    let NodeKind::List(items) = &node.kind else {
        problems.push(wrong(node, name, "a list of names and of `{name: SQL}`"));
        return;
    };
    for item in items {
        match &item.kind {
            NodeKind::Map(entries) => {
                refuse_doubles(entries, problems);
                entries.iter().for_each(|(key, value)| check(value, &Shape::Text, key.key_text(), key.span, problems));
            }
            _ if item.text().is_some() => {}
            _ => problems.push(wrong(item, name, "names and `{name: SQL}`")),
        }
    }
}

/// Reports each key that an earlier entry of the map already has.
pub(super) fn refuse_doubles(entries: &[(YamlNode, YamlNode)], problems: &mut Vec<Problem>) {
    for (i, (key, _)) in entries.iter().enumerate() {
        if let Some((first, _)) = entries[..i].iter().find(|(other, _)| other.key_text() == key.key_text()) {
            let label = format!("also in line {}", first.span.line + 1);
            problems.push(Problem::new(key.span, format!("`{}` is given twice", key.key_text())).label(label).help("remove one of them"));
        }
    }
}

/// The problem that `name` has a value of another form than `wanted`.
pub(super) fn wrong(node: &YamlNode, name: &str, wanted: &str) -> Problem {
    let at = if node.is_null() { node.span } else { node.head() };
    let problem = Problem::new(at, format!("`{name}` takes {wanted}"));
    match &node.kind {
        NodeKind::Scalar(_) if node.is_null() => {
            problem.label("there is no value here").help("write a value, or quote the word if it is meant as text")
        }
        NodeKind::Scalar(_) => problem,
        NodeKind::List(_) => problem.label("this is a list"),
        NodeKind::Map(_) => problem.label("this is a map"),
    }
}
