//! Reachability in a graph, maintained by Tidemill (WITH RECURSIVE) and by a differential program written by hand, over the same edges in
//! one run.
//!
//! `CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo bench --profile dev --bench recursion [-- --edges N --nodes N --updates N --repeats N]`. Edges go from
//! any node to any; what is reached from node 0 is told. Then single edges go and come back, each in a transaction of its own. Every
//! measurement is a process of its own, this program again; the variants take turns.

mod graph;
mod measured;
mod plain;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "other benchmarks look at more")]
mod process;
mod tidemill;

use std::process::{Command, Stdio};

use clap::{Parser, Subcommand, ValueEnum};

use crate::graph::Graph;
use crate::measured::{Measured, print};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Reachability beside a program written by hand
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Step>,
    #[arg(long, default_value_t = 1_000_000, value_name = "N", global = true)]
    edges: usize,
    #[arg(long, default_value_t = 500_000, value_name = "N", global = true)]
    nodes: u32,
    /// So many edges go, and come back
    #[arg(long, default_value_t = 1_000, value_name = "N", global = true)]
    updates: usize,
    /// How often each variant is measured; medians are shown
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Numbers of workers
    #[arg(long, default_values_t = [1, 2], value_delimiter = ',', value_name = "N,N")]
    workers: Vec<usize>,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Measure one variant in this process
    #[command(hide = true)]
    Measure { variant: Variant, workers: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Variant {
    Tidemill,
    Plain,
}

fn main() {
    let cli = Cli::parse();
    match cli.command {
        Some(Step::Measure { variant, workers }) => {
            let graph = Graph::new(cli.nodes, cli.edges, cli.updates);
            let measured = match variant {
                Variant::Tidemill => tidemill::run(graph, workers),
                Variant::Plain => plain::run(graph, workers),
            };
            println!("{}", serde_json::to_string(&measured).expect("plain numbers"));
        }
        None => compare(&cli),
    }
}

fn compare(cli: &Cli) {
    println!("{} edges between {} nodes", cli.edges, cli.nodes);
    for &workers in &cli.workers {
        let mut all = [Vec::new(), Vec::new()];
        for _ in 0..cli.repeats {
            for (measured, variant) in all.iter_mut().zip([Variant::Tidemill, Variant::Plain]) {
                measured.push(measure(cli, variant, workers));
            }
        }
        let [ours, plain] = &all;
        let told = |measured: &[Measured]| measured.iter().map(|m| (m.reached, m.changed)).collect::<Vec<_>>();
        assert!(told(ours).iter().chain(&told(plain)).all(|one| *one == told(ours)[0]), "all tell the same: {ours:?} {plain:?}");
        print(&format!("Tidemill, {workers} workers"), ours);
        print(&format!("by hand, {workers} workers"), plain);
    }
}

fn measure(cli: &Cli, variant: Variant, workers: usize) -> Measured {
    let variant = variant.to_possible_value().expect("a name").get_name().to_string();
    let mut command = Command::new(std::env::current_exe().expect("a program has a path"));
    command.args(["measure", &variant, &workers.to_string()]).stderr(Stdio::inherit());
    command.args(["--edges", &cli.edges.to_string(), "--nodes", &cli.nodes.to_string(), "--updates", &cli.updates.to_string()]);
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{variant}, {workers} workers: {}", output.status);
    serde_json::from_slice(&output.stdout).expect("it prints what it measured")
}
