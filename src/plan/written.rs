//! Views as somebody wrote them: names not yet resolved, SQL not yet compiled, every part with its [`Place`].
//!
//! What is written in a spec file or a statement becomes this; [`lower`](super::lower()) makes a [`Plan`](super::Plan) of it. What is
//! `None` and not optional by nature was wrong and has been reported: lowering looks at the rest and says nothing more about it.

use super::{Missing, OnMany, RecursionLimit};

/// Where something was written. Means nothing here: whoever wrote the view made it, and turns it back into a line and a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub usize);

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written<T> {
    pub value: T,
    pub at: Place,
}

#[derive(Debug, Clone)]
pub struct WrittenView {
    pub name: Written<String>,
    pub root: WrittenInput,
    /// Empty: the primary key of the root's table, or what is known of a query.
    pub key: Vec<Written<String>>,
    pub lookups: Vec<WrittenLookup>,
    /// Instead of a root and lookups: a query.
    pub query: Option<WrittenQuery>,
}

/// A view's SQL, which could be parsed.
#[derive(Debug, Clone)]
pub struct WrittenQuery {
    pub sql: Written<String>,
    /// The tables that it names.
    pub tables: Vec<TableName>,
    /// The views that it names.
    pub views: Vec<String>,
    /// How far a recursion may go.
    pub limit: RecursionLimit,
}

impl WrittenView {
    /// Every table that the view names.
    pub fn tables(&self) -> Vec<&TableName> {
        let inputs = std::iter::once(&self.root).chain(self.lookups.iter().map(|l| &l.input));
        let of_inputs = inputs.filter_map(|input| Some(input.from.as_ref()?.value.tables())).flatten();
        of_inputs.chain(self.query.iter().flat_map(|q| &q.tables)).collect()
    }
}

/// A table of a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableName {
    pub source: String,
    pub table: String,
}

/// What an input is of.
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

/// A table or a query, and which of its rows and columns are taken.
#[derive(Debug, Clone)]
pub struct WrittenInput {
    pub from: Option<Written<WrittenFrom>>,
    /// SQL over the table's columns.
    pub filter: Option<Written<String>>,
    /// Exactly these columns, in this order. `None`: all of the table.
    pub columns: Option<Vec<WrittenColumn>>,
    /// Not shown: columns of the table, or computed ones that serve relations and orders only.
    pub exclude: Vec<Written<String>>,
    /// Old and new name.
    pub rename: Vec<(Written<String>, Written<String>)>,
    /// Name, and SQL over the table's columns.
    pub compute: Vec<(Written<String>, Written<String>)>,
}

#[derive(Debug, Clone)]
pub enum WrittenColumn {
    Plain(Written<String>),
    /// `sql` may be the name of a column alone: then it is that column under another name.
    Named {
        name: Written<String>,
        sql: Written<String>,
    },
}

#[derive(Debug, Clone)]
pub struct WrittenLookup {
    /// Of the whole lookup.
    pub at: Place,
    pub input: WrittenInput,
    /// The path's parts; empty for [`WrittenEmbed::Flatten`] and [`WrittenEmbed::Aggregates`].
    pub path: Written<Vec<String>>,
    pub embed: Option<WrittenEmbed>,
    /// Field of the parent (dotted: path of the parent, then its column), column of the child.
    pub on: Vec<(Written<String>, Written<String>)>,
    /// A column, `asc` or `desc` behind it.
    pub order_by: Vec<Written<String>>,
    /// Field, and an aggregate call over the child's columns.
    pub aggregates: Vec<(Written<String>, Written<String>)>,
}

/// What becomes of the children.
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
    /// The path as written, or how messages name a lookup that has none.
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
