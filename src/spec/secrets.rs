//! Finds values that look like secrets by the names of their keys, even if the name is misspelt or is not an option.

use super::mask::SECRET_NAMES;
use super::span::Span;
use super::yaml::{NodeKind, YamlNode};

/// Collects the places of all values in the tree whose keys look like names of secrets.
pub(super) fn secrets_by_name(node: &YamlNode, out: &mut Vec<Span>) {
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
