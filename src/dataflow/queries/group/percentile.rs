//! `median` and `percentile_cont`; also `approx_median` and `approx_percentile_cont`, with the same exact results.
//!
//! The values are kept in order ([`mod@super::ranked`]). Percentile p of n values is the value at place p (n - 1), linearly interpolated
//! between two places.

use super::aggregate::{Accumulators, Aggregate, AggregateCall};
use super::float::{double, double_of};
use super::ranked::Ranked;
use crate::plan::Argument;
use crate::value::{Datum, Diff, Layout, RowBuilder, Type};

pub(super) fn accumulators(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let [argument, others @ ..] = call.simple.arguments.as_slice() else { return None };
    let at = match (call.simple.name, others) {
        ("median" | "approx_median", []) => 0.5,
        ("percentile_cont" | "approx_percentile_cont", [Argument::Number(at), ..]) if (0.0..=1.0).contains(at) => *at,
        _ => return None,
    };
    let descending = call.simple.order_by.first().is_some_and(|by| by.descending);
    let at = if descending { 1.0 - at } else { at };
    let ty = call.output().clone();
    match argument {
        Argument::Column(column) if call.is(&["median"]) && *call.output() == *call.type_of(*column) && is_narrow_decimal(&ty) => {
            call.by_values(*column, |column| Decimals { column })
        }
        Argument::Column(column) if call.type_of(*column).is_integer() && ty.is_integer() => {
            let unsigned = matches!(ty, Type::UInt8 | Type::UInt16 | Type::UInt32 | Type::UInt64);
            call.by_values(*column, |column| Integers { column, at, unsigned })
        }
        _ => {
            let column = match argument {
                Argument::Column(column) if call.type_of(*column).is_integer() => *column,
                other => double_of(call, other)?,
            };
            matches!(ty, Type::Float32 | Type::Float64).then(|| call.by_values(column, |column| Doubles { column, at, ty: ty.clone() }))?
        }
    }
}

fn is_narrow_decimal(ty: &Type) -> bool {
    matches!(ty, Type::Decimal { precision: ..=38, .. })
}

/// The median of decimals, truncated to their digits.
struct Decimals {
    column: usize,
}

impl Aggregate for Decimals {
    type State = Ranked<i128>;
    const GROWS: bool = true;

    fn add(&self, state: &mut Ranked<i128>, layout: &Layout, row: &[u8], diff: Diff) {
        if let Datum::Decimal(value) = layout.get(row, self.column) {
            state.add(value, diff);
        }
    }

    fn write(&self, state: &Ranked<i128>, out: &mut Vec<u8>) {
        state.write(out);
    }

    fn merge(&self, state: &mut Ranked<i128>, bytes: &mut &[u8]) {
        state.merge(bytes);
    }

    fn finish(&self, state: &Ranked<i128>, builder: &mut RowBuilder) -> Result<(), String> {
        let last = state.count() - 1;
        // The sum of two numbers of 38 digits may not fit in an i128.
        let middle = state.at(last / 2).zip(state.at(last - last / 2)).map(|(low, high)| low.midpoint(high));
        builder.push(middle.map_or(Datum::Null, Datum::Decimal));
        Ok(())
    }
}

/// A percentile of integers as an integer: what lies between two is rounded, halves to the even one.
struct Integers {
    column: usize,
    /// From 0 to 1.
    at: f64,
    unsigned: bool,
}

impl Aggregate for Integers {
    type State = Ranked<i128>;
    const GROWS: bool = true;

    fn add(&self, state: &mut Ranked<i128>, layout: &Layout, row: &[u8], diff: Diff) {
        match layout.get(row, self.column) {
            Datum::Int(value) => state.add(value.into(), diff),
            Datum::UInt(value) => state.add(value.into(), diff),
            _ => {}
        }
    }

    fn write(&self, state: &Ranked<i128>, out: &mut Vec<u8>) {
        state.write(out);
    }

    fn merge(&self, state: &mut Ranked<i128>, bytes: &mut &[u8]) {
        state.merge(bytes);
    }

    fn finish(&self, state: &Ranked<i128>, builder: &mut RowBuilder) -> Result<(), String> {
        builder.push(match (self.value(state), self.unsigned) {
            (None, _) => Datum::Null,
            (Some(value), true) => Datum::UInt(value as u64),
            (Some(value), false) => Datum::Int(value as i64),
        });
        Ok(())
    }
}

