//! The forms in which operators hold rows: blocks in flight, batches of arrangements, values by key.

pub(crate) mod arranged;
pub(crate) mod batcher;
pub(crate) mod bytes;
pub(crate) mod memory;
pub(crate) mod order;
pub(crate) mod slots;
pub(crate) mod updates;
