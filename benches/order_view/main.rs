//! The order document four ways, from the same CSVs in one run: Tidemill up to the documents in memory, Tidemill with its durable store, a
//! differential program written by hand, and the floor that only parses and builds.
//!
//! `cargo bench --profile dev --bench 'order_view*' [-- --orders N --repeats N]`. Every measurement is a process of its own, this program
//! again or `order_view_baselines`, so that peaks of memory are its own; the variants take turns. Where the folder goes is decided by
//! `TMPDIR`.

#[path = "../support/beside.rs"]
mod beside;
mod durable;
mod measure;
#[path = "../support/opened.rs"]
mod opened;
#[path = "../support/process.rs"]
mod process;
mod reference;
mod report;
mod tidemill;
mod updates;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tidemill_shop::{Format, REFERENCE_ORDERS, Shop};

use crate::measure::Measured;

/// The order document four ways
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Step>,
    /// The size of the shop: so many orders
    #[arg(long, default_value_t = REFERENCE_ORDERS, value_name = "N")]
    orders: u64,
    /// How often each variant is measured; medians are shown
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Numbers of workers
    #[arg(long, default_values_t = [1, 2], value_delimiter = ',', value_name = "N,N")]
    workers: Vec<usize>,
    /// Keep the CSVs and the spec here; for `perf record -g -- PROGRAM measure tidemill 1 DIR` [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Measure one variant in this process
    #[command(hide = true)]
    Measure(Measure),
}

#[derive(Debug, Args)]
struct Measure {
    variant: Ours,
    workers: usize,
    folder: PathBuf,
    #[arg(long, hide = true)]
    bench: bool,
}

/// The variants that this program measures itself.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ours {
    Tidemill,
    Durable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Tidemill,
    Durable,
    Plain,
    Floor,
}

/// What is measured, with the outcome of each repeat.
pub(crate) struct Series {
    pub(crate) variant: Variant,
    pub(crate) workers: usize,
    pub(crate) measured: Vec<Measured>,
}

fn main() {
    let cli = Cli::parse();
    match cli.command {
        Some(Step::Measure(measure)) => println!("{}", serde_json::to_string(&measure.run()).expect("plain numbers")),
        None => compare(&cli),
    }
}

fn compare(cli: &Cli) {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = cli.folder.as_deref().unwrap_or(temporary.path());
    let start = Instant::now();
    let files = Shop::new(1, cli.orders).write(folder, Format::Csv).expect("the disk takes the shop");
    let csv_bytes: u64 = files.iter().map(|file| file.metadata().expect("it was written").len()).sum();
    reference::write_spec(folder).expect("the disk takes the spec");
    println!("a shop of {} orders: {:.1} MB of CSV, made in {:.1} s", cli.orders, csv_bytes as f64 / 1e6, start.elapsed().as_secs_f64());

    let mut all = Vec::new();
    for &workers in &cli.workers {
        all.extend([Variant::Tidemill, Variant::Durable, Variant::Plain].map(|variant| Series { variant, workers, measured: Vec::new() }));
    }
    all.push(Series { variant: Variant::Floor, workers: 1, measured: Vec::new() });
    for repeat in 1..=cli.repeats {
        for series in &mut all {
            eprintln!("{repeat} of {}: {:?}, {} workers", cli.repeats, series.variant, series.workers);
            series.measured.push(in_a_process(series.variant, series.workers, folder));
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg").expect("Linux tells its load");
    println!("load average at the end: {}", load.split_whitespace().take(3).collect::<Vec<_>>().join(" "));
    report::check(&all, cli.orders);
    report::print(&all, csv_bytes);
}

fn in_a_process(variant: Variant, workers: usize, folder: &Path) -> Measured {
    let this = std::env::current_exe().expect("this program has a file");
    let (program, arguments): (_, &[&str]) = match variant {
        Variant::Tidemill => (this, &["measure", "tidemill"]),
        Variant::Durable => (this, &["measure", "durable"]),
        Variant::Plain => (beside::newest(&this, "order_view_baselines"), &["plain"]),
        Variant::Floor => (beside::newest(&this, "order_view_baselines"), &["floor"]),
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(workers.to_string()).arg(folder).stderr(Stdio::inherit());
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{variant:?} failed");
    serde_json::from_slice(&output.stdout).expect("one line of figures")
}

impl Measure {
    fn run(&self) -> Measured {
        let spec = self.folder.join("order_view.yaml");
        match self.variant {
            Ours::Tidemill => tidemill::run(&spec, self.workers),
            Ours::Durable => {
                let state = tempfile::tempdir_in(&self.folder).expect("a folder");
                durable::run(&spec, &state.path().join("state"), self.workers)
            }
        }
    }
}
