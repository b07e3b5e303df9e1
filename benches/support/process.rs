//! How a benchmark looks at its own time and memory.

use std::time::Instant;

/// A moment to measure from: time and resident memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begin {
    at: Instant,
    resident: u64,
}

impl Begin {
    pub(crate) fn now() -> Begin {
        Begin { at: Instant::now(), resident: resident_bytes() }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.at.elapsed().as_secs_f64()
    }

    pub(crate) fn grown(&self) -> u64 {
        resident_bytes().saturating_sub(self.resident)
    }
}

pub(crate) fn resident_bytes() -> u64 {
    status_bytes("VmRSS:")
}

pub(crate) fn peak_bytes() -> u64 {
    status_bytes("VmHWM:")
}

/// The processor time that this process has taken so far.
pub(crate) fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells a process of itself");
    let after_name = stat.rsplit(')').next().expect("there is a rest");
    // Fields 14 and 15 of proc_pid_stat(5), in hundredths of a second on every Linux that we know.
    let ticks = after_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<f64>().expect("a number"));
    ticks.sum::<f64>() / 100.0
}

/// A line of `/proc/self/status`, which counts in KiB.
fn status_bytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells a process of itself");
    let line = status.lines().find(|line| line.starts_with(name)).expect("the line is there");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib * 1024
}
