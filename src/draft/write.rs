//! Writes a spec as YAML, with a comment wherever a choice was made.

use std::fmt::Write;

use super::columns::{BranchColumns, TypeRelation, columns, large, personal, quoted, relation_of};
use super::reference::{Checked, Evidence, Reference, names};
use super::references::References;
use super::tree::{Branch, BranchForm, Outline};
use crate::sources::{RowCount, Survey, SurveyedTable};

/// A source or a sink, as it is written: its name, and its options with secrets replaced. An option of an option has a dot in its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenEnd {
    pub name: String,
    pub kind: String,
    pub options: Vec<(String, String)>,
    /// The environment variables that stand for secrets.
    pub variables: Vec<String>,
}

const WIDTH: usize = 140;

/// The text of the spec. `sink`: with the view of this outline.
pub fn spec(survey: &Survey, references: &References, outline: &Outline, source: &WrittenEnd, sink: Option<&WrittenEnd>) -> String {
    let root = &survey.tables[outline.branches[0].table];
    let mut out = String::new();
    comment(
        &mut out,
        0,
        &format!("Drafted by `tidemill draft`: the rows of `{}`, with lookups to a depth of {}.", root.name, outline.depth),
    );
    comment(&mut out, 0, "Read it and change it; then `tidemill check` and `tidemill run` take it.");
    out.push_str(&source_text(source));
    out.push_str("views:\n");
    let name = view_name(root);
    let writer = ViewText { survey, references, outline, source: &source.name };
    let _ = writeln!(out, "  {}:", scalar(&name));
    match is_query(root) {
        true => writer.query(root, &mut out),
        false => writer.document(root, &mut out),
    }
    if let Some(sink) = sink {
        out.push_str("sinks:\n");
        variables(&mut out, sink);
        let options = options_text(sink);
        let _ = writeln!(out, "  {}: {{kind: {}, view: {}, options: {{{options}}}}}", scalar(&sink.name), sink.kind, scalar(&name));
    }
    out
}

/// The part of a spec that declares the source, with which it can be opened.
pub fn source_text(source: &WrittenEnd) -> String {
    let mut out = String::from("sources:\n");
    variables(&mut out, source);
    let _ = writeln!(out, "  {}: {{kind: {}, options: {{{}}}}}", scalar(&source.name), source.kind, options_text(source));
    out
}

/// Whether documents cannot be made of the table's rows, because nothing says which row is which.
pub fn is_query(root: &SurveyedTable) -> bool {
    root.sure_key().is_empty()
}

/// The name of a table as the name of a view.
pub fn view_name(root: &SurveyedTable) -> String {
    identifier(root.path.last().unwrap_or(&root.name))
}

/// The text as a name of a source, view or sink: letters, digits and `_`, not beginning with a digit.
pub fn identifier(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    match plain.chars().next() {
        Some(first) if !first.is_ascii_digit() => plain,
        _ => format!("_{plain}"),
    }
}

fn variables(out: &mut String, end: &WrittenEnd) {
    for variable in &end.variables {
        let text = format!("The environment variable `{variable}` has the secret, as in a URL: %40 for `@`, %2F for `/`.");
        comment(out, 2, &text);
    }
}

/// The options. Those with a dot in their name are options of an option.
fn options_text(end: &WrittenEnd) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut nested: Vec<(&str, Vec<String>)> = Vec::new();
    for (name, value) in &end.options {
        let is_word = value == "true" || value == "false" || !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let value = if is_word { value.clone() } else { text_with_variables(value) };
        match name.split_once('.') {
            None => parts.push(format!("{}: {value}", literal_key(name))),
            Some((outer, inner)) => {
                let inner = format!("{}: {value}", literal_key(inner));
                match nested.iter_mut().find(|(name, _)| *name == outer) {
                    Some((_, list)) => list.push(inner),
                    None => nested.push((outer, vec![inner])),
                }
            }
        }
    }
    parts.extend(nested.into_iter().map(|(name, list)| format!("{}: {{{}}}", literal_key(name), list.join(", "))));
    parts.join(", ")
}

struct ViewText<'a> {
    survey: &'a Survey,
    references: &'a References,
    outline: &'a Outline,
    source: &'a str,
}

