//! Decimal text to unscaled integers and back, exact to 76 digits.
//!
//! In: text such as `-12.50` or `1.25e1` and the column's precision and scale. Out: the unscaled integer (`-1250` at scale 2) as the
//! [`Datum`] of a column of that precision. Printing writes exactly `scale` digits after the point. Nothing goes through a double and
//! nothing is rounded: a value with digits that the column cannot store is an error.

use datafusion::arrow::datatypes::i256;

use super::Datum;

/// Why a text is not a decimal of the type; never contains the value.
pub(super) type InvalidDecimal = &'static str;

const NOT_A_NUMBER: InvalidDecimal = "it is not a decimal number";
const TOO_MANY_FRACTION_DIGITS: InvalidDecimal = "it has more digits after the point than the type";
const TOO_LARGE: InvalidDecimal = "it has more digits before the point than the type";

/// The unscaled integer of a decimal text. A sign, leading zeros, trailing zeros of the fraction and an exponent are allowed.
pub fn parse(text: &[u8], precision: u8, scale: u8) -> Result<Datum<'static>, InvalidDecimal> {
    if let Some(value) = parse_short(text, precision, scale) {
        return Ok(wrap(precision, value as i128));
    }
    parse_long(text, precision, scale)
}

fn wrap(precision: u8, value: i128) -> Datum<'static> {
    if precision <= 38 { Datum::Decimal(value) } else { Datum::Decimal256(i256::from_i128(value)) }
}

/// Fast path: up to 18 digits in total, no exponent, at most `scale` fraction digits. `None` for any other text, also an invalid one.
fn parse_short(text: &[u8], precision: u8, scale: u8) -> Option<i64> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let (mut value, mut count, mut point) = (0i64, 0usize, None);
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value * 10 + digit as i64;
            count += 1;
        } else if byte == b'.' && point.is_none() {
            point = Some(count);
        } else {
            return None;
        }
    }
    let fraction = count - point.unwrap_or(count);
    let missing = (scale as usize).checked_sub(fraction)?;
    if count == 0 || count + missing > 18 {
        return None;
    }
    let value = value * POWERS[missing];
    if precision < 18 && value >= POWERS[precision as usize] {
        return None;
    }
    Some(if negative { -value } else { value })
}

/// 10^0 to 10^18.
const POWERS: [i64; 19] = {
    let mut powers = [1i64; 19];
    let mut i = 1;
    while i < 19 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// Parses any text: collects the significant digits, shifts the point by the exponent, then fits them to the scale.
fn parse_long(text: &[u8], precision: u8, scale: u8) -> Result<Datum<'static>, InvalidDecimal> {
    let (negative, rest) = split_sign(text);
    let (mantissa, exponent) = match rest.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&rest[..at], parse_exponent(&rest[at + 1..])?),
        None => (rest, 0),
    };
    let (mut digits, mut count) = ([0u8; 76], 0usize);
    // `behind`: fraction digits read so far. `pending_zeroes`: zeroes read since the last nonzero digit; they are stored only if another
    // nonzero digit follows.
    let (mut any, mut behind, mut pending_zeroes, mut point) = (false, 0i64, 0usize, false);
    for &byte in mantissa {
        match byte {
            b'0'..=b'9' => {
                any = true;
                behind += point as i64;
                if byte == b'0' {
                    pending_zeroes += (count > 0) as usize;
                    continue;
                }
                if count + pending_zeroes >= digits.len() {
                    return Err(if point { TOO_MANY_FRACTION_DIGITS } else { TOO_LARGE });
                }
                count += pending_zeroes;
                pending_zeroes = 0;
                digits[count] = byte - b'0';
                count += 1;
            }
            b'.' if !point => point = true,
            _ => return Err(NOT_A_NUMBER),
        }
    }
    if !any {
        return Err(NOT_A_NUMBER);
    }
    if count == 0 {
        return Ok(wrap(precision, 0));
    }
    // value = digits * 10^power
    let power = pending_zeroes as i64 - behind + exponent;
    let shift = power + scale as i64;
    if shift < 0 {
        return Err(TOO_MANY_FRACTION_DIGITS);
    }
    if count as i64 + shift > precision as i64 {
        return Err(TOO_LARGE);
    }
    let shift = shift as usize;
    if precision <= 38 {
        let value = digits[..count].iter().fold(0i128, |v, &d| v * 10 + d as i128) * 10i128.pow(shift as u32);
        return Ok(Datum::Decimal(if negative { -value } else { value }));
    }
    let ten = i256::from_i128(10);
    let mut value = i256::ZERO;
    // The array is zero after the stored digits.
    for &digit in &digits[..count + shift] {
        value = value.wrapping_mul(ten).wrapping_add(i256::from_i128(digit as i128));
    }
    Ok(Datum::Decimal256(if negative { value.wrapping_neg() } else { value }))
}

