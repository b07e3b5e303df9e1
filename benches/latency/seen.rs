//! When each change was seen, by the number that its commit wrote.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long any change may take.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<(Mutex<HashMap<u64, Instant>>, Condvar)>);

impl Seen {
    pub(crate) fn note(&self, number: u64) {
        let (seen, grew) = &*self.0;
        seen.lock().expect("nobody panics with it").entry(number).or_insert_with(Instant::now);
        grew.notify_all();
    }

    /// When it was seen; waits for that.
    pub(crate) fn wait_for(&self, number: u64) -> Instant {
        let (seen, grew) = &*self.0;
        let seen = seen.lock().expect("nobody panics with it");
        let (seen, _) = grew.wait_timeout_while(seen, PATIENCE, |seen| !seen.contains_key(&number)).expect("nobody panics with it");
        *seen.get(&number).unwrap_or_else(|| panic!("change {number} is not seen within {PATIENCE:?}"))
    }
}

/// p50 and p99 in ms, as text.
pub(crate) fn percentiles(mut took: Vec<Duration>) -> String {
    took.sort();
    let [p50, p99] = [took.len() / 2, took.len() * 99 / 100].map(|at| took[at].as_secs_f64() * 1e3);
    format!("p50 {p50:>7.2} ms   p99 {p99:>7.2} ms   of {}", took.len())
}
