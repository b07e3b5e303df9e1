//! `covar_pop`, `covar_samp`, `corr` and the `regr_` functions: from the exact sums of two values and of their products.
//!
//! With n pairs, S the sums, and D(a, b) = n S(ab) - S(a) S(b), all exact: the covariance is D(x, y) / n², or D(x, y) / (n (n - 1)) for a
//! sample; the correlation is the square root of D(x, y)² / (D(x, x) D(y, y)), with the sign of D(x, y); the slope is D(x, y) / D(x, x),
//! and the intercept (S(y) S(xx) - S(x) S(xy)) / D(x, x). Each result is rounded once. Only pairs without NULL are counted.

use super::aggregate::{Accumulators, Aggregate, AggregateCall};
use super::exact::Number;
use super::float::{FloatSums, Floats, double, double_of};
use crate::value::{Datum, Diff, Layout, RowBuilder};

pub(super) fn accumulators(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let [first, second] = call.simple.arguments.as_slice() else { return None };
    let (first, second) = (double_of(call, first)?, double_of(call, second)?);
    // The first argument of a regression is the dependent variable.
    let (x, y) = (second, first);
    let average = |column: usize, beside: usize| call.by(Floats { column, averages: true, beside: Some(beside) });
    match call.simple.name {
        _ if call.simple.distinct => None,
        "covar" | "covar_samp" => pairs::<3>(call, x, y, PairStatistic::Covariance { sample: true }),
        "covar_pop" => pairs::<3>(call, x, y, PairStatistic::Covariance { sample: false }),
        "corr" => pairs::<5>(call, x, y, PairStatistic::Correlation),
        "regr_slope" => pairs::<4>(call, x, y, PairStatistic::Slope),
        "regr_intercept" => pairs::<4>(call, x, y, PairStatistic::Intercept),
        "regr_r2" => pairs::<5>(call, x, y, PairStatistic::Determination),
        "regr_count" => pairs::<0>(call, x, y, PairStatistic::Count),
        "regr_avgx" => average(x, y),
        "regr_avgy" => average(y, x),
        "regr_sxx" => pairs::<4>(call, x, y, PairStatistic::Spread { products: XX, a: X, b: X }),
        "regr_syy" => pairs::<5>(call, x, y, PairStatistic::Spread { products: YY, a: Y, b: Y }),
        "regr_sxy" => pairs::<3>(call, x, y, PairStatistic::Spread { products: XY, a: X, b: Y }),
        _ => None,
    }
}

fn pairs<const N: usize>(call: &AggregateCall, x: usize, y: usize, of: PairStatistic) -> Option<Box<dyn Accumulators>> {
    call.by(PairAggregate::<N> { x, y, of })
}

/// `N`: how many of the sums X, Y, XY, XX and YY are kept, in this order.
struct PairAggregate<const N: usize> {
    x: usize,
    y: usize,
    of: PairStatistic,
}

const X: usize = 0;
const Y: usize = 1;
const XY: usize = 2;
const XX: usize = 3;
const YY: usize = 4;

enum PairStatistic {
    Covariance { sample: bool },
    Correlation,
    Slope,
    Intercept,
    Determination,
    Count,
    Spread { products: usize, a: usize, b: usize },
}

impl<const N: usize> Aggregate for PairAggregate<N> {
    type State = FloatSums<N>;

    fn add(&self, state: &mut FloatSums<N>, layout: &Layout, row: &[u8], diff: Diff) {
        let (Some(x), Some(y)) = (double(layout.get(row, self.x)), double(layout.get(row, self.y))) else { return };
        state.count += diff;
        if !x.is_finite() || !y.is_finite() {
            state.others += diff;
            return;
        }
        for (of, sum) in state.sums.iter_mut().enumerate() {
            match of {
                X => sum.add(x, diff),
                Y => sum.add(y, diff),
                XY => sum.add_product(x, y, diff),
                XX => sum.add_product(x, x, diff),
                _ => sum.add_product(y, y, diff),
            }
        }
    }

    fn write(&self, state: &FloatSums<N>, out: &mut Vec<u8>) {
        state.write(out);
    }

    fn merge(&self, state: &mut FloatSums<N>, bytes: &mut &[u8]) {
        state.merge(bytes);
    }

    fn finish(&self, state: &FloatSums<N>, builder: &mut RowBuilder) -> Result<(), String> {
        builder.push(match self.of {
            PairStatistic::Count => Datum::UInt(state.count.unsigned_abs()),
            _ => self.of.value(state).map_or(Datum::Null, Datum::Float64),
        });
        Ok(())
    }
}

impl PairStatistic {
    /// `None` if there are too few pairs, or if a spread in the divisor is 0.
    fn value<const N: usize>(&self, state: &FloatSums<N>) -> Option<f64> {
        let count = state.count.unsigned_abs();
        let needed = match self {
            PairStatistic::Covariance { sample: false } | PairStatistic::Spread { .. } | PairStatistic::Count => 1,
            PairStatistic::Covariance { sample: true }
            | PairStatistic::Correlation
            | PairStatistic::Slope
            | PairStatistic::Intercept
            | PairStatistic::Determination => 2,
        };
        if count < needed {
            return None;
        }
        if state.others != 0 {
            return Some(f64::NAN);
        }
        let not_zero = |number: Number| Some(number).filter(|number| !number.is_zero());
        Some(match self {
            PairStatistic::Covariance { sample } => state.spread(XY, X, Y).over(&[count, count - u64::from(*sample)]),
            PairStatistic::Spread { products, a, b } => state.spread(*products, *a, *b).over(&[count]),
            PairStatistic::Correlation | PairStatistic::Determination => {
                let both = state.spread(XY, X, Y);
                let (square, by) = (both.times(&both), not_zero(state.spread(XX, X, X).times(&state.spread(YY, Y, Y)))?);
                match self {
                    PairStatistic::Correlation if both.is_negative() => -square.root_over(&by),
                    PairStatistic::Correlation => square.root_over(&by),
                    _ => square.over_number(&by),
                }
            }
            PairStatistic::Slope => state.spread(XY, X, Y).over_number(&not_zero(state.spread(XX, X, X))?),
            PairStatistic::Intercept => {
                let spread = not_zero(state.spread(XX, X, X))?;
                let above = state.sum(Y).times(&state.sum(XX)).minus(&state.sum(X).times(&state.sum(XY)));
                above.over_number(&spread)
            }
            PairStatistic::Count => return None,
        })
    }
}
