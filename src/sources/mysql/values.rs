//! Converts MySQL values to engine values. Snapshots and the log share this code, so both give the same rows.
//!
//! In: the parts of a value (year, month, day; seconds and microseconds; bytes in a charset) from the binary protocol or a row event. Out: a
//! value pushed onto a [`RowBuilder`]. Elsewhere: extracting the parts from a `SELECT` (`select`) or a row event (`binlog::decode`), and
//! decoding charsets (`charset`) and binary JSON (`jsonb`).

use std::fmt::Write;

use datafusion::arrow::datatypes::i256;
use serde::Deserialize;

use super::charset::Charset;
use crate::value::{Datum, RowBuilder};

/// What to do with dates that do not exist in the calendar, such as `0000-00-00` and `2024-02-00`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ZeroDates {
    #[default]
    Null,
    Text,
    Error,
}

/// Why a value cannot be converted. The message does not contain the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValueError {
    #[error("a date that no calendar has")]
    ZeroDate,
    #[error("text that is not JSON")]
    NotJson,
    #[error("{0}")]
    Malformed(&'static str),
    /// The column does not have the expected type.
    #[error("a value of another type")]
    OtherType,
}

/// A calendar date and time of day as the server stores it; every part may be zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Calendar {
    pub(crate) year: u16,
    pub(crate) month: u8,
    pub(crate) day: u8,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
    pub(crate) micros: u32,
}

impl Calendar {
    /// Days since 1970-01-01, or `None` if the date does not exist. Year 0 is a year like any other.
    pub(crate) fn days(&self) -> Option<i32> {
        let longest = match self.month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400)) => 29,
            2 => 28,
            _ => return None,
        };
        if self.day == 0 || self.day > longest {
            return None;
        }
        Some(days_from_civil(self.year as i32, self.month as i32, self.day as i32))
    }

    /// Microseconds since 1970-01-01T00:00:00 of the same calendar.
    pub(crate) fn micros_since_epoch(&self) -> Option<i64> {
        let seconds = (self.hour as i64 * 60 + self.minute as i64) * 60 + self.second as i64;
        Some((self.days()? as i64 * 86_400 + seconds) * 1_000_000 + self.micros as i64)
    }

    /// The inverse of [`Calendar::micros_since_epoch`], for instants from year 0 to 9999.
    pub(crate) fn from_micros(micros: i64) -> Calendar {
        let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
        let (year, month, day) = civil_from_days(days as i32);
        let seconds = rest / 1_000_000;
        Calendar {
            year: year as u16,
            month: month as u8,
            day: day as u8,
            hour: (seconds / 3600) as u8,
            minute: (seconds / 60 % 60) as u8,
            second: (seconds % 60) as u8,
            micros: (rest % 1_000_000) as u32,
        }
    }

    fn write_date(&self, out: &mut String) {
        let _ = write!(out, "{:04}-{:02}-{:02}", self.year, self.month, self.day);
    }

    /// Writes the date and time as the server prints it.
    fn write_date_time(&self, fsp: u8, out: &mut String) {
        self.write_date(out);
        let _ = write!(out, " {:02}:{:02}:{:02}", self.hour, self.minute, self.second);
        if fsp > 0 {
            let fraction = self.micros / 10u32.pow(6 - fsp as u32);
            let _ = write!(out, ".{fraction:0width$}", width = fsp as usize);
        }
    }
}

/// `days_from_civil` of Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i32, month: i32, day: i32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// `civil_from_days` of the same source.
fn civil_from_days(days: i32) -> (i32, i32, i32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i32::from(month <= 2), month, day)
}

/// Pushes values onto rows. One writer serves any number of rows.
#[derive(Debug, Default)]
pub(crate) struct ValueWriter {
    zero_dates: ZeroDates,
    scratch: String,
}

type Pushed = Result<(), ValueError>;

impl ValueWriter {
    pub(crate) fn new(zero_dates: ZeroDates) -> ValueWriter {
        ValueWriter { zero_dates, scratch: String::new() }
    }

    pub(crate) fn date(&mut self, row: &mut RowBuilder, date: Calendar) -> Pushed {
        if let ZeroDates::Text = self.zero_dates {
            self.scratch.clear();
            date.write_date(&mut self.scratch);
            row.push(Datum::Text(&self.scratch));
            return Ok(());
        }
        match date.days() {
            Some(days) => row.push(Datum::Date(days)),
            None => return self.no_date(row),
        }
        Ok(())
    }

    pub(crate) fn date_time(&mut self, row: &mut RowBuilder, fsp: u8, at: Calendar) -> Pushed {
        if let ZeroDates::Text = self.zero_dates {
            return self.text_date_time(row, fsp, at);
        }
        match at.micros_since_epoch() {
            Some(micros) => row.push(Datum::DateTime(micros)),
            None => return self.no_date(row),
        }
        Ok(())
    }

