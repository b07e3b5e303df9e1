//! Converts texts to dates and times, and back, as PostgreSQL does.
//!
//! A text is a date `2015-07-15`, optionally followed by a space or a `T` and a time `10:20:30.123456`, and optionally by an offset from
//! UTC. Seconds are rounded to six digits. A timestamp without time zone ignores the offset; one with time zone is in UTC if there is no
//! offset. DataFusion applies an offset that PostgreSQL ignores, truncates digits, and writes a `T` between date and time.
//!
//! A constant that cannot be parsed is refused with the query; any other text fails its row.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion::logical_expr::Expr;

use super::own_function::{Arguments, OwnFunction};
use super::zones::{instant, local};
use crate::value::temporal::{civil_from_days, days_from_civil};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// The cast of a text to `to`: a literal if the text is one. `None` if DataFusion's cast is used.
pub(in crate::sql) fn of_text(text: &Expr, to: &DataType) -> Result<Option<Expr>> {
    let function = match to {
        DataType::Date32 => &TO_DAY,
        to if *to == local() => &TO_LOCAL,
        to if *to == instant() => &TO_INSTANT,
        _ => return Ok(None),
    };
    let Expr::Literal(value, metadata) = text else { return Ok(Some(function.call(vec![text.clone()]))) };
    let Some(text) = value.try_as_str().flatten() else { return Ok(None) };
    let Some(time) = read(text) else {
        let what = if *to == DataType::Date32 { "date" } else { "timestamp" };
        return plan_err!(
            "`{text}` cannot be read as a {what}: write it as {}",
            if what == "date" { "2015-07-15" } else { "2015-07-15 10:20:30" }
        );
    };
    let value = match to {
        DataType::Date32 => ScalarValue::Date32(time.days()),
        DataType::Timestamp(_, None) => ScalarValue::TimestampMicrosecond(Some(time.local), None),
        _ => ScalarValue::TimestampMicrosecond(Some(time.instant), Some(super::zones::UTC.into())),
    };
    Ok(Some(Expr::Literal(value, metadata.clone())))
}

/// The cast of a date or a time of type `from` to text. `None` for other types.
pub(in crate::sql) fn to_text(time: &Expr, from: &DataType) -> Option<Expr> {
    let known = matches!(from, DataType::Date32 | DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_));
    known.then(|| WRITTEN.call(vec![time.clone()]))
}

static TO_DAY: OwnFunction =
    OwnFunction { name: "date", takes: one_text, gives: |_, _| Ok(DataType::Date32), compute: days, shown: Some(argument) };
static TO_LOCAL: OwnFunction =
    OwnFunction { name: "timestamp", takes: one_text, gives: |_, _| Ok(local()), compute: micros, shown: Some(argument) };
static TO_INSTANT: OwnFunction =
    OwnFunction { name: "timestamptz", takes: one_text, gives: |_, _| Ok(instant()), compute: micros, shown: Some(argument) };
static WRITTEN: OwnFunction = OwnFunction {
    name: "text",
    takes: |types| Ok(types.to_vec()),
    gives: |_, _| Ok(DataType::Utf8),
    compute: write,
    shown: Some(argument),
};

/// A cast has the name of its argument.
fn argument(arguments: &[Expr]) -> String {
    arguments[0].schema_name().to_string()
}

fn one_text(_: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![DataType::Utf8])
}

fn unreadable() -> DataFusionError {
    exec_datafusion_err!("a text cannot be read as a date or a time")
}

fn days(arguments: &Arguments) -> Result<ArrayRef> {
    let texts = arguments.arrays[0].as_string::<i32>();
    let day = |text: Option<&str>| text.map(|text| read(text).and_then(|time| time.days()).ok_or_else(unreadable)).transpose();
    let days = texts.iter().map(day).collect::<Result<PrimitiveArray<Date32Type>>>()?;
    Ok(Arc::new(days))
}

fn micros(arguments: &Arguments) -> Result<ArrayRef> {
    let texts = arguments.arrays[0].as_string::<i32>();
    let is_local = *arguments.gives == local();
    let of = |time: ParsedTime| if is_local { time.local } else { time.instant };
    let time = |text: Option<&str>| text.map(|text| read(text).map(of).ok_or_else(unreadable)).transpose();
    let times = texts.iter().map(time).collect::<Result<PrimitiveArray<TimestampMicrosecondType>>>()?;
    Ok(Arc::new(times.with_data_type(arguments.gives.clone())))
}

/// The parts of a parsed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ParsedTime {
    /// The date, in days since 1970-01-01.
    days: i64,
    /// The local time, in microseconds since 1970-01-01T00:00:00.
    local: i64,
    /// The instant, in microseconds since 1970-01-01T00:00:00Z.
    instant: i64,
}

impl ParsedTime {
    fn days(self) -> Option<i32> {
        i32::try_from(self.days).ok()
    }
}

