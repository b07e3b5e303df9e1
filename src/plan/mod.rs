//! A spec's views, with every name resolved and every type known.
//!
//! In: views as written and the schemas of the tables. Out: a [`Plan`] that `dataflow` renders and `explain` prints. From here on columns
//! are indexes, and all errors of the spec have been reported.

mod arrangement;
mod arrangements;
mod arrival;
mod definition;
mod delta_join;
mod explain;
mod explain_node;
mod held;
mod indexes;
mod input;
mod lower;
mod node;
mod only;
mod part;
mod plain;
mod problem;
mod query;
mod size;
mod widen;
mod written;

pub use arrangement::{Arrangement, ArrangementKind};
pub use arrangements::{Arrangements, DocumentArrangements, LookupArrangements, Up, ViewArrangements, ViewReads};
pub use definition::MEANING;
pub use delta_join::{DeltaInput, DeltaJoin, DeltaStep};
pub use held::HeldSide;
pub use input::{Input, Origin};
pub use lower::{Catalog, examine, lower};
pub use node::{
    Constants, Counted, Group, Join, JoinKind, Node, PairCondition, Recursion, RecursionLimit, Select, Side, TableRows, Top, Unnest,
    UnnestColumn, Window, WithoutElements,
};
pub use problem::{ViewProblem, did_you_mean, listed, nearest};
pub use size::ArrangedSize;
pub use written::{
    Place, TableName, Written, WrittenBody, WrittenColumn, WrittenDocument, WrittenEmbed, WrittenFrom, WrittenInput, WrittenLookup,
    WrittenQuery, WrittenView,
};

pub(crate) use crate::sql::SEVERAL;
/// The expressions and calls of a plan's nodes, for `dataflow`.
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
    /// The columns of the primary key. Empty if there is none: then the rows are a multiset.
    pub key: Vec<usize>,
    /// Whether rows are only inserted, never updated or deleted.
    pub stream: bool,
    /// Whether the last column is the order of arrival, which is added to the source's rows.
    pub arrival: bool,
}

impl PlanTable {
    /// The name with the source's name, e.g. `shop.ecom_orders`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.source, self.name)
    }
}

/// A view: rows, each stored under a key.
#[derive(Debug, Clone)]
pub struct View {
    pub name: String,
    /// Columns of `schema`. If they do not make a row unique (a query without a key), a number is added to distinguish equal rows.
    pub key: Vec<usize>,
    pub schema: Schema,
    pub body: Body,
}

impl View {
    /// The tables that the view reads, as indexes into [`Plan::tables`].
    pub fn tables(&self) -> BTreeSet<usize> {
        let nodes: Vec<&Node> = match &self.body {
            Body::Document(document) => document.inputs().into_iter().map(|input| &input.rows).collect(),
            Body::Query(query) => vec![&query.node],
        };
        nodes.into_iter().flat_map(Node::tables).map(|rows| rows.table).collect()
    }

    /// Whether a key has at most one row. If the data violate this, the key has an error instead.
    pub fn has_key(&self) -> bool {
        !matches!(&self.body, Body::Query(query) if query.uniqueness == Uniqueness::None)
    }
}

/// How a view's rows are defined.
#[derive(Debug, Clone)]
pub enum Body {
    Document(Document),
    Query(Query),
}

/// Root rows with their lookups embedded, to any depth. The view's schema is the root's visible columns, then what the lookups add, in
/// order. Its key consists of visible columns of the root.
#[derive(Debug, Clone)]
pub struct Document {
    pub root: Input,
    pub lookups: Vec<Lookup>,
}

impl Document {
    /// The root's input, then those of all lookups, parents before children.
    pub fn inputs(&self) -> Vec<&Input> {
        std::iter::once(&self.root).chain(self.all_lookups().into_iter().map(|lookup| &lookup.input)).collect()
    }

    /// All lookups, parents before children.
    pub fn all_lookups(&self) -> Vec<&Lookup> {
        self.lookups.iter().flat_map(Lookup::and_below).collect()
    }

    /// The document's own query, if it has one, with the document's filter and columns applied.
    pub fn own_query(&self) -> Option<&Node> {
        matches!(self.root.of, Origin::Own(_)).then_some(&self.root.rows)
    }
}

/// A view defined by a SQL query.
#[derive(Debug, Clone)]
pub struct Query {
    pub node: Node,
    /// Whether the view's key makes a row unique.
    pub uniqueness: Uniqueness,
}

/// Whether a key has at most one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniqueness {
    /// The query guarantees it, for example because it groups by the key.
    Made,
    /// The spec declares it, or it follows from the keys of tables. If the data violate it, the key has an error instead of a row.
    Declared,
    /// A key may have several rows.
    None,
}

/// A column of rows that are derived from others.
#[derive(Debug, Clone, PartialEq)]
pub enum InputColumn {
    /// A column, unchanged.
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
    /// Columns of the parent's input and, pairwise, of this input that must be equal. NULL equals nothing. If `parent_columns` are the
    /// parent's `child_columns` or the root's key, a change finds its root without a reverse index.
    pub parent_columns: Vec<usize>,
    pub child_columns: Vec<usize>,
    pub embed: Embed,
    /// The order of the children of one parent. It is total, except that equal rows remain equal.
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

/// A column in the order of a lookup's children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderBy {
    /// A column of the lookup's input.
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
    /// At most `limit` children. `field` is `None` if only aggregates are wanted.
    Array {
        field: Option<String>,
        limit: Option<usize>,
        missing: Missing,
        aggregates: Vec<DocumentAggregate>,
    },
    /// `path: ""`: each column of the child's element becomes a column of the parent, named `prefix` + its name.
    Flatten {
        prefix: String,
        on_many: OnMany,
        missing: Missing,
    },
}

/// Which child an object takes if several match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMany {
    First,
    Last,
    /// The document is withheld and replaced by an error.
    Error,
}

/// The value of the field if no child matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Absent,
    Null,
    /// Arrays only: `[]`.
    Empty,
}

/// An aggregate over all children of one parent, regardless of `limit`.
#[derive(Debug, Clone)]
pub struct DocumentAggregate {
    pub field: String,
    pub function: AggregateFunction,
}
