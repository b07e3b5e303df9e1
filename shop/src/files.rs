//! Writes a shop to files: CSV or JSON lines with one file per table, or SQL in one file. Also sensor readings as CSV.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::changes::{ChangingShop, RowChange};
use super::make::Shop;
use super::random::Random;
use super::rows::Cell;
use super::tables::{DATABASE, TABLES, TableShape};
use super::text::{create_table, csv_line, json_change, json_object, sql_change, sql_tuple};

/// The format of a shop's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    Sql,
    JsonLines,
}

/// The number of rows in one `INSERT`.
pub(super) const ROWS_PER_INSERT: usize = 1_000;
/// The number of sensors that have readings.
pub const SENSORS: u64 = 10_000;
const AREAS: u64 = 100;

impl Shop {
    /// Writes the shop into a folder, which is created if it is missing. Replaces existing files. Returns the files.
    pub fn write(&self, folder: &Path, format: Format) -> io::Result<Vec<PathBuf>> {
        std::fs::create_dir_all(folder)?;
        match format {
            Format::Sql => {
                let path = folder.join("shop.sql");
                let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
                self.write_sql(&mut out)?;
                out.flush()?;
                Ok(vec![path])
            }
            Format::Csv => TABLES.iter().map(|table| self.write_lines(folder, table, "csv", csv_line)).collect(),
            Format::JsonLines => TABLES
                .iter()
                .map(|table| {
                    self.write_lines(folder, table, "jsonl", |cells, line| {
                        json_object(table, cells, line);
                        line.push(b'\n');
                    })
                })
                .collect(),
        }
    }

    fn write_lines(
        &self,
        folder: &Path,
        table: &TableShape,
        extension: &str,
        write: impl Fn(&[Cell], &mut Vec<u8>),
    ) -> io::Result<PathBuf> {
        let path = folder.join(table.file_name(extension));
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        if extension == "csv" {
            let names: Vec<&str> = table.columns.iter().map(|c| c.name).collect();
            writeln!(out, "{}", names.join(","))?;
        }
        let (mut cells, mut line) = (Vec::new(), Vec::new());
        for row in self.rows(table.name) {
            row.cells(&mut cells);
            line.clear();
            write(&cells, &mut line);
            out.write_all(&line)?;
        }
        out.flush()?;
        Ok(path)
    }

    /// Writes the statements that create the whole shop: database, tables, rows.
    pub fn write_sql(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "CREATE DATABASE IF NOT EXISTS `{DATABASE}` DEFAULT CHARACTER SET utf8mb4;\nUSE `{DATABASE}`;\nSET NAMES utf8mb4;")?;
        for table in &TABLES {
            create_table(table, out)?;
            writeln!(out, ";")?;
        }
        for table in &TABLES {
            self.inserts(table, |statement| {
                out.write_all(statement)?;
                out.write_all(b";\n")
            })?;
        }
        Ok(())
    }

    /// Calls `each` with the `INSERT` statements of a table, each with up to [`ROWS_PER_INSERT`] rows.
    pub(super) fn inserts<E>(&self, table: &TableShape, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let head = format!("INSERT INTO `{}` VALUES", table.sql_name());
        let (mut cells, mut statement, mut rows) = (Vec::new(), Vec::new(), 0);
        for row in self.rows(table.name) {
            statement.extend_from_slice(if rows == 0 { head.as_bytes() } else { b"," });
            statement.push(b'\n');
            row.cells(&mut cells);
            sql_tuple(&cells, &mut statement);
            rows += 1;
            if rows == ROWS_PER_INSERT {
                each(&statement)?;
                statement.clear();
                rows = 0;
            }
        }
        if rows > 0 {
            each(&statement)?;
        }
        Ok(())
    }
}

impl ChangingShop {
    /// Writes the next `transactions` transactions: as statements (`changes.sql`), or for CSV and JSON lines as lines that sources of kind
    /// `file` read (`changes.jsonl`).
    pub fn write(&mut self, transactions: u64, folder: &Path, format: Format) -> io::Result<PathBuf> {
        let path = folder.join(if format == Format::Sql { "changes.sql" } else { "changes.jsonl" });
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        let mut text = Vec::new();
        if format == Format::Sql {
            writeln!(out, "USE `{DATABASE}`;\nSET NAMES utf8mb4;")?;
        }
        for _ in 0..transactions {
            text.clear();
            match format {
                Format::Sql => transaction_as_sql(&self.next_transaction(), &mut text),
                Format::Csv | Format::JsonLines => transaction_as_lines(&self.next_transaction(), &mut text),
            }
            out.write_all(&text)?;
        }
        out.flush()?;
        Ok(path)
    }
}