impl ViewText<'_> {
    /// A view of the table's rows alone.
    fn query(&self, root: &SurveyedTable, out: &mut String) {
        let text = format!(
            "`{}` has no primary key and no other unique key, so its rows cannot become documents, and nothing can be embedded into them. The \
             view has the rows as they are, and cannot go to a sink.",
            root.name
        );
        comment(out, 4, &text);
        self.remarks(out, &[root], "To leave a column out, remove it from the query.");
        let columns: Vec<String> = root.columns.iter().map(|column| quoted(&column.name)).collect();
        // In SQL, a table's name is one name, whatever dots it has.
        let sql = format!("SELECT {} FROM {}.{}", columns.join(", "), quoted(self.source), quoted(&root.name));
        let _ = writeln!(out, "    sql: {}", scalar(&sql));
    }

    fn document(&self, root: &SurveyedTable, out: &mut String) {
        let all = columns(self.survey, self.outline);
        if let Some(count) = root.rows {
            comment(out, 4, &format!("`{}` has {}.", root.name, rows(count)));
        }
        let _ = writeln!(out, "    from: {}", scalar(&format!("{}.{}", self.source, root.name)));
        if root.key.is_empty() {
            let key = root.sure_key();
            comment(out, 4, &format!("`{}` has no primary key, but these columns are unique: {}.", root.name, names(root, key)));
            let names: Vec<String> = key.iter().map(|&column| scalar(self.shown(&all[0], &root.columns[column].name))).collect();
            let _ = writeln!(out, "    key: [{}]", names.join(", "));
        }
        for (key, value) in column_keys(&all[0]) {
            let _ = writeln!(out, "    {key}: {value}");
        }
        let mut tables: Vec<&SurveyedTable> = Vec::new();
        for branch in self.outline.branches.iter().filter(|branch| branch.form != BranchForm::Links) {
            let table = &self.survey.tables[branch.table];
            if !tables.iter().any(|other| other.name == table.name) {
                tables.push(table);
            }
        }
        self.remarks(out, &tables, "To leave a column out, write `exclude: [COLUMN]` beside the `from` of its table.");
        self.left_out(out);
        if self.outline.branches.len() > 1 {
            let is_empty = self.outline.branches[1..].iter().all(|branch| branch.off.is_some());
            out.push_str(if is_empty { "    lookup: []\n" } else { "    lookup:\n" });
        }
        for at in self.outline.in_order() {
            self.lookup(&self.outline.branches[at], &all[at], out);
        }
    }

    fn shown<'c>(&self, columns: &'c BranchColumns, name: &'c str) -> &'c str {
        columns.rename.iter().find(|(old, _)| old == name).map_or(name, |(_, new)| new)
    }

    /// Names the columns that the reader may not want, and says how to leave them out.
    fn remarks(&self, out: &mut String, tables: &[&SurveyedTable], way_out: &str) {
        let list = |of: &dyn Fn(&SurveyedTable) -> Vec<String>| {
            let found = tables.iter().map(|table| (table.name.as_str(), of(table))).filter(|(_, columns)| !columns.is_empty());
            found.map(|(name, columns)| format!("{name}: {}", columns.join(", "))).collect::<Vec<_>>().join("; ")
        };
        let (personal, large) = (list(&personal), list(&large));
        if !personal.is_empty() {
            comment(out, 4, &format!("These columns look personal: {personal}."));
        }
        if !large.is_empty() {
            comment(out, 4, &format!("These columns may be large: {large}."));
        }
        if !personal.is_empty() || !large.is_empty() {
            comment(out, 4, way_out);
        }
    }

    fn left_out(&self, out: &mut String) {
        if !self.outline.beyond.is_empty() {
            let tables = self.outline.beyond.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            comment(out, 4, &format!("Beyond this depth (`--depth {}` shows them): {tables}.", self.outline.depth + 1));
        }
        for line in &self.outline.left_out {
            comment(out, 4, &format!("Not embedded: {line}."));
        }
    }

    fn lookup(&self, branch: &Branch, columns: &BranchColumns, out: &mut String) {
        let reference = branch.reference.map(|index| &self.references.list[index]);
        if let Some(reference) = reference {
            comment(out, 6, &self.reason(branch, reference));
        }
        let table = &self.survey.tables[branch.table];
        let path = if branch.form == BranchForm::OtherSide { String::new() } else { branch.path.join(".") };
        let form = match branch.form {
            BranchForm::Array | BranchForm::Links => "array",
            BranchForm::Root | BranchForm::Object | BranchForm::Only | BranchForm::OtherSide => "object",
        };
        let mut parts = vec![
            format!("from: {}", scalar(&format!("{}.{}", self.source, table.name))),
            format!("path: {}", scalar(&path)),
            format!("type: {form}"),
            format!("on: {}", map(&columns.on)),
        ];
        parts.extend(column_keys(columns).into_iter().map(|(key, value)| format!("{key}: {value}")));
        let mark = if branch.off.is_some() { "# " } else { "" };
        let _ = writeln!(out, "      {mark}- {{{}}}", parts.join(", "));
    }

    /// Why a lookup is there.
    fn reason(&self, branch: &Branch, reference: &Reference) -> String {
        let shown = reference.shown(self.survey);
        let mut text = match &reference.evidence {
            Evidence::Key(name) => format!("{shown} (foreign key `{name}`)."),
            Evidence::Guess => format!("Guess, from the names: {shown}. {}", checked(reference)),
        };
        match branch.form {
            BranchForm::Links => text.push_str(" A link table: the array has the rows that it links, which the next lookup adds."),
            BranchForm::Only => text.push_str(" There is at most one row."),
            BranchForm::Root | BranchForm::Object | BranchForm::Array | BranchForm::OtherSide => {}
        }
        let (child, parent) = (&self.survey.tables[reference.child], &self.survey.tables[reference.parent]);
        let mut pairs = reference.child_columns.iter().zip(&reference.parent_columns);
        if pairs.any(|(&c, &p)| relation_of(&child.columns[c].ty, &parent.columns[p].ty) != TypeRelation::Same) {
            text.push_str(" The types differ, so the values are cast.");
        }
        if !parent.is_unique(&reference.parent_columns) && matches!(branch.form, BranchForm::Object | BranchForm::OtherSide) {
            text.push_str(" The columns are not unique; the first row is shown.");
        }
        if let Checked::Sample(sample) = reference.checked
            && sample.alike > 0
        {
            let _ = write!(
                text,
                " {} of {} sampled values are there only in another letter case. Text is compared byte by byte, so they find nothing.",
                sample.alike, sample.values
            );
        }
        if let Some(off) = &branch.off {
            let _ = write!(text, " It is {off}.");
        }
        text
    }
}

