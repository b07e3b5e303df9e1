//! `date_trunc` and `date_bin` as in PostgreSQL, for all years that a row can store. DataFusion computes in nanoseconds if possible, so
//! that times after the year 2262 fail, and it accepts bins of months.
//!
//! A date is the instant of its midnight in UTC. A bin is a number of days and time long, and starts a multiple of its length before or
//! after the origin (1970-01-01 by default).
//!
//! Can be removed when DataFusion's `date_trunc` knows decades and its `date_bin` returns the bin of a time in the year 3000.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, plan_err};

use super::own_function::{Arguments, OwnFunction, too_large};
use super::zones::{instant, local};
use crate::value::temporal::{civil_from_days, days_from_civil};

pub(in crate::sql) static DATE_TRUNC: OwnFunction =
    OwnFunction { name: "date_trunc", takes: truncated, gives: gives_truncated, compute: truncate, shown: None };
pub(in crate::sql) static DATE_BIN: OwnFunction =
    OwnFunction { name: "date_bin", takes: binned, gives: |types, _| Ok(types[1].clone()), compute: bin, shown: None };

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

#[derive(Debug, Clone, Copy)]
enum Unit {
    /// A number of microseconds.
    Micros(i64),
    Week,
    /// A number of months, counted from January of `first_year`.
    Months {
        count: i64,
        first_year: i64,
    },
}

impl Unit {
    fn named(name: &str) -> Option<Unit> {
        let years = |years: i64, first_year| Unit::Months { count: 12 * years, first_year };
        Some(match name.to_ascii_lowercase().as_str() {
            "microsecond" | "microseconds" => Unit::Micros(1),
            "millisecond" | "milliseconds" => Unit::Micros(1000),
            "second" | "seconds" => Unit::Micros(SECOND),
            "minute" | "minutes" => Unit::Micros(60 * SECOND),
            "hour" | "hours" => Unit::Micros(3600 * SECOND),
            "day" | "days" => Unit::Micros(DAY),
            "week" | "weeks" => Unit::Week,
            "month" | "months" => Unit::Months { count: 1, first_year: 0 },
            "quarter" => Unit::Months { count: 3, first_year: 0 },
            "year" | "years" => years(1, 0),
            "decade" | "decades" => years(10, 0),
            "century" | "centuries" => years(100, 1),
            "millennium" | "millennia" | "millenniums" => years(1000, 1),
            _ => return None,
        })
    }

    fn of_constant(unit: Option<&ScalarValue>) -> Result<Unit> {
        match unit.and_then(|unit| unit.try_as_str().flatten()) {
            Some(name) => Unit::named(name).map_or_else(|| plan_err!("`date_trunc` has no field `{name}` here"), Ok),
            None => plan_err!("the field of `date_trunc` must be a constant text"),
        }
    }

    fn begin(self, micros: i64) -> Option<i64> {
        let days = micros.div_euclid(DAY);
        let first = match self {
            Unit::Micros(length) => return micros.div_euclid(length).checked_mul(length),
            Unit::Week => days - (days + 3).rem_euclid(7),
            Unit::Months { count, first_year } => {
                let (year, month, _) = civil_from_days(days);
                let months = (year - first_year) * 12 + i64::from(month) - 1;
                let months = months.div_euclid(count) * count;
                days_from_civil(first_year + months.div_euclid(12), months.rem_euclid(12) as u32 + 1, 1)?
            }
        };
        first.checked_mul(DAY)
    }
}

fn time(ty: &DataType, function: &str) -> Result<DataType> {
    match ty {
        DataType::Timestamp(_, None) | DataType::Null => Ok(local()),
        DataType::Timestamp(_, Some(_)) | DataType::Date32 => Ok(instant()),
        other => plan_err!("`{function}` takes a timestamp, and this is {other}: cast it to one"),
    }
}

fn truncated(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8, of] => Ok(vec![DataType::Utf8, time(of, "date_trunc")?]),
        [_, _] => plan_err!("the field of `date_trunc` must be a constant text"),
        _ => plan_err!("`date_trunc` takes a field and a timestamp"),
    }
}

fn gives_truncated(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    if constants.iter().any(Option::is_some) {
        Unit::of_constant(constants[0])?;
    }
    Ok(types[1].clone())
}

fn truncate(arguments: &Arguments) -> Result<ArrayRef> {
    let unit = Unit::of_constant(arguments.constants[0].as_ref())?;
    let times = arguments.arrays[1].as_primitive::<TimestampMicrosecondType>();
    let begin = |micros: i64| unit.begin(micros).ok_or_else(too_large);
    let begun = times.iter().map(|micros| micros.map(begin).transpose()).collect::<Result<PrimitiveArray<TimestampMicrosecondType>>>()?;
    Ok(Arc::new(begun.with_data_type(arguments.gives.clone())))
}

