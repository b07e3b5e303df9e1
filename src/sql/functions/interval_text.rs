//! Parses interval literals in PostgreSQL's syntax: units with fractions, a clock, years and months, `ago`.
//!
//! ```text
//! 1 year 2 months 3 days 04:05:06.789   -1.5 hours   1 week   2 decades   1-2   1 10:20:30   5 days ago
//! ```
//! A fraction of a year becomes months, of a month days (30 per month), of a week days, of a day time; seconds are rounded to six digits.
//! In: such a text. Out: an equal text of months, days and microseconds, which DataFusion parses to the same interval. Can be removed when
//! DataFusion parses `1 day 10:20:30`.

/// `None` if the text is not an interval in this syntax.
pub(in crate::sql) fn in_plain_words(text: &str, unit: Option<&str>) -> Option<String> {
    let mut interval = ParsedInterval::default();
    // A unit after the literal is the smallest unit; smaller parts are dropped.
    let text = match unit {
        Some(unit) if text.parse::<f64>().is_err() => return unit.eq_ignore_ascii_case("second").then(|| in_plain_words(text, None))?,
        Some(unit) if !unit.eq_ignore_ascii_case("second") => text.split_once('.').map_or(text, |(whole, _)| whole),
        _ => text,
    };
    let mut words: Vec<&str> = text.split_whitespace().filter(|word| *word != "@").collect();
    let ago = words.last().is_some_and(|word| word.eq_ignore_ascii_case("ago"));
    if ago {
        words.pop();
    }
    if words.is_empty() {
        return None;
    }
    let mut rest = words.as_slice();
    while let [word, behind @ ..] = rest {
        rest = behind;
        if word.contains(':') {
            interval.add_clock(word)?;
            continue;
        }
        if let Some((years, months)) = years_and_months(word) {
            interval.months = interval.months.checked_add(years * 12 + months)?;
            continue;
        }
        let digits = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
        let (number, glued) = word.split_at(digits);
        let named = match (glued, behind) {
            ("", [next, after @ ..]) if next.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                rest = after;
                *next
            }
            // A number before a clock is a number of days.
            ("", [next, ..]) if next.contains(':') => "day",
            ("", []) => unit.unwrap_or("second"),
            ("", _) => return None,
            (glued, _) => glued,
        };
        interval.add(number, &named.to_ascii_lowercase())?;
    }
    let sign = if ago { -1 } else { 1 };
    let (months, days) = (i32::try_from(sign * interval.months).ok()?, i32::try_from(sign * interval.days).ok()?);
    let micros = i64::try_from(i128::from(sign) * interval.micros).ok()?;
    Some(format!("{months} months {days} days {micros} microseconds"))
}

#[derive(Default)]
struct ParsedInterval {
    months: i64,
    days: i64,
    micros: i128,
}

const SECOND: f64 = 1e6;
const DAY: f64 = 86_400.0 * SECOND;

impl ParsedInterval {
    fn add(&mut self, number: &str, unit: &str) -> Option<()> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (sign, digits) = signed(number);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        if !(is_number(whole) || whole.is_empty()) || !is_number(fraction) || digits.is_empty() {
            return None;
        }
        let whole = sign * if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()? };
        let fraction = sign as f64 * format!("0.{fraction}").parse::<f64>().ok()?;
        match unit {
            "microsecond" | "microseconds" | "us" | "usec" | "usecs" => self.add_time(whole, fraction, 1.0),
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" => self.add_time(whole, fraction, 1000.0),
            "second" | "seconds" | "s" | "sec" | "secs" => self.add_time(whole, fraction, SECOND),
            "minute" | "minutes" | "m" | "min" | "mins" => self.add_time(whole, fraction, 60.0 * SECOND),
            "hour" | "hours" | "h" | "hr" | "hrs" => self.add_time(whole, fraction, 3600.0 * SECOND),
            "day" | "days" | "d" => self.add_days(whole, fraction, 1),
            "week" | "weeks" | "w" => self.add_days(whole, fraction, 7),
            "month" | "months" | "mon" | "mons" => {
                self.months = self.months.checked_add(whole)?;
                self.add_days(0, fraction, 30)
            }
            "year" | "years" | "y" | "yr" | "yrs" => self.add_years(whole, fraction, 1),
            "decade" | "decades" | "dec" | "decs" => self.add_years(whole, fraction, 10),
            "century" | "centuries" | "c" | "cent" => self.add_years(whole, fraction, 100),
            "millennium" | "millennia" | "mil" | "mils" => self.add_years(whole, fraction, 1000),
            _ => None,
        }
    }

    fn add_time(&mut self, whole: i64, fraction: f64, micros: f64) -> Option<()> {
        self.micros += i128::from(whole) * micros as i128 + (fraction * micros).round_ties_even() as i128;
        Some(())
    }

    fn add_days(&mut self, whole: i64, fraction: f64, days: i64) -> Option<()> {
        let of_fraction = fraction * days as f64;
        self.days = whole.checked_mul(days)?.checked_add(of_fraction.trunc() as i64)?.checked_add(self.days)?;
        self.micros += ((of_fraction - of_fraction.trunc()) * DAY).round_ties_even() as i128;
        Some(())
    }

    fn add_years(&mut self, whole: i64, fraction: f64, years: i64) -> Option<()> {
        let of_fraction = (fraction * (years * 12) as f64).round_ties_even() as i64;
        self.months = whole.checked_mul(years * 12)?.checked_add(of_fraction)?.checked_add(self.months)?;
        Some(())
    }

    fn add_clock(&mut self, word: &str) -> Option<()> {
        let (sign, clock) = signed(word);
        let mut parts = clock.split(':');
        let (hours, minutes) = (whole_number(parts.next()?)?, whole_number(parts.next()?)?);
        let seconds = parts.next().unwrap_or("0");
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
        let (seconds, fraction) = (whole_number(whole)?, format!("0.{}", whole_number(fraction).map(|_| fraction)?).parse::<f64>().ok()?);
        if parts.next().is_some() || minutes > 59 || seconds > 59 {
            return None;
        }
        let micros =
            i128::from((hours.checked_mul(60)? + minutes) * 60 + seconds) * 1_000_000 + (fraction * SECOND).round_ties_even() as i128;
        self.micros += i128::from(sign) * micros;
        Some(())
    }
}

fn signed(text: &str) -> (i64, &str) {
    match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(rest), _) => (-1, rest),
        (_, Some(rest)) => (1, rest),
        _ => (1, text),
    }
}

fn whole_number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() < 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Parses `1-2`.
fn years_and_months(word: &str) -> Option<(i64, i64)> {
    let (sign, rest) = signed(word);
    let (years, months) = rest.split_once('-')?;
    let (years, months) = (whole_number(years)?, whole_number(months)?);
    (months < 12).then_some((sign * years, sign * months))
}
