//! How long something that failed waits until it is tried again: one policy for connections of sources, attempts, and sinks.

use std::time::{Duration, Instant};

/// The shortest and the longest pause between two tries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pauses {
    first: Duration,
    longest: Duration,
}

/// A connection to a source or a target broke.
pub(super) const CONNECTION: Pauses = Pauses { first: Duration::from_millis(200), longest: Duration::from_secs(10) };
/// Everything since the last commit begins again: a snapshot was interrupted, or a source must be captured again.
pub(super) const ATTEMPT: Pauses = Pauses { first: Duration::from_secs(1), longest: Duration::from_secs(60) };
/// A target refuses until somebody changes something.
pub(super) const REFUSING: Pauses = Pauses { first: Duration::from_secs(5), longest: Duration::from_secs(300) };

/// Pauses that double from the shortest to the longest. They begin with the shortest again after a try that made progress or went on for longer
/// than the longest pause.
#[derive(Debug)]
pub(super) struct Backoff {
    pauses: Pauses,
    next: Duration,
    began: Instant,
}

impl Backoff {
    pub(super) fn new(pauses: Pauses) -> Backoff {
        Backoff { pauses, next: pauses.first, began: Instant::now() }
    }

    /// A try begins.
    pub(super) fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// The try got further than the ones before.
    pub(super) fn progressed(&mut self) {
        self.next = self.pauses.first;
    }

    /// The pause after a try that failed.
    pub(super) fn pause(&mut self) -> Duration {
        self.pause_after(self.began.elapsed())
    }

    fn pause_after(&mut self, tried_for: Duration) -> Duration {
        if tried_for > self.pauses.longest {
            self.progressed();
        }
        let pause = self.next;
        self.next = (pause * 2).min(self.pauses.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again_after_progress() {
        let mut backoff = Backoff::new(CONNECTION);
        let millis: Vec<u128> = (0..8).map(|_| backoff.pause_after(Duration::ZERO).as_millis()).collect();
        assert_eq!(millis, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(backoff.pause_after(CONNECTION.longest * 2), CONNECTION.first, "a long try was a good one");
        assert_eq!(backoff.pause_after(Duration::ZERO), CONNECTION.first * 2);
        backoff.progressed();
        assert_eq!(backoff.pause_after(Duration::ZERO), CONNECTION.first);
    }
}
