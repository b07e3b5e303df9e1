//! Time in the dataflow: moments, and the clock that converts between moments and ticks.

use crate::value::Tick;

/// A tick in the high bits and a portion in the low bits. Inputs use portion 0. A tick that touches many roots is processed in portions, so
/// that few pieces are in flight.
pub(crate) type Moment = u64;

const PORTION_BITS: u32 = 20;

/// The moment of the first tick. Rows of the very first moment go into an arrangement's first batch. After an empty batch the arrangement
/// would copy all of itself once.
pub(crate) const START: Moment = 0;

/// Converts between ticks and moments, which count from a run's first tick.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Tick,
}

impl Clock {
    pub(crate) fn starting_at(start: Tick) -> Clock {
        Clock { start }
    }

    /// The moment of portion 0 of a tick of this run.
    pub(crate) fn moment_of(self, tick: Tick) -> Moment {
        START + ((tick.0 - self.start.0) << PORTION_BITS)
    }

    pub(crate) fn tick_of(self, moment: Moment) -> Tick {
        Tick(self.start.0 + (moment >> PORTION_BITS))
    }
}

/// The number of a moment's portion within its tick.
pub(crate) fn portion_of(moment: Moment) -> u64 {
    moment & ((1 << PORTION_BITS) - 1)
}
