//! The rows that documents are built from.

use super::query::key;
use super::{Body, Expression, Node, Plan};
use crate::value::Schema;

/// Rows as one part of a document reads them: filtered and computed, with some columns. Parts that read equal rows share their
/// arrangements.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    pub rows: Node,
    /// How many of the columns the document shows. The columns after them are only for relations, keys and orders.
    pub visible: usize,
    pub of: Origin,
}

/// Where the rows of an input come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Index into [`Plan::tables`].
    Table(usize),
    /// A view of a query; index into [`Plan::views`].
    View(usize),
    /// The document's own query; index of the document into [`Plan::views`].
    Own(usize),
}

impl Plan {
    /// The columns that make a row unique; `None` if unknown.
    pub fn key_of(&self, rows: &Node) -> Option<Vec<usize>> {
        key(&self.tables, rows)
    }

    /// The view that has these rows; the first one if several queries are equal.
    pub fn view_of(&self, rows: &Node) -> Option<usize> {
        self.views.iter().position(|view| matches!(&view.body, Body::Query(query) if query.node == *rows))
    }
}

impl Input {
    pub fn schema(&self) -> &Schema {
        self.rows.schema()
    }

    /// False if the rows are those of a view, unchanged.
    pub fn is_made(&self, plan: &Plan) -> bool {
        match self.of {
            Origin::Table(_) | Origin::Own(_) => true,
            Origin::View(view) => !matches!(&plan.views[view].body, Body::Query(query) if query.node == self.rows),
        }
    }

    /// The filter that the document itself declares.
    pub fn filter(&self, plan: &Plan) -> Option<&Expression> {
        match (&self.rows, self.of) {
            (Node::Table(rows), Origin::Table(_)) => rows.filter.as_ref(),
            (Node::Select(select), Origin::View(_)) if self.is_made(plan) => select.filter.as_ref(),
            _ => None,
        }
    }
}
