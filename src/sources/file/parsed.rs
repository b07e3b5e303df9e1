//! The content of a chunk in any format: packed rows with their lines, and the bad lines.

use super::bad_line::BadLine;
use crate::value::{RowBuilder, Rows};

/// The content of a chunk.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) rows: Rows,
    /// The line of each row.
    pub(super) lines: Vec<u64>,
    pub(super) bad: Vec<BadLine>,
    /// The number of bad lines before the first row.
    pub(super) bad_first: u64,
}

impl Parsed {
    /// Appends the row that was built for this line, or the reason why there is none.
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
