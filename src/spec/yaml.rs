//! YAML text to a tree of nodes with their places.
//!
//! Keys keep their order and may be duplicated: the readers of maps report that. Scalars stay text, and record whether they were quoted.
//! Aliases are replaced by their values. A file is one document; tags are refused.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span as Marks, StrInput};

use super::problem::Problem;
use super::span::Span;
use super::text::Text;

#[derive(Debug, Clone)]
pub(crate) struct YamlNode {
    pub span: Span,
    pub kind: NodeKind,
}

#[derive(Debug, Clone)]
pub(crate) enum NodeKind {
    Scalar(Scalar),
    List(Vec<YamlNode>),
    Map(Vec<(YamlNode, YamlNode)>),
}

#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub text: String,
    /// Neither quoted nor a block: the text may be a number, `true` or `null`.
    pub plain: bool,
    /// The column at which `text` starts in the first line of the span, if the file contains it verbatim. Only literal blocks can have more
    /// lines; these start at the span's column.
    pub verbatim_at: Option<usize>,
}

/// The maximum number of nodes that aliases may add.
const MAX_ALIASED: usize = 10_000;

impl YamlNode {
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar(s) if s.plain && matches!(s.text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of a scalar that is not null.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar(s) if !self.is_null() => Some(&s.text),
            _ => None,
        }
    }

    /// The value as one of several words: the text, also of a plain `null`.
    pub(crate) fn word(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar(s) if !s.text.is_empty() => Some(&s.text),
            _ => None,
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match &self.kind {
            NodeKind::Scalar(s) if s.plain => s.text.parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn integer(&self) -> Option<u64> {
        match &self.kind {
            NodeKind::Scalar(s) if s.plain => s.text.parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn entries(&self) -> &[(YamlNode, YamlNode)] {
        match &self.kind {
            NodeKind::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[YamlNode] {
        match &self.kind {
            NodeKind::List(items) => items,
            _ => &[],
        }
    }

    /// The value of a key of a map.
    pub(crate) fn get(&self, name: &str) -> Option<&YamlNode> {
        self.entries().iter().find(|(key, _)| key.key_text() == name).map(|(_, value)| value)
    }

    /// The text of a key, also of a plain `null` or `1` that is meant as a name.
    pub(crate) fn key_text(&self) -> &str {
        match &self.kind {
            NodeKind::Scalar(s) => &s.text,
            _ => "",
        }
    }

    /// The place to underline: the first key of a map, otherwise the node itself.
    pub(crate) fn head(&self) -> Span {
        self.entries().first().map_or(self.span, |(key, _)| key.span)
    }

    fn size(&self) -> usize {
        match &self.kind {
            NodeKind::Scalar(_) => 1,
            NodeKind::List(items) => 1 + items.iter().map(YamlNode::size).sum::<usize>(),
            NodeKind::Map(entries) => 1 + entries.iter().map(|(k, v)| k.size() + v.size()).sum::<usize>(),
        }
    }
}

/// The tree of the file's document; `None` if it is empty.
pub(crate) fn parse(source: &str, text: &Text) -> Result<Option<YamlNode>, Problem> {
    if let Some(problem) = tab(text) {
        return Err(problem);
    }
    let mut reader = YamlReader { parser: Parser::new_from_str(source), text, anchors: HashMap::new(), aliased: 0 };
    reader.document()
}

struct YamlReader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t Text,
    anchors: HashMap<usize, YamlNode>,
    aliased: usize,
}

impl<'t> YamlReader<'t> {
    fn document(&mut self) -> Result<Option<YamlNode>, Problem> {
        let mut found = None;
        loop {
            let (event, marks) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(found),
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                _ if found.is_some() => {
                    return Err(Problem::new(span(marks), "a spec is one YAML document").help("remove the `---` and everything after it"));
                }
                event => found = Some(self.node(event, marks)?),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Marks), Problem> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(syntax(&error, self.text)),
            None => Ok((Event::StreamEnd, Marks::default())),
        }
    }

    fn node(&mut self, event: Event<'t>, marks: Marks) -> Result<YamlNode, Problem> {
        let mut place = span(marks);
        let (anchor, kind) = match event {
            Event::Alias(anchor) => return self.alias(anchor, place),
            Event::Scalar(value, style, anchor, tag) => {
                refuse_tag(tag.is_some(), place)?;
                place = self.trimmed(place, style);
                (anchor, NodeKind::Scalar(self.scalar(value.into_owned(), style, place)))
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.is_some(), place)?;
                (anchor, NodeKind::List(self.list(&mut place)?))
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.is_some(), place)?;
                (anchor, NodeKind::Map(self.map(&mut place)?))
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(Problem::new(place, "a value is missing here")),
        };
        let node = YamlNode { span: place, kind };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, place: &mut Span) -> Result<Vec<YamlNode>, Problem> {
        let mut items: Vec<YamlNode> = Vec::new();
        loop {
            let (event, marks) = self.next()?;
            if let Event::SequenceEnd = event {
                extend(place, span(marks), items.last());
                return Ok(items);
            }
            items.push(self.node(event, marks)?);
        }
    }

    fn map(&mut self, place: &mut Span) -> Result<Vec<(YamlNode, YamlNode)>, Problem> {
        let mut entries: Vec<(YamlNode, YamlNode)> = Vec::new();
        loop {
            let (event, marks) = self.next()?;
            if let Event::MappingEnd = event {
                extend(place, span(marks), entries.last().map(|(_, value)| value));
                return Ok(entries);
            }
            let key = self.node(event, marks)?;
            if !matches!(key.kind, NodeKind::Scalar(_)) {
                return Err(Problem::new(key.span, "a key must be a name"));
            }
            let (event, marks) = self.next()?;
            let mut value = self.node(event, marks)?;
            if value.is_null() && value.word().is_none() {
                value.span = key.span;
            }
            entries.push((key, value));
        }
    }

    fn alias(&mut self, anchor: usize, place: Span) -> Result<YamlNode, Problem> {
        let Some(node) = self.anchors.get(&anchor) else { return Err(Problem::new(place, "an alias inside its own anchor")) };
        self.aliased += node.size();
        if self.aliased > MAX_ALIASED {
            return Err(Problem::new(place, "the aliases expand to too many values").help("write the values out"));
        }
        Ok(node.clone())
    }

    fn scalar(&self, text: String, style: ScalarStyle, place: Span) -> Scalar {
        let quote = usize::from(matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted));
        let written = |line: usize| self.text.rest(line, place.column + quote);
        let verbatim = match style {
            ScalarStyle::Literal => text.lines().zip(place.line..).all(|(text, line)| written(line) == text),
            _ => written(place.line).starts_with(&text),
        };
        let verbatim_at = verbatim.then_some(place.column + quote);
        Scalar { text, plain: style == ScalarStyle::Plain, verbatim_at }
    }

    /// The parser includes trailing blanks in the span of some plain scalars.
    fn trimmed(&self, mut place: Span, style: ScalarStyle) -> Span {
        if style == ScalarStyle::Plain && place.line == place.end_line {
            let written: String = self.text.rest(place.line, place.column).chars().take(place.end_column - place.column).collect();
            place.end_column = place.column + written.trim_end().chars().count();
        }
        place
    }
}

fn refuse_tag(tagged: bool, place: Span) -> Result<(), Problem> {
    match tagged {
        true => {
            Err(Problem::new(place, "YAML tags (`!...`) are not supported").help("remove it, or quote the text if that starts with `!`"))
        }
        false => Ok(()),
    }
}

/// Sets the end of a collection: that of its last part, or in flow style that of the closing bracket.
fn extend(place: &mut Span, end: Span, last: Option<&YamlNode>) {
    let last = last.map_or((place.line, place.column), |node| (node.span.end_line, node.span.end_column));
    let flow = end.end_line == end.line && end.end_column == end.column + 1;
    (place.end_line, place.end_column) = if flow { (end.end_line, end.end_column) } else { last };
}

fn span(marks: Marks) -> Span {
    Span {
        line: marks.start.line().saturating_sub(1),
        column: marks.start.col(),
        end_line: marks.end.line().saturating_sub(1),
        end_column: marks.end.col(),
    }
}

fn syntax(error: &ScanError, text: &Text) -> Problem {
    let mark = error.marker();
    // At the end of the file there is no line to show: point at the end of the last line that is not blank.
    let (mut line, mut column) = (mark.line().saturating_sub(1), mark.col());
    if text.rest(line, 0).trim().is_empty() {
        line = (0..line.min(text.lines.len())).rev().find(|&l| !text.lines[l].trim().is_empty()).unwrap_or(line);
        column = text.rest(line, 0).trim_end().chars().count();
    }
    Problem::new(Span::on_line(line, column, 1), format!("not YAML: {}", error.info()))
}

/// A tab in the indentation, which YAML forbids and its parsers explain badly.
fn tab(text: &Text) -> Option<Problem> {
    let indentation = |line: &str| line.chars().take_while(|c| c.is_whitespace()).collect::<String>();
    let indented = |line: &String| indentation(line).contains('\t') && !line.trim().is_empty() && !line.trim().starts_with('#');
    let line = text.lines.iter().position(indented)?;
    let length = indentation(&text.lines[line]).chars().count();
    let problem = Problem::new(Span::on_line(line, 0, length), "a tab in the indentation");
    Some(problem.help("indent with spaces; YAML does not allow tabs here"))
}
