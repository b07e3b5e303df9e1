//! Intervals and durations compared by length, as in PostgreSQL: a month is 30 days and a day is 24 hours. DataFusion compares months
//! first, then days, then hours, so that 21 days given in hours are less than 7 days.
//!
//! ```text
//! b - a > interval '7 days'   span(b - a) > span(interval '7 days')
//! interval * number           times(interval, number): fractions of months become days, fractions of days become hours
//! ```
//! An interval can be compared, added to a time, and multiplied. Everything else that orders, groups or selects intervals is refused
//! (`times_in_plans`), because DataFusion would do it by months, days and hours.
//!
//! Can be removed when `interval '1 month' = interval '30 days'` is true.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::logical_expr::Expr;

use super::own_function::{Arguments, OwnFunction, too_large};

/// The length, in nanoseconds.
pub(in crate::sql) fn span(of: Expr) -> Expr {
    SPAN.call(vec![of])
}

/// An interval or a duration times a number, or divided by it if `divided`.
pub(in crate::sql) fn times(of: Expr, number: Expr, divided: bool) -> Expr {
    if divided { DIVIDED.call(vec![of, number]) } else { TIMES.call(vec![of, number]) }
}

/// A duration as an interval of days and time.
pub(in crate::sql) fn as_interval(of: Expr) -> Expr {
    INTERVAL.call(vec![of])
}

static INTERVAL: OwnFunction = OwnFunction {
    name: "interval",
    takes: |_| Ok(vec![DataType::Duration(TimeUnit::Microsecond)]),
    gives: |_, _| Ok(DataType::Interval(IntervalUnit::MonthDayNano)),
    compute: |arguments| {
        let lengths = arguments.arrays[0].as_primitive::<DurationMicrosecondType>();
        let intervals: PrimitiveArray<IntervalMonthDayNanoType> = lengths.try_unary(of_length)?;
        Ok(Arc::new(intervals))
    },
    shown: Some(|arguments| arguments[0].schema_name().to_string()),
};
static SPAN: OwnFunction = OwnFunction {
    name: "span",
    takes: |types| Ok(types.iter().map(wide).collect()),
    // In nanoseconds.
    gives: |_, _| Ok(DataType::Decimal128(38, 0)),
    compute: spans,
    shown: Some(|arguments| arguments[0].schema_name().to_string()),
};
static TIMES: OwnFunction = OwnFunction {
    name: "times",
    takes: multiplied,
    gives: |types, _| Ok(types[0].clone()),
    compute: |arguments| multiply(arguments, |value, number| value * number),
    shown: Some(|arguments| format!("{} * {}", arguments[0].schema_name(), arguments[1].schema_name())),
};
static DIVIDED: OwnFunction = OwnFunction {
    name: "divided",
    takes: multiplied,
    gives: |types, _| Ok(types[0].clone()),
    compute: |arguments| multiply(arguments, |value, number| value / number),
    shown: Some(|arguments| format!("{} / {}", arguments[0].schema_name(), arguments[1].schema_name())),
};

fn wide(ty: &DataType) -> DataType {
    match ty {
        DataType::Duration(_) => DataType::Duration(TimeUnit::Microsecond),
        _ => DataType::Interval(IntervalUnit::MonthDayNano),
    }
}

const DAY_NANOS: i128 = 86_400_000_000_000;
const DAY_MICROS: i64 = 86_400_000_000;

/// Splits off whole days, as PostgreSQL does for the difference of two timestamps.
fn of_length(micros: i64) -> Result<IntervalMonthDayNano> {
    let days = i32::try_from(micros / DAY_MICROS).map_err(|_| too_large())?;
    Ok(IntervalMonthDayNano { months: 0, days, nanoseconds: micros % DAY_MICROS * 1000 })
}

fn spans(arguments: &Arguments) -> Result<ArrayRef> {
    let array = &arguments.arrays[0];
    let spans: PrimitiveArray<Decimal128Type> = match array.data_type() {
        DataType::Duration(_) => array.as_primitive::<DurationMicrosecondType>().unary(|micros| i128::from(micros) * 1000),
        _ => array.as_primitive::<IntervalMonthDayNanoType>().unary(|IntervalMonthDayNano { months, days, nanoseconds }| {
            (i128::from(months) * 30 + i128::from(days)) * DAY_NANOS + i128::from(nanoseconds)
        }),
    };
    Ok(Arc::new(spans.with_data_type(arguments.gives.clone())))
}

