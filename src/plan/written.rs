//! Views as written: names are not resolved, SQL is not compiled, and every part has its [`Place`].
//!
//! Spec files and statements are parsed into these types, and [`lower`](super::lower()) makes a [`Plan`](super::Plan) from them. A part
//! that is `None` although it is not optional was wrong and has been reported. Lowering checks the rest and reports nothing more about that
//! part.

use super::{Missing, OnMany, RecursionLimit};

/// Where something was written. Opaque here: the parser that created it turns it back into a line and a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub usize);

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written<T> {
    pub value: T,
    pub at: Place,
}

/// A view as written.
#[derive(Debug, Clone)]
pub struct WrittenView {
    pub name: Written<String>,
    /// If empty: the primary key of the root's table, or the known key of a query.
    pub key: Vec<Written<String>>,
    pub body: WrittenBody,
}

#[derive(Debug, Clone)]
pub enum WrittenBody {
    Document(WrittenDocument),
    /// `None`: its SQL was wrong, and that has been reported.
    Query(Option<WrittenQuery>),
}

/// The rows that documents are made of, and what is embedded into them.
#[derive(Debug, Clone)]
pub struct WrittenDocument {
    pub root: WrittenInput,
    pub lookups: Vec<WrittenLookup>,
}

/// A view's SQL, which was parsed without errors.
#[derive(Debug, Clone)]
pub struct WrittenQuery {
    pub sql: Written<String>,
    /// The tables that it names.
    pub tables: Vec<TableName>,
    /// The views that it names.
    pub views: Vec<String>,
    /// The limit of recursions in the query.
    pub limit: RecursionLimit,
}

impl WrittenView {
    /// Every table that the view names.
    pub fn tables(&self) -> Vec<&TableName> {
        let of_inputs = self.inputs().filter_map(|input| Some(input.from.as_ref()?.value.tables())).flatten();
        of_inputs.chain(self.query().into_iter().flat_map(|query| &query.tables)).collect()
    }

    /// The inputs of a view of documents, the root first.
    pub fn inputs(&self) -> impl Iterator<Item = &WrittenInput> {
        self.document()
            .into_iter()
            .flat_map(|document| std::iter::once(&document.root).chain(document.lookups.iter().map(|lookup| &lookup.input)))
    }

    pub fn document(&self) -> Option<&WrittenDocument> {
        match &self.body {
            WrittenBody::Document(document) => Some(document),
            WrittenBody::Query(_) => None,
        }
    }

    /// The query of a view of a query.
    pub fn query(&self) -> Option<&WrittenQuery> {
        match &self.body {
            WrittenBody::Document(_) => None,
            WrittenBody::Query(query) => query.as_ref(),
        }
    }
}

/// A table of a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableName {
    pub source: String,
    pub table: String,
}

/// What an input reads.
#[derive(Debug, Clone)]
pub enum WrittenFrom {
    Table(TableName),
    /// Another view.
    View(String),
    /// The view's own query; roots only.
    Query(WrittenQuery),
}

impl WrittenFrom {
    /// The tables that are named here.
    pub fn tables(&self) -> Vec<&TableName> {
        match self {
            WrittenFrom::Table(table) => vec![table],
            WrittenFrom::View(_) => Vec::new(),
            WrittenFrom::Query(query) => query.tables.iter().collect(),
        }
    }
}

/// A table or a query, and which of its rows and columns are read.
#[derive(Debug, Clone)]
pub struct WrittenInput {
    pub from: Option<Written<WrittenFrom>>,
    /// SQL over the table's columns.
    pub filter: Option<Written<String>>,
    /// Exactly these columns, in this order. `None`: all columns of the table.
    pub columns: Option<Vec<WrittenColumn>>,
    /// Columns that are not shown: of the table, or computed ones that only serve relations and orders.
    pub exclude: Vec<Written<String>>,
    /// Pairs of old and new name.
    pub rename: Vec<(Written<String>, Written<String>)>,
    /// Pairs of name and SQL over the table's columns.
    pub compute: Vec<(Written<String>, Written<String>)>,
}

/// A column of an input as written.
#[derive(Debug, Clone)]
pub enum WrittenColumn {
    Plain(Written<String>),
    /// If `sql` is only a column's name, the column is renamed.
    Named {
        name: Written<String>,
        sql: Written<String>,
    },
}

/// A lookup as written.
#[derive(Debug, Clone)]
pub struct WrittenLookup {
    /// The place of the whole lookup.
    pub at: Place,
    pub input: WrittenInput,
    /// The path's parts; empty for [`WrittenEmbed::Flatten`] and [`WrittenEmbed::Aggregates`].
    pub path: Written<Vec<String>>,
    pub embed: Option<WrittenEmbed>,
    /// Pairs of a field of the parent (its column, optionally after the parent's dotted path) and a column of the child.
    pub on: Vec<(Written<String>, Written<String>)>,
    /// A column, optionally followed by `asc` or `desc`.
    pub order_by: Vec<Written<String>>,
    /// Pairs of a field and an aggregate call over the child's columns.
    pub aggregates: Vec<(Written<String>, Written<String>)>,
}

/// How the children are embedded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrittenEmbed {
    Object { on_many: OnMany, missing: Missing },
    Array { limit: Option<usize>, missing: Missing },
    Flatten { prefix: String, on_many: OnMany, missing: Missing },
    Aggregates,
}

impl<T> Written<T> {
    pub fn new(value: T, at: Place) -> Written<T> {
        Written { value, at }
    }
}

impl Written<String> {
    /// A part of this text, with the same place.
    pub(super) fn part(&self, text: &str) -> Written<String> {
        Written::new(text.to_string(), self.at)
    }
}

impl WrittenLookup {
    /// The path as written, or a name for messages if the lookup has no path.
    pub(super) fn label(&self) -> String {
        if !self.path.value.is_empty() {
            return self.path.value.join(".");
        }
        match self.input.from.as_ref().map(|from| &from.value) {
            Some(WrittenFrom::Table(TableName { table: name, .. }) | WrittenFrom::View(name)) => format!("lookup of {name}"),
            Some(WrittenFrom::Query(_)) | None => "lookup".into(),
        }
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.source, self.table)
    }
}
