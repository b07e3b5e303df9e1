//! One arrangement: the rows of an input by a key, or a slim index of them.

use super::Input;

/// State held in memory: an input's rows by key, or a slim index of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrangement {
    /// The input of the first place that needs this arrangement.
    pub input: Input,
    pub kind: ArrangementKind,
}

/// The form in which an arrangement stores its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArrangementKind {
    /// Whole rows by the key of these columns.
    Rows { key: Vec<usize> },
    /// An index from the key of the columns `from` to the key of the columns `to`.
    Reverse { from: Vec<usize>, to: Vec<usize> },
}
