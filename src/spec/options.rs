//! Checks `options:` against a kind's declaration, and returns them as JSON.
//!
//! Relative paths are resolved against the spec's folder. A secret text can be `{file: PATH}`: the content of the file without the line
//! breaks at its end. Values are never printed.

use std::path::Path;

use serde_json::{Map, Value};

use super::check::{refuse_doubles, wrong};
use super::problem::Problem;
use super::span::Span;
use super::yaml::{NodeKind, YamlNode};
use crate::options::{OptionSpec, OptionType};
use crate::plan::{did_you_mean, listed, nearest};

pub(super) struct OptionsReader<'a> {
    /// The spec's folder, absolute.
    pub folder: &'a Path,
    pub problems: &'a mut Vec<Problem>,
    /// The places of secret values.
    pub secrets: &'a mut Vec<Span>,
}

impl OptionsReader<'_> {
    /// The options as JSON. Invalid options are reported and left out. `name`: the key of the options in the spec; `owner`: how messages
    /// name the source or sink; `at`: its place.
    pub(super) fn record(
        &mut self,
        node: Option<&YamlNode>,
        specs: &[OptionSpec],
        name: &str,
        owner: &str,
        at: Span,
    ) -> Map<String, Value> {
        let mut out = Map::new();
        let entries = match node.map(|n| &n.kind) {
            Some(NodeKind::Map(entries)) => entries.as_slice(),
            None => &[],
            Some(_) => {
                self.problems.extend(node.map(|n| wrong(n, name, "a map of options")));
                return out;
            }
        };
        refuse_doubles(entries, self.problems);
        for (key, value) in entries {
            let name = key.key_text();
            let Some(spec) = specs.iter().find(|s| s.name == name) else {
                self.unknown(key, value, specs, owner);
                continue;
            };
            if spec.secret {
                self.hide(value);
            }
            if let Some(value) = self.value(value, &spec.value, name, key.span, spec.secret) {
                out.insert(name.to_string(), value);
            }
        }
        for missing in specs.iter().filter(|s| s.required && !entries.iter().any(|(key, _)| key.key_text() == s.name)) {
            self.problems.push(Problem::new(at, format!("{owner} needs the option `{}`", missing.name)).help(missing.help));
        }
        out
    }

    /// Marks a value as secret, except for the path in `{file: PATH}`.
    fn hide(&mut self, node: &YamlNode) {
        match &node.kind {
            NodeKind::Scalar(_) if node.is_null() => {}
            NodeKind::Scalar(_) | NodeKind::List(_) => self.secrets.push(node.span),
            NodeKind::Map(entries) => entries.iter().filter(|(key, _)| key.key_text() != "file").for_each(|(_, value)| self.hide(value)),
        }
    }

    fn unknown(&mut self, key: &YamlNode, value: &YamlNode, specs: &[OptionSpec], owner: &str) {
        let names = || specs.iter().map(|s| s.name);
        let meant = nearest(key.key_text(), names());
        // It may be a misspelt name of a secret.
        if matches!(value.kind, NodeKind::Scalar(_)) && specs.iter().any(|s| s.secret && meant.is_none_or(|m| m == s.name)) {
            self.hide(value);
        }
        let problem = Problem::new(key.span, format!("{owner} has no option `{}`", key.key_text()));
        let problem = problem.label(format!("options: {}", listed(names())));
        self.problems.push(Problem { help: did_you_mean(key.key_text(), names()), ..problem });
    }

    fn value(&mut self, node: &YamlNode, ty: &OptionType, name: &str, at: Span, secret: bool) -> Option<Value> {
        let found = match ty {
            OptionType::Text if secret && matches!(node.kind, NodeKind::Map(_)) => return self.secret_file(node, name),
            OptionType::Text => node.text().map(|text| Value::String(text.to_string())),
            OptionType::Path => node.text().map(|text| Value::String(self.folder.join(text).to_string_lossy().into_owned())),
            OptionType::Bool => node.boolean().map(Value::Bool),
            OptionType::Integer => node.integer().map(Value::from),
            OptionType::OneOf(choices) => return self.one_of(node, choices, name),
            OptionType::List(inner) => match &node.kind {
                NodeKind::List(items) => {
                    return Some(items.iter().filter_map(|item| self.value(item, inner, name, item.head(), secret)).collect());
                }
                _ => None,
            },
            OptionType::Map(inner) => match &node.kind {
                NodeKind::Map(entries) => {
                    refuse_doubles(entries, self.problems);
                    let read = |(key, value): &(YamlNode, YamlNode)| {
                        let name = key.key_text();
                        Some((name.to_string(), self.value(value, inner, name, key.span, secret)?))
                    };
                    return Some(Value::Object(entries.iter().filter_map(read).collect()));
                }
                _ => None,
            },
            OptionType::Record(specs) => return Some(Value::Object(self.record(Some(node), specs, name, &format!("`{name}`"), at))),
        };
        if found.is_none() {
            self.problems.push(wrong(node, name, &wanted(ty, secret)));
        }
        found
    }

    fn one_of(&mut self, node: &YamlNode, choices: &[&str], name: &str) -> Option<Value> {
        match node.word() {
            Some(text) if choices.contains(&text) => Some(Value::String(text.to_string())),
            Some(text) => {
                let problem = Problem::new(node.span, format!("`{name}` takes one of {}", choices.join(", ")));
                self.problems.push(Problem { help: did_you_mean(text, choices.iter().copied()), ..problem });
                None
            }
            None => {
                self.problems.push(wrong(node, name, &format!("one of {}", choices.join(", "))));
                None
            }
        }
    }

    fn secret_file(&mut self, node: &YamlNode, name: &str) -> Option<Value> {
        let [(key, path)] = node.entries() else {
            self.problems.push(wrong(node, name, "text, or `{file: PATH}`"));
            return None;
        };
        let Some(written) = path.text().filter(|_| key.key_text() == "file") else {
            self.problems.push(wrong(node, name, "text, or `{file: PATH}`"));
            return None;
        };
        match std::fs::read_to_string(self.folder.join(written)) {
            Ok(content) => Some(Value::String(content.trim_end_matches(['\n', '\r']).to_string())),
            Err(error) => {
                let reason = match error.kind() {
                    std::io::ErrorKind::NotFound => "there is no such file".to_string(),
                    std::io::ErrorKind::InvalidData => "it is not UTF-8".to_string(),
                    _ => error.to_string(),
                };
                let problem = Problem::new(path.span, format!("the file of the secret `{name}` cannot be read: {reason}"));
                self.problems.push(problem.help("a relative path is taken from the spec's folder"));
                None
            }
        }
    }
}

fn wanted(ty: &OptionType, secret: bool) -> String {
    match ty {
        OptionType::Text if secret => "text, or `{file: PATH}`".into(),
        OptionType::Text => "text".into(),
        OptionType::Path => "a path".into(),
        OptionType::Bool => "true or false".into(),
        OptionType::Integer => "a whole number".into(),
        OptionType::OneOf(choices) => format!("one of {}", choices.join(", ")),
        OptionType::List(inner) => format!("a list, each item {}", wanted(inner, secret)),
        OptionType::Map(inner) => format!("a map of names, each with {}", wanted(inner, secret)),
        OptionType::Record(_) => "a map of options".into(),
    }
}
