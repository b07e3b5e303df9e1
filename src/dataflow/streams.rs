//! The streams between operators: changes of rows, and rows that failed.

use timely::dataflow::Stream;

use super::changes::Failure;
use super::held::updates::Updates;
use super::time::Moment;
use crate::value::Diff;

/// Changes of the rows of a node or a table, each with its diff.
pub(crate) type RowStream<'s, T = Moment> = Stream<'s, T, Updates>;

/// Rows for which an expression failed, each with its moment and diff.
pub(crate) type ErrorStream<'s, T = Moment> = Stream<'s, T, Vec<(Failure, Moment, Diff)>>;

/// Receives a result row and its diff.
pub(crate) type EmitRow<'a> = &'a mut dyn FnMut(&[u8], Diff);
