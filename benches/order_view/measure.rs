//! What one variant's process says of itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The outcome of one variant, printed by its process as one line of JSON.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// From the first byte of CSV to the last document.
    pub(crate) seconds: f64,
    /// Of that, up to the moment at which every row had been read, where that is a stage of its own.
    pub(crate) read_seconds: f64,
    /// Of all cores, from the process's start to the last document.
    pub(crate) cpu_seconds: f64,
    pub(crate) rows: u64,
    pub(crate) shape: Shape,
    /// What the arrangements say they hold.
    pub(crate) own_bytes: Option<u64>,
    /// Resident memory when the documents were there, less what was resident before and less the input where it is kept for the
    /// updates.
    pub(crate) held_bytes: u64,
    /// The highest resident memory up to the last document.
    pub(crate) peak_bytes: u64,
    /// The store's folder.
    pub(crate) disk_bytes: Option<u64>,
    pub(crate) customer: Option<Updates>,
    pub(crate) seller: Option<Updates>,
}

/// What must be the same whoever makes the documents.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) documents: u64,
    pub(crate) items: u64,
    /// Of all prices and payments.
    pub(crate) cents: i64,
}

/// A series of single updates, each a tick of its own.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Updates {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
    /// Documents that became others, over the whole series.
    pub(crate) documents: u64,
}

impl Updates {
    pub(crate) fn of(mut took: Vec<Duration>, documents: u64) -> Updates {
        took.sort();
        let us = |at: usize| took[at].as_secs_f64() * 1e6;
        Updates { p50_us: us(took.len() / 2), p99_us: us(took.len() * 99 / 100), max_us: us(took.len() - 1), documents }
    }
}

impl std::ops::AddAssign for Shape {
    fn add_assign(&mut self, other: Shape) {
        self.documents += other.documents;
        self.items += other.items;
        self.cents += other.cents;
    }
}

/// The parts of all workers as one: figures of the process are the first worker's, counts are summed.
pub(crate) fn add_up(parts: impl IntoIterator<Item = Result<Measured, String>>) -> Measured {
    let mut parts = parts.into_iter().map(|part| part.expect("a worker ends well"));
    let mut all = parts.next().expect("there is a worker");
    for part in parts {
        all.shape += part.shape;
        all.own_bytes = all.own_bytes.zip(part.own_bytes).map(|(a, b)| a + b);
        for (all, part) in [(&mut all.customer, part.customer), (&mut all.seller, part.seller)] {
            if let (Some(all), Some(part)) = (all, part) {
                all.documents += part.documents;
            }
        }
    }
    all
}
