//! Views of queries, maintained by Tidemill and by a differential program written by hand, from the same files in one run: the average
//! and the last value of each sensor's readings, and a four-way join with a sum over the shop.
//!
//! `cargo bench --profile dev --bench 'queries*' [-- --readings N --orders N --repeats N]`. Every measurement is a process of its own,
//! this program again or `queries_baselines`; the variants take turns.

#[path = "../support/beside.rs"]
mod beside;
mod measured;
#[path = "../support/opened.rs"]
mod opened;
#[path = "../support/process.rs"]
mod process;
mod report;
mod spec;
mod tidemill;
mod work;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Parser, Subcommand};
use tidemill_shop::{Format, REFERENCE_ORDERS, Shop, write_readings};

use crate::measured::Measured;
use crate::work::Work;

/// Views of queries beside programs written by hand
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Step>,
    #[arg(long, default_value_t = 5_000_000, value_name = "N")]
    readings: u64,
    /// The size of the shop: so many orders
    #[arg(long, default_value_t = REFERENCE_ORDERS, value_name = "N")]
    orders: u64,
    /// How often each variant is measured; medians are shown
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Numbers of workers
    #[arg(long, default_values_t = [1, 2], value_delimiter = ',', value_name = "N,N")]
    workers: Vec<usize>,
    /// Only these
    #[arg(long, value_delimiter = ',', default_values_t = [Work::Average, Work::Latest, Work::Revenue], value_name = "WORK,WORK")]
    works: Vec<Work>,
    /// Keep the files and the specs here; for `perf record -g -- PROGRAM measure average 1 DIR` [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Measure one work in this process
    #[command(hide = true)]
    Measure { work: Work, workers: usize, folder: PathBuf },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Tidemill,
    Plain,
}

/// What is measured, with the outcome of each repeat.
pub(crate) struct Series {
    pub(crate) work: Work,
    pub(crate) variant: Variant,
    pub(crate) workers: usize,
    pub(crate) measured: Vec<Measured>,
}

fn main() {
    let cli = Cli::parse();
    match cli.command {
        Some(Step::Measure { work, workers, folder }) => {
            println!("{}", serde_json::to_string(&tidemill::run(work, workers, &folder)).expect("plain numbers"));
        }
        None => compare(&cli),
    }
}

fn compare(cli: &Cli) {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = cli.folder.as_deref().unwrap_or(temporary.path());
    let readings = write_readings(1, cli.readings, folder).expect("the disk takes the readings");
    println!("{} readings, {:.1} MB of CSV", cli.readings, readings.metadata().expect("it was written").len() as f64 / 1e6);
    Shop::new(1, cli.orders).write(folder, Format::Csv).expect("the disk takes the shop");
    let mut all = Vec::new();
    for &work in &cli.works {
        work.write_spec(folder).expect("the disk takes the spec");
        for &workers in &cli.workers {
            all.extend([Variant::Tidemill, Variant::Plain].map(|variant| Series { work, variant, workers, measured: Vec::new() }));
        }
    }
    for repeat in 1..=cli.repeats {
        for series in &mut all {
            eprintln!("{repeat} of {}: {:?}, {:?}, {} workers", cli.repeats, series.work, series.variant, series.workers);
            series.measured.push(in_a_process(series, folder));
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg").expect("Linux tells its load");
    println!("load average at the end: {}", load.split_whitespace().take(3).collect::<Vec<_>>().join(" "));
    report::check(&all);
    report::print(&all);
}

fn in_a_process(series: &Series, folder: &Path) -> Measured {
    let this = std::env::current_exe().expect("this program has a file");
    let program = match series.variant {
        Variant::Tidemill => this,
        Variant::Plain => beside::newest(&this, "queries_baselines"),
    };
    let mut command = Command::new(program);
    command.arg("measure").arg(series.work.to_string()).arg(series.workers.to_string()).arg(folder).stderr(Stdio::inherit());
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{:?} failed", series.variant);
    serde_json::from_slice(&output.stdout).expect("one line of figures")
}
