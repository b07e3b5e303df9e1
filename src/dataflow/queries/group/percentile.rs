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
