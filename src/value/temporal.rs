//! Dates and times as text, parsed by fixed positions, which is fast enough for bulk loading.
//!
//! Values are days since 1970-01-01 for DATE and microseconds for the other types ([`Type`](super::Type)). The calendar is the proleptic
//! Gregorian one. Printing writes exactly `fsp` fraction digits. Parsing refuses nonzero fraction digits beyond `fsp`, and days that do not
//! exist. Elsewhere: how a source treats its zero dates.

/// Why a text is not a value of the type; never contains the value.
pub(super) type InvalidTime = &'static str;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

const DATE_FORM: InvalidTime = "it is not of the form YYYY-MM-DD";
const DATETIME_FORM: InvalidTime = "it is not of the form YYYY-MM-DDTHH:MM:SS";
const TIME_FORM: InvalidTime = "it is not of the form HH:MM:SS";
const NO_SUCH_DAY: InvalidTime = "the calendar has no such day";
const NO_SUCH_TIME: InvalidTime = "the clock has no such time";
const NO_SUCH_ZONE: InvalidTime = "it ends in something that is neither Z nor an offset such as +02:00";
const ZONE_ON_DATETIME: InvalidTime = "it has a zone, which a datetime does not have (a timestamp does)";
const FRACTION_FORM: InvalidTime = "its fraction is not made of digits";
const FRACTION_LONG: InvalidTime = "it has more fractional second digits than the type";
const RANGE: InvalidTime = "it is out of range";

/// Days since 1970-01-01 of `YYYY-MM-DD`, or of `+YYYYY-MM-DD` and `-YYYY-MM-DD` for years outside 0 to 9999.
pub fn parse_date(text: &[u8]) -> Result<i32, InvalidTime> {
    let (days, used) = date_prefix(text).ok_or(DATE_FORM)??;
    if used != text.len() {
        return Err(DATE_FORM);
    }
    Ok(days)
}

/// Microseconds since 1970-01-01T00:00:00 of `YYYY-MM-DDTHH:MM:SS[.ffffff]`, with `T` or a space. A date without a time is its midnight.
pub fn parse_datetime(text: &[u8], fsp: u8) -> Result<i64, InvalidTime> {
    let (micros, rest) = datetime_prefix(text, fsp)?;
    match rest {
        [] => Ok(micros),
        [b'Z' | b'z' | b'+' | b'-', ..] => Err(ZONE_ON_DATETIME),
        _ => Err(DATETIME_FORM),
    }
}

/// Microseconds since 1970-01-01T00:00:00Z: a [datetime](parse_datetime) followed by `Z` or an offset (`+02:00`, `+0200`, `+02`). Without
/// either it is UTC.
pub fn parse_timestamp(text: &[u8], fsp: u8) -> Result<i64, InvalidTime> {
    let (micros, rest) = datetime_prefix(text, fsp)?;
    if let [] | [b'Z' | b'z'] = rest {
        return Ok(micros);
    }
    let (east, digits) = match rest {
        [b'+', digits @ ..] => (true, digits),
        [b'-', digits @ ..] => (false, digits),
        _ => return Err(NO_SUCH_ZONE),
    };
    let (hours, minutes) = match digits {
        [h1, h2] => (two(*h1, *h2), 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (two(*h1, *h2), two(*m1, *m2)),
        _ => return Err(NO_SUCH_ZONE),
    };
    if hours > 23 || minutes > 59 {
        return Err(NO_SUCH_ZONE);
    }
    let offset = (hours * 3600 + minutes * 60) as i64 * SECOND;
    if east { micros.checked_sub(offset) } else { micros.checked_add(offset) }.ok_or(RANGE)
}

/// Microseconds of `[-]HH:MM:SS[.ffffff]`; hours may have more than two digits.
pub fn parse_time(text: &[u8], fsp: u8) -> Result<i64, InvalidTime> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let hour_digits = rest.iter().position(|&b| b == b':').ok_or(TIME_FORM)?;
    if !(1..=9).contains(&hour_digits) || rest.len() < hour_digits + 6 {
        return Err(TIME_FORM);
    }
    let mut hours = 0i64;
    for &byte in &rest[..hour_digits] {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(TIME_FORM);
        }
        hours = hours * 10 + digit as i64;
    }
    let clock = &rest[hour_digits..];
    let (minutes, seconds) = (two(clock[1], clock[2]), two(clock[4], clock[5]));
    if clock[3] != b':' || minutes == BAD || seconds == BAD {
        return Err(TIME_FORM);
    }
    if minutes > 59 || seconds > 59 {
        return Err(NO_SUCH_TIME);
    }
    let (micros, tail) = fraction(&clock[6..], fsp)?;
    if !tail.is_empty() {
        return Err(TIME_FORM);
    }
    let total = (hours * 3600 + minutes as i64 * 60 + seconds as i64) * SECOND + micros;
    Ok(if negative { -total } else { total })
}

