//! `sum` and `avg` of integers and decimals: an exact count and sum of 128 bits, or of 256 bits for values with many digits.

use datafusion::arrow::datatypes::i256;

use super::aggregate::{Accumulators, Aggregate, AggregateCall, take, take_diff};
use crate::value::{Datum, Diff, Layout, RowBuilder, Type, decimal};

/// Sums of 10^10 values with at most this many digits fit in 128 bits.
const MAX_DIGITS: u8 = 28;

pub(super) fn whole(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let column = call.column().or(call.float().filter(|_| call.is(&["avg"])))?;
    let (ty, output) = (call.type_of(column), call.output());
    let of = match (call.simple.name, ty, output) {
        ("sum", Type::Decimal { precision, scale }, Type::Decimal { precision: digits, scale: same })
            if *precision <= 38 && *digits <= 38 && scale == same =>
        {
            SumKind::Sum
        }
        ("sum", _, Type::Int64 | Type::UInt64) if ty.is_integer() => SumKind::Sum,
        ("avg", _, Type::Float64) if ty.is_integer() => SumKind::Average,
        ("avg", Type::Decimal { precision, scale }, Type::Decimal { precision: digits, scale: more })
            if *precision <= 38 && *digits <= 38 && more >= scale =>
        {
            SumKind::AverageDecimal { more_digits: u32::from(more - scale) }
        }
        _ => return None,
    };
    let sum = |column| Sum { column, of, ty: output.clone(), text: call.text() };
    match ty {
        Type::Decimal { precision, .. } if *precision > MAX_DIGITS => call.by_values(column, |column| Wide(sum(column))),
        _ => call.by_values(column, sum),
    }
}

struct Sum {
    column: usize,
    of: SumKind,
    ty: Type,
    text: String,
}

/// The result that is computed from a count and a sum.
#[derive(Clone, Copy)]
enum SumKind {
    Sum,
    /// The average of integers: a double.
    Average,
    /// The average of decimals, with this many more fractional digits than the values have.
    AverageDecimal {
        more_digits: u32,
    },
}

impl Aggregate for Sum {
    /// The count and the sum.
    type State = (Diff, i128);

    #[inline]
    fn add(&self, (count, sum): &mut (Diff, i128), layout: &Layout, row: &[u8], diff: Diff) {
        if let Some(value) = layout.get(row, self.column).unscaled() {
            *count += diff;
            *sum += value * i128::from(diff);
        }
    }

    fn write(&self, (count, sum): &(Diff, i128), out: &mut Vec<u8>) {
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&sum.to_le_bytes());
    }

    fn merge(&self, (count, sum): &mut (Diff, i128), bytes: &mut &[u8]) {
        *count += take_diff(bytes);
        *sum += i128::from_le_bytes(take(bytes));
    }

    fn finish(&self, (count, sum): &(Diff, i128), builder: &mut RowBuilder) -> Result<(), String> {
        builder.push(match self.of {
            _ if *count == 0 => Datum::Null,
            SumKind::Sum => self.fitting(*sum)?,
            SumKind::Average => Datum::Float64(*sum as f64 / *count as f64),
            SumKind::AverageDecimal { more_digits } => match sum.checked_mul(10i128.pow(more_digits)) {
                Some(scaled) => self.fitting(decimal::quotient(scaled, (*count).into()).ok_or_else(|| self.too_large())?)?,
                None => self.average(i256::from_i128(*sum), *count, more_digits)?,
            },
        });
        Ok(())
    }
}

impl Sum {
    fn fitting(&self, value: i128) -> Result<Datum<'static>, String> {
        let datum = match self.ty {
            Type::Int64 => i64::try_from(value).ok().map(Datum::Int),
            Type::UInt64 => u64::try_from(value).ok().map(Datum::UInt),
            Type::Decimal { precision, .. } => (value.unsigned_abs() < 10u128.pow(u32::from(precision))).then_some(Datum::Decimal(value)),
            _ => None,
        };
        datum.ok_or_else(|| self.too_large())
    }

    /// Rounds half away from zero.
    fn average(&self, sum: i256, count: Diff, more_digits: u32) -> Result<Datum<'static>, String> {
        let scaled = sum.checked_mul(i256::from_i128(10i128.pow(more_digits)));
        let average = scaled.and_then(|scaled| decimal::quotient_i256(scaled, i256::from_i128(count.into()))).and_then(i256::to_i128);
        self.fitting(average.ok_or_else(|| self.too_large())?)
    }

    fn too_large(&self) -> String {
        format!("`{}` became too large for its type", self.text)
    }
}

/// 256-bit sums, for values with too many digits for 128 bits.
struct Wide(Sum);

impl Aggregate for Wide {
    type State = (Diff, i256);

    fn add(&self, (count, sum): &mut (Diff, i256), layout: &Layout, row: &[u8], diff: Diff) {
        if let Some(value) = layout.get(row, self.0.column).unscaled() {
            *count += diff;
            *sum = sum.wrapping_add(i256::from_i128(value).wrapping_mul(i256::from_i128(diff.into())));
        }
    }

    fn write(&self, (count, sum): &(Diff, i256), out: &mut Vec<u8>) {
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&sum.to_le_bytes());
    }

    fn merge(&self, (count, sum): &mut (Diff, i256), bytes: &mut &[u8]) {
        *count += take_diff(bytes);
        *sum = sum.wrapping_add(i256::from_le_bytes(take(bytes)));
    }

    fn finish(&self, (count, sum): &(Diff, i256), builder: &mut RowBuilder) -> Result<(), String> {
        builder.push(match self.0.of {
            _ if *count == 0 => Datum::Null,
            SumKind::AverageDecimal { more_digits } => self.0.average(*sum, *count, more_digits)?,
            SumKind::Sum | SumKind::Average => self.0.fitting(sum.to_i128().ok_or_else(|| self.0.too_large())?)?,
        });
        Ok(())
    }
}
