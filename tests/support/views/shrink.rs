//! Makes a case that does not hold smaller, as long as it does not hold in the same way.
//!
//! Left out, in this order and again until nothing more can be: views, tables, transactions, changes within them, rows that the tables begin
//! with, and parts of the queries (`simpler`). Bounded by a number of runs and by time: what is smallest then is told.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt;

use super::generate::Generated;
use super::parts::Parts;
use super::simpler::simpler;
use super::wrong::Wrong;

/// How much may be tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) runs: usize,
    pub(crate) time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { runs: 400, time: Duration::from_secs(60) }
    }
}

/// The smallest case that was found, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Shrunk {
    pub(crate) case: Generated,
    pub(crate) wrong: Wrong,
    pub(crate) runs: usize,
}

struct Shrinker<C> {
    parts: Parts,
    wrong: Wrong,
    check: C,
    left: usize,
    until: Instant,
}

/// `check` says what is wrong with a case; of this one it said `wrong`.
pub(crate) async fn shrink<C>(case: &Generated, wrong: Wrong, limits: Limits, check: C) -> Shrunk
where
    C: AsyncFn(&Generated) -> Result<(), Wrong>,
{
    let until = Instant::now() + limits.time;
    let mut shrinker = Shrinker { parts: Parts::of(case).mended(), wrong, check, left: limits.runs, until };
    while shrinker.round().await {}
    Shrunk { case: shrinker.parts.generated(), wrong: shrinker.wrong, runs: limits.runs - shrinker.left }
}

impl<C: AsyncFn(&Generated) -> Result<(), Wrong>> Shrinker<C> {
    /// Whether the case became smaller, and may become smaller yet.
    async fn round(&mut self) -> bool {
        let before = self.parts.clone();
        self.without(|parts| &mut parts.views, 1).await;
        self.without(|parts| &mut parts.tables, 1).await;
        self.without(|parts| &mut parts.transactions, 0).await;
        for at in (0..self.parts.transactions.len()).rev() {
            self.without(|parts| &mut parts.transactions[at], 0).await;
        }
        self.parts.transactions.retain(|changes| !changes.is_empty());
        for at in 0..self.parts.tables.len() {
            self.without(|parts| &mut parts.tables[at].rows, 0).await;
        }
        for at in 0..self.parts.views.len() {
            self.simplify(at).await;
        }
        self.parts != before && self.may_go_on()
    }

    /// Leaves out items of a list, halves first, then less and less, from behind; at least `least` stay.
    async fn without<T>(&mut self, list: impl Fn(&mut Parts) -> &mut Vec<T>, least: usize) {
        let length = |parts: &mut Parts| list(parts).len();
        let mut some = length(&mut self.parts);
        while some > 0 {
            let mut end = length(&mut self.parts);
            while end > 0 {
                let start = end.saturating_sub(some);
                let mut fewer = self.parts.clone();
                list(&mut fewer).drain(start..end);
                if list(&mut fewer).len() >= least {
                    self.attempt(fewer).await;
                }
                // Others may have gone with them.
                end = start.min(length(&mut self.parts));
            }
            some /= 2;
        }
    }

    async fn simplify(&mut self, view: usize) {
        let mut n = 0;
        while self.may_go_on() {
            let Some(sql) = self.parts.views[view].1["sql"].as_str().and_then(|sql| simpler(sql, n)) else { return };
            let mut other = self.parts.clone();
            other.views[view].1["sql"] = sql.into();
            n += usize::from(!self.attempt(other).await);
        }
    }

    /// Takes the parts if they are wrong in the same way.
    async fn attempt(&mut self, parts: Parts) -> bool {
        let parts = parts.mended();
        if !self.may_go_on() || parts == self.parts {
            return false;
        }
        self.left -= 1;
        let result = AssertUnwindSafe((self.check)(&parts.generated())).catch_unwind().await;
        let result = result.unwrap_or_else(|panic| Err(Wrong::of_panic(&*panic)));
        match result {
            Err(wrong) if wrong.is_like(&self.wrong) => {
                (self.parts, self.wrong) = (parts, wrong);
                true
            }
            _ => false,
        }
    }

    fn may_go_on(&self) -> bool {
        self.left > 0 && Instant::now() < self.until
    }
}
