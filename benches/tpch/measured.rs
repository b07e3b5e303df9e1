//! What one process measured.

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Rows of all tables that are read, before the orders that come one by one.
    pub(crate) rows: u64,
    pub(crate) hydrate_seconds: f64,
    pub(crate) held_bytes: u64,
    /// What arrangements and operators say they hold, with the rows of the views that are kept here.
    pub(crate) told_bytes: u64,
    /// Of a transaction of one order with its lines; `None` where no view reads either.
    pub(crate) order: Option<Latency>,
    /// Of all the queries, one after the other.
    pub(crate) recompute_seconds: f64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Latency {
    pub(crate) fn of(mut took: Vec<Duration>) -> Latency {
        took.sort();
        let us = |at: usize| took[at].as_secs_f64() * 1e6;
        Latency { p50_us: us(took.len() / 2), p99_us: us(took.len() * 99 / 100) }
    }
}

const MIB: f64 = (1 << 20) as f64;

impl Measured {
    pub(crate) fn header() -> String {
        let (order, recompute) = ("one order p50/p99", "recomputed");
        format!("{:5}{:>11}{:>11}{:>11}{:>11}{:>6}{order:>24}{recompute:>12}", "", "rows", "hydrated", "held", "told", "")
    }

    pub(crate) fn line(&self, name: &str) -> String {
        let order = self.order.map_or("-".to_string(), |l| format!("{:.0} / {:.0} us", l.p50_us, l.p99_us));
        let (held, told) = (self.held_bytes as f64 / MIB, self.told_bytes as f64 / MIB);
        format!(
            "{name:5}{:>11}{:>9.2} s{held:>7.0} MiB{told:>7.0} MiB{:>4.0} %{order:>24}{:>9.1} ms",
            self.rows,
            self.hydrate_seconds,
            told / held * 100.0,
            self.recompute_seconds * 1e3
        )
    }
}
