//! Determines the tables of a `file` source: names, columns with their types, key.

use std::collections::HashSet;
use std::path::Path;

use super::bad_line::BadLines;
use super::csv::CsvFile;
use super::options::{RowsFile, TableOptions};
use super::{csv, jsonl};
use crate::sources::{SourceError, Table};
use crate::value::{Column, Layout, ROW_OFFSET, Schema, Type, json, row_of_key};

/// Returns the definition of a table. Reads the table's whole file if the type of a column is not declared.
pub(super) fn discover(options: &TableOptions, bad_lines: BadLines) -> Result<Table, SourceError> {
    let columns = match &options.rows {
        RowsFile::Csv { path, null, delimiter } => {
            let names = csv::header(path, *delimiter, options.stream)?;
            check_names(options, path, &names)?;
            let declared = |name: &String| options.columns.iter().find(|c| c.0 == *name).map(|c| c.1.clone());
            let mut types: Vec<Option<Type>> = names.iter().map(declared).collect();
            if types.contains(&None) {
                csv::infer(&CsvFile { path, delimiter: *delimiter, null }, options.stream, bad_lines, &mut types)?;
            }
            names.into_iter().zip(types.into_iter().map(|ty| ty.expect("declared or inferred"))).collect()
        }
        RowsFile::JsonLines { path } if options.columns.is_empty() => jsonl::infer(path, options.stream, bad_lines)?,
        RowsFile::JsonLines { path } => {
            super::open(path)?;
            options.columns.clone()
        }
        RowsFile::None => options.columns.clone(),
    };
    with_key(options, columns)
}

/// Builds the table of these columns. Key columns are never NULL, all others may be.
fn with_key(options: &TableOptions, columns: Vec<(String, Type)>) -> Result<Table, SourceError> {
    let nullable = |name: &String| !options.key.contains(name);
    let mut columns: Vec<Column> =
        columns.into_iter().map(|(name, ty)| Column { nullable: nullable(&name), ..Column::new(name, ty, true) }).collect();
    if options.stream {
        if columns.iter().any(|column| column.name == ROW_OFFSET) {
            let message = format!("the stream `{}` has a column `{ROW_OFFSET}`, the name of the column that streams get", options.name);
            let help = Some("give it another name in the file, or leave `stream` out".into());
            return Err(SourceError::Invalid { message, table: Some(options.name.clone()), help });
        }
        let key = vec![columns.len()];
        columns.push(Column::new(ROW_OFFSET, Type::Int64, false));
        return Ok(Table { name: options.name.clone(), key, schema: Schema::new(columns), stream: true });
    }
    let schema = Schema::new(columns);
    let key = options.key.iter().map(|name| schema.index_of(name).ok_or_else(|| no_column(options, "`key`", name, schema.columns())));
    Ok(Table { name: options.name.clone(), key: key.collect::<Result<_, _>>()?, schema, stream: false })
}

/// A key of the table for people, e.g. `{"order_id":7}`.
pub(super) fn show_key(table: &Table, key: &[u8]) -> String {
    let layout = Layout::new(&table.schema.project(&table.key));
    let mut text = Vec::new();
    if let Some(row) = row_of_key(&layout, key) {
        json::write_row(&layout, &row, &mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn check_names(options: &TableOptions, path: &Path, names: &[String]) -> Result<(), SourceError> {
    let mut seen = HashSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
        return Err(SourceError::Invalid {
            message: format!("{}, line 1: the column `{twice}` occurs twice", path.display()),
            table: Some(options.name.clone()),
            help: None,
        });
    }
    let columns: Vec<Column> = names.iter().map(|name| Column::new(name, Type::Text, true)).collect();
    match options.columns.iter().find(|(name, _)| !names.contains(name)) {
        Some((name, _)) => Err(no_column(options, "`columns`", name, &columns)),
        None => Ok(()),
    }
}

fn no_column(options: &TableOptions, option: &str, name: &str, columns: &[Column]) -> SourceError {
    let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
    SourceError::Invalid {
        message: format!("{option} of the table `{}` names the column `{name}`, which does not exist", options.name),
        table: Some(options.name.clone()),
        help: Some(format!("columns: {}", names.join(", "))),
    }
}
