//! Reads the rows that a few documents or rows of a view need.
//!
//! A document view: some root rows, then for each lookup the rows that its parents look up, level by level. Where its rows are those of a
//! query, and for a view of a query, the first rows of each table of the query are read.

use std::collections::BTreeSet;
use std::time::Instant;

use super::compute::{compute, store_error};
use super::keys::distinct_keys;
use super::read::{MOST, ReadTable, Readers, TableReader};
use super::warnings::Warnings;
use crate::cli::failure::CommandError;
use crate::dataflow::select_rows;
use crate::plan::{Body, Document, Input, InputColumn, Node, Plan, TableRows, View};
use crate::sources::WantedRows;
use crate::value::{Layout, Row, RowBuilder, Rows, key};

/// What is to be shown.
pub(super) struct AskedRows {
    /// The number of rows.
    pub(super) rows: usize,
    /// Values of the first key columns, with their layout.
    pub(super) key: Option<(Layout, Row)>,
    /// When reading ends at the latest.
    pub(super) until: Instant,
}

/// What the engine needs.
pub(super) struct Gathered {
    /// Like [`Plan::tables`].
    pub(super) tables: Vec<ReadTable>,
    /// The keys of the documents for which all was read. `None`: all rows of the view may be shown.
    pub(super) keys: Option<BTreeSet<Row>>,
    pub(super) warnings: Warnings,
}

/// Gathers for the last view of the plan.
pub(super) async fn gather(plan: &Plan, readers: &mut Readers, asked: AskedRows) -> Result<Gathered, CommandError> {
    let view = plan.views.last().expect("it has a view");
    let expected = match &view.body {
        Body::Query(_) => view.tables().len(),
        // The rows with the same key as a root are one more read.
        Body::Document(document) => view.tables().len().max(document.inputs().len()) + 1,
    };
    let mut reader = TableReader::new(plan, readers, asked.until, expected);
    let keys = match &view.body {
        Body::Query(query) => {
            first_rows_of(&mut reader, plan, &query.node).await?;
            None
        }
        Body::Document(document) => Some(Documents { plan, view, document, asked, queries: Vec::new() }.gather(&mut reader).await?),
    };
    let TableReader { tables, warnings, .. } = reader;
    Ok(Gathered { tables, keys, warnings })
}

/// Reads the first rows of each table of a query.
async fn first_rows_of(reader: &mut TableReader<'_>, plan: &Plan, query: &Node) -> Result<(), CommandError> {
    let tables: BTreeSet<usize> = query.tables().into_iter().map(|rows| rows.table).collect();
    for table in tables {
        let (rows, left) = reader.read(table, WantedRows::First, MOST).await?;
        if let Some(left) = left {
            reader.warnings.of_query(&plan.tables[table].full_name(), rows.len(), left);
        }
    }
    Ok(())
}

/// Gathers what documents need.
pub(super) struct Documents<'a> {
    pub(super) plan: &'a Plan,
    view: &'a View,
    document: &'a Document,
    asked: AskedRows,
    /// The rows of inputs that are queries.
    queries: Vec<(&'a Node, Rows)>,
}

impl<'a> Documents<'a> {
    /// Returns the keys of the documents.
    async fn gather(mut self, reader: &mut TableReader<'_>) -> Result<BTreeSet<Row>, CommandError> {
        self.compute_queries(reader).await?;
        let roots = match &self.document.root.rows {
            Node::Table(input) => self.roots_of_table(reader, input).await?,
            query => self.chosen(self.rows_of_query(query), true),
        };
        let layout = Layout::new(self.document.root.schema());
        let keys = roots.iter().map(|row| key::encode(&layout, row, &self.view.key)).collect();
        self.children(reader, &layout, &roots, &self.document.lookups).await?;
        Ok(keys)
    }

    /// Computes the queries that the document reads, of the first rows of their tables.
    async fn compute_queries(&mut self, reader: &mut TableReader<'_>) -> Result<(), CommandError> {
        let mut queries: Vec<&'a Input> = Vec::new();
        for input in self.document.inputs() {
            if !matches!(input.rows, Node::Table(_)) && !queries.iter().any(|other| other.rows == input.rows) {
                queries.push(input);
            }
        }
        if queries.is_empty() {
            return Ok(());
        }
        for query in &queries {
            first_rows_of(reader, self.plan, &query.rows).await?;
        }
        let computed = compute(self.plan.of_inputs(&queries), reader.readers(), &reader.tables).await?;
        let snapshot = computed.store.snapshot();
        for (number, input) in queries.into_iter().enumerate() {
            let Some(view) = snapshot.view(&number.to_string()) else { continue };
            let mut rows = Rows::default();
            for read in view.scan_prefix(b"").map_err(store_error)? {
                rows.push(&read.map_err(store_error)?.1);
            }
            self.queries.push((&input.rows, rows));
        }
        Ok(())
    }

