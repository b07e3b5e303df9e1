//! Integers of any length times a power of two: computes results from exact sums.

use std::cmp::Ordering;

/// `limbs`, little endian, times 2 to the power of `exponent`.
#[derive(Debug, Clone)]
pub(in crate::dataflow::queries::group) struct Number {
    negative: bool,
    /// The last limb is not 0.
    limbs: Vec<u64>,
    exponent: i32,
}

/// The leading bits of a result.
struct Leading {
    negative: bool,
    /// At least 64 bits, if any bits follow.
    bits: u128,
    exponent: i32,
    /// Whether non-zero bits follow.
    more: bool,
}

impl Number {
    /// Converts limbs in two's complement.
    pub(super) fn of_limbs(limbs: &[u64], exponent: i32) -> Number {
        let negative = limbs.last().is_some_and(|last| last >> 63 == 1);
        let mut magnitude = limbs.to_vec();
        if negative {
            let mut carry = true;
            for limb in &mut magnitude {
                (*limb, carry) = (!*limb).overflowing_add(u64::from(carry));
            }
        }
        Number { negative, limbs: magnitude, exponent }.trimmed()
    }

    pub(in crate::dataflow::queries::group) fn from_count(count: u64) -> Number {
        Number { negative: false, limbs: vec![count], exponent: 0 }.trimmed()
    }

    fn trimmed(mut self) -> Number {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
        let zeros = self.limbs.iter().take_while(|limb| **limb == 0).count();
        self.limbs.drain(..zeros);
        self.exponent += 64 * zeros as i32;
        self
    }

    pub(in crate::dataflow::queries::group) fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    pub(in crate::dataflow::queries::group) fn is_negative(&self) -> bool {
        self.negative
    }

    pub(in crate::dataflow::queries::group) fn times(&self, other: &Number) -> Number {
        let mut limbs = vec![0; self.limbs.len() + other.limbs.len()];
        for (i, &a) in self.limbs.iter().enumerate() {
            let mut carry = 0u128;
            for (j, &b) in other.limbs.iter().enumerate() {
                let sum = u128::from(a) * u128::from(b) + u128::from(limbs[i + j]) + carry;
                limbs[i + j] = sum as u64;
                carry = sum >> 64;
            }
            limbs[i + other.limbs.len()] = carry as u64;
        }
        Number { negative: self.negative != other.negative, limbs, exponent: self.exponent + other.exponent }.trimmed()
    }

    pub(in crate::dataflow::queries::group) fn minus(&self, other: &Number) -> Number {
        if self.is_zero() || other.is_zero() {
            let (rest, negative) = if other.is_zero() { (self, self.negative) } else { (other, !other.negative) };
            return Number { negative, ..rest.clone() };
        }
        let exponent = self.exponent.min(other.exponent);
        let (a, b) = (self.down_to(exponent), other.down_to(exponent));
        let (negative, limbs) = match self.negative != other.negative {
            true => (self.negative, sum(&a, &b)),
            false => match compared(&a, &b) {
                Ordering::Less => (!self.negative, difference(&b, &a)),
                _ => (self.negative, difference(&a, &b)),
            },
        };
        Number { negative, limbs, exponent }.trimmed()
    }

    /// The limbs for this exponent, which must not be above the number's own.
    fn down_to(&self, exponent: i32) -> Vec<u64> {
        shifted(&self.limbs, (self.exponent - exponent) as usize)
    }

    /// The nearest double; infinite if the number is too large.
    pub(in crate::dataflow::queries::group) fn rounded(&self) -> f64 {
        self.leading(false).rounded()
    }

    /// The double nearest to the quotient by all divisors, which must not be 0.
    pub(in crate::dataflow::queries::group) fn over(&self, divisors: &[u64]) -> f64 {
        // Room for more than 64 bits of the quotient, even by two divisors.
        let room = 64 * (1 + divisors.len());
        let mut limbs = shifted(&self.limbs, room);
        let mut more = false;
        for &divisor in divisors {
            let mut rest = 0u128;
            for limb in limbs.iter_mut().rev() {
                let part = rest << 64 | u128::from(*limb);
                *limb = (part / u128::from(divisor)) as u64;
                rest = part % u128::from(divisor);
            }
            more |= rest != 0;
        }
        Number { limbs, exponent: self.exponent - room as i32, ..*self }.trimmed().leading(more).rounded()
    }

    /// The double nearest to the quotient. The divisor must not be 0.
    pub(in crate::dataflow::queries::group) fn over_number(&self, divisor: &Number) -> f64 {
        self.quotient(divisor).rounded()
    }

    /// The double nearest to the square root of the quotient. Neither number may be negative, and the divisor must not be 0.
    pub(in crate::dataflow::queries::group) fn root_over(&self, divisor: &Number) -> f64 {
        self.quotient(divisor).root().rounded()
    }

    /// The leading 128 bits. `more`: the number has further non-zero bits that are not in `self`.
    fn leading(&self, more: bool) -> Leading {
        let cut = self.bits().saturating_sub(128);
        let (words, bits) = (cut / 64, cut % 64);
        let limb = |i: usize| u128::from(self.limbs.get(words + i).copied().unwrap_or(0));
        let whole = limb(0) | limb(1) << 64;
        let (first, rest) = match bits {
            0 => (whole, 0),
            _ => (whole >> bits | limb(2) << (128 - bits), whole & ((1 << bits) - 1)),
        };
        let more = more || rest != 0 || self.limbs[..words.min(self.limbs.len())].iter().any(|limb| *limb != 0);
        Leading { negative: self.negative, bits: first, exponent: self.exponent + cut as i32, more }
    }

