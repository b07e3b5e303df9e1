//! The engine is killed again and again, at random moments and at every named fault point, while several connections write to a real
//! server. Nothing may be lost, doubled or half visible.
//!
//! In: a shop at MariaDB or MySQL (`shop`), transactions of every kind (`writers`), an engine with documents, queries and MongoDB sinks
//! that dies (`engine`). At every quiet moment - the writers wait, the engine has caught up - four answers are the same (`answers`): the
//! store's, that of the changelog replayed from its start, MongoDB's, and the server's own. All the time a reader (`reader`) looks at
//! invariants that every transaction keeps.
//!
//! A run prints its seed; `TIDEMILL_KILL_SEED` takes it again, as far as what is decided goes: when a process is scheduled is not in it. It takes
//! three minutes and every point at one of the two servers at least; in the long mode 200 kills and every point at both.

#[path = "../support/long.rs"]
mod long;
#[allow(dead_code, reason = "the tests of views use all of it")]
#[path = "../support/views/random.rs"]
mod random;
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod engine;
mod reader;
mod rounds;
mod shop;
#[path = "../support/values.rs"]
mod values;
mod writers;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_half_visible_through_kills_on_mariadb() {
    rounds::run("MARIADB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_half_visible_through_kills_on_mysql() {
    rounds::run("MYSQL").await;
}
