//! TPC-H as maintained views beside full recomputation by DataFusion, in one run.
//!
//! `TIDEMILL_TPCH_SCALE=0.1 CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo bench --profile dev --bench tpch [-- --queries 1,3 --workers 2]`. The
//! scale factor is 0.05 unless the variable says another. First all queries are maintained at once, then each by itself, every time in a
//! process of its own: the tables' rows are made in memory, the views hydrate from all but the last orders, and these come one by
//! one with their lines, each a transaction. What each view then holds is compared with DataFusion's answer, which is measured over the
//! same rows in memory, by one thread.
//!
//! The dataflow is driven as the engine drives it, without source and store. "held" is what the process grew by while it hydrated, once
//! what it freed is returned to the system; "told" is the part of it that arrangements, operators and the rows of the views account for.

#[path = "../support/process.rs"]
#[allow(dead_code, reason = "other benchmarks look at more")]
mod process;

#[path = "../../tests/support/long.rs"]
#[allow(dead_code, reason = "the tests of views use all of it")]
mod long;

#[path = "../../tests/support/views/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests of views use all of it")]
mod support;

#[path = "../../tests/support/tpch/mod.rs"]
#[allow(dead_code, reason = "the test of TPC-H uses all of it")]
mod tpch;

mod maintain;
mod measured;
mod rows;

use std::process::{Command, Stdio};

use clap::{Parser, Subcommand};

use crate::measured::Measured;

/// The engine's, because it is the engine's account of its memory that is compared with what the process grows by.
#[global_allocator]
static ALLOCATOR: tidemill_allocator::OrEnd = tidemill_allocator::OrEnd { help: "measure fewer queries at once", exit_code: 1 };

const QUERIES: usize = 22;

/// TPC-H, maintained and recomputed
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Step>,
    /// Only these, each by itself
    #[arg(long, value_delimiter = ',', value_name = "N,N")]
    queries: Vec<usize>,
    #[arg(long, default_value_t = 1, value_name = "N")]
    workers: usize,
    /// New orders, each a transaction
    #[arg(long, default_value_t = 300, value_name = "N")]
    orders: usize,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Measure these in this process
    #[command(hide = true)]
    Measure { workers: usize, orders: usize, queries: Vec<usize> },
}

fn main() {
    let cli = Cli::parse();
    if let Some(Step::Measure { workers, orders, queries }) = cli.command {
        let measured = maintain::measure(scale(), &queries, workers, orders);
        println!("{}", serde_json::to_string(&measured).expect("numbers are JSON"));
        return;
    }
    println!("TPC-H at scale factor {}, {} worker(s), {} orders one by one", scale(), cli.workers, cli.orders);
    println!("{}", Measured::header());
    if cli.queries.is_empty() {
        println!("{}", measure(&cli, &(1..=QUERIES).collect::<Vec<_>>()).line("all"));
    }
    let each = if cli.queries.is_empty() { (1..=QUERIES).collect() } else { cli.queries.clone() };
    for query in each {
        println!("{}", measure(&cli, &[query]).line(&format!("Q{query}")));
    }
}

fn scale() -> f64 {
    match std::env::var("TIDEMILL_TPCH_SCALE") {
        Ok(scale) => scale.parse().expect("TIDEMILL_TPCH_SCALE is a number"),
        Err(_) => 0.05,
    }
}

fn measure(cli: &Cli, queries: &[usize]) -> Measured {
    let mut arguments = vec!["measure".to_string(), cli.workers.to_string(), cli.orders.to_string()];
    arguments.extend(queries.iter().map(usize::to_string));
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new(program).args(arguments).stderr(Stdio::inherit()).output().expect("this program starts");
    assert!(output.status.success(), "queries {queries:?}: {}", output.status);
    serde_json::from_slice(&output.stdout).expect("it prints what it measured")
}
