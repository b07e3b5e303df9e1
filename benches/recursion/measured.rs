//! What one variant's process says of itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The outcome of one variant, printed by its process as one line of JSON.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// From the first edge to the last row.
    pub(crate) seconds: f64,
    /// Resident memory then, less what was resident before.
    pub(crate) held_bytes: u64,
    /// The same after all updates.
    pub(crate) held_after_bytes: u64,
    pub(crate) peak_bytes: u64,
    /// How many nodes are reached at first.
    pub(crate) reached: i64,
    /// How many rows came or went over all updates.
    pub(crate) changed: i64,
    pub(crate) gone: Latency,
    pub(crate) back: Latency,
}

/// How long single updates took until their rows were there.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Latency {
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
}

impl Latency {
    pub(crate) fn of(mut took: Vec<Duration>) -> Latency {
        took.sort();
        let us = |at: usize| took.get(at).map_or(0.0, |took| took.as_secs_f64() * 1e6);
        Latency { p50_us: us(took.len() / 2), p99_us: us(took.len() * 99 / 100), max_us: us(took.len().saturating_sub(1)) }
    }
}

/// Medians.
pub(crate) fn print(name: &str, all: &[Measured]) {
    let median = |of: &dyn Fn(&Measured) -> f64| {
        let mut values: Vec<f64> = all.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let mb = |of: &dyn Fn(&Measured) -> u64| median(&|m| of(m) as f64) / 1e6;
    println!(
        "{name}: {} reached in {:.2} s; {:.0} MB, after the updates {:.0} MB, at most {:.0} MB",
        all[0].reached,
        median(&|m| m.seconds),
        mb(&|m| m.held_bytes),
        mb(&|m| m.held_after_bytes),
        mb(&|m| m.peak_bytes)
    );
    for (what, of) in [("goes", (|m| m.gone) as fn(&Measured) -> Latency), ("comes back", |m| m.back)] {
        let (p50, p99, max) = (median(&|m| of(m).p50_us), median(&|m| of(m).p99_us), median(&|m| of(m).max_us));
        println!("    an edge {what}: p50 {p50:.0} us, p99 {p99:.0} us, at most {max:.0} us");
    }
    println!("    rows that came or went: {}", all[0].changed);
}

/// The parts of all workers as one: figures of the process are the first worker's, counts are summed.
pub(crate) fn add_up(parts: impl IntoIterator<Item = Result<Measured, String>>) -> Measured {
    let mut parts = parts.into_iter().map(|part| part.expect("a worker ends well"));
    let mut all = parts.next().expect("there is a worker");
    for part in parts {
        all.reached += part.reached;
        all.changed += part.changed;
    }
    all
}
