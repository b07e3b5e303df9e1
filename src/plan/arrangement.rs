//! One arrangement: the rows of an input by a key, or a slim index of them.

use super::Input;

/// Something held in memory: an input's rows by key, or a slim index of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrangement {
    /// As the first who needs it sees it.
    pub input: Input,
    pub kind: ArrangementKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArrangementKind {
    /// Whole rows by these columns.
    Rows { key: Vec<usize> },
    /// The key of the columns `to` by the key of the columns `from`.
    Reverse { from: Vec<usize>, to: Vec<usize> },
}
