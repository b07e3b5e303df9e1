//! What a chunk of a file is made into, whatever the file's format: packed rows with their lines, and the lines that are no rows.

use super::bad_line::BadLine;
use crate::value::{RowBuilder, Rows};

/// What a chunk is made into.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) rows: Rows,
    /// Where each of them stands.
    pub(super) lines: Vec<u64>,
    pub(super) bad: Vec<BadLine>,
    /// How many bad ones stand before the first row.
    pub(super) bad_first: u64,
}

impl Parsed {
    /// The row of this line that was pushed, or why there is none.
    pub(super) fn take(&mut self, line: u64, pushed: Result<(), BadLine>, builder: &mut RowBuilder) {
        match pushed {
            Ok(()) => {
                self.rows.push_built(builder);
                self.lines.push(line);
            }
            Err(bad) => {
                self.bad_first += u64::from(self.rows.is_empty());
                self.bad.push(bad);
            }
        }
    }
}
