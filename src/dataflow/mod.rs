//! Renders a plan on timely and differential dataflow. The only module that names their types.
//!
//! In: table rows, each with the moment of its tick. Out: for every view, the documents of the keys that a tick touched, and rows
//! that failed. What is maintained is arrangements of the inputs, shared by everything that asks alike; nothing wide is kept.
//!
//! A change walks up to the keys of the root rows that it touches (`climb`), these are looked up as of the tick (`touch`), the
//! children are fetched level by level (`fetch`), and the pieces meet again at the root's worker (`assemble`). Every step exchanges by
//! the key that it looks up, with one hash function. Elsewhere: ticks and channels (`run`), what a document was before (`store`).

mod assemble;
mod batcher;
mod bytes;
mod climb;
mod constants;
mod delta;
mod document;
mod failed;
mod fetch;
mod group;
mod held;
mod input;
mod join;
mod order;
mod present;
mod query;
mod recursion;
mod render;
mod route;
mod select;
mod slots;
mod sources;
mod top;
mod touch;
mod unnest;
mod updates;
mod window;

pub use held::HeldBytes;
pub use render::{Inputs, Outputs, Rendered, render};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::plan::Origin;
use crate::value::{Diff, Row, Tick};

/// Time in the dataflow: a tick and, below it, a portion. Inputs only ever stand at portion 0; a tick that touches many roots works
/// through them in portions, so that the pieces in flight stay few.
pub(crate) type Moment = u64;

const PORTION_BITS: u32 = 20;

/// The first tick's moment. Data that is there from the very first moment goes into an arrangement's first batch; with an empty batch
/// before it, the arrangement would go through a whole copy of itself.
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

/// Who owns a key: the one hash for every exchange.
pub(crate) fn hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// What became of a view's key at a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Document(Row),
    /// There is no root row.
    Gone,
    /// There is no right document, for this reason; none is shown.
    Failed(String),
}

/// The document of one key as of one tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentChange {
    pub tick: Tick,
    pub key: Row,
    pub outcome: Outcome,
}

/// A row that an expression failed on, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Failure {
    pub row: Row,
    pub reason: String,
}

/// How often a failing row of a view came (positive) or went (negative) at a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureChange {
    pub tick: Tick,
    /// The table or the view that the row is of; `None` for what a query made, of which the reason says all.
    pub of: Option<Origin>,
    pub failure: Failure,
    pub diff: Diff,
}
