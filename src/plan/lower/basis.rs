//! What an input is based on: a table, or the rows of a query.

use std::fmt::{Display, Formatter, Result};

use crate::plan::query::LoweredQuery;
use crate::plan::{Node, Origin, PlanTable};
use crate::value::Schema;

/// The table or query that an input reads.
#[derive(Clone, Copy)]
pub(super) struct Basis<'a> {
    /// `None` for the document's own query.
    name: Option<&'a str>,
    pub schema: &'a Schema,
    /// The columns that make a row unique; empty if unknown.
    pub key: &'a [usize],
    pub rows: BasisRows<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum BasisRows<'a> {
    /// Index into the plan's tables.
    Table(usize),
    Query(&'a Node, Origin),
}

impl<'a> Basis<'a> {
    pub(super) fn of_table(index: usize, table: &'a PlanTable) -> Basis<'a> {
        Basis { name: Some(&table.name), schema: &table.schema, key: &table.key, rows: BasisRows::Table(index) }
    }

    /// `index`: of the view in the plan's views.
    pub(super) fn of_view(name: &'a str, index: usize, query: &'a LoweredQuery) -> Basis<'a> {
        Basis { name: Some(name), ..Basis::of_query(query, Origin::View(index)) }
    }

    /// `index`: of the document in the plan's views.
    pub(super) fn of_own_query(index: usize, query: &'a LoweredQuery) -> Basis<'a> {
        Basis::of_query(query, Origin::Own(index))
    }

    fn of_query(query: &'a LoweredQuery, of: Origin) -> Basis<'a> {
        let key = query.key.as_deref().unwrap_or_default();
        Basis { name: None, schema: query.node.schema(), key, rows: BasisRows::Query(&query.node, of) }
    }
}

/// The name in messages.
impl Display for Basis<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.name {
            Some(name) => write!(f, "`{name}`"),
            None => write!(f, "the query"),
        }
    }
}