fn transaction_as_sql(changes: &[RowChange], out: &mut Vec<u8>) {
    out.extend_from_slice(b"BEGIN;\n");
    for change in changes {
        sql_change(change, out);
        out.extend_from_slice(b";\n");
    }
    out.extend_from_slice(b"COMMIT;\n");
}

fn transaction_as_lines(changes: &[RowChange], out: &mut Vec<u8>) {
    if let [change] = changes {
        return json_change(change, out);
    }
    out.extend_from_slice(b"{\"begin\":true}\n");
    changes.iter().for_each(|change| json_change(change, out));
    out.extend_from_slice(b"{\"commit\":true}\n");
}

/// Writes this number of readings, `sensor-<n>,<area>,<reading>`, of [`SENSORS`] sensors. A sensor stays in its area, and its readings are near
/// its own level.
pub fn write_readings(seed: u64, readings: u64, folder: &Path) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join("readings.csv");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
    writeln!(out, "sensor,area,reading")?;
    let mut random = Random::new(seed, "readings");
    for _ in 0..readings {
        let sensor = random.below(SENSORS);
        let level = (sensor * 37 % 900) as i64;
        writeln!(out, "sensor-{sensor},area-{},{}", sensor % AREAS, level + random.between(0, 99))?;
    }
    out.flush()?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files_of(seed: u64, format: Format) -> Vec<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let files = Shop::new(seed, 300).write(folder.path(), format).unwrap();
        files.iter().map(|file| std::fs::read(file).unwrap()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_bytes_and_another_seed_others() {
        for format in [Format::Csv, Format::Sql, Format::JsonLines] {
            assert_eq!(files_of(7, format), files_of(7, format));
            assert_ne!(files_of(7, format), files_of(8, format));
        }
    }

    /// What a seed means may not change from version to version: recorded fixtures and figures name their seed.
    #[test]
    fn the_bytes_of_a_seed_are_those_of_the_first_version() {
        let all: Vec<u8> = files_of(1, Format::Csv).concat();
        assert_eq!(format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&all)), "d8f65b87399425d2");
    }

    #[test]
    fn csv_files_have_a_header_and_a_line_per_row() {
        let folder = tempfile::tempdir().unwrap();
        let shop = Shop::new(1, 1_000);
        let files = shop.write(folder.path(), Format::Csv).unwrap();
        for (table, file) in TABLES.iter().zip(&files) {
            assert_eq!(file.file_name().unwrap().to_str().unwrap(), format!("olist_{}_dataset.csv", table.short));
            let mut reader = csv::Reader::from_path(file).unwrap();
            let header: Vec<String> = reader.headers().unwrap().iter().map(String::from).collect();
            assert_eq!(header, table.columns.iter().map(|c| c.name).collect::<Vec<_>>());
            assert_eq!(reader.records().map(Result::unwrap).count() as u64, table.rows(1_000));
        }
    }

    #[test]
    fn json_lines_are_objects_in_the_order_of_the_columns() {
        let lines = files_of(1, Format::JsonLines);
        let first = lines[3].split(|b| *b == b'\n').next().unwrap();
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(first).unwrap();
        let orders = &TABLES[3];
        assert_eq!(object.keys().map(String::as_str).collect::<Vec<_>>(), orders.columns.iter().map(|c| c.name).collect::<Vec<_>>());
    }

    #[test]
    fn readings_are_counted_and_repeatable() {
        let folder = tempfile::tempdir().unwrap();
        let first = std::fs::read(write_readings(5, 1_000, folder.path()).unwrap()).unwrap();
        let again = std::fs::read(write_readings(5, 1_000, folder.path()).unwrap()).unwrap();
        assert_eq!(first, again);
        assert_eq!(first.iter().filter(|b| **b == b'\n').count(), 1_001);
        assert!(first.starts_with(b"sensor,area,reading\nsensor-"));
    }
}
