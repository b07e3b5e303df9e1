//! Reads `views:` into [`WrittenView`]s, and refuses combinations of keys of a lookup that have no meaning.
//!
//! In: a tree that `check` has checked. Values of the wrong form were reported there and are skipped here.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::grammar::{FROM, KEY, LOOKUP, LOOKUP_LIST, SQL, SQL_FILE};
use super::problem::Problem;
use super::span::{Span, within};
use super::text::Text;
use super::yaml::{NodeKind, YamlNode};
use crate::plan::{
    Missing, OnMany, Place, TableName, Written, WrittenBody, WrittenColumn, WrittenDocument, WrittenEmbed, WrittenFrom, WrittenInput,
    WrittenLookup, WrittenView, did_you_mean, listed,
};

/// The place in the file of something that the plan knows as a [`Place`].
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub span: Span,
    /// The text and its start column, if the file contains the text exactly as it is: then a part of it can be underlined.
    pub verbatim: Option<(usize, String)>,
    /// The file that consists of this text, if it is not part of the spec.
    pub file: Option<Arc<Text>>,
}

impl Spot {
    /// A problem with it, or with these bytes of its text.
    pub(super) fn problem(&self, range: Option<Range<usize>>, message: String) -> Problem {
        let problem = Problem::new(self.span, message);
        let (Some(range), Some((column, text))) = (range, &self.verbatim) else { return problem };
        match &self.file {
            Some(file) => Problem { in_file: Some(Box::new((Arc::clone(file), within(text, range, 0, 0, 0)))), ..problem },
            None => Problem { at: Some(within(text, range, self.span.line, *column, self.span.column)), ..problem },
        }
    }
}

pub(super) struct ViewsReader<'a> {
    /// The spec's folder, absolute.
    pub folder: &'a Path,
    /// Names of the declared sources.
    pub sources: &'a [String],
    /// The value of `views:`.
    pub views: &'a YamlNode,
    pub spots: &'a mut Vec<Spot>,
    pub problems: &'a mut Vec<Problem>,
}

