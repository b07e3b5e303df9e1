//! Reads a file into a [`Draft`], step by step.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::check::check;
use super::grammar::{SPEC, Shape};
use super::locate::WrittenOptions;
use super::options::OptionsReader;
use super::problem::{Problem, Problems};
use super::secrets::secrets_by_name;
use super::span::Span;
use super::text::Text;
use super::variables::{self, Environment};
use super::views::ViewsReader;
use super::yaml::{self, NodeKind, YamlNode};
use super::{Draft, Kinds, SinkSpec, SourceSpec, Spec};
use crate::options::Kind;
use crate::plan::{did_you_mean, listed};

pub(super) fn load(path: &Path, kinds: Kinds) -> Result<Draft, Problems> {
    let text = std::fs::read(path).map_err(|e| e.to_string()).and_then(|bytes| String::from_utf8(bytes).map_err(|_| "not UTF-8".into()));
    match text {
        Ok(text) => parse(path, &text, kinds, &|name| std::env::var(name).ok()),
        Err(reason) => {
            let text = Arc::new(Text::new(path.display().to_string(), ""));
            Err(Problems::new(text, vec![Problem::of_file(format!("the spec cannot be read: {reason}"))]))
        }
    }
}

pub(super) fn parse(path: &Path, source: &str, kinds: Kinds, environment: Environment) -> Result<Draft, Problems> {
    let mut text = Text::new(path.display().to_string(), source);
    let mut tree = match yaml::parse(source, &text) {
        Ok(Some(tree)) => tree,
        Ok(None) => return Err(Problems::new(Arc::new(text), vec![Problem::of_file("the spec is empty").help("start with `sources:`")])),
        Err(problem) => return Err(Problems::new(Arc::new(text), vec![problem])),
    };
    secrets_by_name(&tree, &mut text.secrets);
    let mut problems = Vec::new();
    let unset = variables::replace(&mut tree, environment, &mut problems);
    let of_variables = problems.len();
    check(&tree, &Shape::Record(SPEC), "spec", tree.head(), &mut problems);
    let folder = folder(path);
    let folder_of_spec = folder.clone();
    let mut reader = PartsReader { kinds, folder, problems, secrets: Vec::new() };
    let (sources, broken_sources) = reader.sources(&tree);
    let (sinks, broken_sinks) = reader.sinks(&tree);
    let PartsReader { mut problems, mut secrets, .. } = reader;
    text.secrets.append(&mut secrets);
    let names = names_of(tree.get("sources"));
    let mut spots = Vec::new();
    let views = match tree.get("views") {
        Some(node) => {
            let (folder, spots, problems) = (&folder_of_spec, &mut spots, &mut problems);
            ViewsReader { folder, sources: &names, views: node, spots, problems }.views()
        }
        None => Vec::new(),
    };
    let mut index = 0;
    problems.retain(|problem| {
        index += 1;
        index <= of_variables || !problem.at.is_some_and(|at| unset.contains(&at))
    });
    let spec = Spec { path: path.to_path_buf(), sources, views, sinks, text: Arc::new(text), spots };
    Ok(Draft { spec, problems, broken_sources, broken_sinks })
}

/// The spec's folder, absolute.
fn folder(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    absolute.parent().map(Path::to_path_buf).unwrap_or(absolute)
}

fn names_of(node: Option<&YamlNode>) -> Vec<String> {
    node.map(YamlNode::entries).unwrap_or_default().iter().map(|(name, _)| name.key_text().to_string()).collect()
}

struct PartsReader {
    kinds: Kinds,
    folder: PathBuf,
    problems: Vec<Problem>,
    secrets: Vec<Span>,
}

