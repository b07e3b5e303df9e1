//! Sums of doubles, and of products of two doubles, without any rounding.
//!
//! A finite double is an integer times a power of two, and so is a product of two of them. A sum is one integer in units of 2^-2176, of
//! which only the limbs between the lowest and the highest bit in use are stored. So a sum does not depend on the order of additions, and a
//! value that is added and subtracted again leaves nothing. A sum is rounded only when it is read, to the nearest double, ties to even
//! ([`Number`]).
//!
//! Written form: the place of the lowest limb and the number of limbs (a byte each), then the limbs, little endian.

mod number;
#[cfg(test)]
mod tests;

pub(super) use self::number::Number;
use super::aggregate::take;
use crate::dataflow::held::memory::{HeapSize, block};
use crate::value::Diff;
use datafusion::arrow::datatypes::i256;

/// The exponent of the lowest bit of the limb at place 0. No product of doubles has a bit below it.
const LOWEST: i32 = -2176;
/// How many limbs are stored inline, enough for numbers of usual sizes.
const FEW: usize = 3;

#[derive(Debug, Clone)]
pub(super) struct Exact(Limbs);

/// Two's complement. `low` is the place of the first limb.
#[derive(Debug, Clone)]
enum Limbs {
    Few { low: u8, limbs: [u64; FEW] },
    Many { low: u8, limbs: Vec<u64> },
}

impl Default for Exact {
    fn default() -> Exact {
        Exact(Limbs::Few { low: 0, limbs: [0; FEW] })
    }
}

impl HeapSize for Exact {
    fn held_bytes(&self) -> usize {
        match &self.0 {
            Limbs::Few { .. } => 0,
            Limbs::Many { limbs, .. } => block(limbs.capacity() * size_of::<u64>()),
        }
    }
}

impl Exact {
    /// Adds `diff` times a finite double.
    #[inline]
    pub(super) fn add(&mut self, value: f64, diff: Diff) {
        let (mantissa, exponent) = parts(value);
        self.add_scaled(mantissa.into(), exponent, diff);
    }

    /// Adds `diff` times the product of two finite doubles.
    pub(super) fn add_product(&mut self, a: f64, b: f64, diff: Diff) {
        let ((m, e), (n, f)) = (parts(a), parts(b));
        self.add_scaled(i128::from(m) * i128::from(n), e + f, diff);
    }

    fn add_scaled(&mut self, mantissa: i128, exponent: i32, diff: Diff) {
        let bit = (exponent - LOWEST) as usize;
        let (at, shift) = (bit / 64, bit % 64);
        let scaled = match diff {
            1 => Some(mantissa),
            -1 => Some(-mantissa),
            _ => None,
        };
        match scaled.filter(|scaled| scaled.unsigned_abs() < 1 << 63) {
            Some(scaled) => {
                let shifted = scaled << shift;
                self.add_limbs(at, &[shifted as u64, (shifted >> 64) as u64]);
            }
            None => {
                // At most 106 and 64 bits, shifted by less than 64: fits in 256 bits.
                let product = i256::from_i128(mantissa).wrapping_mul(i256::from_i128(diff.into())) << shift as u8;
                let (low, high) = product.to_parts();
                self.add_limbs(at, &[low as u64, (low >> 64) as u64, high as u64, (high >> 64) as u64]);
            }
        }
    }

    #[cfg(test)]
    fn is_zero(&self) -> bool {
        self.limbs().1.iter().all(|limb| *limb == 0)
    }

    pub(super) fn number(&self) -> Number {
        let (low, limbs) = self.limbs();
        Number::of_limbs(limbs, LOWEST + 64 * low as i32)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (low, limbs) = self.limbs();
        let limbs = without_needless(limbs);
        out.extend_from_slice(&[low as u8, limbs.len() as u8]);
        limbs.iter().for_each(|limb| out.extend_from_slice(&limb.to_le_bytes()));
    }

    pub(super) fn merge(&mut self, bytes: &mut &[u8]) {
        let [low, count] = take(bytes);
        // At most 80 limbs: from the lowest bit of a product to the highest one, and 63 more for the count.
        let mut limbs = [0u64; 80];
        limbs[..count as usize].iter_mut().for_each(|limb| *limb = u64::from_le_bytes(take(bytes)));
        self.add_limbs(low as usize, &limbs[..count as usize]);
    }

