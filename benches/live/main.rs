//! End to end on real servers: how fast the shop comes from MariaDB through the whole engine into its store, and how long a commit at
//! MariaDB takes to be visible in the store and in MongoDB. The same follows with foreign keys that act, which the engine carries out.
//!
//! `eval "$(tests/servers start mariadb mongodb)"; cargo bench --profile dev --bench live [-- --orders N --updates N]`. The engine runs
//! in this process. The time of an update is from sending its COMMIT until a reader that looks without pause has the new value, so
//! the server's own commit is in it.

#[path = "../../tests/support/mod.rs"]
mod support;

mod engine;
mod follow;
mod shop;
mod snapshot;

use clap::Parser;
use tidemill_shop::REFERENCE_ORDERS;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The order document from MariaDB to the store and to MongoDB
#[derive(Debug, Parser)]
struct Cli {
    /// The size of the shop: so many orders
    #[arg(long, default_value_t = REFERENCE_ORDERS, value_name = "N")]
    orders: u64,
    /// How often the snapshot is measured; medians are shown
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Single updates of a customer, each awaited
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    updates: u32,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let cli = Cli::parse();
    let shop = shop::load(cli.orders).await;
    for workers in [1, 2] {
        snapshot::measure(&shop, cli.orders, workers, cli.repeats).await;
    }
    let without = follow::measure(&shop, cli.orders, cli.updates, "CITY").await;
    println!("the same with foreign keys (ON DELETE CASCADE ON UPDATE CASCADE)");
    shop::add_foreign_keys(&shop).await;
    snapshot::measure(&shop, cli.orders, 1, cli.repeats).await;
    let with = follow::measure(&shop, cli.orders, cli.updates, "TOWN").await;
    bar("visible in the store, p50, of that without", with / without, "", with / without <= 1.05, "<= 1.05");
}

/// A figure with its bar.
fn bar(what: &str, value: f64, unit: &str, ok: bool, wanted: &str) {
    println!("  {what:<44}{value:>12.2} {unit:<8}wanted: {wanted:<12}{}", if ok { "ok" } else { "MISSED" });
}
