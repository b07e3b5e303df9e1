//! Answers as lines of JSON, each ended by a newline.

use serde_json::json;

use super::AccessError;
use super::errors::ErrorEntry;
use crate::store::{LoggedChange, ViewReader};
use crate::value::{Layout, RowBuilder, Tick, json as value_json};

/// Complete lines of an answer.
pub type Lines = Vec<u8>;

pub(super) fn push_row(layout: &Layout, row: &[u8], lines: &mut Lines) {
    value_json::write_row(layout, row, lines);
    lines.push(b'\n');
}

/// As [`Errors`](super::question::Errors) describes them.
pub(super) fn push_error(entry: ErrorEntry, lines: &mut Lines) {
    let line = match entry {
        ErrorEntry::View { view, count, since, reason } => json!({"view": view, "count": count, "since": since, "reason": reason}),
        ErrorEntry::Rejected { source, table, place, reason } => {
            json!({"source": source, "table": table, "place": place, "reason": reason})
        }
        ErrorEntry::MoreRejected { source, table, more } => json!({"source": source, "table": table, "more": more}),
        ErrorEntry::Refused { sink, view, key, since, reason } => {
            let mut shown = Vec::new();
            key.iter().for_each(|(layout, row)| value_json::write_row(layout, row, &mut shown));
            let key: serde_json::Value = serde_json::from_slice(&shown).unwrap_or_default();
            json!({"sink": sink, "view": view, "key": key, "since": since, "reason": reason})
        }
    };
    lines.extend_from_slice(line.to_string().as_bytes());
    lines.push(b'\n');
}

/// Changes of a view.
pub(super) struct ChangeWriter<'a> {
    view: &'a ViewReader,
    layout: Layout,
    key: Layout,
    /// The tick of the entry before, and its position as JSON.
    position: Option<(Tick, Vec<u8>)>,
    pub(super) lines: Lines,
}

impl ChangeWriter<'_> {
    pub(super) fn new(view: &ViewReader) -> ChangeWriter<'_> {
        let key = Layout::new(&view.schema().project(view.key_columns()));
        ChangeWriter { view, layout: Layout::new(view.schema()), key, position: None, lines: Lines::new() }
    }

    pub(super) fn write(&mut self, entry: &LoggedChange) -> Result<(), AccessError> {
        if self.position.as_ref().is_none_or(|(tick, _)| *tick != entry.tick) {
            let marks = self.view.store().positions_of(entry.tick)?;
            let text = marks.first().map(|mark| mark.position.as_str().to_string());
            self.position = Some((entry.tick, serde_json::to_vec(&text).expect("text is JSON")));
        }
        let position = self.position.as_ref().map_or(&b"null"[..], |(_, json)| json);
        let lines = &mut self.lines;
        lines.extend_from_slice(format!("{{\"tick\":{},\"position\":", entry.tick).as_bytes());
        lines.extend_from_slice(position);
        lines.extend_from_slice(b",\"key\":");
        let row = entry.after.as_ref().or(entry.before.as_ref()).expect("a change has a row before or after");
        value_json::write_row(&self.key, &key_row(&self.layout, &self.key, self.view.key_columns(), row), lines);
        for (name, row) in [("before", &entry.before), ("after", &entry.after)] {
            lines.extend_from_slice(format!(",\"{name}\":").as_bytes());
            match row {
                Some(row) => value_json::write_row(&self.layout, row, lines),
                None => lines.extend_from_slice(b"null"),
            }
        }
        lines.extend_from_slice(b"}\n");
        Ok(())
    }
}

fn key_row(layout: &Layout, key: &Layout, columns: &[usize], row: &[u8]) -> Vec<u8> {
    let mut builder = RowBuilder::new(key);
    columns.iter().for_each(|&column| builder.push(layout.get(row, column)));
    let mut out = Vec::new();
    builder.finish_into(&mut out);
    out
}
