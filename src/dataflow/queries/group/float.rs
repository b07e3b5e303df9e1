//! `sum` and `avg` of doubles: kept exactly, and rounded once, at output.

use super::aggregate::{Accumulators, Aggregate, AggregateCall, take, take_diff};
use super::exact::{Exact, Number};
use crate::dataflow::held::memory::{HeapSize, block};
use crate::plan::Argument;
use crate::value::{Datum, Diff, Layout, RowBuilder, Type};

pub(super) fn sum_or_average(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let fits = call.is(&["sum", "avg"]) && *call.output() == Type::Float64;
    let column = double_of(call, call.simple.arguments.first().filter(|_| fits && call.simple.arguments.len() == 1)?)?;
    call.by_values(column, |column| Floats { column, averages: call.is(&["avg"]), beside: None })
}

/// The column of an argument that is read as a double.
pub(super) fn double_of(call: &AggregateCall, argument: &Argument) -> Option<usize> {
    match argument {
        Argument::Column(column) if matches!(call.type_of(*column), Type::Float32 | Type::Float64) => Some(*column),
        Argument::Float(column) => Some(*column),
        _ => None,
    }
}

/// The double that a number is converted to.
#[inline]
pub(super) fn double(datum: Datum) -> Option<f64> {
    match datum {
        Datum::Float64(value) => Some(value),
        Datum::Float32(value) => Some(value.into()),
        Datum::Int(value) => Some(value as f64),
        Datum::UInt(value) => Some(value as f64),
        _ => None,
    }
}

pub(super) struct Floats {
    pub(super) column: usize,
    pub(super) averages: bool,
    /// Rows where this column is NULL are not counted.
    pub(super) beside: Option<usize>,
}

/// The state of a sum of doubles.
#[derive(Default)]
pub(super) struct Total {
    /// The number of values, including those in `others`.
    count: Diff,
    /// The sum of the finite values.
    sum: Exact,
    /// `None` if all values are finite.
    others: Option<Box<Others>>,
}

/// How many values are infinite or NaN.
#[derive(Default, PartialEq)]
struct Others {
    positive: Diff,
    negative: Diff,
    nan: Diff,
}

impl Total {
    fn add_other(&mut self, value: f64, diff: Diff) {
        let others = self.others.get_or_insert_default();
        match value {
            f64::INFINITY => others.positive += diff,
            f64::NEG_INFINITY => others.negative += diff,
            _ => others.nan += diff,
        }
        self.others.take_if(|others| **others == Others::default());
    }

    /// The sum if some values are not finite; else `None`.
    fn beyond(&self) -> Option<f64> {
        let Others { positive, negative, nan } = **self.others.as_ref()?;
        Some(match (nan, positive, negative) {
            (0, _, 0) => f64::INFINITY,
            (0, 0, _) => f64::NEG_INFINITY,
            _ => f64::NAN,
        })
    }
}

impl Aggregate for Floats {
    type State = Total;

    #[inline]
    fn add(&self, state: &mut Total, layout: &Layout, row: &[u8], diff: Diff) {
        let Some(value) = double(layout.get(row, self.column)) else { return };
        if self.beside.is_some_and(|column| layout.is_null(row, column)) {
            return;
        }
        state.count += diff;
        match value.is_finite() {
            true => state.sum.add(value, diff),
            false => state.add_other(value, diff),
        }
    }

    fn write(&self, state: &Total, out: &mut Vec<u8>) {
        out.extend_from_slice(&state.count.to_le_bytes());
        state.sum.write(out);
        out.push(u8::from(state.others.is_some()));
        if let Some(others) = &state.others {
            [others.positive, others.negative, others.nan].iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
        }
    }

    fn merge(&self, state: &mut Total, bytes: &mut &[u8]) {
        state.count += take_diff(bytes);
        state.sum.merge(bytes);
        if take(bytes) == [1] {
            [f64::INFINITY, f64::NEG_INFINITY, f64::NAN].into_iter().for_each(|other| state.add_other(other, take_diff(bytes)));
        }
    }

    fn finish(&self, state: &Total, builder: &mut RowBuilder) -> Result<(), String> {
        builder.push(match (state.count, state.beyond()) {
            (0, _) => Datum::Null,
            (_, Some(value)) => Datum::Float64(value),
            (count, None) if self.averages => Datum::Float64(state.sum.number().over(&[count.unsigned_abs()])),
            (_, None) => Datum::Float64(state.sum.number().rounded()),
        });
        Ok(())
    }
}

/// Exact sums of doubles and of products of two doubles over the rows where all of them are finite, and the number of other rows.
pub(super) struct FloatSums<const N: usize> {
    pub(super) count: Diff,
    pub(super) others: Diff,
    pub(super) sums: [Exact; N],
}

impl<const N: usize> Default for FloatSums<N> {
    fn default() -> FloatSums<N> {
        FloatSums { count: 0, others: 0, sums: std::array::from_fn(|_| Exact::default()) }
    }
}

impl<const N: usize> FloatSums<N> {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.others.to_le_bytes());
        self.sums.iter().for_each(|sum| sum.write(out));
    }

    pub(super) fn merge(&mut self, bytes: &mut &[u8]) {
        self.count += take_diff(bytes);
        self.others += take_diff(bytes);
        self.sums.iter_mut().for_each(|sum| sum.merge(bytes));
    }

    /// The sum with this index.
    pub(super) fn sum(&self, of: usize) -> Number {
        self.sums[of].number()
    }

    /// count * sum(products) - sum(a) * sum(b): the covariance times the square of the count.
    pub(super) fn spread(&self, products: usize, a: usize, b: usize) -> Number {
        let count = Number::from_count(self.count.unsigned_abs());
        count.times(&self.sum(products)).minus(&self.sum(a).times(&self.sum(b)))
    }
}

impl HeapSize for Total {
    fn held_bytes(&self) -> usize {
        self.sum.held_bytes() + self.others.as_ref().map_or(0, |_| block(size_of::<Others>()))
    }
}

impl<const N: usize> HeapSize for FloatSums<N> {
    fn held_bytes(&self) -> usize {
        self.sums.iter().map(HeapSize::held_bytes).sum()
    }
}
