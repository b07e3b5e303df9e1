//! What Tidemill is measured against in `queries`: differential programs written by hand. A program of its own for its allocator: they are
//! at their best with mimalloc, where `tidemill` runs on the system's.
//!
//! Started by `queries`, which says what to do. Prints the figures as one line of JSON.

mod measured;
mod plain;
#[path = "../support/process.rs"]
mod process;
mod readings;
mod tables;
mod work;

use clap::ValueEnum;

use crate::work::Work;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let measured = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["measure", work, workers, folder] => {
            let (work, workers) = (Work::from_str(work, false).expect("a work"), workers.parse().expect("a number of workers"));
            plain::run(work, workers, folder.as_ref())
        }
        _ => return println!("the figures are in the report of queries"),
    };
    println!("{}", serde_json::to_string(&measured).expect("plain numbers"));
}