    fn limbs(&self) -> (usize, &[u64]) {
        match &self.0 {
            Limbs::Few { low, limbs } => (*low as usize, limbs),
            Limbs::Many { low, limbs } => (*low as usize, limbs),
        }
    }

    /// Adds a number in two's complement whose first limb is at the place `at`.
    #[inline]
    fn add_limbs(&mut self, at: usize, limbs: &[u64]) {
        let limbs = without_needless(limbs);
        if limbs.is_empty() {
            return;
        }
        if let Limbs::Few { low, limbs: few } = &mut self.0
            && at >= *low as usize
            && at + limbs.len() <= *low as usize + FEW
        {
            let from = at - *low as usize;
            if let Some(above) = add_into(few, from, limbs) {
                let limbs = few.iter().copied().chain([above]).collect();
                self.0 = Limbs::Many { low: *low, limbs };
            }
            return;
        }
        self.add_widely(at, limbs);
    }

    #[cold]
    fn add_widely(&mut self, at: usize, more: &[u64]) {
        let (low, limbs) = match std::mem::take(self).0 {
            Limbs::Few { low, limbs } => (low as usize, limbs.to_vec()),
            Limbs::Many { low, limbs } => (low as usize, limbs),
        };
        let zeros = limbs.iter().take_while(|limb| **limb == 0).count();
        // The stored limbs without the lowest ones that are zero.
        let (mut low, mut limbs) = match zeros == limbs.len() {
            true => (at, Vec::new()),
            false => (low + zeros, limbs[zeros..].to_vec()),
        };
        if at < low {
            limbs.splice(0..0, std::iter::repeat_n(0, low - at));
            low = at;
        }
        let needed = (at - low + more.len()).max(limbs.len());
        limbs.resize(needed, sign(&limbs));
        if let Some(above) = add_into(&mut limbs, at - low, more) {
            limbs.push(above);
        }
        let length = without_needless(&limbs).len();
        self.0 = match length <= FEW {
            true => {
                let mut few = [sign(&limbs); FEW];
                few[..length].copy_from_slice(&limbs[..length]);
                Limbs::Few { low: low as u8, limbs: few }
            }
            false => {
                limbs.truncate(length);
                Limbs::Many { low: low as u8, limbs }
            }
        };
    }
}

/// The integer and the exponent of a finite double.
fn parts(value: f64) -> (i64, i32) {
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, (bits & ((1 << 52) - 1)) as i64);
    let (mantissa, exponent) = match exponent {
        0 => (fraction, -1074),
        _ => (fraction | 1 << 52, exponent - 1075),
    };
    (if value.is_sign_negative() { -mantissa } else { mantissa }, exponent)
}

/// The value of all limbs above the last one.
fn sign(limbs: &[u64]) -> u64 {
    match limbs.last() {
        Some(last) if *last >> 63 == 1 => u64::MAX,
        _ => 0,
    }
}

/// Drops high limbs that only repeat the sign. The result is empty for 0.
fn without_needless(mut limbs: &[u64]) -> &[u64] {
    while let [rest @ .., last] = limbs {
        let needless = match rest.last() {
            Some(before) => *last == if before >> 63 == 1 { u64::MAX } else { 0 },
            None => *last == 0,
        };
        if !needless {
            break;
        }
        limbs = rest;
    }
    limbs
}

/// Adds `more` at the place `from`. `limbs` must have room for it. Returns the limb above the last one if the sum needs one more.
fn add_into(limbs: &mut [u64], from: usize, more: &[u64]) -> Option<u64> {
    let (before, added) = (sign(limbs), sign(more));
    let mut carry = false;
    for (i, limb) in limbs[from..].iter_mut().enumerate() {
        if i >= more.len() && carry == (added == u64::MAX) {
            // The sign and the carry cancel out, or both are zero.
            break;
        }
        let (sum, over) = limb.overflowing_add(more.get(i).copied().unwrap_or(added));
        let (sum, over_too) = sum.overflowing_add(u64::from(carry));
        (*limb, carry) = (sum, over || over_too);
    }
    (before == added && sign(limbs) != before).then_some(before)
}
