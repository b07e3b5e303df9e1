//! Limits a snapshot to a number of rows per second, over all its connections.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Shared by the connections of one snapshot.
#[derive(Debug)]
pub(super) struct Pace {
    rows_per_second: u64,
    /// When all rows requested so far may have been sent.
    due: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(rows_per_second: u64) -> Pace {
        Pace { rows_per_second, due: Mutex::new(Instant::now()) }
    }

    /// The rows to read per step, at most `most`. It is small enough that a slow pace is even.
    pub(super) fn rows_at_once(&self, most: usize) -> usize {
        const TIMES_PER_SECOND: u64 = 10;
        (self.rows_per_second / TIMES_PER_SECOND).clamp(1, most as u64) as usize
    }

    /// Waits until this many more rows may be sent. Unused time does not accumulate.
    pub(super) async fn wait_for(&self, rows: usize) {
        tokio::time::sleep_until(self.due(rows, Instant::now())).await;
    }

    fn due(&self, rows: usize, now: Instant) -> Instant {
        let mut due = self.due.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *due = (*due).max(now) + Duration::from_secs_f64(rows as f64 / self.rows_per_second as f64);
        *due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_share_one_pace() {
        let pace = Pace::new(1_000);
        let start = Instant::now();
        let due_ms = |rows, at_ms| (pace.due(rows, start + Duration::from_millis(at_ms)) - start).as_millis();
        assert_eq!([due_ms(300, 1), due_ms(300, 1), due_ms(400, 250)], [301, 601, 1_001]);
        assert_eq!(due_ms(500, 5_000), 5_500, "the four seconds are not made up for");
    }

    #[test]
    fn a_slow_pace_is_even() {
        assert_eq!([1, 50, 5_000, 1_000_000].map(|rate| Pace::new(rate).rows_at_once(2_048)), [1, 5, 500, 2_048]);
    }
}