/// Appends `YYYY-MM-DD`.
pub fn write_date(days: i32, out: &mut Vec<u8>) {
    let (year, month, day) = civil_from_days(days as i64);
    push_date(year, month, day, out);
}

/// Appends `YYYY-MM-DDTHH:MM:SS` and, if `fsp` is not 0, a point and `fsp` digits.
pub fn write_datetime(micros: i64, fsp: u8, out: &mut Vec<u8>) {
    let (days, of_day) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (year, month, day) = civil_from_days(days);
    push_date(year, month, day, out);
    let seconds = (of_day / SECOND) as u32;
    let [h1, h2] = pair(seconds / 3600);
    let [m1, m2] = pair(seconds / 60 % 60);
    let [s1, s2] = pair(seconds % 60);
    out.extend_from_slice(&[b'T', h1, h2, b':', m1, m2, b':', s1, s2]);
    push_fraction((of_day % SECOND) as u32, fsp, out);
}

/// Same as [`write_datetime`], followed by `Z`.
pub fn write_timestamp(micros: i64, fsp: u8, out: &mut Vec<u8>) {
    write_datetime(micros, fsp, out);
    out.push(b'Z');
}

/// Appends `[-]HH:MM:SS` and, if `fsp` is not 0, a point and `fsp` digits. Hours have at least two digits.
pub fn write_time(micros: i64, fsp: u8, out: &mut Vec<u8>) {
    if micros < 0 {
        out.push(b'-');
    }
    let total = micros.unsigned_abs();
    let seconds = total / SECOND as u64;
    push_number(seconds / 3600, 2, out);
    let [m1, m2] = pair((seconds / 60 % 60) as u32);
    let [s1, s2] = pair((seconds % 60) as u32);
    out.extend_from_slice(&[b':', m1, m2, b':', s1, s2]);
    push_fraction((total % SECOND as u64) as u32, fsp, out);
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar, or `None` if there is no such day.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> Option<i64> {
    if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil: years start in March.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 } as i64;
    let day_of_year = (153 * shifted_month + 2) / 5 + day as i64 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Year, month and day for a number of days since 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    // The same paper, civil_from_days.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    (year_of_era + era * 400 + (month <= 2) as i64, month, day)
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Result of [`two`] for bytes that are not digits; larger than any two digits.
const BAD: u32 = 1000;

fn two(tens: u8, ones: u8) -> u32 {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens > 9 || ones > 9 { BAD } else { tens as u32 * 10 + ones as u32 }
}

/// The days of the date at the start of the text, and the date's length in bytes. `None` if the text does not start with a date.
fn date_prefix(text: &[u8]) -> Option<Result<(i32, usize), InvalidTime>> {
    let (year, at) = match text.first()? {
        b'0'..=b'9' if text.len() >= 10 => {
            let (century, of_century) = (two(text[0], text[1]), two(text[2], text[3]));
            if century == BAD || of_century == BAD {
                return None;
            }
            ((century * 100 + of_century) as i64, 4)
        }
        b'+' | b'-' => signed_year(text)?,
        _ => return None,
    };
    let [b'-', m1, m2, b'-', d1, d2, ..] = text[at..] else { return None };
    let (month, day) = (two(m1, m2), two(d1, d2));
    if month == BAD || day == BAD {
        return None;
    }
    let days = days_from_civil(year, month, day).ok_or(NO_SUCH_DAY);
    Some(days.and_then(|days| Ok((i32::try_from(days).map_err(|_| RANGE)?, at + 6))))
}

fn signed_year(text: &[u8]) -> Option<(i64, usize)> {
    let digits = text[1..].iter().take_while(|b| b.is_ascii_digit()).count();
    if !(4..=7).contains(&digits) {
        return None;
    }
    let year = text[1..1 + digits].iter().fold(0i64, |year, b| year * 10 + (b - b'0') as i64);
    Some((if text[0] == b'-' { -year } else { year }, 1 + digits))
}

/// The microseconds of the date and time at the start of the text, and the rest of the text.
fn datetime_prefix(text: &[u8], fsp: u8) -> Result<(i64, &[u8]), InvalidTime> {
    let (days, used) = date_prefix(text).ok_or(DATETIME_FORM)??;
    let midnight = (days as i64).checked_mul(DAY).ok_or(RANGE)?;
    let rest = &text[used..];
    if rest.is_empty() {
        return Ok((midnight, rest));
    }
    let [b'T' | b't' | b' ', h1, h2, b':', m1, m2, b':', s1, s2, tail @ ..] = rest else { return Err(DATETIME_FORM) };
    let (hours, minutes, seconds) = (two(*h1, *h2), two(*m1, *m2), two(*s1, *s2));
    if hours == BAD || minutes == BAD || seconds == BAD {
        return Err(DATETIME_FORM);
    }
    if hours > 23 || minutes > 59 || seconds > 59 {
        return Err(NO_SUCH_TIME);
    }
    let (micros, tail) = fraction(tail, fsp)?;
    let of_day = (hours * 3600 + minutes * 60 + seconds) as i64 * SECOND + micros;
    Ok((midnight.checked_add(of_day).ok_or(RANGE)?, tail))
}

/// The microseconds of `.ffffff` if the text starts with a point, and the rest of the text.
fn fraction(text: &[u8], fsp: u8) -> Result<(i64, &[u8]), InvalidTime> {
    let [b'.', rest @ ..] = text else { return Ok((0, text)) };
    let (mut micros, mut unit, mut used) = (0i64, SECOND, 0usize);
    for &byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        if digit > 0 && used >= fsp as usize {
            return Err(FRACTION_LONG);
        }
        unit /= 10;
        micros += digit as i64 * unit;
        used += 1;
    }
    if used == 0 { Err(FRACTION_FORM) } else { Ok((micros, &rest[used..])) }
}

fn pair(number: u32) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}

fn push_date(year: i64, month: u32, day: u32, out: &mut Vec<u8>) {
    if !(0..=9999).contains(&year) {
        out.push(if year < 0 { b'-' } else { b'+' });
    }
    push_number(year.unsigned_abs(), 4, out);
    let [m1, m2] = pair(month);
    let [d1, d2] = pair(day);
    out.extend_from_slice(&[b'-', m1, m2, b'-', d1, d2]);
}

/// Appends a number with at least `width` digits.
fn push_number(number: u64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = [b'0'; 20];
    let (mut at, mut rest) = (buffer.len(), number);
    while rest > 0 {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&buffer[at.min(buffer.len() - width)..]);
}

fn push_fraction(micros: u32, fsp: u8, out: &mut Vec<u8>) {
    if fsp == 0 {
        return;
    }
    out.push(b'.');
    let mut rest = micros;
    let mut digits = [0u8; 6];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[..fsp.min(6) as usize]);
}

#[cfg(test)]
mod tests;
