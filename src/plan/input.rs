//! What the rows are of which documents are made.

use super::query::key;
use super::{Body, Expression, Node, Plan};
use crate::value::Schema;

/// Rows as one place of a document sees them: filtered, computed, columns chosen. Places that see equal rows share what is arranged of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    pub rows: Node,
    /// How many of the columns the document shows; the others come after them and serve relations, keys and orders only.
    pub visible: usize,
    pub of: Origin,
}

/// What the rows of an input are made of.
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
    /// The columns that make a row of these unique, as far as that is known.
    pub fn key_of(&self, rows: &Node) -> Option<Vec<usize>> {
        key(&self.tables, rows)
    }

    /// The view whose rows are these: the first, where queries are alike.
    pub fn view_of(&self, rows: &Node) -> Option<usize> {
        self.views.iter().position(|view| matches!(&view.body, Body::Query(query) if query.node == *rows))
    }
}

impl Input {
    pub fn schema(&self) -> &Schema {
        self.rows.schema()
    }

    /// Whether the rows are not simply those of a view, but what the document makes of them.
    pub fn is_made(&self, plan: &Plan) -> bool {
        match self.of {
            Origin::Table(_) | Origin::Own(_) => true,
            Origin::View(view) => !matches!(&plan.views[view].body, Body::Query(query) if query.node == self.rows),
        }
    }

    /// Which rows are there, as far as the document says so itself.
    pub fn filter(&self, plan: &Plan) -> Option<&Expression> {
        match (&self.rows, self.of) {
            (Node::Table(rows), Origin::Table(_)) => rows.filter.as_ref(),
            (Node::Select(select), Origin::View(_)) if self.is_made(plan) => select.filter.as_ref(),
            _ => None,
        }
    }
}
