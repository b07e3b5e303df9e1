//! What is kept of one group for one aggregate.
//!
//! Counts and sums are differences that add up, one small record whatever the group's size. What is picked by an order (`min`, `max`, the
//! first and the last) keeps the values in that order, so that a change costs the logarithm of the group; where rows only come, nothing
//! but the picked one. Every other function keeps the values that it reads and is computed from all of them.
//!
//! Accumulators add up: one of a part of the rows is written as bytes and taken into that of the whole. Written: counts and diffs as
//! `i64`, sums as `i128` or `i256`, little endian; ordered values as their number (`u32`) and for each its length (`u32`), diff and bytes.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::i256;

use super::kind::{Kind, Pick, What};
use super::unscaled;
use crate::value::{Datum, Diff, Layout, Row, RowBuilder, Type, arrow, key, row_of_key};

#[derive(Debug)]
pub(super) enum Accumulator {
    Count(Diff),
    /// How many there are, and their sum.
    Sum(Diff, i128),
    /// The same of values that need not leave room in 128 bits.
    WideSum(Diff, Box<i256>),
    /// What is picked, where rows only come; nothing of no rows.
    Best(Vec<u8>),
    /// How often each value is there: by its key, its place in an order and then its key, or its row.
    Values(BTreeMap<Row, Diff>),
}

impl Accumulator {
    pub(super) fn of(kind: &Kind) -> Accumulator {
        match kind.what {
            What::Count => Accumulator::Count(0),
            What::Sum { .. } | What::Average | What::AverageDecimal { .. } if kind.is_wide => Accumulator::WideSum(0, Box::new(i256::ZERO)),
            What::Sum { .. } | What::Average | What::AverageDecimal { .. } => Accumulator::Sum(0, 0),
            What::Pick(Pick { keeps_one: true, .. }) => Accumulator::Best(Vec::new()),
            What::CountDistinct | What::Pick(_) | What::Computed { .. } => Accumulator::Values(BTreeMap::new()),
        }
    }

    /// Takes `diff` copies of a row in.
    #[inline]
    pub(super) fn add(&mut self, kind: &Kind, layout: &Layout, row: &[u8], diff: Diff) {
        if kind.passes_over(layout, row) {
            return;
        }
        match (self, &kind.what) {
            (Accumulator::Count(count), _) => *count += diff,
            (Accumulator::Sum(count, sum), _) => {
                let column = kind.column.expect("a sum has a column");
                if let Some(value) = unscaled(layout.get(row, column)) {
                    *count += diff;
                    *sum += value * i128::from(diff);
                }
            }
            (Accumulator::WideSum(count, sum), _) => {
                let column = kind.column.expect("a sum has a column");
                if let Some(value) = unscaled(layout.get(row, column)) {
                    *count += diff;
                    **sum = sum.wrapping_add(i256::from_i128(value).wrapping_mul(i256::from_i128(diff.into())));
                }
            }
            (Accumulator::Best(best), What::Pick(pick)) => {
                let mut entry = pick.scratch.borrow_mut();
                pick.entry_of(layout, row, &mut entry);
                take_better(best, &entry, pick);
            }
            (Accumulator::Values(values), What::Pick(pick)) => {
                let mut entry = pick.scratch.borrow_mut();
                pick.entry_of(layout, row, &mut entry);
                count_in(values, &entry, diff);
            }
            (Accumulator::Values(values), What::Computed { columns, builder, .. }) => {
                let mut builder = builder.borrow_mut();
                columns.iter().for_each(|&column| builder.push(layout.get(row, column)));
                count_in(values, &builder.finish(), diff);
            }
            (Accumulator::Values(values), _) => {
                let column = kind.column.expect("distinct values have a column");
                count_in(values, &key::of(layout, row, &[column]), diff);
            }
            (Accumulator::Best(_), _) => unreachable!("an accumulator is of its kind"),
        }
    }

    /// Whether it grows with the rows.
    pub(super) fn holds_values(&self) -> bool {
        matches!(self, Accumulator::Values(_))
    }

