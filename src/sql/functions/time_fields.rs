//! `extract` and `date_part`: parts of dates, times and intervals, as in PostgreSQL.
//!
//! `extract` returns decimals: seconds and milliseconds with their fraction, `epoch` with six digits, all other parts without a fraction.
//! `date_part` returns doubles. A date has no part smaller than a day. DataFusion cuts off fractions, has no centuries, and mixes up the
//! hours of an interval and those of its days.
//!
//! The difference of two timestamps is a duration here; in PostgreSQL it is an interval of days and less than 24 hours. `day` and `hour` of
//! a difference that is written inside the call are those of PostgreSQL's interval. For other durations they are refused, because the
//! duration may consist of hours only.
//!
//! Can be removed when DataFusion's parts are the same as PostgreSQL's.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

use super::own_function::{Arguments, OwnFunction};
use super::zones::{instant, local};
use crate::value::temporal::{civil_from_days, days_from_civil};

pub(in crate::sql) static EXTRACT: OwnFunction = OwnFunction { name: "extract", takes, gives: gives_exactly, compute, shown: None };
pub(in crate::sql) static DATE_PART: OwnFunction = OwnFunction { name: "date_part", takes, gives: gives_doubles, compute, shown: None };
/// For the difference of two timestamps.
static OF_DIFFERENCE: OwnFunction =
    OwnFunction { name: "extract_of_difference", takes, gives: gives_exactly, compute: compute_of_difference, shown: None };
static PART_OF_DIFFERENCE: OwnFunction =
    OwnFunction { name: "date_part_of_difference", takes, gives: gives_doubles, compute: compute_of_difference, shown: None };

/// Replaces a call on the difference of two timestamps by one that computes PostgreSQL's result. Fails if a duration is not written as a
/// difference and the part depends on that.
pub(in crate::sql) fn of_length(call: &ScalarFunction, columns: &DFSchema) -> Result<Option<Expr>> {
    let [field, of] = &call.args[..] else { return Ok(None) };
    let is_part = matches!(call.name(), "extract" | "date_part");
    let Some(part) = field.as_literal().and_then(|field| field.try_as_str().flatten()).and_then(TimePart::named) else { return Ok(None) };
    if !is_part || !matches!(part, TimePart::Day | TimePart::Hour) || !matches!(of.get_type(columns)?, DataType::Duration(_)) {
        return Ok(None);
    }
    let bare = of.clone().unalias_nested().data;
    let is_time = |expr: &Expr| expr.get_type(columns).is_ok_and(|ty| matches!(ty, DataType::Timestamp(..)));
    match &bare {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) if is_time(left) && is_time(right) => {
            let function = if call.name() == "extract" { &OF_DIFFERENCE } else { &PART_OF_DIFFERENCE };
            let name = Expr::ScalarFunction(call.clone()).schema_name().to_string();
            Ok(Some(function.call(vec![field.clone(), of.clone()]).alias(name)))
        }
        _ => plan_err!("days and hours of a length of time cannot be told apart: extract(epoch FROM ...) gives its seconds"),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimePart {
    Microseconds,
    Milliseconds,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    IsoYear,
    IsoDayOfWeek,
    DayOfWeek,
    DayOfYear,
    Epoch,
}

impl TimePart {
    fn named(name: &str) -> Option<TimePart> {
        Some(match name.trim_matches(['\'', '"']).to_ascii_lowercase().as_str() {
            "microsecond" | "microseconds" => TimePart::Microseconds,
            "millisecond" | "milliseconds" => TimePart::Milliseconds,
            "second" | "seconds" => TimePart::Second,
            "minute" | "minutes" => TimePart::Minute,
            "hour" | "hours" => TimePart::Hour,
            "day" | "days" => TimePart::Day,
            "week" | "weeks" => TimePart::Week,
            "month" | "months" => TimePart::Month,
            "quarter" => TimePart::Quarter,
            "year" | "years" => TimePart::Year,
            "decade" | "decades" => TimePart::Decade,
            "century" | "centuries" => TimePart::Century,
            "millennium" | "millennia" | "millenniums" => TimePart::Millennium,
            "isoyear" => TimePart::IsoYear,
            "isodow" => TimePart::IsoDayOfWeek,
            "dow" => TimePart::DayOfWeek,
            "doy" => TimePart::DayOfYear,
            "epoch" => TimePart::Epoch,
            _ => return None,
        })
    }

    fn is_below_a_day(self) -> bool {
        matches!(self, TimePart::Microseconds | TimePart::Milliseconds | TimePart::Second | TimePart::Minute | TimePart::Hour)
    }

    fn of_constant(field: Option<&ScalarValue>) -> Result<TimePart> {
        match field.and_then(|field| field.try_as_str().flatten()) {
            Some(name) => TimePart::named(name).map_or_else(|| plan_err!("`extract` has no field `{name}` here"), Ok),
            None => plan_err!("the part of a time must be a constant text"),
        }
    }
}

fn takes(types: &[DataType]) -> Result<Vec<DataType>> {
    let [field, of] = types else { return plan_err!("a part is extracted from one time") };
    if !matches!(field, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) {
        return plan_err!("the part of a time must be a constant text");
    }
    let of = match of {
        DataType::Timestamp(_, None) | DataType::Null => local(),
        DataType::Timestamp(_, Some(_)) => instant(),
        DataType::Date32 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Duration(_) => DataType::Duration(TimeUnit::Microsecond),
        DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            return plan_err!("a part is extracted from a time, and this is text: cast it to timestamp");
        }
        other => return plan_err!("a part is extracted from a date, a time or an interval, and this is {other}"),
    };
    Ok(vec![DataType::Utf8, of])
}

