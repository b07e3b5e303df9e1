//! What is worked out, by whoever it is.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A view that every variant keeps up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Average and number of the readings of each sensor.
    Average,
    /// The last reading of each sensor, in the order of the file.
    Latest,
    /// Revenue by product category and customer state: four tables joined.
    Revenue,
}

pub(crate) const READINGS: &str = "readings.csv";
/// Of the readings, these come once more after hydration, in batches of [`BATCH`], each a tick of its own.
pub(crate) const BATCHES: usize = 2_000;
pub(crate) const BATCH: usize = 1_000;
/// Price updates, each a tick of its own.
pub(crate) const PRICES: usize = 1_000;

/// Which of `items` has its price changed `n`th; each at most once.
pub(crate) fn priced(n: usize, items: usize) -> usize {
    (n * 113) % items
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.to_possible_value().expect("every work has a name").get_name())
    }
}
