//! `avg` of decimals, rounded half away from zero as in PostgreSQL. DataFusion truncates the digits beyond its scale.
//!
//! The scale is DataFusion's: that of the values plus four digits. The average of durations is rounded to microseconds, half to even.
//! Averages of other types are DataFusion's. This aggregate replaces DataFusion's `avg`.
//!
//! Elsewhere: averages of maintained groups (`dataflow::queries::group`). Can be removed when the average of 1.00, 1.00 and 0.00 is 0.666667.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, UInt64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal256Type, DurationMicrosecondType, Field, FieldRef, TimeUnit, UInt64Type, i256};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::average::Avg;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature};

use super::own_function::too_large;
use crate::value::decimal;

pub(in crate::sql) fn function() -> AggregateUDF {
    AggregateUDF::new_from_impl(Average { others: Avg::new() })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Average {
    others: Avg,
}

/// Whether the average of this type is computed here.
fn is_own(ty: &DataType) -> bool {
    matches!(ty, DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Duration(TimeUnit::Microsecond))
}

fn scale(ty: &DataType) -> i8 {
    match ty {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

/// The type in which sums are stored.
fn wide(ty: &DataType) -> DataType {
    DataType::Decimal256(76, scale(ty))
}

impl AggregateUDFImpl for Average {
    fn name(&self) -> &str {
        self.others.name()
    }

    fn aliases(&self) -> &[String] {
        self.others.aliases()
    }

    fn signature(&self) -> &Signature {
        self.others.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.others.return_type(types)
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let of = arguments.expr_fields[0].data_type();
        if !is_own(of) {
            return self.others.accumulator(arguments);
        }
        let mean = Mean { of: of.clone(), gives: arguments.return_type().clone(), sum: i256::ZERO, count: 0 };
        Ok(match arguments.is_distinct {
            true => Box::new(DistinctMean { mean, values: BTreeMap::new() }),
            false => Box::new(mean),
        })
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let of = arguments.input_fields[0].data_type();
        if !is_own(of) {
            return self.others.state_fields(arguments);
        }
        let field = |name: &str, ty: DataType| Arc::new(Field::new(format!("{}[{name}]", arguments.name), ty, true));
        let values = DataType::List(Arc::new(Field::new_list_field(wide(of), true)));
        Ok(match arguments.is_distinct {
            true => vec![field("values", values)],
            false => vec![field("count", DataType::UInt64), field("sum", wide(of))],
        })
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        !is_own(arguments.expr_fields[0].data_type()) && self.others.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.others.create_groups_accumulator(arguments)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

#[derive(Debug, Clone)]
struct Mean {
    of: DataType,
    gives: DataType,
    sum: i256,
    count: i64,
}

impl Mean {
    fn add(&mut self, value: i256, times: i64) -> Result<()> {
        self.sum = value.checked_mul(i256::from_i128(times.into())).and_then(|value| self.sum.checked_add(value)).ok_or_else(too_large)?;
        self.count += times;
        Ok(())
    }

    fn value(&self) -> Result<ScalarValue> {
        if self.count == 0 {
            return ScalarValue::try_from(&self.gives);
        }
        let count = i256::from_i128(self.count.into());
        if let DataType::Duration(_) = self.gives {
            let micros = half_to_even(self.sum, count).and_then(i256::to_i128).and_then(|micros| i64::try_from(micros).ok());
            return Ok(ScalarValue::DurationMicrosecond(Some(micros.ok_or_else(too_large)?)));
        }
        let power = i256::from_i128(10).checked_pow((scale(&self.gives) - scale(&self.of)) as u32);
        let scaled = power.and_then(|power| self.sum.checked_mul(power));
        let mean = scaled.and_then(|scaled| decimal::quotient_i256(scaled, count)).ok_or_else(too_large)?;
        match self.gives {
            DataType::Decimal128(precision, scale) => {
                let fits = mean.to_i128().filter(|mean| mean.unsigned_abs() < 10u128.pow(precision.into()));
                Ok(ScalarValue::Decimal128(Some(fits.ok_or_else(too_large)?), precision, scale))
            }
            DataType::Decimal256(precision, scale) => Ok(ScalarValue::Decimal256(Some(mean), precision, scale)),
            _ => unreachable!("it is a decimal or a length of time"),
        }
    }
}

fn half_to_even(dividend: i256, divisor: i256) -> Option<i256> {
    let away = decimal::quotient_i256(dividend, divisor)?;
    let twice = away.checked_mul(divisor)?.checked_sub(dividend)?.checked_mul(i256::from_i128(2))?;
    let half = twice.wrapping_abs() == divisor.wrapping_abs();
    let odd = away.checked_rem(i256::from_i128(2))? != i256::ZERO;
    // A half was rounded away from zero, to an odd number.
    let back = i256::from_i128(if away.is_negative() { 1 } else { -1 });
    Some(if half && odd { away.wrapping_add(back) } else { away })
}

/// The values that are not NULL, as unscaled integers or microseconds.
fn values(array: &ArrayRef, of: &DataType) -> Result<Vec<i256>> {
    if let DataType::Duration(_) = of {
        return Ok(array.as_primitive::<DurationMicrosecondType>().iter().flatten().map(|micros| i256::from_i128(micros.into())).collect());
    }
    let wide = cast(array, &wide(of))?;
    Ok(wide.as_primitive::<Decimal256Type>().iter().flatten().collect())
}

impl Accumulator for Mean {
    fn update_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        values(&arrays[0], &self.of)?.into_iter().try_for_each(|value| self.add(value, 1))
    }

    fn retract_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        values(&arrays[0], &self.of)?.into_iter().try_for_each(|value| self.add(value, -1))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.value()
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::UInt64(Some(self.count as u64)), ScalarValue::Decimal256(Some(self.sum), 76, scale(&self.of))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let counts: &UInt64Array = states[0].as_primitive::<UInt64Type>();
        for (count, sum) in counts.iter().zip(states[1].as_primitive::<Decimal256Type>()) {
            self.count += count.unwrap_or(0) as i64;
            self.sum = self.sum.checked_add(sum.unwrap_or(i256::ZERO)).ok_or_else(too_large)?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct DistinctMean {
    /// Always empty; gives the types.
    mean: Mean,
    /// The values, and the count of each.
    values: BTreeMap<i256, i64>,
}

impl DistinctMean {
    fn take(&mut self, values: Vec<i256>, times: i64) {
        for value in values {
            let count = self.values.entry(value).or_default();
            *count += times;
            if *count == 0 {
                self.values.remove(&value);
            }
        }
    }
}

impl Accumulator for DistinctMean {
    fn update_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        self.take(values(&arrays[0], &self.mean.of)?, 1);
        Ok(())
    }

    fn retract_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        self.take(values(&arrays[0], &self.mean.of)?, -1);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut mean = self.mean.clone();
        self.values.keys().try_for_each(|value| mean.add(*value, 1))?;
        mean.value()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.len() * size_of::<(i256, i64)>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let ty = wide(&self.mean.of);
        let values: Vec<ScalarValue> = self.values.keys().map(|value| ScalarValue::Decimal256(Some(*value), 76, scale(&ty))).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &ty))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            self.take(list.as_primitive::<Decimal256Type>().iter().flatten().collect(), 1);
        }
        Ok(())
    }
}