    /// An instant as its UTC calendar. The all-zero calendar is the server's zero timestamp.
    pub(crate) fn timestamp(&mut self, row: &mut RowBuilder, fsp: u8, utc: Calendar) -> Pushed {
        if let ZeroDates::Text = self.zero_dates {
            return self.text_date_time(row, fsp, utc);
        }
        match utc.micros_since_epoch() {
            Some(micros) => row.push(Datum::Timestamp(micros)),
            None => return self.no_date(row),
        }
        Ok(())
    }

    /// An instant in microseconds since 1970-01-01T00:00:00Z. 0 is the server's zero timestamp.
    pub(crate) fn timestamp_micros(&mut self, row: &mut RowBuilder, fsp: u8, micros: i64) -> Pushed {
        match (micros, self.zero_dates) {
            (0, _) => self.timestamp(row, fsp, Calendar::default()),
            (_, ZeroDates::Text) => self.text_date_time(row, fsp, Calendar::from_micros(micros)),
            _ => {
                row.push(Datum::Timestamp(micros));
                Ok(())
            }
        }
    }

    fn text_date_time(&mut self, row: &mut RowBuilder, fsp: u8, at: Calendar) -> Pushed {
        self.scratch.clear();
        at.write_date_time(fsp, &mut self.scratch);
        row.push(Datum::Text(&self.scratch));
        Ok(())
    }

    fn no_date(&self, row: &mut RowBuilder) -> Pushed {
        if let ZeroDates::Error = self.zero_dates {
            return Err(ValueError::ZeroDate);
        }
        row.push(Datum::Null);
        Ok(())
    }

    /// Text from bytes in a charset. Bytes without a character in the charset become `?`, as at the server.
    pub(crate) fn text(&mut self, row: &mut RowBuilder, charset: Charset, bytes: &[u8]) -> Pushed {
        row.push(Datum::Text(charset.decode(bytes, &mut self.scratch)));
        Ok(())
    }

    /// A JSON document that is already compact.
    pub(crate) fn json(&mut self, row: &mut RowBuilder, text: &str) -> Pushed {
        row.push(Datum::Json(text));
        Ok(())
    }

    /// A JSON document as text in a charset. White space outside of strings is removed, everything else is kept.
    pub(crate) fn json_text(&mut self, row: &mut RowBuilder, charset: Charset, bytes: &[u8]) -> Pushed {
        let text = charset.decode(bytes, &mut self.scratch);
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|_| ValueError::NotJson)?;
        let has_space = text.bytes().any(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
        if !has_space {
            row.push(Datum::Json(text));
            return Ok(());
        }
        row.push(Datum::Json(&compact(text)));
        Ok(())
    }

    /// The labels whose bits are set, as the server prints a SET.
    pub(crate) fn set(&mut self, row: &mut RowBuilder, labels: &[String], bits: u64) -> Pushed {
        if labels.len() < 64 && bits >> labels.len() != 0 {
            return Err(ValueError::Malformed("a SET value without a label"));
        }
        self.scratch.clear();
        for (i, label) in labels.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1) {
            if bits & ((1 << i) - 1) != 0 {
                self.scratch.push(',');
            }
            self.scratch.push_str(label);
        }
        row.push(Datum::Text(&self.scratch));
        Ok(())
    }

    /// The label with this number, counted from 1. 0 is the empty text that the server stores for a value outside of the list.
    pub(crate) fn enumeration(&mut self, row: &mut RowBuilder, labels: &[String], number: u64) -> Pushed {
        let label = match number {
            0 => "",
            n => labels.get(n as usize - 1).ok_or(ValueError::Malformed("an ENUM value without a label"))?,
        };
        row.push(Datum::Text(label));
        Ok(())
    }

    /// Bytes of a fixed-length column. Missing trailing zero bytes are added.
    pub(crate) fn padded(&mut self, row: &mut RowBuilder, length: usize, bytes: &[u8]) -> Pushed {
        if bytes.len() >= length {
            row.push(Datum::Binary(bytes));
            return Ok(());
        }
        let mut whole = Vec::with_capacity(length);
        whole.extend_from_slice(bytes);
        whole.resize(length, 0);
        row.push(Datum::Binary(&whole));
        Ok(())
    }

    /// A geometry as the server stores it (SRID, then WKB). It is pushed as WKB if the SRID is 0, else as EWKB, which includes the SRID.
    pub(crate) fn geometry(&mut self, row: &mut RowBuilder, bytes: &[u8]) -> Pushed {
        const HAS_SRID: u32 = 0x2000_0000;
        let [srid @ .., _, _, _, _, _] = bytes.get(..9).ok_or(ValueError::Malformed("a geometry that is too short"))? else {
            return Err(ValueError::Malformed("a geometry that is too short"));
        };
        if srid == [0; 4] || bytes[4] != 1 {
            row.push(Datum::Binary(&bytes[4..]));
            return Ok(());
        }
        let kind = u32::from_le_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]) | HAS_SRID;
        let mut ewkb = Vec::with_capacity(bytes.len());
        ewkb.push(1);
        ewkb.extend_from_slice(&kind.to_le_bytes());
        ewkb.extend_from_slice(srid);
        ewkb.extend_from_slice(&bytes[9..]);
        row.push(Datum::Binary(&ewkb));
        Ok(())
    }

    /// The 16 bytes of a UUID, in the order in which they are printed.
    pub(crate) fn uuid(&mut self, row: &mut RowBuilder, bytes: &[u8; 16]) -> Pushed {
        self.scratch.clear();
        for (i, byte) in bytes.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                self.scratch.push('-');
            }
            let _ = write!(self.scratch, "{byte:02x}");
        }
        row.push(Datum::Text(&self.scratch));
        Ok(())
    }

    pub(crate) fn inet6(&mut self, row: &mut RowBuilder, bytes: &[u8; 16]) -> Pushed {
        self.scratch.clear();
        let _ = write!(self.scratch, "{}", std::net::Ipv6Addr::from(*bytes));
        row.push(Datum::Text(&self.scratch));
        Ok(())
    }

    pub(crate) fn inet4(&mut self, row: &mut RowBuilder, bytes: &[u8; 4]) -> Pushed {
        self.scratch.clear();
        let _ = write!(self.scratch, "{}", std::net::Ipv4Addr::from(*bytes));
        row.push(Datum::Text(&self.scratch));
        Ok(())
    }
}

