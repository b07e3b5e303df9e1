//! What a spec's views are, with every name resolved and every type known.
//!
//! In: views as written and the schemas of the tables. Out: a [`Plan`] that `dataflow` renders as it stands and `explain` prints.
//! Columns are indexes from here on; whatever could be wrong with a spec has been reported.

mod arrangement;
mod arrangements;
mod definition;
mod delta;
mod explain;
mod explain_node;
mod held;
mod indexes;
mod input;
mod lower;
mod node;
mod plain;
mod problem;
mod query;
mod size;
mod widen;
mod written;

pub use arrangement::{Arrangement, ArrangementKind};
pub use arrangements::{Arrangements, DocumentArrangements, LookupArrangements, Up, ViewArrangements};
pub use definition::MEANING;
pub use delta::{DeltaInput, DeltaJoin, DeltaStep};
pub use held::Held;
pub use input::{Input, Origin};
pub use lower::{Catalog, examine, lower};
pub use node::{
    Constants, Counted, Group, Join, JoinKind, Node, PairCondition, Recursion, RecursionLimit, Select, Side, TableRows, Top, Unnest,
    UnnestColumn, Window, WithoutElements,
};
pub use problem::{Problem, did_you_mean, listed, nearest};
pub use written::{
    Place, TableName, Written, WrittenColumn, WrittenEmbed, WrittenFrom, WrittenInput, WrittenLookup, WrittenQuery, WrittenView,
};

pub(crate) use crate::sql::SEVERAL;
/// What a plan's nodes compute, for whoever renders them.
pub use crate::sql::{AggregateFunction, Argument, EvaluationError, Expression, Order, Reach, Running, Simple, WindowFunction};

use std::collections::BTreeSet;

use crate::value::Schema;

/// Everything that one engine maintains.
#[derive(Debug, Clone)]
pub struct Plan {
    pub tables: Vec<PlanTable>,
    pub views: Vec<View>,
}

/// A captured table.
#[derive(Debug, Clone)]
pub struct PlanTable {
    /// The source's name in the spec.
    pub source: String,
    pub name: String,
    pub schema: Schema,
    /// The columns of the primary key; empty: a multiset.
    pub key: Vec<usize>,
    /// Whether rows only ever come.
    pub stream: bool,
    /// Whether the last column is the order of arrival, which the source's rows do not have.
    pub arrival: bool,
}

impl PlanTable {
    /// With the source's name, e.g. `shop.ecom_orders`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.source, self.name)
    }
}

/// Rows under a key.
#[derive(Debug, Clone)]
pub struct View {
    pub name: String,
    /// Columns of `schema`. Where they do not make a row unique (a query without a key) equal rows are told apart by a number.
    pub key: Vec<usize>,
    pub schema: Schema,
    pub body: Body,
}

impl View {
    /// The tables that its rows are made of; indexes into [`Plan::tables`].
    pub fn tables(&self) -> BTreeSet<usize> {
        let nodes: Vec<&Node> = match &self.body {
            Body::Document(document) => document.inputs().into_iter().map(|input| &input.rows).collect(),
            Body::Query(query) => vec![&query.node],
        };
        nodes.into_iter().flat_map(Node::tables).map(|rows| rows.table).collect()
    }

    /// Whether the key is one, as far as is known: a row alone is under it, or an error is.
    pub fn has_key(&self) -> bool {
        !matches!(&self.body, Body::Query(query) if query.uniqueness == Uniqueness::None)
    }
}

/// What a view's rows are.
#[derive(Debug, Clone)]
pub enum Body {
    Document(Document),
    Query(Query),
}

/// Root rows with their lookups embedded, to any depth. The view's schema is the root's visible columns, then what the lookups add, in
/// order; its key are visible columns of the root.
#[derive(Debug, Clone)]
pub struct Document {
    pub root: Input,
    pub lookups: Vec<Lookup>,
}

impl Document {
    /// The root's, then those of all lookups, parents before children.
    pub fn inputs(&self) -> Vec<&Input> {
        std::iter::once(&self.root).chain(self.all_lookups().into_iter().map(|lookup| &lookup.input)).collect()
    }

    /// Parents before children.
    pub fn all_lookups(&self) -> Vec<&Lookup> {
        self.lookups.iter().flat_map(Lookup::and_below).collect()
    }

    /// The query of its own, with all that the document leaves of it.
    pub fn own_query(&self) -> Option<&Node> {
        matches!(self.root.of, Origin::Own(_)).then_some(&self.root.rows)
    }
}

/// What a SQL query gives.
#[derive(Debug, Clone)]
pub struct Query {
    pub node: Node,
    /// Whether the view's key makes a row unique.
    pub uniqueness: Uniqueness,
}

/// Whether there is at most one row of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniqueness {
    /// The query makes it so: it groups by the key.
    Made,
    /// The sources say so of their tables; where it is not so, the key has no row.
    Declared,
    None,
}

/// A column of rows that are made of others.
#[derive(Debug, Clone, PartialEq)]
pub enum InputColumn {
    /// A column as it is.
    Column(usize),
    /// Computed from columns.
    Computed(Expression),
}

/// Child rows embedded into the rows of a parent.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The path as written, for messages, e.g. `order_items.product`.
    pub path: String,
    pub input: Input,
    /// Columns of the parent's input and, pairwise, of this input that must be equal. NULL equals nothing. When `parent_columns`
    /// are the parent's `child_columns` or the root's key, a change walks up without an index.
    pub parent_columns: Vec<usize>,
    pub child_columns: Vec<usize>,
    pub embed: Embed,
    /// The order of the children under one parent; always total up to equal rows.
    pub order_by: Vec<OrderBy>,
    pub children: Vec<Lookup>,
    /// One child as embedded: the visible columns, then what `children` add.
    pub element: Schema,
}

impl Lookup {
    fn and_below(&self) -> Vec<&Lookup> {
        std::iter::once(self).chain(self.children.iter().flat_map(Lookup::and_below)).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderBy {
    /// Of the lookup's input.
    pub column: usize,
    pub descending: bool,
}

/// How the children become a field of the parent. `field` is the column's name in the parent's element.
#[derive(Debug, Clone)]
pub enum Embed {
    Object {
        field: String,
        on_many: OnMany,
        missing: Missing,
    },
    /// `limit` children at most. `field` is `None` where only aggregates are wanted.
    Array {
        field: Option<String>,
        limit: Option<usize>,
        missing: Missing,
        aggregates: Vec<Aggregate>,
    },
    /// `path: ""`: each column of the child's element becomes a column of the parent, named `prefix` + its name.
    Flatten {
        prefix: String,
        on_many: OnMany,
        missing: Missing,
    },
}

/// What an object takes when several children match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMany {
    First,
    Last,
    /// The document is withheld and an error stands in its place.
    Error,
}

/// What stands where no child matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Absent,
    Null,
    /// Arrays only: `[]`.
    Empty,
}

/// An aggregate over the children of one parent, before `limit`.
#[derive(Debug, Clone)]
pub struct Aggregate {
    pub field: String,
    pub function: AggregateFunction,
}
