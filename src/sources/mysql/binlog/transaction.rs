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

/// The changes of one transaction, in order.
#[derive(Debug, Default)]
pub(crate) struct LogTransaction {
    /// The rows of the transaction that are left out.
    pub(crate) rejected: Vec<Rejected>,
    deltas: Vec<Delta>,
    bytes: usize,
    spilled: Option<BufWriter<File>>,
    limit: Option<usize>,
}

impl LogTransaction {
    /// Whether the transaction changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.deltas.is_empty() && self.spilled.is_none()
    }

    pub(crate) fn push(&mut self, table: usize, row: Row, diff: i64) -> io::Result<()> {
        self.bytes += row.len() + size_of::<Delta>();
        self.deltas.push(Delta { table, row, diff });
        if self.bytes > self.limit.unwrap_or(MEMORY_BYTES) {
            self.spill()?;
        }
        Ok(())
    }

    /// Appends the deltas to the file: table, diff and length as u32, i8 and u32, then the row.
    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.spilled {
            Some(file) => file,
            none => none.insert(BufWriter::with_capacity(1 << 18, tempfile::tempfile()?)),
        };
        for delta in self.deltas.drain(..) {
            file.write_all(&(delta.table as u32).to_le_bytes())?;
            file.write_all(&[delta.diff as i8 as u8])?;
            file.write_all(&(delta.row.len() as u32).to_le_bytes())?;
            file.write_all(&delta.row)?;
        }
        self.bytes = 0;
        Ok(())
    }

    /// The changes in order, in batches.
    pub(crate) fn into_batches(mut self) -> io::Result<Batches> {
        let spilled = match self.spilled.take() {
            None => None,
            Some(file) => {
                let mut file = file.into_inner()?;
                file.rewind()?;
                Some(BufReader::with_capacity(1 << 18, file))
            }
        };
        Ok(Batches { spilled, rest: self.deltas.into_iter() })
    }
}

/// Reads the changes of a transaction back.
#[derive(Debug)]
pub(crate) struct Batches {
    spilled: Option<BufReader<File>>,
    rest: std::vec::IntoIter<Delta>,
}

impl Batches {
    /// Returns the next batch; an empty one at the end.
    pub(crate) fn next_batch(&mut self) -> io::Result<Vec<Delta>> {
        let mut batch = Vec::with_capacity(self.rest.len().clamp(16, DELTAS_PER_EVENT));
        let mut bytes = 0;
        while batch.len() < DELTAS_PER_EVENT && bytes < BYTES_PER_EVENT {
            let Some(delta) = self.next_delta()? else { break };
            bytes += delta.row.len();
            batch.push(delta);
        }
        Ok(batch)
    }

    fn next_delta(&mut self) -> io::Result<Option<Delta>> {
        if let Some(file) = &mut self.spilled {
            let mut head = [0u8; 9];
            match file.read_exact(&mut head) {
                Ok(()) => {
                    let [t0, t1, t2, t3, diff, l0, l1, l2, l3] = head;
                    let mut row = vec![0u8; u32::from_le_bytes([l0, l1, l2, l3]) as usize];
                    file.read_exact(&mut row)?;
                    let table = u32::from_le_bytes([t0, t1, t2, t3]) as usize;
                    return Ok(Some(Delta { table, row: row.into(), diff: diff as i8 as i64 }));
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.spilled = None,
                Err(error) => return Err(error),
            }
        }
        Ok(self.rest.next())
    }
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
        let mut batches = transaction.into_batches().unwrap();
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
}