impl Integers {
    /// Between the smallest and the greatest value. Exact where the place is a value's, or in the middle of two.
    fn value(&self, state: &Ranked<i128>) -> Option<i128> {
        let place = self.at * (state.count() - 1) as f64;
        let below = place.floor();
        let (low, share) = (state.at(below as Diff)?, place - below);
        if share == 0.0 {
            return Some(low);
        }
        let between = state.at(below as Diff + 1)? - low;
        if share == 0.5 {
            let value = low + between / 2;
            return Some(if between % 2 == 1 { value + value.rem_euclid(2) } else { value });
        }
        let step = between as f64 * share;
        let value = low + step.floor() as i128;
        let rest = step - step.floor();
        Some(if rest > 0.5 || rest == 0.5 && value.rem_euclid(2) == 1 { value + 1 } else { value })
    }
}

struct Doubles {
    column: usize,
    /// The percentile, from 0 to 1.
    at: f64,
    ty: Type,
}

impl Aggregate for Doubles {
    type State = Ranked<i64>;
    const GROWS: bool = true;

    fn add(&self, state: &mut Ranked<i64>, layout: &Layout, row: &[u8], diff: Diff) {
        if let Some(value) = double(layout.get(row, self.column)) {
            state.add(rank(value), diff);
        }
    }

    fn write(&self, state: &Ranked<i64>, out: &mut Vec<u8>) {
        state.write(out);
    }

    fn merge(&self, state: &mut Ranked<i64>, bytes: &mut &[u8]) {
        state.merge(bytes);
    }

    fn finish(&self, state: &Ranked<i64>, builder: &mut RowBuilder) -> Result<(), String> {
        builder.push(match self.value(state) {
            None => Datum::Null,
            Some(value) => match self.ty {
                Type::Float32 => Datum::Float32(value as f32),
                _ => Datum::Float64(value),
            },
        });
        Ok(())
    }
}

impl Doubles {
    fn value(&self, state: &Ranked<i64>) -> Option<f64> {
        let place = self.at * (state.count() - 1) as f64;
        let below = place.floor();
        let (low, share) = (ranked(state.at(below as Diff)?), place - below);
        if share == 0.0 {
            return Some(low);
        }
        let high = ranked(state.at(below as Diff + 1)?);
        Some(match share == 0.5 && low.is_finite() && high.is_finite() {
            true => low.midpoint(high),
            // Equal values are not interpolated: infinite ones would give NaN.
            false if low == high => low,
            false => low + (high - low) * share,
        })
    }
}

/// A number that sorts like the doubles. NaN sorts after all other values.
fn rank(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

fn ranked(rank: i64) -> f64 {
    f64::from_bits((rank ^ ((rank >> 63) as u64 >> 1) as i64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percentile(at: f64, values: &[i128]) -> Option<i128> {
        let mut state = Ranked::default();
        values.iter().for_each(|value| state.add(*value, 1));
        Integers { column: 0, at, unsigned: false }.value(&state)
    }

    /// Doubles cannot tell integers beyond 2^53 apart.
    #[test]
    fn a_percentile_of_large_integers_is_exact() {
        let large = |n: i128| (1 << 60) + n;
        assert_eq!(percentile(0.5, &[large(1)]), Some(large(1)));
        assert_eq!(percentile(0.5, &[large(1), large(4)]), Some(large(2)), "halves to the even one");
        assert_eq!(percentile(0.5, &[large(3), large(4)]), Some(large(4)), "halves to the even one");
        assert_eq!(percentile(0.5, &[-large(1), -large(4)]), Some(-large(2)));
        assert_eq!(percentile(0.25, &[large(1), large(5), large(9)]), Some(large(3)));
        assert_eq!(percentile(0.75, &[large(1), large(2), large(3), large(8)]), Some(large(4)));
        assert_eq!(percentile(0.5, &[i64::MIN.into(), i64::MAX.into()]), Some(0));
        assert_eq!(percentile(0.5, &[0, u64::MAX.into()]), Some(1 << 63));
        assert_eq!(percentile(0.5, &[]), None);
    }
}
