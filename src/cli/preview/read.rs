//! The rows that were read of each table, and the sources from which they are read.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::cli::discover::OpenSource;
use crate::cli::failure::CommandError;
use crate::plan::Plan;
use crate::run::RunError;
use crate::sources::{BoundedRead, BoundedReader, LeftRows, ReadRows, SourceError, Table, WantedRows};
use crate::value::{Layout, Row, Rows, key};

use super::warnings::Warnings;

/// The most rows that one read returns.
pub(super) const MOST: usize = 10_000;

/// The sources of a spec, opened for reading a few rows.
pub(super) struct Readers(Vec<OpenReader>);

pub(super) struct OpenReader {
    pub(super) name: String,
    pub(super) tables: Vec<Table>,
    reader: Box<dyn BoundedReader>,
}

impl Readers {
    pub(super) async fn open(sources: Vec<OpenSource>) -> Result<Readers, CommandError> {
        let mut readers = Vec::new();
        for OpenSource { name, source, tables, kind } in sources {
            let reader = source.bounded_reader(&tables).await.map_err(|error| failed(&name, error))?;
            let Some(reader) = reader else {
                let message = format!("source `{name}`: rows of this source ({kind}) cannot be read without a capture");
                return Err(CommandError::running(message, Some("use `tidemill run`".into())));
            };
            readers.push(OpenReader { name, tables, reader });
        }
        Ok(Readers(readers))
    }

    pub(super) fn all(&self) -> &[OpenReader] {
        &self.0
    }
}

fn failed(name: &str, error: SourceError) -> CommandError {
    RunError::Source { source_name: name.into(), error }.into()
}

/// What was read of one table.
#[derive(Debug, Default)]
pub(super) struct ReadTable {
    /// Rows by their key, or by themselves if the table has none, with the number of copies.
    rows: BTreeMap<Row, (Row, usize)>,
    /// Whether these are all rows of the table.
    is_whole: bool,
}

impl ReadTable {
    /// The rows as their source has them.
    pub(super) fn rows(&self) -> Rows {
        self.rows.values().flat_map(|(row, copies)| std::iter::repeat_n(row, *copies)).collect()
    }

    /// Adds the rows of a read. Every read returns a row as often as the table has it.
    fn add(&mut self, table: &Table, rows: &Rows) {
        let layout = Layout::new(&table.schema);
        let mut found: BTreeMap<Row, (Row, usize)> = BTreeMap::new();
        for row in rows.iter() {
            let key = if table.key.is_empty() { Row::from_bytes(row) } else { key::encode(&layout, row, &table.key) };
            found.entry(key).or_insert_with(|| (Row::from_bytes(row), 0)).1 += 1;
        }
        for (key, (row, copies)) in found {
            let known = self.rows.entry(key).or_insert((row, 0));
            known.1 = known.1.max(copies);
        }
    }
}

/// Reads tables of a plan, and remembers what was read.
pub(super) struct TableReader<'a> {
    plan: &'a Plan,
    readers: &'a mut Readers,
    /// Like [`Plan::tables`].
    pub(super) tables: Vec<ReadTable>,
    pub(super) warnings: Warnings,
    until: Instant,
    /// How many reads are still expected.
    expected: usize,
}

impl<'a> TableReader<'a> {
    pub(super) fn new(plan: &'a Plan, readers: &'a mut Readers, until: Instant, expected: usize) -> TableReader<'a> {
        let tables = plan.tables.iter().map(|_| ReadTable::default()).collect();
        TableReader { plan, readers, tables, warnings: Warnings::default(), until, expected }
    }

    /// Returns rows of the plan's table: those that are wanted (if all rows of the table are known, all of them), and why some may be
    /// missing.
    pub(super) async fn read(&mut self, table: usize, wanted: WantedRows, most: usize) -> Result<(Rows, Option<LeftRows>), CommandError> {
        let planned = &self.plan.tables[table];
        if self.tables[table].is_whole {
            return Ok((planned.with_arrival(&self.tables[table].rows()), None));
        }
        let is_first = matches!(wanted, WantedRows::First);
        let until = self.share();
        let open = self.readers.0.iter_mut().find(|open| open.name == planned.source).expect("each source of a table is open");
        let place = open.tables.iter().position(|other| other.name == planned.name).expect("a source has the tables of the plan");
        let read = BoundedRead { table: place, wanted, most, until };
        let ReadRows { rows, rejected, left } = open.reader.read(read).await.map_err(|error| failed(&planned.source, error))?;
        if let Some(caveat) = open.reader.caveat() {
            self.warnings.add(format!("source `{}`: {caveat}", open.name), None);
        }
        self.warnings.rejected(&planned.source, rejected);
        let known = &mut self.tables[table];
        known.add(&open.tables[place], &rows);
        known.is_whole |= is_first && left.is_none();
        Ok((planned.with_arrival(&rows), left))
    }

    pub(super) fn readers(&self) -> &Readers {
        self.readers
    }

    /// Whether all rows of a table are known.
    pub(super) fn is_whole(&self, table: usize) -> bool {
        self.tables[table].is_whole
    }

    /// When the next read ends at the latest: it may take half of the time that is left, the last one all of it.
    fn share(&mut self) -> Instant {
        let now = Instant::now();
        let left = self.until.saturating_duration_since(now);
        self.expected = self.expected.saturating_sub(1);
        now + if self.expected == 0 { left } else { left / 2 }
    }
}
