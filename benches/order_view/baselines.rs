//! What Tidemill is measured against in `order_view`: the differential program written by hand, and the floor. A program of its own for
//! its allocator: these two are at their best with mimalloc, where `tidemill` runs on the system's.
//!
//! Started by `order_view`, which says what to build. Prints the figures as one line of JSON.

mod floor;
mod measure;
mod plain;
#[path = "../support/process.rs"]
mod process;
mod tables;
mod updates;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let measured = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["plain", workers, folder] => plain::run(folder.as_ref(), workers.parse().expect("a number of workers")),
        ["floor", _, folder] => floor::run(folder.as_ref()),
        _ => return println!("the figures are in the report of order_view"),
    };
    println!("{}", serde_json::to_string(&measured).expect("plain numbers"));
}
