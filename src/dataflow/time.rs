//! Time in the dataflow: moments, and the clock that says which tick a moment belongs to.

use crate::value::Tick;

/// A tick and, below it, a portion. Inputs stay at portion 0; a tick that touches many roots is worked through in portions, so that
/// few pieces are in flight.
pub(crate) type Moment = u64;

const PORTION_BITS: u32 = 20;

/// The first tick's moment. Data that is there from the very first moment goes into an arrangement's first batch; after an empty batch
/// the arrangement would copy all of itself once.
pub(crate) const START: Moment = 0;

/// Counts moments from a run's first tick on.
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

/// The number of a moment's portion in its tick.
pub(crate) fn portion_of(moment: Moment) -> u64 {
    moment & ((1 << PORTION_BITS) - 1)
}
