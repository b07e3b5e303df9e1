//! `bit_and`, `bit_or` and `bit_xor`: counts the values, and for each bit the values that have it.

use super::aggregate::{Accumulators, Aggregate, AggregateCall, take, take_diff};
use crate::dataflow::held::memory::{HeapSize, block};
use crate::value::{Datum, Diff, Layout, RowBuilder, Type};

pub(super) fn accumulators(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let column = call.column().filter(|&column| call.type_of(column).is_integer() && call.output() == call.type_of(column))?;
    let of = match call.simple.name {
        "bit_and" => BitOperator::And,
        "bit_or" => BitOperator::Or,
        "bit_xor" => BitOperator::Xor,
        _ => return None,
    };
    let unsigned = matches!(call.output(), Type::UInt8 | Type::UInt16 | Type::UInt32 | Type::UInt64);
    match of {
        BitOperator::Xor => call.by_values(column, |column| Bits { column, of, unsigned }),
        // Duplicates make no difference.
        BitOperator::And | BitOperator::Or => call.by(Bits { column, of, unsigned }),
    }
}

struct Bits {
    column: usize,
    of: BitOperator,
    unsigned: bool,
}

#[derive(Clone, Copy)]
enum BitOperator {
    And,
    Or,
    Xor,
}

#[derive(Default)]
struct BitCounts {
    values: Diff,
    /// For each bit, from the lowest to the highest one in use: how many values have it. A negative number uses all 64 bits.
    bits: Vec<Diff>,
}

impl BitCounts {
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
    type State = BitCounts;

    fn add(&self, state: &mut BitCounts, layout: &Layout, row: &[u8], diff: Diff) {
        let value = match layout.get(row, self.column) {
            Datum::Int(value) => value as u64,
            Datum::UInt(value) => value,
            _ => return,
        };
        state.values += diff;
        (0..64).filter(|bit| value >> bit & 1 == 1).for_each(|bit| state.count(bit, diff));
    }

    fn write(&self, state: &BitCounts, out: &mut Vec<u8>) {
        out.extend_from_slice(&state.values.to_le_bytes());
        out.push(state.bits.len() as u8);
        state.bits.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
    }

    fn merge(&self, state: &mut BitCounts, bytes: &mut &[u8]) {
        state.values += take_diff(bytes);
        let [bits] = take(bytes);
        (0..bits as usize).for_each(|bit| state.count(bit, take_diff(bytes)));
    }

    fn finish(&self, state: &BitCounts, builder: &mut RowBuilder) -> Result<(), String> {
        let has = |count: Diff| match self.of {
            BitOperator::And => count == state.values,
            BitOperator::Or => count > 0,
            BitOperator::Xor => count % 2 == 1,
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

impl HeapSize for BitCounts {
    fn held_bytes(&self) -> usize {
        block(self.bits.capacity() * size_of::<Diff>())
    }
}
