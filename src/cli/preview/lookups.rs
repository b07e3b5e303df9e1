//! Reads the rows that lookups embed into given rows, level by level.

use std::collections::HashSet;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::gather::Documents;
use super::keys::distinct_keys;
use super::read::{MOST, TableReader};
use crate::cli::failure::CommandError;
use crate::dataflow::select_rows;
use crate::plan::{InputColumn, Lookup, Node, TableRows};
use crate::sources::WantedRows;
use crate::value::{Layout, Row, Rows, key};

impl Documents<'_> {
    /// Reads the children of these rows, and what is below them. `parent`: the layout of the rows.
    pub(super) fn children<'f>(
        &'f self,
        reader: &'f mut TableReader<'_>,
        parent: &'f Layout,
        rows: &'f Rows,
        lookups: &'f [Lookup],
    ) -> BoxFuture<'f, Result<(), CommandError>> {
        let read = async move {
            for lookup in lookups {
                let relations = rows.iter().filter_map(|row| key::of_relation(parent, row, &lookup.parent_columns));
                let relations: HashSet<Row> = relations.collect();
                let found = match &lookup.input.rows {
                    _ if relations.is_empty() => continue,
                    Node::Table(input) => self.children_of_table(reader, parent, rows, lookup, input).await?,
                    query => self.rows_of_query(query),
                };
                let child = Layout::new(lookup.input.schema());
                let is_child =
                    |row: &&[u8]| key::of_relation(&child, row, &lookup.child_columns).is_some_and(|key| relations.contains(&key));
                let children: Rows = found.iter().filter(is_child).collect();
                self.children(reader, &child, &children, &lookup.children).await?;
            }
            Ok(())
        };
        read.boxed()
    }

    async fn children_of_table(
        &self,
        reader: &mut TableReader<'_>,
        parent: &Layout,
        rows: &Rows,
        lookup: &Lookup,
        input: &TableRows,
    ) -> Result<Rows, CommandError> {
        let table = &self.plan.tables[input.table];
        let pairs = lookup.parent_columns.iter().zip(&lookup.child_columns);
        let (from, columns): (Vec<usize>, Vec<usize>) = pairs
            .filter_map(|(&from, &to)| match input.columns[to] {
                InputColumn::Column(column) => Some((from, column)),
                InputColumn::Computed(_) => None,
            })
            .unzip();
        let name = table.full_name();
        let place = if lookup.path.is_empty() { name.clone() } else { format!("`{}` ({name})", lookup.path) };
        let wanted = match columns.is_empty() {
            true => WantedRows::First,
            false => {
                let keys = distinct_keys(parent, rows, &from, &table.schema.project(&columns));
                WantedRows::Matching { columns, keys }
            }
        };
        let is_computed = matches!(wanted, WantedRows::First);
        let (read, left) = reader.read(input.table, wanted, MOST).await?;
        match left {
            Some(_) if is_computed => {
                let searched = read.len();
                reader.warnings.add(
                    format!("{place}: what it relates is computed, so only the first {searched} rows were searched, and documents may be incomplete"),
                    None,
                );
            }
            Some(left) => reader.warnings.of_lookup(&place, MOST, left),
            None => {}
        }
        Ok(select_rows(input, &table.schema, &read))
    }
}