fn read(text: &str) -> Option<ParsedTime> {
    let mut rest = text.trim().as_bytes();
    let year = number(&mut rest, 4..=6)?;
    take(&mut rest, b"-")?;
    let month = number(&mut rest, 1..=2)?;
    take(&mut rest, b"-")?;
    let day = number(&mut rest, 1..=2)?;
    if year == 0 {
        return None;
    }
    let days = days_from_civil(year, month as u32, day as u32)?;
    let midnight = days.checked_mul(DAY)?;
    let is_followed = matches!(rest, [b' ' | b'T' | b't', b'0'..=b'9', ..]);
    let of_day = if is_followed {
        rest = &rest[1..];
        clock(&mut rest)?
    } else {
        0
    };
    let local = midnight.checked_add(of_day)?;
    Some(ParsedTime { days, local, instant: local.checked_sub(offset(rest)?)? })
}

fn clock(rest: &mut &[u8]) -> Option<i64> {
    let hours = number(rest, 1..=2)?;
    take(rest, b":")?;
    let minutes = number(rest, 2..=2)?;
    let (mut seconds, mut fraction) = (0, 0);
    if take(rest, b":").is_some() {
        seconds = number(rest, 2..=2)?;
        if take(rest, b".").is_some() {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let of_second: f64 = format!("0.{}", std::str::from_utf8(&rest[..digits]).ok()?).parse().ok()?;
            fraction = (of_second * SECOND as f64).round_ties_even() as i64;
            *rest = &rest[digits..];
        }
    }
    let of_day = ((hours * 60 + minutes) * 60 + seconds) * SECOND + fraction;
    // 24:00:00 and a leap second are allowed.
    let exists = hours <= 24 && minutes < 60 && (seconds < 60 || (seconds == 60 && fraction == 0)) && (hours < 24 || of_day == DAY);
    exists.then_some(of_day)
}

/// Parses the offset after the time.
fn offset(rest: &[u8]) -> Option<i64> {
    let mut rest = rest.trim_ascii_start();
    if matches!(rest, b"" | b"Z" | b"z" | b"UTC" | b"GMT") {
        return Some(0);
    }
    let sign = match take(&mut rest, b"+") {
        Some(()) => 1,
        None => {
            take(&mut rest, b"-")?;
            -1
        }
    };
    let (hours, minutes) = match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
        4 => {
            let both = number(&mut rest, 4..=4)?;
            (both / 100, both % 100)
        }
        _ => {
            let hours = number(&mut rest, 1..=2)?;
            (hours, if take(&mut rest, b":").is_some() { number(&mut rest, 2..=2)? } else { 0 })
        }
    };
    (rest.is_empty() && hours < 16 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60 * SECOND)
}

fn take(rest: &mut &[u8], what: &[u8]) -> Option<()> {
    *rest = rest.strip_prefix(what)?;
    Some(())
}

fn number(rest: &mut &[u8], digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !digits.contains(&count) {
        return None;
    }
    let value = rest[..count].iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    *rest = &rest[count..];
    Some(value)
}

fn write(arguments: &Arguments) -> Result<ArrayRef> {
    let array = &arguments.arrays[0];
    let texts: StringArray = match array.data_type() {
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>();
            days.iter().map(|days| days.map(|days| day_text(days.into(), "")).transpose()).collect::<Result<_>>()?
        }
        DataType::Timestamp(_, zone) => {
            let behind = if zone.is_some() { "+00" } else { "" };
            let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
            let text = |micros: i64| day_text(micros.div_euclid(DAY), &format!(" {}{behind}", clock_text(micros.rem_euclid(DAY))));
            micros.as_primitive::<TimestampMicrosecondType>().iter().map(|micros| micros.map(text).transpose()).collect::<Result<_>>()?
        }
        _ => {
            let micros = cast(&cast(array, &DataType::Time64(TimeUnit::Microsecond))?, &DataType::Int64)?;
            micros.as_primitive::<datafusion::arrow::datatypes::Int64Type>().iter().map(|micros| micros.map(clock_text)).collect()
        }
    };
    Ok(Arc::new(texts))
}

/// A date followed by `behind`; the year 0 is 1 BC.
fn day_text(days: i64, behind: &str) -> Result<String> {
    let (year, month, day) = civil_from_days(days);
    Ok(match year > 0 {
        true => format!("{year:04}-{month:02}-{day:02}{behind}"),
        false => format!("{:04}-{month:02}-{day:02}{behind} BC", 1 - year),
    })
}

/// A time of day, without trailing zeros in the fraction.
fn clock_text(micros: i64) -> String {
    let (seconds, fraction) = (micros / SECOND, micros % SECOND);
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match fraction {
        0 => text,
        _ => format!("{text}.{}", format!("{fraction:06}").trim_end_matches('0')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last instant that a row stores is 294247-01-10 04:00:54.775807 in UTC.
    #[test]
    fn a_text_beyond_the_last_instant_is_not_read() {
        let last = "294247-01-10 04:00:54.775807";
        assert_eq!(read(last).map(|time| (time.local, time.instant)), Some((i64::MAX, i64::MAX)));
        assert_eq!(read(&format!("{last}+01:00")).map(|time| time.instant), Some(i64::MAX - 3600 * SECOND));
        for beyond in ["294247-01-10 04:00:54.775808", "294247-01-10 04:00:54.775807-00:01", "294247-01-11"] {
            assert_eq!(read(beyond), None, "{beyond}");
        }
    }
}