    pub(super) fn rows_of_query(&self, query: &Node) -> Rows {
        self.queries.iter().find(|(node, _)| *node == query).map_or_else(Rows::default, |(_, rows)| rows.clone())
    }

    /// The first rows of these that have the wanted key. `by_key`: in the order of the view's key.
    fn chosen(&self, rows: Rows, by_key: bool) -> Rows {
        let layout = Layout::new(self.document.root.schema());
        let prefix = self.asked.key.as_ref().map(|(layout, row)| {
            let all: Vec<usize> = (0..layout.schema().len()).collect();
            key::encode(layout, row, &all)
        });
        let keyed = rows.iter().map(|row| (key::encode(&layout, row, &self.view.key), row));
        let mut wanted: Vec<(Row, &[u8])> = keyed.filter(|(key, _)| prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix))).collect();
        if by_key {
            wanted.sort();
        }
        wanted.into_iter().take(self.asked.rows).map(|(_, row)| row).collect()
    }

    async fn roots_of_table(&self, reader: &mut TableReader<'_>, input: &TableRows) -> Result<Rows, CommandError> {
        let mut found = (Rows::default(), Rows::default(), None);
        for (wanted, most) in self.root_reads(input) {
            let (rows, left) = reader.read(input.table, wanted, most).await?;
            let selected = select_rows(input, &self.plan.tables[input.table].schema, &rows);
            let chosen = self.chosen(selected, reader.is_whole(input.table));
            found = (chosen, rows, left);
            if found.0.len() == self.asked.rows || found.2.is_none() {
                break;
            }
        }
        let (chosen, rows, left) = found;
        if left.is_some() && chosen.len() < self.asked.rows {
            let table = self.plan.tables[input.table].full_name();
            reader.warnings.add(format!("only {} rows of {table} were searched for documents", rows.len()), None);
        }
        self.read_equal_keys(reader, input, &chosen).await?;
        Ok(chosen)
    }

    /// The reads that may find enough root rows, one after the other.
    fn root_reads(&self, input: &TableRows) -> Vec<(WantedRows, usize)> {
        let (of_key, columns) = self.key_columns(input);
        match &self.asked.key {
            Some((layout, row)) => {
                let given: Vec<usize> = (0..layout.schema().len()).filter(|place| of_key.contains(place)).collect();
                if given.is_empty() {
                    return vec![(WantedRows::First, MOST)];
                }
                let mut builder = RowBuilder::new(&Layout::new(&layout.schema().project(&given)));
                given.iter().for_each(|&place| builder.push(layout.get(row, place)));
                let columns = columns[..given.len()].to_vec();
                vec![(WantedRows::Matching { columns, keys: vec![builder.finish()] }, MOST)]
            }
            None => vec![(WantedRows::First, self.asked.rows), (WantedRows::First, MOST)],
        }
    }

    /// The places in the view's key whose columns are columns of the table, and these columns.
    fn key_columns(&self, input: &TableRows) -> (Vec<usize>, Vec<usize>) {
        let columns = self.view.key.iter().enumerate().filter_map(|(place, &column)| match input.columns[column] {
            InputColumn::Column(column) => Some((place, column)),
            InputColumn::Computed(_) => None,
        });
        columns.unzip()
    }

    /// Reads the other rows with the keys of these roots: while several rows have a key, none of them is shown.
    async fn read_equal_keys(&self, reader: &mut TableReader<'_>, input: &TableRows, roots: &Rows) -> Result<(), CommandError> {
        let table = &self.plan.tables[input.table];
        let (places, columns) = self.key_columns(input);
        let is_unique = !table.key.is_empty() && table.key.iter().all(|column| columns.contains(column));
        if is_unique || roots.is_empty() {
            return Ok(());
        }
        if columns.is_empty() {
            let name = table.full_name();
            reader.warnings.add(format!("whether several rows of {name} have the same key was not checked"), None);
            return Ok(());
        }
        let layout = Layout::new(self.document.root.schema());
        let from: Vec<usize> = places.iter().map(|&place| self.view.key[place]).collect();
        let keys = distinct_keys(&layout, roots, &from, &table.schema.project(&columns));
        let (rows, left) = reader.read(input.table, WantedRows::Matching { columns, keys }, MOST).await?;
        if let Some(left) = left {
            reader.warnings.of_lookup(&format!("rows with the same key ({})", table.full_name()), rows.len(), left);
        }
        Ok(())
    }
}
