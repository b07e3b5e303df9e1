//! How long a commit at MariaDB takes to be told by `tidemill tail` and to be in MongoDB, when it is quiet and at a steady rate with three sinks; and
//! how fast a log of single-row transactions is caught up.
//!
//! `eval "$(tests/servers start mariadb mongodb)"; cargo bench --profile dev --bench latency [-- --commits N --rate N --seconds N --log N]`.
//! The engine and `tail` are processes of their own. The time of a commit is from sending it. Beside it stands in the same run what no
//! reader of the log can be quicker than: when a plain reader, in this process, has the same change decoded.

#[path = "../../tests/support/mod.rs"]
mod support;

mod catch_up;
mod commits;
mod engine;
mod log;
mod seen;

use clap::Parser;

/// From commit to `tail` and to MongoDB
#[derive(Debug, Parser)]
struct Cli {
    /// Commits when it is quiet, each awaited
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(100..))]
    commits: u32,
    /// Transactions per second of the steady load
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(10..))]
    rate: u32,
    /// How long the steady load takes
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Single-row transactions in the log that is caught up
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..))]
    log: u32,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let cli = Cli::parse();
    commits::quiet(cli.commits).await;
    commits::steady(cli.rate, cli.seconds).await;
    catch_up::measure(cli.log).await;
}