impl ViewsReader<'_> {
    pub(super) fn views(&mut self) -> Vec<WrittenView> {
        self.views.entries().iter().map(|(name, view)| self.view(name, view)).collect()
    }

    fn view(&mut self, name: &YamlNode, node: &YamlNode) -> WrittenView {
        let (query, is_query) = self.query(node);
        let makes_documents = node.get(LOOKUP_LIST).is_some();
        if !is_query && node.get(FROM.name).is_none() && matches!(node.kind, NodeKind::Map(_)) {
            self.problems.push(Problem::new(name.span, "`from` is missing").help(FROM.help));
        }
        let key = self.one_or_many(node.get(KEY.name));
        let lookups = node.get(LOOKUP_LIST).map(YamlNode::items).unwrap_or_default();
        let mut root = self.input(node);
        let name = self.written(name, name.key_text().to_string());
        if is_query && !makes_documents {
            return WrittenView { name, key, body: WrittenBody::Query(query) };
        }
        if is_query {
            root.from = query.map(|query| Written::new(WrittenFrom::Query(query.clone()), query.sql.at));
        }
        let lookups = lookups.iter().filter(|l| matches!(l.kind, NodeKind::Map(_))).map(|l| self.lookup(l)).collect();
        WrittenView { name, key, body: WrittenBody::Document(WrittenDocument { root, lookups }) }
    }

    fn lookup(&mut self, node: &YamlNode) -> WrittenLookup {
        let path = node.get("path").and_then(|path| self.path(path, path.text()?));
        let embed = self.embed(node).filter(|_| path.is_some() || node.get("path").is_none());
        let at = self.place(node.head(), None);
        WrittenLookup {
            at,
            input: self.input(node),
            path: path.unwrap_or(Written::new(Vec::new(), at)),
            embed,
            on: self.relation(node),
            order_by: self.one_or_many(node.get("order_by")),
            aggregates: self.pairs(node.get("aggregates")),
        }
    }

    fn path(&mut self, node: &YamlNode, text: &str) -> Option<Written<Vec<String>>> {
        let parts: Vec<String> = if text.is_empty() { Vec::new() } else { text.split('.').map(str::to_string).collect() };
        if parts.iter().any(|p| p.trim().is_empty() || p.starts_with('$')) {
            let help = "a path is field names with dots between them, e.g. `order_items.product`";
            self.problems.push(Problem::new(node.span, format!("`{text}` is not a path")).help(help));
            return None;
        }
        Some(self.written(node, parts))
    }

    fn relation(&mut self, node: &YamlNode) -> Vec<(Written<String>, Written<String>)> {
        let Some(on) = node.get("on") else { return Vec::new() };
        if matches!(&on.kind, NodeKind::Map(entries) if entries.is_empty()) {
            let help = "write fields of the parent, each with the child's column: `on: {customer_id: customer_id}`";
            self.problems.push(Problem::new(on.span, "`on` is empty").help(help));
        }
        self.pairs(Some(on))
    }

    /// How the children are embedded. Keys that do not apply to that form are reported.
    fn embed(&mut self, node: &YamlNode) -> Option<WrittenEmbed> {
        let array = match node.get("type").map(YamlNode::text) {
            None => None,
            Some(Some("array")) => Some(true),
            Some(Some("object")) => Some(false),
            Some(_) => return None,
        };
        let aggregates = node.get("aggregates").is_some();
        let form = match (node.get("path"), array) {
            (None, None) if aggregates => Form::Aggregates,
            (None, _) => {
                self.missing(node, "path");
                return None;
            }
            (Some(path), _) if path.text().is_none() => return None,
            (Some(path), Some(true)) if path.text() == Some("") => {
                let place = node.get("type").map_or(path.span, |t| t.span);
                let help = "give it a path, or use `type: object`";
                self.problems.push(Problem::new(place, "an array needs a field of its own").help(help));
                return None;
            }
            (Some(path), _) if path.text() == Some("") => Form::Flatten,
            (Some(_), Some(true)) => Form::Array,
            (Some(_), Some(false)) => Form::Object,
            (Some(_), None) => {
                self.missing(node, "type");
                return None;
            }
        };
        self.refuse_keys_of_other_forms(node, form);
        let text = |key: &str| node.get(key).and_then(YamlNode::word);
        let on_many = match text("on_many") {
            Some("last") => OnMany::Last,
            Some("error") => OnMany::Error,
            _ => OnMany::First,
        };
        let missing = |default: Missing| match text("missing") {
            Some("absent") => Missing::Absent,
            Some("null") => Missing::Null,
            Some("empty") => Missing::Empty,
            _ => default,
        };
        Some(match form {
            Form::Object => WrittenEmbed::Object { on_many, missing: missing(Missing::Absent) },
            Form::Array => {
                let limit = node.get("limit").and_then(YamlNode::integer).and_then(|n| usize::try_from(n).ok());
                WrittenEmbed::Array { limit, missing: missing(Missing::Empty) }
            }
            Form::Flatten => {
                let prefix = text("prefix").unwrap_or_default().to_string();
                WrittenEmbed::Flatten { prefix, on_many, missing: missing(Missing::Null) }
            }
            Form::Aggregates => WrittenEmbed::Aggregates,
        })
    }

    fn missing(&mut self, node: &YamlNode, key: &str) {
        let help = LOOKUP.iter().find(|k| k.name == key).map_or("", |k| k.help);
        self.problems.push(Problem::new(node.head(), format!("`{key}` is missing")).help(help));
    }

    fn refuse_keys_of_other_forms(&mut self, node: &YamlNode, form: Form) {
        let refused: &[&str] = match form {
            Form::Object => &["limit", "aggregates", "prefix"],
            Form::Array => &["on_many", "prefix"],
            Form::Flatten => &["limit", "aggregates"],
            Form::Aggregates => &["on_many", "prefix", "limit", "missing", "order_by"],
        };
        for (key, _) in node.entries().iter().filter(|(key, _)| refused.contains(&key.key_text())) {
            let name = key.key_text();
            let help = match name {
                "limit" | "aggregates" => "use it with `type: array`",
                "on_many" => "use it with `type: object`",
                "prefix" => "use it with `path: \"\"`",
                _ => "use it with a `path`",
            };
            self.problems.push(Problem::new(key.span, format!("`{name}` cannot be used for {}", form.name())).help(help));
        }
        let Some(missing) = node.get("missing") else { return };
        if missing.text() == Some("empty") && form != Form::Array {
            let help = "`absent` leaves the field out, `null` writes null";
            self.problems.push(Problem::new(missing.span, format!("{} cannot be empty", form.name())).help(help));
        }
    }

    fn input(&mut self, node: &YamlNode) -> WrittenInput {
        self.refuse_columns_told_twice(node);
        let columns = node.get("columns").filter(|c| matches!(c.kind, NodeKind::List(_))).map(|c| self.columns(c));
        WrittenInput {
            from: node.get(FROM.name).and_then(|from| self.from(from)),
            filter: node.get("where").and_then(|sql| self.text(sql)),
            columns,
            exclude: self.one_or_many(node.get("exclude")),
            rename: self.pairs(node.get("rename")),
            compute: self.pairs(node.get("compute")),
        }
    }

    /// With `columns`, the other keys could only repeat or contradict it. A computed column may still be excluded.
    fn refuse_columns_told_twice(&mut self, node: &YamlNode) {
        if node.get("columns").is_none() {
            return;
        }
        for (key, _) in node.entries().iter().filter(|(key, _)| key.key_text() == "rename") {
            let help = "rename in `columns`: `{new_name: old_name}`";
            self.problems.push(Problem::new(key.span, "`columns` and `rename` cannot be combined").help(help));
        }
        let Some(exclude) = node.get("exclude") else { return };
        let names = if exclude.items().is_empty() { std::slice::from_ref(exclude) } else { exclude.items() };
        let computed = |name: &str| node.get("compute").is_some_and(|c| c.get(name).is_some());
        for name in names.iter().filter(|n| n.text().is_some_and(|n| !computed(n))) {
            let problem = Problem::new(name.span, "`columns` already lists the columns that are shown");
            self.problems.push(problem.help("with `columns`, only columns of `compute` can be excluded"));
        }
    }

    fn columns(&mut self, node: &YamlNode) -> Vec<WrittenColumn> {
        let mut out = Vec::new();
        for item in node.items() {
            if let Some(name) = self.text(item) {
                out.push(WrittenColumn::Plain(name));
            }
            for (name, sql) in self.pairs(Some(item)) {
                out.push(WrittenColumn::Named { name, sql });
            }
        }
        out
    }

    /// `source.table`, where the table's own name may contain dots; a name without a dot is another view.
    fn from(&mut self, node: &YamlNode) -> Option<Written<WrittenFrom>> {
        let text = node.text()?;
        let sources = || self.sources.iter().map(String::as_str);
        let Some((source, table)) = text.split_once('.') else {
            if self.views.get(text).is_some() {
                return Some(self.written(node, WrittenFrom::View(text.to_string())));
            }
            let queries = self.views.entries().iter().filter(|(_, view)| view.get(SQL).or(view.get(SQL_FILE)).is_some());
            let help = did_you_mean(text, queries.map(|(name, _)| name.key_text())).unwrap_or_else(|| match self.sources {
                [one] => format!("a table is written `{one}.{text}`"),
                _ => format!("a table is written `source.{text}`; sources: {}", listed(sources())),
            });
            self.problems.push(Problem::new(node.span, format!("there is no view `{text}`")).help(help));
            return None;
        };
        if !self.sources.iter().any(|s| s == source) {
            let problem =
                Problem::new(node.span, format!("there is no source `{source}`")).label(format!("sources: {}", listed(sources())));
            let help = did_you_mean(source, sources());
            self.problems.push(Problem { help, ..problem });
            return None;
        }
        let name = TableName { source: source.to_string(), table: table.to_string() };
        Some(self.written(node, WrittenFrom::Table(name)))
    }

    fn pairs(&mut self, node: Option<&YamlNode>) -> Vec<(Written<String>, Written<String>)> {
        let entries = node.map(YamlNode::entries).unwrap_or_default();
        let pair = |(key, value): &(YamlNode, YamlNode)| Some((self.written(key, key.key_text().to_string()), self.text(value)?));
        entries.iter().filter_map(pair).collect()
    }

    fn one_or_many(&mut self, node: Option<&YamlNode>) -> Vec<Written<String>> {
        match node.map(|n| (&n.kind, n)) {
            Some((NodeKind::List(items), _)) => items.iter().filter_map(|item| self.text(item)).collect(),
            Some((NodeKind::Scalar(_), one)) => self.text(one).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn text(&mut self, node: &YamlNode) -> Option<Written<String>> {
        let text = node.text()?.to_string();
        Some(self.written(node, text))
    }

    pub(super) fn written<T>(&mut self, node: &YamlNode, value: T) -> Written<T> {
        let verbatim = match &node.kind {
            NodeKind::Scalar(scalar) => scalar.verbatim_at.map(|column| (column, scalar.text.clone())),
            _ => None,
        };
        Written::new(value, self.place(node.span, verbatim))
    }

    pub(super) fn place(&mut self, span: Span, verbatim: Option<(usize, String)>) -> Place {
        self.spots.push(Spot { span, verbatim, file: None });
        Place(self.spots.len() - 1)
    }
}

/// How a lookup's `path` and `type` embed the children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Object,
    Array,
    Flatten,
    Aggregates,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Form::Object => "an object",
            Form::Array => "an array",
            Form::Flatten => "a flattened lookup",
            Form::Aggregates => "a lookup of aggregates only",
        }
    }
}
