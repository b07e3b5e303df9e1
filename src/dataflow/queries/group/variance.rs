//! `var_pop`, `var_samp`, `stddev_pop` and `stddev_samp`: from the exact sums of the values and of their squares.
//!
//! With n values whose sum is s and whose squares' sum is q, the variance is (n q - s²) / n², or (n q - s²) / (n (n - 1)) of a sample. All of that
//! but the quotient is exact, and the quotient is rounded once; the deviation is the root of what that gives.

use super::aggregate::{Accumulators, Aggregate, Call};
use super::float::{Sums, double, double_of};
use crate::value::{Datum, Diff, Layout, RowBuilder};

pub(super) fn of(call: &Call) -> Option<Box<dyn Accumulators>> {
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
    type State = Sums<2>;

    fn add(&self, state: &mut Sums<2>, layout: &Layout, row: &[u8], diff: Diff) {
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

    fn write(&self, state: &Sums<2>, out: &mut Vec<u8>) {
        state.write(out);
    }

    fn merge(&self, state: &mut Sums<2>, bytes: &mut &[u8]) {
        state.merge(bytes);
    }

    fn finish(&self, state: &Sums<2>, builder: &mut RowBuilder) -> Result<(), String> {
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