/// Removes white space between the tokens of a JSON text.
fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        } else {
            in_string = c == '"';
        }
        out.push(c);
    }
    out
}

/// Parses a decimal as the server prints it, always with exactly `scale` digits after the point, into its unscaled integer.
pub(crate) fn decimal_text(text: &[u8], precision: u8, scale: u8) -> Result<Datum<'static>, ValueError> {
    const NOT_DECIMAL: ValueError = ValueError::OtherType;
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let behind = digits.iter().rposition(|&b| b == b'.').map_or(0, |at| digits.len() - at - 1);
    if behind != scale as usize || digits.is_empty() {
        return Err(NOT_DECIMAL);
    }
    let numerals = digits.iter().filter(|&&b| b != b'.');
    if numerals.clone().any(|b| !b.is_ascii_digit()) || numerals.clone().count() > precision as usize + 1 {
        return Err(NOT_DECIMAL);
    }
    if precision <= 38 {
        let value = numerals.fold(0i128, |v, &b| v * 10 + (b - b'0') as i128);
        return Ok(Datum::Decimal(if negative { -value } else { value }));
    }
    let ten = i256::from_i128(10);
    let value = numerals.fold(i256::ZERO, |v, &b| v.wrapping_mul(ten).wrapping_add(i256::from_i128((b - b'0') as i128)));
    Ok(Datum::Decimal256(if negative { value.wrapping_neg() } else { value }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_ten_thousand_years_comes_back() {
        let (first, last) = (days_from_civil(0, 1, 1), days_from_civil(9999, 12, 31));
        let mut before = None;
        for days in first..=last {
            let (year, month, day) = civil_from_days(days);
            assert!(before < Some((year, month, day)));
            before = Some((year, month, day));
            let calendar = Calendar { year: year as u16, month: month as u8, day: day as u8, ..Default::default() };
            assert_eq!(calendar.days(), Some(days));
        }
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        assert_eq!(days_from_civil(2000, 3, 1), 11_017);
    }

    #[test]
    fn dates_that_no_calendar_has_are_seen() {
        let days = |year, month, day| Calendar { year, month, day, ..Default::default() }.days();
        assert_eq!(days(0, 0, 0), None);
        assert_eq!(days(2024, 0, 10), None);
        assert_eq!(days(2024, 2, 0), None);
        assert_eq!(days(2023, 2, 29), None);
        assert!(days(2024, 2, 29).is_some());
        assert_eq!(days(1900, 2, 29), None);
    }

    #[test]
    fn decimals_are_exact_and_keep_their_scale() {
        assert_eq!(decimal_text(b"-12.50", 10, 2), Ok(Datum::Decimal(-1250)));
        assert_eq!(decimal_text(b"0.00", 2, 2), Ok(Datum::Decimal(0)));
        assert_eq!(decimal_text(b"7", 1, 0), Ok(Datum::Decimal(7)));
        let nines = "9".repeat(65);
        let Ok(Datum::Decimal256(value)) = decimal_text(nines.as_bytes(), 65, 0) else { panic!("65 digits fit") };
        assert_eq!(value.to_string(), nines);
        assert!(decimal_text(b"1.5", 10, 2).is_err());
        assert!(decimal_text(b"1e2", 10, 0).is_err());
    }

    #[test]
    fn compact_json_keeps_strings() {
        assert_eq!(compact(r#"{ "a b" : [1, 2],"c":" \" ] " }"#), r#"{"a b":[1,2],"c":" \" ] "}"#);
    }
}
