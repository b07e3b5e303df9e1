//! Collects the changes of one transaction until it is complete: in memory, and above a limit in an unnamed temporary file.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use crate::sources::Rejected;
use crate::value::{Delta, Row};

/// How much of a transaction is kept in memory.
const MEMORY_BYTES: usize = 64 << 20;
pub(crate) const DELTAS_PER_EVENT: usize = 2048;
/// A batch is full when its rows have this many bytes.
const BYTES_PER_EVENT: usize = 1 << 20;

/// The rows of a table that others refer to, before and after a change that may change rows of those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParentChange {
    pub(crate) table: usize,
    pub(crate) before: Row,
    /// `None`: the row is deleted.
    pub(crate) after: Option<Row>,
}

/// A step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TransactionStep {
    Row(Delta),
    Parent(ParentChange),
}

/// The changes of one transaction, in order.
#[derive(Debug, Default)]
pub(crate) struct LogTransaction {
    /// The rows of the transaction that are left out.
    pub(crate) rejected: Vec<Rejected>,
    steps: Vec<TransactionStep>,
    bytes: usize,
    /// Whether a step is a [`ParentChange`].
    has_parents: bool,
    /// Whether a row is one on which foreign keys act.
    has_children: bool,
    spilled: Option<BufWriter<File>>,
    limit: Option<usize>,
}

impl LogTransaction {
    /// Whether the transaction changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.spilled.is_none()
    }

    pub(crate) fn has_parents(&self) -> bool {
        self.has_parents
    }

    pub(crate) fn has_children(&self) -> bool {
        self.has_children
    }

    /// Notes that the rows that are pushed next are some on which foreign keys act.
    pub(crate) fn expect_children(&mut self) {
        self.has_children = true;
    }

    pub(crate) fn push(&mut self, table: usize, row: Row, diff: i64) -> io::Result<()> {
        self.bytes += row.len() + size_of::<TransactionStep>();
        self.steps.push(TransactionStep::Row(Delta { table, row, diff }));
        self.spill_if_large()
    }

    pub(crate) fn push_parent(&mut self, change: ParentChange) -> io::Result<()> {
        self.bytes += change.before.len() + change.after.as_ref().map_or(0, |row| row.len()) + size_of::<TransactionStep>();
        self.has_parents = true;
        self.steps.push(TransactionStep::Parent(change));
        self.spill_if_large()
    }

    fn spill_if_large(&mut self) -> io::Result<()> {
        if self.bytes > self.limit.unwrap_or(MEMORY_BYTES) { self.spill() } else { Ok(()) }
    }

    /// Appends the steps to the file, each as a table (u32), a sort (i8: the diff of a row, or [`PARENT_DELETED`] or [`PARENT_CHANGED`]), and one
    /// or two rows with their lengths (u32).
    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.spilled {
            Some(file) => file,
            none => none.insert(BufWriter::with_capacity(1 << 18, tempfile::tempfile()?)),
        };
        for step in self.steps.drain(..) {
            let (table, sort, row, second) = match step {
                TransactionStep::Row(Delta { table, row, diff }) => (table, diff as i8, row, None),
                TransactionStep::Parent(ParentChange { table, before, after: None }) => (table, PARENT_DELETED, before, None),
                TransactionStep::Parent(ParentChange { table, before, after }) => (table, PARENT_CHANGED, before, after),
            };
            file.write_all(&(table as u32).to_le_bytes())?;
            file.write_all(&[sort as u8])?;
            for row in [Some(row), second].into_iter().flatten() {
                file.write_all(&(row.len() as u32).to_le_bytes())?;
                file.write_all(&row)?;
            }
        }
        self.bytes = 0;
        Ok(())
    }

    /// The steps in order.
    pub(crate) fn into_steps(mut self) -> io::Result<TransactionSteps> {
        let spilled = match self.spilled.take() {
            None => None,
            Some(file) => {
                let mut file = file.into_inner()?;
                file.rewind()?;
                Some(BufReader::with_capacity(1 << 18, file))
            }
        };
        Ok(TransactionSteps { spilled, rest: self.steps.into_iter() })
    }
}

const PARENT_DELETED: i8 = 2;
const PARENT_CHANGED: i8 = 3;

