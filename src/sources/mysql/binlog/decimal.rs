//! Decodes the server's packed decimals, which are used in rows and in binary JSON.

use datafusion::arrow::datatypes::i256;

use super::bytes::{Bytes, Truncated};
use crate::value::Datum;

/// Why the bytes are not a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecimalError {
    Truncated,
    TooLong,
}

impl From<Truncated> for DecimalError {
    fn from(_: Truncated) -> DecimalError {
        DecimalError::Truncated
    }
}

/// By the number of digits of an incomplete group: its bytes.
const BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// The number of bytes of a decimal.
pub(crate) fn packed_length(precision: u8, scale: u8) -> usize {
    let (whole, fraction) = (precision.saturating_sub(scale) as usize, scale as usize);
    whole / 9 * 4 + BYTES[whole % 9] + fraction / 9 * 4 + BYTES[fraction % 9]
}

/// Groups of nine digits are four bytes each; the odd digits at both outer ends take as few bytes as they need. Big endian. A negative
/// number has all bits inverted, and the first bit is inverted once more (`strings/decimal.c`).
pub(crate) fn decimal(bytes: &mut Bytes, precision: u8, scale: u8) -> Result<Datum<'static>, DecimalError> {
    let (whole, fraction) = ((precision - scale) as usize, scale as usize);
    let length = packed_length(precision, scale);
    let stored = bytes.take(length)?;
    let mut plain = [0u8; 40];
    let plain = plain.get_mut(..length).ok_or(DecimalError::TooLong)?;
    let negative = stored.first().ok_or(Truncated)? & 0x80 == 0;
    let invert = if negative { 0xff } else { 0 };
    for (to, from) in plain.iter_mut().zip(stored) {
        *to = from ^ invert;
    }
    plain[0] ^= 0x80;
    let mut rest = Bytes(plain);
    let groups = [whole % 9].into_iter().chain(std::iter::repeat_n(9, whole / 9 + fraction / 9)).chain([fraction % 9]);
    if precision <= 38 {
        let mut value = 0i128;
        for digits in groups {
            value = value * 10i128.pow(digits as u32) + rest.be(BYTES[digits])? as i128;
        }
        return Ok(Datum::Decimal(if negative { -value } else { value }));
    }
    let mut value = i256::ZERO;
    for digits in groups {
        let group = i256::from_i128(rest.be(BYTES[digits])? as i128);
        value = value.wrapping_mul(i256::from_i128(10i128.pow(digits as u32))).wrapping_add(group);
    }
    Ok(Datum::Decimal256(if negative { value.wrapping_neg() } else { value }))
}