fn parse_exponent(text: &[u8]) -> Result<i64, InvalidDecimal> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() {
        return Err(NOT_A_NUMBER);
    }
    let mut value = 0i64;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return Err(NOT_A_NUMBER);
        }
        // Capped to avoid overflow: an exponent this large gives the same error as any larger one.
        value = (value * 10 + (byte - b'0') as i64).min(1_000_000);
    }
    Ok(if negative { -value } else { value })
}

/// The quotient, rounded half away from zero. `None` if the divisor is 0 or the quotient does not fit.
pub fn quotient(dividend: i128, divisor: i128) -> Option<i128> {
    let quotient = match (i64::try_from(dividend), i64::try_from(divisor)) {
        // Much faster, and enough for most numbers.
        (Ok(dividend), Ok(divisor)) if divisor != -1 => i128::from(dividend.checked_div(divisor)?),
        _ => dividend.checked_div(divisor)?,
    };
    let rest = dividend - quotient * divisor;
    let rounds = rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
    Some(if rounds { quotient + dividend.signum() * divisor.signum() } else { quotient })
}

/// Same as [`quotient`], for more than 38 digits.
pub fn quotient_i256(dividend: i256, divisor: i256) -> Option<i256> {
    let (quotient, rest) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
    let rounds = rest.wrapping_abs() >= divisor.wrapping_abs().wrapping_sub(rest.wrapping_abs());
    let away = i256::from_i128(if dividend.is_negative() == divisor.is_negative() { 1 } else { -1 });
    Some(if rounds { quotient.wrapping_add(away) } else { quotient })
}

