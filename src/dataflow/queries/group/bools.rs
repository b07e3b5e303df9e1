//! `bool_and` and `bool_or`: how many values are true and how many false.

use super::aggregate::{Accumulators, Aggregate, Call, take_diff};
use crate::dataflow::held::memory::Holds;
use crate::value::{Datum, Diff, Layout, RowBuilder};

pub(super) fn of(call: &Call) -> Option<Box<dyn Accumulators>> {
    let column = call.column().filter(|_| call.is(&["bool_and", "bool_or"]))?;
    call.by(Bools { column, decides: call.is(&["bool_or"]) })
}

struct Bools {
    column: usize,
    /// The value of which one is enough.
    decides: bool,
}

#[derive(Default)]
struct Numbers {
    deciding: Diff,
    others: Diff,
}

impl Aggregate for Bools {
    type State = Numbers;

    fn add(&self, state: &mut Numbers, layout: &Layout, row: &[u8], diff: Diff) {
        match layout.get(row, self.column) {
            Datum::Bool(value) if value == self.decides => state.deciding += diff,
            Datum::Bool(_) => state.others += diff,
            _ => {}
        }
    }

    fn write(&self, state: &Numbers, out: &mut Vec<u8>) {
        out.extend_from_slice(&state.deciding.to_le_bytes());
        out.extend_from_slice(&state.others.to_le_bytes());
    }

    fn merge(&self, state: &mut Numbers, bytes: &mut &[u8]) {
        state.deciding += take_diff(bytes);
        state.others += take_diff(bytes);
    }

    fn finish(&self, state: &Numbers, builder: &mut RowBuilder) -> Result<(), String> {
        builder.push(match state {
            Numbers { deciding: 0, others: 0 } => Datum::Null,
            Numbers { deciding: 0, .. } => Datum::Bool(!self.decides),
            _ => Datum::Bool(self.decides),
        });
        Ok(())
    }
}

impl Holds for Numbers {
    fn held_bytes(&self) -> usize {
        0
    }
}
