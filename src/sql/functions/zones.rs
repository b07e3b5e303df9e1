//! `AT TIME ZONE`: an instant to the local time of a zone, and a local time of a zone to the instant, as in PostgreSQL.
//!
//! A local time that is skipped is interpreted with the offset before the change; one that occurs twice is the later instant. DataFusion
//! casts to a type that contains the zone, but rows store instants in UTC, so the zone would be lost. A plan contains no type with a zone
//! other than UTC.
//!
//! Zones are those of the IANA database with an area in their name (`Europe/Berlin`), and UTC and GMT. An offset is not a zone: PostgreSQL
//! reads '+02' as west of Greenwich. The tables do not cover the year 2100 and later: such a time fails its row.

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
pub(in crate::sql) const UTC: &str = "+00:00";

pub(in crate::sql) fn local() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

pub(in crate::sql) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// The function `timezone(zone, time)`.
pub(in crate::sql) static FUNCTION: OwnFunction = OwnFunction { name: "timezone", takes, gives, compute, shown: None };

fn takes(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8, time] => Ok(vec![
            DataType::Utf8,
            match time {
                DataType::Timestamp(_, None) => local(),
                // PostgreSQL interprets a date as its midnight in the zone of the session, which is an instant.
                DataType::Timestamp(_, Some(_)) | DataType::Date32 | DataType::Null => instant(),
                other => return plan_err!("AT TIME ZONE takes a timestamp, and this is {other}: cast it to one"),
            },
        ]),
        [_, _] => plan_err!("the zone of AT TIME ZONE must be a constant text such as 'Europe/Berlin'"),
        _ => plan_err!("timezone takes a zone and a timestamp"),
    }
}

fn gives(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    // DataFusion also asks for the type before the arguments are known.
    if let [Some(zone), _] = constants {
        named(zone.try_as_str().flatten())?;
    }
    match types {
        [_, DataType::Timestamp(_, None)] => Ok(instant()),
        _ => Ok(local()),
    }
}

fn named(name: Option<&str>) -> Result<Tz> {
    let Some(name) = name else { return plan_err!("the zone of AT TIME ZONE must be a constant text such as 'Europe/Berlin'") };
    let has_area = name.contains('/') || matches!(name, "UTC" | "GMT");
    match Tz::from_str(name) {
        Ok(zone) if has_area => Ok(zone),
        _ if name.starts_with(['+', '-']) => plan_err!("`{name}` is not a time zone: use one such as 'Europe/Berlin', or add an interval"),
        _ => plan_err!("there is no time zone `{name}`: use a name such as 'Europe/Berlin'"),
    }
}

fn compute(arguments: &Arguments) -> Result<ArrayRef> {
    let zone = match arguments.constants {
        [Some(_), _] => named(arguments.text(0))?,
        _ => return plan_err!("the zone of AT TIME ZONE must be a constant text such as 'Europe/Berlin'"),
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

/// The local time at an instant.
fn shown(zone: Tz, micros: i64) -> Result<i64> {
    let utc = naive(micros)?;
    known(zone, utc)?;
    Ok(micros + i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1_000_000)
}

/// The instant of a local time.
fn meant(zone: Tz, micros: i64) -> Result<i64> {
    let local = naive(micros)?;
    known(zone, local)?;
    let offset = match zone.offset_from_local_datetime(&local) {
        MappedLocalTime::Single(offset) => offset,
        MappedLocalTime::Ambiguous(one, other) => {
            // The later instant has the smaller offset.
            if one.fix().local_minus_utc() < other.fix().local_minus_utc() { one } else { other }
        }
        // No zone ever changes its offset by more than a day.
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

/// Fails for times that the tables do not cover.
fn known(zone: Tz, time: NaiveDateTime) -> Result<(), DataFusionError> {
    let fixed = matches!(zone.name(), "UTC" | "GMT") || zone.name().starts_with("Etc/");
    match fixed || time.year() < 2100 {
        true => Ok(()),
        false => Err(exec_datafusion_err!("local times of a time zone from the year 2100 on are not known")),
    }
}
