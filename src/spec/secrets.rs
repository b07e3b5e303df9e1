//! Finds values that look like secrets by the names of their keys, also where a name is misspelt or is no option at all.

use super::mask::SECRET_NAMES;
use super::span::Span;
use super::yaml::{Node, NodeKind};

/// The values of all keys whose names look secret, anywhere in the tree.
pub(super) fn secrets_by_name(node: &Node, out: &mut Vec<Span>) {
    match &node.kind {
        NodeKind::Scalar(_) => {}
        NodeKind::List(items) => items.iter().for_each(|item| secrets_by_name(item, out)),
        NodeKind::Map(entries) => {
            for (key, value) in entries {
                let name = key.text().unwrap_or_default().to_lowercase();
                let near = |secret: &str| name.contains(secret) || strsim::damerau_levenshtein(&name, secret) <= 2 && name.len() > 4;
                if value.text().is_some() && SECRET_NAMES.iter().any(|s| near(s)) {
                    out.push(value.span);
                }
                secrets_by_name(value, out);
            }
        }
    }
}