    /// Appends what it has come to.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Accumulator::Count(count) => out.extend_from_slice(&count.to_le_bytes()),
            Accumulator::Sum(count, sum) => {
                out.extend_from_slice(&count.to_le_bytes());
                out.extend_from_slice(&sum.to_le_bytes());
            }
            Accumulator::WideSum(count, sum) => {
                out.extend_from_slice(&count.to_le_bytes());
                out.extend_from_slice(&sum.to_le_bytes());
            }
            Accumulator::Best(best) => {
                out.extend_from_slice(&(best.len() as u32).to_le_bytes());
                out.extend_from_slice(best);
            }
            Accumulator::Values(values) => {
                out.extend_from_slice(&(values.len() as u32).to_le_bytes());
                for (value, diff) in values {
                    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                    out.extend_from_slice(&diff.to_le_bytes());
                    out.extend_from_slice(value);
                }
            }
        }
    }

    /// Takes in what [`write`](Accumulator::write) wrote, from the front of `bytes`.
    pub(super) fn merge(&mut self, kind: &Kind, bytes: &mut &[u8]) {
        match self {
            Accumulator::Count(count) => *count += Diff::from_le_bytes(take(bytes)),
            Accumulator::Sum(count, sum) => {
                *count += Diff::from_le_bytes(take(bytes));
                *sum += i128::from_le_bytes(take(bytes));
            }
            Accumulator::WideSum(count, sum) => {
                *count += Diff::from_le_bytes(take(bytes));
                **sum = sum.wrapping_add(i256::from_le_bytes(take(bytes)));
            }
            Accumulator::Values(values) => {
                for _ in 0..u32::from_le_bytes(take(bytes)) {
                    let length = u32::from_le_bytes(take(bytes)) as usize;
                    let diff = Diff::from_le_bytes(take(bytes));
                    count_in(values, take_some(bytes, length), diff);
                }
            }
            Accumulator::Best(best) => {
                let length = u32::from_le_bytes(take(bytes)) as usize;
                let other = take_some(bytes, length);
                if let (What::Pick(pick), false) = (&kind.what, other.is_empty()) {
                    take_better(best, other, pick);
                }
            }
        }
    }

    /// Makes it what it is without any row.
    pub(super) fn reset(&mut self) {
        match self {
            Accumulator::Count(count) => *count = 0,
            Accumulator::Sum(count, sum) => (*count, *sum) = (0, 0),
            Accumulator::WideSum(count, sum) => (*count, **sum) = (0, i256::ZERO),
            Accumulator::Best(best) => best.clear(),
            Accumulator::Values(values) => values.clear(),
        }
    }

    /// Pushes the aggregate's value, or says why there is none.
    pub(super) fn finish(&self, kind: &Kind, builder: &mut RowBuilder) -> Result<(), String> {
        match (self, &kind.what) {
            (Accumulator::Count(count), _) => builder.push(Datum::Int(*count)),
            (Accumulator::Sum(0, _) | Accumulator::WideSum(0, _), _) => builder.push(Datum::Null),
            (Accumulator::Sum(count, sum), What::Average) => builder.push(Datum::Float64(*sum as f64 / *count as f64)),
            (Accumulator::Sum(count, sum), What::AverageDecimal { more_digits, ty, text }) => {
                let scaled = sum.checked_mul(10i128.pow(*more_digits)).ok_or_else(|| too_large(text))?;
                builder.push(fitting(scaled / i128::from(*count), ty, text)?);
            }
            (Accumulator::Sum(_, sum), What::Sum { ty, text }) => builder.push(fitting(*sum, ty, text)?),
            (Accumulator::WideSum(_, sum), What::Sum { ty, text }) => {
                builder.push(fitting(sum.to_i128().ok_or_else(|| too_large(text))?, ty, text)?);
            }
            (Accumulator::WideSum(count, sum), What::AverageDecimal { more_digits, ty, text }) => {
                let average = sum.checked_mul(i256::from_i128(10i128.pow(*more_digits)));
                let average = average.and_then(|scaled| scaled.checked_div(i256::from_i128((*count).into())));
                builder.push(fitting(average.and_then(i256::to_i128).ok_or_else(|| too_large(text))?, ty, text)?);
            }
            (Accumulator::Values(values), What::CountDistinct) => builder.push(Datum::Int(values.len() as i64)),
            (Accumulator::Best(best), What::Pick(pick)) => push_picked(Some(best).filter(|best| !best.is_empty()), pick, builder),
            (Accumulator::Values(values), What::Pick(pick)) => {
                let entry = if pick.last { values.keys().next_back() } else { values.keys().next() };
                push_picked(entry.map(|entry| &**entry), pick, builder);
            }
            (Accumulator::Values(rows), What::Computed { function, layout, .. }) => {
                let all = || rows.iter().flat_map(|(row, count)| std::iter::repeat_n(&**row, (*count).max(0) as usize));
                let batch = arrow::to_batch(layout, all());
                let array = function.evaluate_columns(&batch, &vec![0; all().count()], 1).map_err(|error| error.reason)?;
                arrow::push_array_value(builder, &array, 0).map_err(|error| error.to_string())?;
            }
            (Accumulator::Sum(..) | Accumulator::WideSum(..) | Accumulator::Best(_) | Accumulator::Values(_), _) => {
                unreachable!("an accumulator is of its kind")
            }
        }
        Ok(())
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (taken, rest) = bytes.split_first_chunk().expect("it was written whole");
    *bytes = rest;
    *taken
}

fn take_some<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}

fn take_better(best: &mut Vec<u8>, entry: &[u8], pick: &Pick) {
    let better = best.is_empty() || if pick.last { *entry > **best } else { *entry < **best };
    if better {
        best.clear();
        best.extend_from_slice(entry);
    }
}

fn count_in(values: &mut BTreeMap<Row, Diff>, value: &[u8], diff: Diff) {
    match values.get_mut(value) {
        Some(count) if *count + diff == 0 => {
            values.remove(value);
        }
        Some(count) => *count += diff,
        None => {
            values.insert(Row::from_bytes(value), diff);
        }
    }
}

fn push_picked<E: AsRef<[u8]>>(entry: Option<E>, pick: &Pick, builder: &mut RowBuilder) {
    match entry.as_ref().map(E::as_ref) {
        Some(entry) => {
            let row = row_of_key(&pick.value, pick.value_of(entry)).expect("it was made of a value");
            builder.push(pick.value.get(&row, 0));
        }
        None => builder.push(Datum::Null),
    }
}

fn fitting(value: i128, ty: &Type, text: &str) -> Result<Datum<'static>, String> {
    let datum = match ty {
        Type::Int64 => i64::try_from(value).ok().map(Datum::Int),
        Type::UInt64 => u64::try_from(value).ok().map(Datum::UInt),
        Type::Decimal { precision, .. } => (value.unsigned_abs() < 10u128.pow(u32::from(*precision))).then_some(Datum::Decimal(value)),
        _ => None,
    };
    datum.ok_or_else(|| too_large(text))
}

fn too_large(text: &str) -> String {
    format!("`{text}` became too large for its type")
}
