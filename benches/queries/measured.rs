//! What one variant's process says of itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The outcome of one variant, printed by its process as one line of JSON.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// From the first byte of the files to the last row of the view.
    pub(crate) seconds: f64,
    /// Of all cores, from the process's start to then.
    pub(crate) cpu_seconds: f64,
    /// Resident then, less what was before anything was done.
    pub(crate) held_bytes: u64,
    /// The highest resident memory up to then.
    pub(crate) peak_bytes: u64,
    pub(crate) rows: u64,
    /// Rows of the view, and sums over them: after hydration, and in the end.
    pub(crate) hydrated: Shape,
    pub(crate) changed: Shape,
    /// Readings, or updates, a second after hydration, each batch a tick.
    pub(crate) steady: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Resident after all of them.
    pub(crate) end_bytes: u64,
}

/// What must be the same whoever maintains the view.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) rows: i64,
    pub(crate) count: i64,
    pub(crate) sum: i64,
}

impl std::ops::AddAssign for Shape {
    fn add_assign(&mut self, other: Shape) {
        self.rows += other.rows;
        self.count += other.count;
        self.sum += other.sum;
    }
}

impl Measured {
    /// How long each batch of so many changes took.
    pub(crate) fn took(&mut self, mut took: Vec<Duration>, each: usize) {
        self.steady = (took.len() * each) as f64 / took.iter().map(Duration::as_secs_f64).sum::<f64>();
        took.sort();
        let us = |at: usize| took[at].as_secs_f64() * 1e6;
        (self.p50_us, self.p99_us) = (us(took.len() / 2), us(took.len() * 99 / 100));
    }
}

/// The parts of all workers as one: figures of the process are the first worker's, counts are summed.
pub(crate) fn add_up(parts: impl IntoIterator<Item = Result<Measured, String>>) -> Measured {
    let mut parts = parts.into_iter().map(|part| part.expect("a worker ends well"));
    let mut all = parts.next().expect("there is a worker");
    for part in parts {
        all.hydrated += part.hydrated;
        all.changed += part.changed;
    }
    all
}
