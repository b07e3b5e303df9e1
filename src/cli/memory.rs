//! What a running engine holds in memory, as the commands show it.

use crate::dataflow::HeldBytes;
use crate::run::Status;
use crate::serve::local;

/// By arrangement and operator.
pub(super) fn in_memory(status: &Status) -> Vec<local::MemoryStatus> {
    let shown = |held: HeldBytes| local::MemoryStatus {
        name: held.name.to_string(),
        rows: held.updates.map(|updates| updates as u64),
        bytes: held.bytes as u64,
    };
    status.held_in_memory().into_iter().map(shown).collect()
}
