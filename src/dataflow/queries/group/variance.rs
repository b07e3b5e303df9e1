//! `var_pop`, `var_samp`, `stddev_pop` and `stddev_samp`: from the exact sums of the values and of their squares.
//!
//! With n values, s their sum and q the sum of their squares, the variance is (n q - s²) / n², or (n q - s²) / (n (n - 1)) for a sample.
//! Only the quotient is rounded, once; the standard deviation is the square root of the rounded quotient.

use super::aggregate::{Accumulators, Aggregate, AggregateCall};
use super::float::{FloatSums, double, double_of};
use crate::value::{Datum, Diff, Layout, RowBuilder};

pub(super) fn accumulators(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let (sample, root) = match call.simple.name {
        "var" | "var_samp" => (true, false),
        "var_pop" => (false, false),
        "stddev" | "stddev_samp" => (true, true),
        "stddev_pop" => (false, true),
        _ => return None,
    };
    let [argument] = call.simple.arguments.as_slice() else { return None };
    let column = double_of(call, argument)?;
    call.by_values(column, |column| Variance { column, sample, root })
}

struct Variance {
    column: usize,
    sample: bool,
    root: bool,
}

const VALUES: usize = 0;
const SQUARES: usize = 1;

impl Aggregate for Variance {
    type State = FloatSums<2>;

    fn add(&self, state: &mut FloatSums<2>, layout: &Layout, row: &[u8], diff: Diff) {
        let Some(value) = double(layout.get(row, self.column)) else { return };
        state.count += diff;
        match value.is_finite() {
            true => {
                state.sums[VALUES].add(value, diff);
                state.sums[SQUARES].add_product(value, value, diff);
            }
            false => state.others += diff,
        }
    }

    fn write(&self, state: &FloatSums<2>, out: &mut Vec<u8>) {
        state.write(out);
    }

    fn merge(&self, state: &mut FloatSums<2>, bytes: &mut &[u8]) {
        state.merge(bytes);
    }

    fn finish(&self, state: &FloatSums<2>, builder: &mut RowBuilder) -> Result<(), String> {
        let count = state.count.unsigned_abs();
        let of = count - u64::from(self.sample).min(count);
        builder.push(match (of, state.others) {
            (0, _) => Datum::Null,
            (_, 0) => {
                let variance = state.spread(SQUARES, VALUES, VALUES).over(&[count, of]);
                Datum::Float64(if self.root { variance.sqrt() } else { variance })
            }
            _ => Datum::Float64(f64::NAN),
        });
        Ok(())
    }
}
