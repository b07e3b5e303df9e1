//! Estimates the bytes of rows in an arrangement from the types of their columns.

use super::arrangement::{Arrangement, ArrangementKind};
use crate::value::{Column, Schema};

/// The size of an arrangement, estimated from samples of the tables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArrangedSize {
    pub rows: f64,
    pub bytes: f64,
}

/// The assumed size of text and other values of variable length.
const VARIABLE: usize = 24;
/// Bytes of offsets, a time and a count for each row.
const BESIDE: usize = 24;

/// Bytes of a row, its key and the overhead of both.
pub(super) fn row_bytes(schema: &Schema, key: &[usize]) -> usize {
    BESIDE + schema.columns().iter().map(width).sum::<usize>() + key_bytes(schema, key)
}

/// Bytes of one row of the arrangement.
pub(super) fn bytes_a_row(Arrangement { input, kind }: &Arrangement) -> usize {
    match kind {
        ArrangementKind::Rows { key } => row_bytes(input.schema(), key),
        ArrangementKind::Reverse { from, to } => BESIDE + key_bytes(input.schema(), from) + key_bytes(input.schema(), to),
    }
}

fn key_bytes(schema: &Schema, key: &[usize]) -> usize {
    key.iter().map(|&column| width(&schema.columns()[column])).sum()
}

fn width(column: &Column) -> usize {
    column.ty.fixed_width().unwrap_or(VARIABLE)
}