fn checked(reference: &Reference) -> String {
    match reference.checked {
        Checked::Sample(sample) if sample.values > 0 => format!("{} of {} sampled values are there.", sample.found, sample.values),
        Checked::Sample(_) => "There are no values to check it with.".to_string(),
        Checked::NotYet | Checked::Unreadable => "It could not be checked with the data.".to_string(),
    }
}

/// What is said about columns beside `from`.
fn column_keys(columns: &BranchColumns) -> Vec<(&'static str, String)> {
    let mut keys = Vec::new();
    let hidden = columns.exclude.iter().chain(columns.compute.iter().map(|(name, _)| name));
    let exclude: Vec<String> = hidden.map(|name| scalar(name)).collect();
    if !columns.compute.is_empty() {
        keys.push(("compute", map(&columns.compute)));
    }
    if !exclude.is_empty() {
        keys.push(("exclude", format!("[{}]", exclude.join(", "))));
    }
    if !columns.rename.is_empty() {
        keys.push(("rename", map(&columns.rename)));
    }
    keys
}

/// `12 rows`, `about 1200000 rows`.
pub(super) fn rows(count: RowCount) -> String {
    let about = if count.exact { "" } else { "about " };
    format!("{about}{} {}", count.rows, if count.rows == 1 { "row" } else { "rows" })
}

fn map(pairs: &[(String, String)]) -> String {
    let pair = |(key, value): &(String, String)| format!("{}: {}", literal_key(key), scalar(value));
    format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
}

/// A value in which `${...}` does not mean a variable.
pub(super) fn scalar(text: &str) -> String {
    text_with_variables(&text.replace("${", "$${"))
}

/// Text as YAML, in quotes unless it is a plain word.
pub(super) fn text_with_variables(text: &str) -> String {
    const WORDS: [&str; 14] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan", "nil", "none", "~"];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_plain {
        return text.to_string();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{85}') => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A key. Variables are not replaced in keys.
fn literal_key(text: &str) -> String {
    text_with_variables(text)
}

/// Lines of a comment, broken at spaces.
fn comment(out: &mut String, indent: usize, text: &str) {
    let start = format!("{}#", " ".repeat(indent));
    let mut line = start.clone();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if line.len() > start.len() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(out, "{line}");
            line = start.clone();
        }
        let _ = write!(line, " {word}");
    }
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_yaml_would_read_something_else() {
        let cases = [
            ("orders", "orders"),
            ("shop.order-items", "shop.order-items"),
            ("no", "\"no\""),
            ("NULL", "\"NULL\""),
            ("12", "\"12\""),
            ("a: b", "\"a: b\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("größe", "\"größe\""),
            ("", "\"\""),
            ("a${B}", "\"a$${B}\""),
            ("a\u{7}b", "\"a\\u0007b\""),
        ];
        for (text, yaml) in cases {
            assert_eq!(scalar(text), yaml);
        }
    }

    #[test]
    fn a_comment_never_ends_within_a_name() {
        let mut out = String::new();
        comment(&mut out, 2, "a table `x\ny: 1`");
        assert_eq!(out, "  # a table `x y: 1`\n");
    }

    #[test]
    fn names_of_views_are_identifiers() {
        assert_eq!((identifier("my table"), identifier("2024"), identifier("größe")), ("my_table".into(), "_2024".into(), "gr__e".into()));
    }
}