/// Appends the decimal text with exactly `scale` digits after the point.
pub fn write(unscaled: i128, scale: u8, out: &mut Vec<u8>) {
    let mut buffer = [0u8; 40];
    let mut at = buffer.len();
    let mut rest = unscaled.unsigned_abs();
    while rest > u64::MAX as u128 {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut rest = rest as u64;
    while rest > 0 {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    write_digits(unscaled < 0, &buffer[at..], scale, out);
}

/// Same as [`write()`], for decimals of more than 38 digits.
pub fn write_i256(unscaled: i256, scale: u8, out: &mut Vec<u8>) {
    match unscaled.to_i128() {
        Some(small) => write(small, scale, out),
        None => {
            let text = unscaled.to_string();
            let (negative, digits) = split_sign(text.as_bytes());
            write_digits(negative, digits, scale, out);
        }
    }
}

fn write_digits(negative: bool, digits: &[u8], scale: u8, out: &mut Vec<u8>) {
    let scale = scale as usize;
    if negative {
        out.push(b'-');
    }
    let whole = digits.len().saturating_sub(scale);
    match whole {
        0 => out.push(b'0'),
        _ => out.extend_from_slice(&digits[..whole]),
    }
    if scale > 0 {
        out.push(b'.');
        out.resize(out.len() + scale - (digits.len() - whole), b'0');
        out.extend_from_slice(&digits[whole..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str, precision: u8, scale: u8) -> Result<String, InvalidDecimal> {
        let mut out = Vec::new();
        match parse(text.as_bytes(), precision, scale)? {
            Datum::Decimal(v) => write(v, scale, &mut out),
            Datum::Decimal256(v) => write_i256(v, scale, &mut out),
            other => panic!("{other:?}"),
        }
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn prints_exactly_scale_digits() {
        assert_eq!(round("10.5", 10, 2).unwrap(), "10.50");
        assert_eq!(round("-0.05", 10, 2).unwrap(), "-0.05");
        assert_eq!(round("0", 10, 2).unwrap(), "0.00");
        assert_eq!(round("-0", 10, 2).unwrap(), "0.00");
        assert_eq!(round(".5", 10, 2).unwrap(), "0.50");
        assert_eq!(round("+7.", 10, 0).unwrap(), "7");
        assert_eq!(round("000000000000000000000000000000000000001.10", 4, 1).unwrap(), "1.1");
        assert_eq!(round("1.25e1", 4, 1).unwrap(), "12.5");
        assert_eq!(round("1250E-2", 4, 1).unwrap(), "12.5");
        assert_eq!(round("0e999999999999999999999", 4, 1).unwrap(), "0.0");
        assert_eq!(round("0.000000000000000000000000000001", 30, 30).unwrap(), "0.000000000000000000000000000001");
    }

    #[test]
    fn keeps_65_and_76_digits() {
        for digits in [19, 38, 39, 65, 76] {
            for scale in [0, 1, 30] {
                let scale = scale.min(digits - 1);
                let mut text = "9".repeat(digits - scale);
                if scale > 0 {
                    text = format!("{text}.{}", "9".repeat(scale));
                }
                for text in [text.clone(), format!("-{text}")] {
                    assert_eq!(round(&text, digits as u8, scale as u8).unwrap(), text, "{digits} {scale}");
                }
            }
        }
    }

    #[test]
    fn refuses_what_the_type_cannot_hold() {
        assert_eq!(round("1.005", 10, 2), Err(TOO_MANY_FRACTION_DIGITS));
        assert_eq!(round("1.000", 10, 2).unwrap(), "1.00");
        assert_eq!(round("100", 4, 2), Err(TOO_LARGE));
        assert_eq!(round("99.99", 4, 2).unwrap(), "99.99");
        assert_eq!(round("1e400", 65, 2), Err(TOO_LARGE));
        assert_eq!(round("1e-400", 65, 30), Err(TOO_MANY_FRACTION_DIGITS));
        assert_eq!(round(&"9".repeat(77), 76, 0), Err(TOO_LARGE));
        for bad in ["", "-", ".", "1.2.3", "1e", "1e+", "abc", "1 ", " 1", "--1", "0x1", "1_0", "NaN"] {
            assert_eq!(round(bad, 10, 2), Err(NOT_A_NUMBER), "{bad}");
        }
    }

    #[test]
    fn quotients_are_rounded_half_away_from_zero() {
        let most = 99_999_999_999_999_999_999_999_999_999_999_999_999i128;
        for (dividend, divisor, right) in [
            (2, 3, 1),
            (1, 3, 0),
            (1, 2, 1),
            (-1, 2, -1),
            (1, -2, -1),
            (-1, -2, 1),
            (-5, 3, -2),
            (i128::from(i64::MIN), -1, 1 << 63),
            (most, 2, most / 2 + 1),
            (-most, 2, -(most / 2) - 1),
            (most, most - 1, 1),
            (most / 2 + 1, most, 1),
            (most / 2, most, 0),
            (i128::MAX, i128::MIN, -1),
        ] {
            assert_eq!(quotient(dividend, divisor), Some(right), "{dividend} / {divisor}");
            let wide = quotient_i256(i256::from_i128(dividend), i256::from_i128(divisor));
            assert_eq!(wide, Some(i256::from_i128(right)), "{dividend} / {divisor}");
        }
        assert_eq!((quotient(1, 0), quotient(i128::MIN, -1)), (None, None));
        assert_eq!(quotient_i256(i256::ONE, i256::ZERO), None);
    }
}
