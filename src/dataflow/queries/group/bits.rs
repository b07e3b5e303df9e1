//! `bit_and`, `bit_or` and `bit_xor`: how many values there are, and how many of them have each bit.

use super::aggregate::{Accumulators, Aggregate, Call, take, take_diff};
use crate::dataflow::held::memory::{Holds, block};
use crate::value::{Datum, Diff, Layout, RowBuilder, Type};

pub(super) fn of(call: &Call) -> Option<Box<dyn Accumulators>> {
    let column = call.column().filter(|&column| call.type_of(column).is_integer() && call.output() == call.type_of(column))?;
    let of = match call.simple.name {
        "bit_and" => Of::And,
        "bit_or" => Of::Or,
        "bit_xor" => Of::Xor,
        _ => return None,
    };
    let unsigned = matches!(call.output(), Type::UInt8 | Type::UInt16 | Type::UInt32 | Type::UInt64);
    match of {
        Of::Xor => call.by_values(column, |column| Bits { column, of, unsigned }),
        // That a value is there more than once makes no difference.
        Of::And | Of::Or => call.by(Bits { column, of, unsigned }),
    }
}

struct Bits {
    column: usize,
    of: Of,
    unsigned: bool,
}

#[derive(Clone, Copy)]
enum Of {
    And,
    Or,
    Xor,
}

#[derive(Default)]
struct Numbers {
    values: Diff,
    /// Of the bits from the lowest one up, as far as any value has one; a negative number has all that are above it.
    bits: Vec<Diff>,
}

impl Numbers {
    fn count(&mut self, bit: usize, diff: Diff) {
        if self.bits.len() <= bit {
            self.bits.resize(bit + 1, 0);
        }
        self.bits[bit] += diff;
        while self.bits.last() == Some(&0) {
            self.bits.pop();
        }
    }
}

impl Aggregate for Bits {
    type State = Numbers;

    fn add(&self, state: &mut Numbers, layout: &Layout, row: &[u8], diff: Diff) {
        let value = match layout.get(row, self.column) {
            Datum::Int(value) => value as u64,
            Datum::UInt(value) => value,
            _ => return,
        };
        state.values += diff;
        (0..64).filter(|bit| value >> bit & 1 == 1).for_each(|bit| state.count(bit, diff));
    }

    fn write(&self, state: &Numbers, out: &mut Vec<u8>) {
        out.extend_from_slice(&state.values.to_le_bytes());
        out.push(state.bits.len() as u8);
        state.bits.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
    }

    fn merge(&self, state: &mut Numbers, bytes: &mut &[u8]) {
        state.values += take_diff(bytes);
        let [bits] = take(bytes);
        (0..bits as usize).for_each(|bit| state.count(bit, take_diff(bytes)));
    }

    fn finish(&self, state: &Numbers, builder: &mut RowBuilder) -> Result<(), String> {
        let has = |count: Diff| match self.of {
            Of::And => count == state.values,
            Of::Or => count > 0,
            Of::Xor => count % 2 == 1,
        };
        let result = state.bits.iter().enumerate().filter(|(_, count)| has(**count)).fold(0u64, |bits, (bit, _)| bits | 1 << bit);
        builder.push(match (state.values, self.unsigned) {
            (0, _) => Datum::Null,
            (_, true) => Datum::UInt(result),
            (_, false) => Datum::Int(result as i64),
        });
        Ok(())
    }
}

impl Holds for Numbers {
    fn held_bytes(&self) -> usize {
        block(self.bits.capacity() * size_of::<Diff>())
    }
}
