//! `bool_and` and `bool_or`: counts the true and the false values.

use super::aggregate::{Accumulators, Aggregate, AggregateCall, take_diff};
use crate::dataflow::held::memory::HeapSize;
use crate::value::{Datum, Diff, Layout, RowBuilder};

pub(super) fn accumulators(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let column = call.column().filter(|_| call.is(&["bool_and", "bool_or"]))?;
    call.by(Bools { column, decides: call.is(&["bool_or"]) })
}

struct Bools {
    column: usize,
    /// The value that determines the result if it occurs at least once.
    decides: bool,
}

#[derive(Default)]
struct BoolCounts {
    deciding: Diff,
    others: Diff,
}

impl Aggregate for Bools {
    type State = BoolCounts;

    fn add(&self, state: &mut BoolCounts, layout: &Layout, row: &[u8], diff: Diff) {
        match layout.get(row, self.column) {
            Datum::Bool(value) if value == self.decides => state.deciding += diff,
            Datum::Bool(_) => state.others += diff,
            _ => {}
        }
    }

    fn write(&self, state: &BoolCounts, out: &mut Vec<u8>) {
        out.extend_from_slice(&state.deciding.to_le_bytes());
        out.extend_from_slice(&state.others.to_le_bytes());
    }

    fn merge(&self, state: &mut BoolCounts, bytes: &mut &[u8]) {
        state.deciding += take_diff(bytes);
        state.others += take_diff(bytes);
    }

    fn finish(&self, state: &BoolCounts, builder: &mut RowBuilder) -> Result<(), String> {
        builder.push(match state {
            BoolCounts { deciding: 0, others: 0 } => Datum::Null,
            BoolCounts { deciding: 0, .. } => Datum::Bool(!self.decides),
            _ => Datum::Bool(self.decides),
        });
        Ok(())
    }
}

impl HeapSize for BoolCounts {
    fn held_bytes(&self) -> usize {
        0
    }
}
