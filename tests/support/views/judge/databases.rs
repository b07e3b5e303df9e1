//! Databases on the PostgreSQL test server, each for one case at a time.
//!
//! A source's name is that of a schema, so cases that run at once need databases of their own. There are as many as cases ever ran at once;
//! they are numbered, held by a lock as long as this process lives, and made anew by the next process that gets their number.

use std::sync::{Mutex, MutexGuard, OnceLock};

use super::client::{Address, Client};

/// What is set in every session: our dialect's functions can be called by their bare names, and what a text or a time is does not depend on
/// the server. Queries are small, and many: nothing that only large ones win by.
const SESSION: &str = "SET search_path = public, dialect; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres';
    SET extra_float_digits = 1; SET max_parallel_workers_per_gather = 0; SET jit = off; SET statement_timeout = '60s'";

const FUNCTIONS: &str = include_str!("dialect.sql");

/// A connection to a database in which a transaction is open. What is made in it is gone with this.
pub(super) struct Database(Option<Client>);

impl Database {
    pub(super) fn take() -> Database {
        let free = free().pop();
        let mut client = free.unwrap_or_else(create);
        client.query("BEGIN").expect("a transaction begins");
        Database(Some(client))
    }

    pub(super) fn client(&mut self) -> &mut Client {
        self.0.as_mut().expect("it is there until this is dropped")
    }
}

/// Undoes everything, so that the database is as before. One in which a test failed is not used again.
impl Drop for Database {
    fn drop(&mut self) {
        let mut client = self.0.take().expect("it is dropped once");
        if !std::thread::panicking() {
            client.query("ROLLBACK").expect("a transaction ends");
            free().push(client);
        }
    }
}

fn free() -> MutexGuard<'static, Vec<Client>> {
    static FREE: Mutex<Vec<Client>> = Mutex::new(Vec::new());
    FREE.lock().expect("nothing fails while it is held")
}

fn create() -> Client {
    // And the first number that it did not ask for: what it has locked it could lock again.
    static HOLDER: OnceLock<Mutex<(Client, i32)>> = OnceLock::new();
    let mut address = address();
    let connect = |address: &Address| Client::connect(address).unwrap_or_else(|refused| panic!("PostgreSQL: {refused}"));
    {
        let mut holder = HOLDER.get_or_init(|| Mutex::new((connect(&address), 0))).lock().unwrap();
        let (holder, next) = &mut *holder;
        let mut tell = |statement: &str| holder.query(statement).unwrap_or_else(|refused| panic!("{statement}: {refused}"));
        let numbers = format!("generate_series({next}, 999) AS n WHERE pg_try_advisory_lock(hashtext('tidemill'), n)");
        let number = tell(&format!("SELECT n FROM {numbers} LIMIT 1"))[0][0][0].clone().expect("a number is free");
        *next = number.parse::<i32>().expect("a number") + 1;
        address.database = format!("tidemill_judge_{number}");
        let options = "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C' STRATEGY file_copy";
        tell(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", address.database));
        tell(&format!("CREATE DATABASE {} {options}", address.database));
    }
    let mut client = connect(&address);
    for statements in [SESSION, FUNCTIONS] {
        client.query(statements).unwrap_or_else(|refused| panic!("dialect.sql: {refused}"));
    }
    client
}

fn address() -> Address {
    let url = std::env::var("TIDEMILL_TEST_POSTGRES").expect(
        "this test needs PostgreSQL. Run ./test, or: eval \"$(tests/servers start postgres)\"; or set TIDEMILL_TEST_POSTGRES to the URL of one",
    );
    Address::read(&url).expect("TIDEMILL_TEST_POSTGRES is a URL postgres://user@host:port/database")
}