fn multiplied(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [of @ (DataType::Interval(_) | DataType::Duration(_)), number] if number.is_numeric() => Ok(vec![wide(of), DataType::Float64]),
        _ => plan_err!("an interval is multiplied by a number"),
    }
}

fn multiply(arguments: &Arguments, by: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let [of, numbers] = arguments.arrays else { return plan_err!("an interval is multiplied by one number") };
    let numbers = numbers.as_primitive::<Float64Type>();
    let divides = by(1.0, 2.0) < 1.0;
    let checked = |number: f64| match divides && number == 0.0 {
        true => Err(DataFusionError::from(ArrowError::DivideByZero)),
        false => Ok(number),
    };
    Ok(match of.data_type() {
        DataType::Duration(_) => {
            let pairs = of.as_primitive::<DurationMicrosecondType>().iter().zip(numbers);
            let product = |(micros, number): (Option<i64>, Option<f64>)| match (micros, number) {
                (Some(micros), Some(number)) => {
                    let product = product(of_length(micros)?, checked(number)?, by)?;
                    let days = i64::from(product.days).checked_mul(DAY_MICROS);
                    days.and_then(|days| days.checked_add(product.nanoseconds / 1000)).map(Some).ok_or_else(too_large)
                }
                _ => Ok(None),
            };
            Arc::new(pairs.map(product).collect::<Result<PrimitiveArray<DurationMicrosecondType>>>()?)
        }
        _ => {
            let pairs = of.as_primitive::<IntervalMonthDayNanoType>().iter().zip(numbers);
            let product = |(interval, number): (Option<IntervalMonthDayNano>, Option<f64>)| match (interval, number) {
                (Some(interval), Some(number)) => product(interval, checked(number)?, by).map(Some),
                _ => Ok(None),
            };
            Arc::new(pairs.map(product).collect::<Result<PrimitiveArray<IntervalMonthDayNanoType>>>()?)
        }
    })
}

/// Same as `interval_mul` and `interval_div` in PostgreSQL's timestamp.c.
fn product(interval: IntervalMonthDayNano, number: f64, by: fn(f64, f64) -> f64) -> Result<IntervalMonthDayNano> {
    let of = |value: f64| by(value, number);
    let months = of(interval.months.into());
    let whole_months = whole_i32(months.trunc())?;
    let days = of(interval.days.into());
    let whole_days = whole_i32(days.trunc())?;
    let days_of_months = to_micros((months - f64::from(whole_months)) * 30.0);
    let mut seconds = to_micros((days - f64::from(whole_days) + days_of_months - days_of_months.trunc()) * 86_400.0);
    let mut all_days = i64::from(whole_days) + days_of_months.trunc() as i64;
    if seconds.abs() >= 86_400.0 {
        all_days += (seconds / 86_400.0) as i64;
        seconds -= (seconds / 86_400.0).trunc() * 86_400.0;
    }
    let micros = (of(interval.nanoseconds as f64 / 1000.0) + seconds * 1e6).round_ties_even();
    let nanoseconds = whole_i64(micros)?.checked_mul(1000).ok_or_else(too_large)?;
    Ok(IntervalMonthDayNano { months: whole_months, days: i32::try_from(all_days).map_err(|_| too_large())?, nanoseconds })
}

/// Rounds to millionths.
fn to_micros(value: f64) -> f64 {
    (value * 1e6).round_ties_even() / 1e6
}

fn whole_i32(value: f64) -> Result<i32> {
    let fits = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value);
    if fits { Ok(value as i32) } else { Err(too_large()) }
}

fn whole_i64(value: f64) -> Result<i64> {
    // The largest double below 2^63.
    let fits = (i64::MIN as f64..9_223_372_036_854_774_784.0).contains(&value);
    if fits { Ok(value as i64) } else { Err(too_large()) }
}
