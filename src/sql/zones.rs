//! `AT TIME ZONE`: of an instant its local time in the zone, of a local time the instant that it is there, as in PostgreSQL.
//!
//! A local time that a clock skips is read with the offset before; of one that it shows twice it is the later. DataFusion casts to a type that
//! holds the zone, and rows hold instants in UTC: the zone would be lost on the way. No type with another zone than UTC is let into a plan.
//!
//! Zones are those of the IANA database, by the names that have an area (`Europe/Berlin`), and UTC. A number of hours is none: PostgreSQL reads
//! '+02' as west of Greenwich. What clocks show from the year 2100 on is not known to the tables; it is an error of the row.

use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use datafusion::arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, plan_err};

use super::own_function::{Arguments, OwnFunction};

/// The zone of all instants.
pub(super) const UTC: &str = "+00:00";

pub(super) fn local() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

pub(super) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// `timezone(zone, time)`.
pub(super) static FUNCTION: OwnFunction = OwnFunction { name: "timezone", takes, gives, compute, shown: None };

fn takes(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8, time] => Ok(vec![
            DataType::Utf8,
            match time {
                DataType::Timestamp(_, None) => local(),
                // PostgreSQL takes a day for its midnight of the session, which is an instant.
                DataType::Timestamp(_, Some(_)) | DataType::Date32 | DataType::Null => instant(),
                other => return plan_err!("AT TIME ZONE takes a timestamp, and this is {other}: cast it to one"),
            },
        ]),
        [_, _] => plan_err!("the zone of AT TIME ZONE is a constant text such as 'Europe/Berlin'"),
        _ => plan_err!("timezone takes a zone and a timestamp"),
    }
}

fn gives(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    // Before its arguments are known they are asked for as well.
    if let [Some(zone), _] = constants {
        named(zone.try_as_str().flatten())?;
    }
    match types {
        [_, DataType::Timestamp(_, None)] => Ok(instant()),
        _ => Ok(local()),
    }
}

fn named(name: Option<&str>) -> Result<Tz> {
    let Some(name) = name else { return plan_err!("the zone of AT TIME ZONE is a constant text such as 'Europe/Berlin'") };
    let has_area = name.contains('/') || matches!(name, "UTC" | "GMT");
    match Tz::from_str(name) {
        Ok(zone) if has_area => Ok(zone),
        _ if name.starts_with(['+', '-']) => plan_err!("`{name}` is no time zone: name one such as 'Europe/Berlin', or add an interval"),
        _ => plan_err!("there is no time zone `{name}`: they are named as 'Europe/Berlin' is"),
    }
}

fn compute(arguments: &Arguments) -> Result<ArrayRef> {
    let zone = match arguments.constants {
        [Some(_), _] => named(arguments.text(0))?,
        _ => return plan_err!("the zone of AT TIME ZONE is a constant text such as 'Europe/Berlin'"),
    };
    let times = arguments.arrays[1].as_primitive::<TimestampMicrosecondType>();
    let convert = match arguments.gives {
        DataType::Timestamp(_, None) => shown,
        _ => meant,
    };
    let converted = |micros: i64| convert(zone, micros).map_err(|error| ArrowError::ExternalError(Box::new(error)));
    let converted: PrimitiveArray<TimestampMicrosecondType> = times.try_unary(converted)?;
    Ok(Arc::new(converted.with_data_type(arguments.gives.clone())))
}

/// What clocks show at an instant.
fn shown(zone: Tz, micros: i64) -> Result<i64> {
    let utc = naive(micros)?;
    known(zone, utc)?;
    Ok(micros + i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1_000_000)
}

/// The instant at which clocks show it.
fn meant(zone: Tz, micros: i64) -> Result<i64> {
    let local = naive(micros)?;
    known(zone, local)?;
    let offset = match zone.offset_from_local_datetime(&local) {
        MappedLocalTime::Single(offset) => offset,
        MappedLocalTime::Ambiguous(one, other) => {
            // The later instant is that of the smaller offset.
            if one.fix().local_minus_utc() < other.fix().local_minus_utc() { one } else { other }
        }
        // No clock is ever moved by more than a day.
        MappedLocalTime::None => match zone.offset_from_local_datetime(&(local - TimeDelta::days(1))) {
            MappedLocalTime::Single(before) | MappedLocalTime::Ambiguous(_, before) => before,
            MappedLocalTime::None => return Err(exec_datafusion_err!("the zone has no such time")),
        },
    };
    Ok(micros - i64::from(offset.fix().local_minus_utc()) * 1_000_000)
}

fn naive(micros: i64) -> Result<NaiveDateTime> {
    let time = DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc());
    time.ok_or_else(|| exec_datafusion_err!("a time is out of range"))
}

/// Fails from where on the tables say nothing.
fn known(zone: Tz, time: NaiveDateTime) -> Result<(), DataFusionError> {
    let fixed = matches!(zone.name(), "UTC" | "GMT") || zone.name().starts_with("Etc/");
    match fixed || time.year() < 2100 {
        true => Ok(()),
        false => Err(exec_datafusion_err!("what clocks of a time zone show from the year 2100 on is not known")),
    }
}
