//! `tidemill generate`: the shop of the reference view, or sensor readings, at any size from a seed.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::shop::{Format, REFERENCE_ORDERS, Shop, TABLES, write_readings};

/// Make the shop of the reference view at any size, always the same for the same seed
#[derive(Debug, Args)]
pub struct Generate {
    /// What everything is drawn from; the same seed and size give the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The size: so many orders, the other tables in proportion
    #[arg(long, default_value_t = REFERENCE_ORDERS, value_name = "N")]
    orders: u64,
    /// How to write it
    #[arg(long, value_enum, default_value_t = FileFormat::Csv)]
    format: FileFormat,
    /// The folder to write to; made if missing, files of the same names are replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Make so many sensor readings (readings.csv) instead of the shop
    #[arg(long, value_name = "N", conflicts_with_all = ["orders", "format"])]
    readings: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FileFormat {
    /// One file per table, with a header line
    Csv,
    /// One file of statements that make database, tables and rows
    Sql,
    /// One file per table, one JSON object per line
    Jsonl,
}

impl Generate {
    pub fn run(self) -> anyhow::Result<()> {
        let start = Instant::now();
        let folder = &self.out;
        let (what, files) = match self.readings {
            Some(readings) => {
                let file =
                    write_readings(self.seed, readings, folder).with_context(|| format!("cannot write into {}", folder.display()))?;
                (format!("{readings} readings"), vec![file])
            }
            None => {
                let shop = Shop::new(self.seed, self.orders);
                let format = match self.format {
                    FileFormat::Csv => Format::Csv,
                    FileFormat::Sql => Format::Sql,
                    FileFormat::Jsonl => Format::JsonLines,
                };
                let files = shop.write(folder, format).with_context(|| format!("cannot write into {}", folder.display()))?;
                (counts(&shop), files)
            }
        };
        let bytes: u64 = files.iter().filter_map(|file| file.metadata().ok()).map(|m| m.len()).sum();
        println!("{what}");
        println!("{} files, {bytes} bytes in {}, {:.1} s", files.len(), folder.display(), start.elapsed().as_secs_f64());
        Ok(())
    }
}

/// `99441 orders, 112650 order_items, ...`
fn counts(shop: &Shop) -> String {
    let counts: Vec<String> = TABLES.iter().map(|t| format!("{} {}", shop.rows(t.name).count(), t.short)).collect();
    counts.join(", ")
}
