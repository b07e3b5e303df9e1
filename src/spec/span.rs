//! Places in a spec file, as lines and columns from 0.

/// A range of the text: lines from 0, columns in characters from 0, the end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Span {
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

impl Span {
    /// `length` characters of one line.
    pub(crate) fn on_line(line: usize, column: usize, length: usize) -> Span {
        Span { line, column, end_line: line, end_column: column + length }
    }
}

/// The place of a range of bytes of `text`. The first line of `text` starts at `line` and `column`, the other lines at column `indent`.
pub(crate) fn within(text: &str, range: std::ops::Range<usize>, line: usize, column: usize, indent: usize) -> Span {
    let range = range.start.min(text.len())..range.end.min(text.len());
    let before = &text[..range.start];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[range.start..range.end].find('\n').map_or(range.end, |newline| range.start + newline);
    let column = if start == 0 { column } else { indent };
    let length = text[range.start..end].chars().count().max(1);
    Span::on_line(line + before.matches('\n').count(), column + text[start..range.start].chars().count(), length)
}
