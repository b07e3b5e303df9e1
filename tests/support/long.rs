//! The long mode, for nights: `TIDEMILL_LONG=1 ./test`. Random tests run many cases of new seeds, queries and TPC-H stand beside DuckDB, and
//! each says at the end what it ran.

use std::fs::OpenOptions;
use std::io::Write;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn is_wanted() -> bool {
    std::env::var_os("TIDEMILL_LONG").is_some_and(|value| !value.is_empty() && value != "0")
}

/// Of the clock, in microseconds: nobody had them before.
#[allow(dead_code, reason = "not every test draws seeds")]
pub(crate) fn new_seeds(count: u64) -> Range<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_micros() as u64;
    now..now + count
}

/// Says what was run: on the output of the test, and in the file that `./test` prints at its end.
pub(crate) fn tell(ran: &str) {
    println!("{ran}");
    let Some(path) = std::env::var_os("TIDEMILL_RAN").filter(|_| is_wanted()) else { return };
    let file = OpenOptions::new().append(true).create(true).open(path);
    let told = file.and_then(|mut file| writeln!(file, "{ran}"));
    told.expect("the file of TIDEMILL_RAN can be written");
}
