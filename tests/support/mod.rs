//! What integration tests share: real servers with a fresh database for each test, the program itself, and waiting for a fact.
//!
//! `tests/servers start` gives the servers. A test that finds none fails and says so; it never passes by skipping.
// Each test program uses a part of it.
#![allow(dead_code, unused_imports)]

mod mongodb;
mod mysql;
mod own_server;
mod program;
mod wait;

pub(crate) use self::mongodb::MongoDatabase;
pub(crate) use self::mysql::MysqlDatabase;
pub(crate) use self::own_server::OwnServer;
pub(crate) use self::program::{Finished, Program, Running};
pub(crate) use self::wait::{eventually, eventually_async};

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The URL of a test server: `server_url("MARIADB")`, `"MYSQL"`, `"MONGODB"` or `"POSTGRES"`.
pub(crate) fn server_url(kind: &str) -> String {
    let name = format!("TIDEMILL_TEST_{kind}");
    std::env::var(&name).unwrap_or_else(|_| {
        let start = kind.to_lowercase();
        panic!("this test needs a server. Run ./test, or: eval \"$(tests/servers start {start})\"; or set {name} to the URL of one")
    })
}

/// The file of the authority that signed the certificates of the MariaDB and MySQL test servers.
pub(crate) fn server_ca() -> String {
    std::env::var("TIDEMILL_TEST_CA").expect("TIDEMILL_TEST_CA comes with the servers: eval \"$(tests/servers start)\"")
}

/// A name that no other test, process or run has: letters, digits and `_`, at most 32 characters.
fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    format!("t{:x}_{:x}_{:x}", std::process::id(), nanos & 0xffff_ffff_ffff, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs a future to its end from a `drop`, inside or outside of an async runtime. Cleaning up must not hide why a test failed, so
/// errors are printed and no more.
fn finally<T>(what: &str, work: impl Future<Output = anyhow::Result<T>> + Send) {
    let run = || tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work).map(drop);
    let result: anyhow::Result<()> = std::thread::scope(|scope| scope.spawn(run).join().expect("no panic while cleaning up"));
    if let Err(error) = result {
        eprintln!("{what}: {error:#}");
    }
}
