//! `tidemill generate`: generates the example shop, or sensor readings, of any size from a seed. Writes files, or fills the tables of a server
//! and then changes their rows.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{ArgGroup, Args, ValueEnum};

use super::failure::CommandError;
use tidemill_shop::{ChangingShop, Format, REFERENCE_ORDERS, ServerError, Shop, ShopServer, TABLES, write_readings};

/// Generate the example shop of any size: the same seed gives the same data
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").required(true).args(["out", "into"]))]
pub struct GenerateArgs {
    /// The seed of all random values: the same seed and size give the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of orders; the other tables grow in proportion
    #[arg(long, default_value_t = REFERENCE_ORDERS, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    orders: u64,
    /// The format of the files
    #[arg(long, value_enum, default_value_t = FileFormat::Csv)]
    format: FileFormat,
    /// The folder to write to: created if missing, existing files are replaced
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The MySQL or MariaDB server to fill; if the URL names no database, ECommerceData is used
    #[arg(long, value_name = "URL", conflicts_with_all = ["format", "readings"])]
    into: Option<String>,
    /// Drop the tables first if they exist
    #[arg(long, requires = "into")]
    replace: bool,
    /// Keep changing the data afterwards: transactions per second, until Ctrl-C or the number of --changes is reached
    #[arg(long, value_name = "N", requires = "into", value_parser = rate)]
    change_rate: Option<f64>,
    /// The number of transactions that change the data: written to changes.jsonl or changes.sql, or executed on the server
    #[arg(long, value_name = "N")]
    changes: Option<u64>,
    /// Generate this many sensor readings (readings.csv) instead of the shop
    #[arg(long, value_name = "N", conflicts_with_all = ["orders", "format", "changes"])]
    readings: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FileFormat {
    /// One file per table, with a header line
    Csv,
    /// One file of SQL statements that create the database, the tables and the rows
    Sql,
    /// One file per table, one JSON object per line
    Jsonl,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.trim_end_matches("/s").parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("the rate must be a number of transactions per second above 0".into()),
    }
}

impl GenerateArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        match (&self.into, &self.out) {
            (Some(url), _) => super::runtime()?.block_on(self.fill_server(url)),
            (None, Some(folder)) => self.write_files(folder),
            (None, None) => unreachable!("clap asks for one of them"),
        }
    }

    fn write_files(&self, folder: &Path) -> Result<(), CommandError> {
        let start = Instant::now();
        let (what, files) = self.write(folder).map_err(|error| {
            let message = format!("cannot write into {}: {error}", folder.display());
            CommandError::running(message, None)
        })?;
        let bytes: u64 = files.iter().filter_map(|file| file.metadata().ok()).map(|m| m.len()).sum();
        let seconds = start.elapsed().as_secs_f64();
        super::print(&format!("{what}\n{} files, {bytes} bytes in {}, {seconds:.1} s\n", files.len(), folder.display()))
    }

    fn write(&self, folder: &Path) -> std::io::Result<(String, Vec<PathBuf>)> {
        if let Some(readings) = self.readings {
            return Ok((format!("{readings} readings"), vec![write_readings(self.seed, readings, folder)?]));
        }
        let shop = Shop::new(self.seed, self.orders);
        let format = match self.format {
            FileFormat::Csv => Format::Csv,
            FileFormat::Sql => Format::Sql,
            FileFormat::Jsonl => Format::JsonLines,
        };
        let mut what = counts(&shop);
        let mut files = shop.write(folder, format)?;
        if let Some(changes) = self.changes {
            what += &format!("; {changes} transactions of changes");
            files.push(ChangingShop::new(shop).write(changes, folder, format)?);
        }
        Ok((what, files))
    }

    async fn fill_server(&self, url: &str) -> Result<(), CommandError> {
        let start = Instant::now();
        let mut server = ShopServer::connect(url).await.map_err(failure)?;
        let shop = Shop::new(self.seed, self.orders);
        server.load(&shop, self.replace).await.map_err(failure)?;
        let seconds = start.elapsed().as_secs_f64();
        super::print(&format!("{}\ndatabase {}, {seconds:.1} s\n", counts(&shop), server.database))?;
        if self.changes.is_some() || self.change_rate.is_some() {
            let mut changing = ChangingShop::new(shop);
            tokio::select! {
                done = server.keep_changing(&mut changing, self.change_rate.unwrap_or(f64::INFINITY), self.changes) => done.map_err(failure)?,
                // The server rolls back the open transaction.
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
        }
        server.disconnect().await.map_err(failure)
    }
}

fn failure(error: ServerError) -> CommandError {
    match error {
        ServerError::Url => CommandError::wrong(format!("--into: {error}"), None),
        ServerError::Exists { .. } => CommandError::wrong(error.to_string(), Some("use --replace to drop them first".into())),
        ServerError::Server(_) => CommandError::running(error.to_string(), None),
    }
}

/// The row counts, such as `99441 orders, 112650 order_items, ...`.
fn counts(shop: &Shop) -> String {
    let counts: Vec<String> = TABLES.iter().map(|t| format!("{} {}", shop.rows(t.name).count(), t.short)).collect();
    counts.join(", ")
}
