//! The memory that a running engine holds, as the commands show it.

use crate::dataflow::HeldBytes;
use crate::run::Report;
use crate::serve::MemoryStatus;

/// The memory of this process in bytes, without files that are mapped into it. `None` if the system does not tell.
pub(super) fn process_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// One entry for each arrangement and operator.
pub(super) fn in_memory(report: &Report) -> Vec<MemoryStatus> {
    let shown = |held: HeldBytes| MemoryStatus {
        name: held.name.to_string(),
        rows: held.updates.map(|updates| updates as u64),
        bytes: held.bytes as u64,
    };
    report.held_in_memory().into_iter().map(shown).collect()
}