fn gives_exactly(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    // DataFusion asks for the type before any argument is known.
    if constants[0].is_none() && constants.iter().all(Option::is_none) {
        return Ok(DataType::Decimal128(10, 0));
    }
    let part = TimePart::of_constant(constants[0])?;
    let of = &types[1];
    let refused =
        |what: &str| plan_err!("{what} has no part `{}`", constants[0].and_then(|part| part.try_as_str().flatten()).unwrap_or_default());
    let wide = matches!(of, DataType::Interval(_) | DataType::Duration(_));
    match (part, of) {
        (part, DataType::Date32) if part.is_below_a_day() => refused("a date"),
        (part, DataType::Time32(_) | DataType::Time64(_)) if !part.is_below_a_day() && part != TimePart::Epoch => refused("a time of day"),
        (part, DataType::Duration(_)) if !part.is_below_a_day() && !matches!(part, TimePart::Epoch | TimePart::Day) => {
            refused("a length of time")
        }
        (TimePart::IsoYear | TimePart::IsoDayOfWeek | TimePart::DayOfWeek | TimePart::DayOfYear, DataType::Interval(_)) => {
            refused("an interval")
        }
        (TimePart::Second, _) => Ok(DataType::Decimal128(8, 6)),
        (TimePart::Milliseconds, _) => Ok(DataType::Decimal128(8, 3)),
        (TimePart::Epoch, DataType::Date32) => Ok(DataType::Decimal128(20, 0)),
        (TimePart::Epoch, DataType::Interval(_)) => Ok(DataType::Decimal128(28, 6)),
        (TimePart::Epoch, _) => Ok(DataType::Decimal128(20, 6)),
        _ => Ok(DataType::Decimal128(if wide { 20 } else { 10 }, 0)),
    }
}

fn gives_doubles(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    gives_exactly(types, constants).map(|_| DataType::Float64)
}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A value as an integer, and the number of its digits that are after the point.
type Value = (i128, u32);

fn compute(arguments: &Arguments) -> Result<ArrayRef> {
    let part = TimePart::of_constant(arguments.constants[0].as_ref())?;
    let of = &arguments.arrays[1];
    let values: Vec<Option<Value>> = match of.data_type() {
        DataType::Date32 => {
            let days = of.as_primitive::<Date32Type>();
            days.iter().map(|days| days.map(|days| of_time(part, i64::from(days), 0))).collect()
        }
        DataType::Timestamp(..) => {
            let micros = of.as_primitive::<TimestampMicrosecondType>();
            micros.iter().map(|micros| micros.map(|micros| of_time(part, micros.div_euclid(DAY), micros.rem_euclid(DAY)))).collect()
        }
        DataType::Duration(_) => {
            let micros = of.as_primitive::<DurationMicrosecondType>();
            micros.iter().map(|micros| micros.map(|micros| of_clock(part, micros))).collect()
        }
        DataType::Time64(_) => {
            let micros = cast(of, &DataType::Int64)?;
            micros.as_primitive::<Int64Type>().iter().map(|micros| micros.map(|micros| of_clock(part, micros))).collect()
        }
        _ => {
            let intervals = of.as_primitive::<IntervalMonthDayNanoType>();
            intervals.iter().map(|interval| interval.map(|interval| of_interval(part, interval))).collect()
        }
    };
    typed(values, arguments.gives)
}

