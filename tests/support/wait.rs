//! Waiting for a fact that can only be asked for.

use std::time::{Duration, Instant};

const ASK_EVERY: Duration = Duration::from_millis(10);

/// Asks until the answer is `Some`, which it returns. Panics with `what` when `deadline` has passed.
pub(crate) fn eventually<T>(what: &str, deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        std::thread::sleep(ASK_EVERY);
    }
}

/// [`eventually`] for a question that is async.
pub(crate) async fn eventually_async<T>(what: &str, deadline: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        tokio::time::sleep(ASK_EVERY).await;
    }
}
