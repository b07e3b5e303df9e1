//! Renders a plan on timely and differential dataflow. The only module that names their types.
//!
//! In: table rows, each with the moment of its tick. Out: for every view, the documents of the keys that a tick touched, and rows
//! that failed. What is maintained is arrangements of the inputs, shared by everything that asks alike; nothing wide is kept.
//!
//! A change walks up to the keys of the root rows that it touches (`climb`), these are looked up as of the tick (`touch`), the
//! children are fetched level by level (`fetch`), and the pieces meet again at the root's worker (`assemble`). Every step exchanges by
//! the key that it looks up, with one hash function. Elsewhere: ticks and channels (`run`), what a document was before (`store`).

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
mod time;

pub use changes::{DocumentChange, Failure, FailureChange, Outcome};
pub use held::memory::HeldBytes;
pub use render::{Inputs, Outputs, Rendered, render};
