//! The text of a spec file, and its lines as messages show them: underlined, with secrets masked.

use super::mask::mask;
use super::span::Span;

/// The file's name as given, its lines, and the places of secrets in them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Text {
    pub name: String,
    pub lines: Vec<String>,
    pub secrets: Vec<Span>,
}

impl Text {
    pub(crate) fn new(name: impl Into<String>, text: &str) -> Text {
        Text { name: name.into(), lines: text.lines().map(str::to_string).collect(), secrets: Vec::new() }
    }

    /// The characters of a line from `column` on.
    pub(crate) fn rest(&self, line: usize, column: usize) -> &str {
        let Some(text) = self.lines.get(line) else { return "" };
        let at = text.char_indices().nth(column).map_or(text.len(), |(at, _)| at);
        &text[at..]
    }

    /// The first line of `span` and the underlining below it, with all secrets masked.
    pub(crate) fn underlined(&self, span: Span) -> (String, String) {
        let Some(line) = self.lines.get(span.line) else { return (String::new(), "^".into()) };
        let length = line.trim_end().chars().count();
        let end = if span.end_line > span.line { length } else { span.end_column.min(length) };
        let (shown, new_column) = mask(line.trim_end(), span.line, &self.secrets);
        let shown = shown.replace('\t', "→");
        let (from, to) = (new_column(span.column), new_column(end.max(span.column)));
        let carets = to.saturating_sub(from).max(1);
        (shown, format!("{}{}", " ".repeat(from), "^".repeat(carets)))
    }
}