impl PartsReader {
    fn sources(&mut self, tree: &YamlNode) -> (Vec<SourceSpec>, BTreeSet<String>) {
        let (mut sources, mut broken) = (Vec::new(), BTreeSet::new());
        for (name, node) in tree.get("sources").map(YamlNode::entries).unwrap_or_default() {
            let before = self.problems.len();
            self.name(name, "source");
            let (kind, options) = self.kind(name, node, self.kinds.sources, "source");
            if self.problems.len() > before || kind.is_empty() {
                broken.insert(name.key_text().to_string());
            }
            let arrival = node.get("arrival").map(|node| if node.text().is_some() { vec![node] } else { node.items().iter().collect() });
            let arrival = arrival.unwrap_or_default().into_iter().filter_map(|node| Some((node.text()?.to_string(), node.span))).collect();
            sources.push(SourceSpec::new(name.key_text().to_string(), kind, options, arrival, written(name, node)));
        }
        (sources, broken)
    }

    fn sinks(&mut self, tree: &YamlNode) -> (Vec<SinkSpec>, BTreeSet<String>) {
        let views = names_of(tree.get("views"));
        for (name, _) in tree.get("views").map(YamlNode::entries).unwrap_or_default() {
            self.name(name, "view");
        }
        let (mut sinks, mut broken) = (Vec::new(), BTreeSet::new());
        for (name, node) in tree.get("sinks").map(YamlNode::entries).unwrap_or_default() {
            let before = self.problems.len();
            self.name(name, "sink");
            let (kind, options) = self.kind(name, node, self.kinds.sinks, "sink");
            let view = node.get("view").and_then(YamlNode::text).unwrap_or_default().to_string();
            if let Some(node) = node.get("view").filter(|n| n.text().is_some() && !views.contains(&view)) {
                let names = || views.iter().map(String::as_str);
                let problem = Problem::new(node.span, format!("there is no view `{view}`")).label(format!("views: {}", listed(names())));
                self.problems.push(Problem { help: did_you_mean(&view, names()), ..problem });
            }
            if self.problems.len() > before || kind.is_empty() {
                broken.insert(name.key_text().to_string());
            }
            sinks.push(SinkSpec::new(name.key_text().to_string(), kind, view, options, written(name, node)));
        }
        (sinks, broken)
    }

    /// The kind's name and its checked options. The name is empty if there is no such kind.
    fn kind(&mut self, name: &YamlNode, node: &YamlNode, kinds: &[Kind], role: &str) -> (String, Value) {
        let Some((kind_node, typed)) = node.get("kind").and_then(|kind| Some((kind, kind.text()?))) else {
            if let Some(kind) = node.get("kind") {
                self.problems.push(super::check::wrong(kind, "kind", &format!("the name of a kind of {role}")));
            }
            return (String::new(), Value::Null);
        };
        let Some(kind) = kinds.iter().find(|k| k.name == typed) else {
            let names = || kinds.iter().map(|k| k.name);
            let problem = Problem::new(kind_node.span, format!("there is no kind of {role} `{typed}`"));
            let label = (!kinds.is_empty()).then(|| format!("kinds: {}", listed(names())));
            self.problems.push(Problem { label, help: did_you_mean(typed, names()), ..problem });
            return (String::new(), Value::Null);
        };
        let owner = format!("the {role} `{}`", name.key_text());
        let mut reader = OptionsReader { folder: &self.folder, problems: &mut self.problems, secrets: &mut self.secrets };
        let options = reader.record(node.get("options"), kind.options, "options", &owner, name.span);
        (kind.name.to_string(), Value::Object(options))
    }

    /// Checks a name: names are used in paths, addresses and statements.
    fn name(&mut self, node: &YamlNode, role: &str) {
        let name = node.key_text();
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
            let problem = Problem::new(node.span, format!("`{name}` cannot be the name of a {role}"));
            self.problems.push(problem.help("letters, digits, `_` and `-`, a letter or `_` first"));
        }
    }
}

fn written(name: &YamlNode, node: &YamlNode) -> WrittenOptions {
    let kind = node.get("kind").map_or(name.span, |kind| kind.span);
    let options = node.get("options").filter(|o| matches!(o.kind, NodeKind::Map(_))).cloned();
    WrittenOptions { name: name.span, kind, options }
}
