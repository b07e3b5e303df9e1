//! Renders a plan on timely and differential dataflow. No other module names types of differential.
//!
//! In: table rows, each with the moment of its tick. Out: for every view, the documents of the keys that a tick touches, and rows that
//! failed. Documents themselves are not held: only arrangements of their inputs, shared by all views that read equal rows.
//!
//! A change climbs to the keys of the root rows that it touches (`climb`), these are looked up as of the tick (`touch`), their children are
//! fetched level by level (`fetch`), and the pieces meet at the root's worker (`assemble`). Every step exchanges rows by the key that it
//! looks up, with one hash function. Elsewhere: ticks and channels (`run`), what a document was before (`store`).

mod changes;
mod documents;
mod errors;
mod exchange;
mod held;
mod inputs;
mod moments;
mod output;
mod queries;
mod render;
mod streams;
mod time;

pub use changes::{Failure, FailureChange, Outcome, RowChange};
pub use held::memory::HeldBytes;
pub use inputs::selected::select_rows;
pub use render::{Inputs, Outputs, Rendered, render};