/// Reads the steps of a transaction back.
#[derive(Debug)]
pub(crate) struct TransactionSteps {
    spilled: Option<BufReader<File>>,
    rest: std::vec::IntoIter<TransactionStep>,
}

impl TransactionSteps {
    /// Returns the next batch of changed rows; an empty one at the end.
    pub(crate) fn next_batch(&mut self) -> io::Result<Vec<Delta>> {
        let mut batch = Vec::with_capacity(self.rest.len().clamp(16, DELTAS_PER_EVENT));
        let mut bytes = 0;
        while batch.len() < DELTAS_PER_EVENT && bytes < BYTES_PER_EVENT {
            match self.next_step()? {
                Some(TransactionStep::Row(delta)) => {
                    bytes += delta.row.len();
                    batch.push(delta);
                }
                Some(TransactionStep::Parent(_)) => {}
                None => break,
            }
        }
        Ok(batch)
    }

    /// Returns the next step; `None` at the end.
    pub(crate) fn next_step(&mut self) -> io::Result<Option<TransactionStep>> {
        if let Some(file) = &mut self.spilled {
            let mut head = [0u8; 5];
            match file.read_exact(&mut head) {
                Ok(()) => {
                    let [t0, t1, t2, t3, sort] = head;
                    let (table, sort) = (u32::from_le_bytes([t0, t1, t2, t3]) as usize, sort as i8);
                    let row = read_row(file)?;
                    return Ok(Some(match sort {
                        PARENT_DELETED => TransactionStep::Parent(ParentChange { table, before: row, after: None }),
                        PARENT_CHANGED => TransactionStep::Parent(ParentChange { table, before: row, after: Some(read_row(file)?) }),
                        diff => TransactionStep::Row(Delta { table, row, diff: diff as i64 }),
                    }));
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.spilled = None,
                Err(error) => return Err(error),
            }
        }
        Ok(self.rest.next())
    }
}

fn read_row(file: &mut impl Read) -> io::Result<Row> {
    let mut length = [0u8; 4];
    file.read_exact(&mut length)?;
    let mut row = vec![0u8; u32::from_le_bytes(length) as usize];
    file.read_exact(&mut row)?;
    Ok(row.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_transaction_comes_back_in_order_from_disk() {
        let mut transaction = LogTransaction { limit: Some(1000), ..LogTransaction::default() };
        let delta = |i: usize| Delta {
            table: i % 3,
            row: Row::from_bytes(&i.to_le_bytes().repeat(i % 5)),
            diff: if i.is_multiple_of(2) { 1 } else { -1 },
        };
        for Delta { table, row, diff } in (0..10_000).map(delta) {
            transaction.push(table, row, diff).unwrap();
        }
        assert!(transaction.spilled.is_some());
        let mut batches = transaction.into_steps().unwrap();
        let mut seen = Vec::new();
        loop {
            let batch = batches.next_batch().unwrap();
            if batch.is_empty() {
                break;
            }
            assert!(batch.len() <= DELTAS_PER_EVENT);
            seen.extend(batch);
        }
        assert_eq!(seen, (0..10_000).map(delta).collect::<Vec<_>>());
    }

    #[test]
    fn what_parents_become_comes_back_from_disk_in_its_place() {
        let row = |text: &str| Row::from_bytes(text.as_bytes());
        for limit in [None, Some(0), Some(300)] {
            let mut transaction = LogTransaction { limit, ..LogTransaction::default() };
            let mut expected = Vec::new();
            for n in 0..9 {
                let after = (n % 2 == 0).then(|| row("after"));
                let change = ParentChange { table: n, before: row(&format!("before {n}")), after };
                transaction.push(n, row("row"), if n % 3 == 0 { 1 } else { -1 }).unwrap();
                transaction.push_parent(change.clone()).unwrap();
                expected.push(TransactionStep::Row(Delta { table: n, row: row("row"), diff: if n % 3 == 0 { 1 } else { -1 } }));
                expected.push(TransactionStep::Parent(change));
            }
            assert!(transaction.has_parents());
            let mut steps = transaction.into_steps().unwrap();
            let read: Vec<TransactionStep> = std::iter::from_fn(|| steps.next_step().unwrap()).collect();
            assert_eq!(read, expected, "{limit:?}");
        }
    }
}
