//! The text of a spec file, and places in it.

use super::mask::mask;

/// A piece of the text: lines from 0, columns in characters from 0, the end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Span {
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

/// The file's name as it was given, its lines, and where secrets stand in them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Text {
    pub name: String,
    pub lines: Vec<String>,
    pub secrets: Vec<Span>,
}

impl Span {
    /// `length` characters of one line.
    pub(crate) fn of(line: usize, column: usize, length: usize) -> Span {
        Span { line, column, end_line: line, end_column: column + length }
    }
}

/// The place of some bytes of `text`, whose first line stands at `line` and `column` and whose others at `indent`.
pub(crate) fn within(text: &str, range: std::ops::Range<usize>, line: usize, column: usize, indent: usize) -> Span {
    let range = range.start.min(text.len())..range.end.min(text.len());
    let before = &text[..range.start];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[range.start..range.end].find('\n').map_or(range.end, |newline| range.start + newline);
    let column = if start == 0 { column } else { indent };
    let length = text[range.start..end].chars().count().max(1);
    Span::of(line + before.matches('\n').count(), column + text[start..range.start].chars().count(), length)
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