fn binned(types: &[DataType]) -> Result<Vec<DataType>> {
    let (length, of, origin) = match types {
        [length, of] => (length, of, None),
        [length, of, origin] => (length, of, Some(origin)),
        _ => return plan_err!("`date_bin` takes an interval, a timestamp and an origin"),
    };
    if !matches!(length, DataType::Interval(_) | DataType::Duration(_)) {
        return plan_err!("`date_bin` takes an interval first, and this is {length}");
    }
    let of = match (of, origin) {
        (DataType::Date32, Some(origin)) | (_, Some(origin @ DataType::Timestamp(_, Some(_)))) => time(origin, "date_bin")?,
        (of, _) => time(of, "date_bin")?,
    };
    let origin = origin.map(|_| of.clone());
    Ok([DataType::Interval(IntervalUnit::MonthDayNano), of].into_iter().chain(origin).collect())
}

fn bin(arguments: &Arguments) -> Result<ArrayRef> {
    let lengths = arguments.arrays[0].as_primitive::<IntervalMonthDayNanoType>();
    let times = arguments.arrays[1].as_primitive::<TimestampMicrosecondType>();
    let origins = arguments.arrays.get(2).map(|origins| origins.as_primitive::<TimestampMicrosecondType>());
    let begin = |row: usize| -> Result<Option<i64>> {
        let origin = match origins {
            Some(origins) if datafusion::arrow::array::Array::is_null(origins, row) => return Ok(None),
            Some(origins) => origins.value(row),
            None => 0,
        };
        if datafusion::arrow::array::Array::is_null(lengths, row) || datafusion::arrow::array::Array::is_null(times, row) {
            return Ok(None);
        }
        let length = micros_of(lengths.value(row))?;
        let since = times.value(row).checked_sub(origin).ok_or_else(too_large)?;
        let before = since.div_euclid(length).checked_mul(length);
        before.and_then(|before| origin.checked_add(before)).map(Some).ok_or_else(too_large)
    };
    let begun = (0..arguments.arrays[1].len()).map(begin).collect::<Result<PrimitiveArray<TimestampMicrosecondType>>>()?;
    Ok(Arc::new(begun.with_data_type(arguments.gives.clone())))
}

fn micros_of(length: IntervalMonthDayNano) -> Result<i64> {
    if length.months != 0 {
        return Err(exec_datafusion_err!("a bin of `date_bin` cannot have months"));
    }
    let micros = i64::from(length.days).checked_mul(DAY).and_then(|days| days.checked_add(length.nanoseconds / 1000));
    match micros {
        Some(micros) if micros > 0 => Ok(micros),
        _ => Err(exec_datafusion_err!("a bin of `date_bin` must be longer than zero")),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{IntervalMonthDayNanoArray, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn a_time_whose_unit_begins_before_the_first_that_can_be_stored_is_an_error() {
        for unit in ["microsecond", "second", "day", "week", "month", "year"] {
            let begun = Unit::named(unit).unwrap().begin(i64::MIN);
            assert_eq!(begun.is_some(), unit == "microsecond", "{unit}: {begun:?}");
        }
        assert_eq!(Unit::named("day").unwrap().begin(i64::MAX), Some(i64::MAX / DAY * DAY));
    }

    #[test]
    fn a_bin_that_begins_before_the_first_time_that_can_be_stored_is_an_error() {
        let begin = |time: i64, origin: i64| {
            let week = IntervalMonthDayNano { months: 0, days: 7, nanoseconds: 0 };
            let gives = local();
            let arrays = [
                Arc::new(IntervalMonthDayNanoArray::from(vec![week])) as ArrayRef,
                Arc::new(TimestampMicrosecondArray::from(vec![time])),
                Arc::new(TimestampMicrosecondArray::from(vec![origin])),
            ];
            let arguments = Arguments { arrays: &arrays, constants: &[], gives: &gives };
            bin(&arguments).map(|array| array.as_primitive::<TimestampMicrosecondType>().value(0))
        };
        assert_eq!(begin(8 * DAY, 0).unwrap(), 7 * DAY);
        assert_eq!(begin(-1, 0).unwrap(), -7 * DAY);
        for (time, origin) in [(i64::MIN, 0), (i64::MIN, -1), (i64::MIN, i64::MAX), (i64::MIN + 1, DAY)] {
            assert!(begin(time, origin).is_err(), "{time} from {origin}");
        }
    }
}
