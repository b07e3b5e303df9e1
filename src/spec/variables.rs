//! Replaces `${NAME}` and `${NAME:-default}` in values from the environment; `$${` is a literal `${`.

use super::problem::Problem;
use super::span::{Span, within};
use super::yaml::{NodeKind, Scalar, YamlNode};

/// Looks up a variable; `None` if it is not set.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Replaces the variables in all values of the tree; keys are not changed. Reports each variable that is not set and has no default.
/// Returns the places of the values that are incomplete because of that: no other problems are reported there.
pub(super) fn replace(tree: &mut YamlNode, environment: Environment, problems: &mut Vec<Problem>) -> Vec<Span> {
    let mut unset = Vec::new();
    replace_below(tree, environment, problems, &mut unset);
    unset
}

fn replace_below(node: &mut YamlNode, environment: Environment, problems: &mut Vec<Problem>, unset: &mut Vec<Span>) {
    let place = node.span;
    match &mut node.kind {
        NodeKind::Scalar(scalar) if scalar.text.contains("${") => {
            let before = problems.len();
            replace_in(scalar, place, environment, problems);
            if problems.len() > before {
                unset.push(place);
            }
        }
        NodeKind::Scalar(_) => {}
        NodeKind::List(items) => items.iter_mut().for_each(|item| replace_below(item, environment, problems, unset)),
        NodeKind::Map(entries) => entries.iter_mut().for_each(|(_, value)| replace_below(value, environment, problems, unset)),
    }
}

fn replace_in(scalar: &mut Scalar, place: Span, environment: Environment, problems: &mut Vec<Problem>) {
    let text = std::mem::take(&mut scalar.text);
    let verbatim_at = scalar.verbatim_at.take();
    let span_of = |from: usize, to: usize| match verbatim_at {
        Some(column) => within(&text, from..to, place.line, column, place.column),
        None => place,
    };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = text[at..].find("${").map(|i| at + i) {
        if text[..found].ends_with('$') {
            out.push_str(&text[at..found - 1]);
            out.push_str("${");
            at = found + 2;
            continue;
        }
        out.push_str(&text[at..found]);
        let Some(end) = text[found..].find('}').map(|i| found + i) else {
            problems.push(Problem::new(span_of(found, text.len()), "a `${` is not closed by `}`").help("a plain `${` is written `$${`"));
            at = text.len();
            break;
        };
        let (name, default) = match text[found + 2..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&text[found + 2..end], None),
        };
        match (is_name(name), environment(name), default) {
            (false, _, _) => problems.push(
                Problem::new(span_of(found, end + 1), "`${...}` must contain the name of an environment variable")
                    .help("letters, digits and `_`, then `:-` and a default if there is one; a plain `${` is written `$${`"),
            ),
            (true, Some(value), _) => out.push_str(&value),
            (true, None, Some(default)) => out.push_str(default),
            (true, None, None) => problems.push(
                Problem::new(span_of(found, end + 1), format!("the environment variable `{name}` is not set"))
                    .help(format!("set it, or write `${{{name}:-a default}}`")),
            ),
        }
        at = end + 1;
    }
    out.push_str(&text[at..]);
    scalar.text = out;
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit())
}