fn compute_of_difference(arguments: &Arguments) -> Result<ArrayRef> {
    let part = TimePart::of_constant(arguments.constants[0].as_ref())?;
    let micros = arguments.arrays[1].as_primitive::<DurationMicrosecondType>();
    let value = |micros: i64| match part {
        TimePart::Day => (i128::from(micros / DAY), 0),
        _ => of_clock(part, micros % DAY),
    };
    typed(micros.iter().map(|micros| micros.map(value)).collect(), arguments.gives)
}

fn typed(values: Vec<Option<Value>>, gives: &DataType) -> Result<ArrayRef> {
    Ok(match gives {
        DataType::Decimal128(_, scale) => {
            let scale = *scale as u32;
            let number =
                |(value, digits): Value| value * 10i128.pow(scale.saturating_sub(digits)) / 10i128.pow(digits.saturating_sub(scale));
            let array = values.into_iter().map(|value| value.map(number)).collect::<PrimitiveArray<Decimal128Type>>();
            Arc::new(array.with_data_type(gives.clone()))
        }
        _ => {
            let number = |(value, digits): Value| value as f64 / 10f64.powi(digits as i32);
            Arc::new(values.into_iter().map(|value| value.map(number)).collect::<PrimitiveArray<Float64Type>>())
        }
    })
}

/// A part of the time that is `of_day` microseconds after the start of a day, which is given as days since 1970-01-01.
fn of_time(part: TimePart, days: i64, of_day: i64) -> Value {
    let whole = |value: i64| (i128::from(value), 0);
    // The year before the year 1 is -1.
    let told = |year: i64| if year > 0 { year } else { year - 1 };
    let up = |year: i64, span: i64| if year > 0 { (year + span - 1) / span } else { -((span - year) / span) };
    if part.is_below_a_day() {
        return of_clock(part, of_day);
    }
    if part == TimePart::Epoch {
        return (i128::from(days) * i128::from(DAY) + i128::from(of_day), 6);
    }
    let of_week = (days + 3).rem_euclid(7) + 1;
    match part {
        TimePart::IsoDayOfWeek => return whole(of_week),
        TimePart::DayOfWeek => return whole(of_week % 7),
        _ => {}
    }
    let (year, month, day) = civil_from_days(days);
    let first = |year: i64| days_from_civil(year, 1, 1).expect("every year has a first day");
    // A week belongs to the year of its Thursday.
    let thursday = days - of_week + 4;
    match part {
        TimePart::Day => whole(day.into()),
        TimePart::Month => whole(month.into()),
        TimePart::Quarter => whole(i64::from(month - 1) / 3 + 1),
        TimePart::Year => whole(told(year)),
        TimePart::Decade => whole(year.div_euclid(10)),
        TimePart::Century => whole(up(year, 100)),
        TimePart::Millennium => whole(up(year, 1000)),
        TimePart::DayOfYear => whole(days - first(year) + 1),
        TimePart::IsoYear => whole(told(civil_from_days(thursday).0)),
        _ => whole((thursday - first(civil_from_days(thursday).0)) / 7 + 1),
    }
}

/// A part of a number of microseconds, which may be negative. Hours are not converted to days.
fn of_clock(part: TimePart, micros: i64) -> Value {
    let micros = i128::from(micros);
    let (minute, hour) = (60_000_000, 3_600_000_000);
    match part {
        TimePart::Microseconds => (micros % minute, 0),
        TimePart::Milliseconds => (micros % minute, 3),
        TimePart::Second => (micros % minute, 6),
        TimePart::Minute => (micros % hour / minute, 0),
        TimePart::Epoch => (micros, 6),
        _ => (micros / hour, 0),
    }
}

fn of_interval(part: TimePart, interval: IntervalMonthDayNano) -> Value {
    let IntervalMonthDayNano { months, days, nanoseconds } = interval;
    let (months, micros) = (i128::from(months), nanoseconds / 1000);
    let years = months / 12;
    match part {
        TimePart::Day => (days.into(), 0),
        TimePart::Week => (i128::from(days / 7), 0),
        TimePart::Month => (months % 12, 0),
        TimePart::Quarter if months % 12 >= 0 => (months % 12 / 3 + 1, 0),
        TimePart::Quarter => (months % 12 / 3 - 1, 0),
        TimePart::Year => (years, 0),
        TimePart::Decade => (years / 10, 0),
        TimePart::Century => (years / 100, 0),
        TimePart::Millennium => (years / 1000, 0),
        // A year counts as 365.25 days.
        TimePart::Epoch => (years * 31_557_600_000_000 + (months % 12 * 30 + i128::from(days)) * i128::from(DAY) + i128::from(micros), 6),
        _ => of_clock(part, micros),
    }
}