    /// The number of bits.
    fn bits(&self) -> usize {
        self.limbs.last().map_or(0, |last| 64 * self.limbs.len() - last.leading_zeros() as usize)
    }

    /// The leading 126 or 127 bits of the quotient, by long division.
    fn quotient(&self, divisor: &Number) -> Leading {
        const BITS: usize = 126;
        let shift = (BITS + divisor.bits()) as i32 - self.bits() as i32;
        let dividend = shifted(&self.limbs, shift.max(0) as usize);
        let by = shifted(&divisor.limbs, (-shift).max(0) as usize);
        // The first part of the dividend is less than the divisor.
        let (mut rest, mut quotient) = (shifted_down(&dividend, BITS + 1), 0u128);
        for bit in (0..=BITS).rev() {
            double(&mut rest, dividend.get(bit / 64).map_or(0, |limb| limb >> (bit % 64) & 1));
            quotient <<= 1;
            if compared(&rest, &by) != Ordering::Less {
                rest = difference(&rest, &by);
                quotient |= 1;
            }
        }
        let exponent = self.exponent - divisor.exponent - shift;
        let more = rest.iter().any(|limb| *limb != 0);
        Leading { negative: self.negative != divisor.negative, bits: quotient, exponent, more }
    }
}

impl Leading {
    /// The square root of a non-negative number of 126 or 127 bits.
    fn root(self) -> Leading {
        let odd = self.exponent.rem_euclid(2);
        let (bits, more) = (self.bits >> odd, self.more || self.bits & odd as u128 != 0);
        let root = bits.isqrt();
        Leading { negative: false, bits: root, exponent: (self.exponent + odd) / 2, more: more || root * root != bits }
    }

    /// Rounds to the nearest double, ties to even.
    fn rounded(&self) -> f64 {
        if self.bits == 0 {
            return 0.0;
        }
        let bits = 128 - self.bits.leading_zeros() as i32;
        let highest = self.exponent + bits - 1;
        // The exponent of the last bit of a double of this size.
        let last = (highest - 52).max(-1074);
        let cut = last - self.exponent;
        let kept = match cut {
            ..=0 => self.bits << -cut,
            1..=128 => {
                let whole = if cut == 128 { 0 } else { self.bits >> cut };
                let half = 1u128 << (cut - 1);
                let behind = self.bits & (half | (half - 1));
                let up = behind > half || (behind == half && (self.more || whole & 1 == 1));
                whole + u128::from(up)
            }
            _ => 0,
        };
        let magnitude = match last {
            972.. => f64::INFINITY,
            _ => kept as f64 * power_of_two(last),
        };
        if self.negative { -magnitude } else { magnitude }
    }
}

/// Two to the power of `exponent`, from -1074 to 1023.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(match exponent {
        -1022.. => ((exponent + 1023) as u64) << 52,
        _ => 1 << (exponent + 1074),
    })
}

fn shifted(limbs: &[u64], by: usize) -> Vec<u64> {
    let (words, bits) = (by / 64, by % 64);
    let mut out = vec![0; words];
    let mut carry = 0;
    for &limb in limbs {
        out.push(limb << bits | carry);
        carry = if bits == 0 { 0 } else { limb >> (64 - bits) };
    }
    out.push(carry);
    out
}

fn shifted_down(limbs: &[u64], by: usize) -> Vec<u64> {
    let (words, bits) = ((by / 64).min(limbs.len()), by % 64);
    let above = |i: usize| limbs.get(i + 1).map_or(0, |limb| if bits == 0 { 0 } else { limb << (64 - bits) });
    (words..limbs.len()).map(|i| limbs[i] >> bits | above(i)).collect()
}

/// Doubles the number and adds a bit.
fn double(limbs: &mut Vec<u64>, bit: u64) {
    let mut carry = bit;
    for limb in limbs.iter_mut() {
        (*limb, carry) = (*limb << 1 | carry, *limb >> 63);
    }
    if carry != 0 {
        limbs.push(carry);
    }
}

fn compared(a: &[u64], b: &[u64]) -> Ordering {
    let limb = |limbs: &[u64], i: usize| limbs.get(i).copied().unwrap_or(0);
    let places = (0..a.len().max(b.len())).rev();
    places.map(|i| limb(a, i).cmp(&limb(b, i))).find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
}

fn sum(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut out = Vec::with_capacity(a.len().max(b.len()) + 1);
    let mut carry = 0u128;
    for i in 0..a.len().max(b.len()) {
        let limb = |limbs: &[u64]| u128::from(limbs.get(i).copied().unwrap_or(0));
        let sum = limb(a) + limb(b) + carry;
        out.push(sum as u64);
        carry = sum >> 64;
    }
    out.push(carry as u64);
    out
}

/// `a` minus `b`, which must not be greater.
fn difference(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut out = Vec::with_capacity(a.len());
    let mut borrow = false;
    for (i, &limb) in a.iter().enumerate() {
        let (less, under) = limb.overflowing_sub(b.get(i).copied().unwrap_or(0));
        let (less, under_too) = less.overflowing_sub(u64::from(borrow));
        out.push(less);
        borrow = under || under_too;
    }
    out
}
