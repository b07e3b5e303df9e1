//! How many bytes rows take in an arrangement, as far as their types tell.

use super::arrangement::{Arrangement, ArrangementKind};
use crate::value::{Column, Schema};

/// What a text or another value of variable length is taken to have.
const VARIABLE: usize = 24;
/// Offsets, a time and a count.
const BESIDE: usize = 24;

/// Of a row, of its key and of what stands beside them.
pub(super) fn row_bytes(schema: &Schema, key: &[usize]) -> usize {
    BESIDE + schema.columns().iter().map(width).sum::<usize>() + key_bytes(schema, key)
}

/// Of a row of the arrangement.
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
