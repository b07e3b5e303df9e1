//! The relational nodes by which a SQL query is maintained, each with the schema of its rows.
//!
//! Rows are multisets, as in SQL. Names in a node's schema are only for display; columns are referenced by index.

use super::InputColumn;
use crate::sql::{AggregateFunction, Expression, Order, WindowFunction};
use crate::value::{Diff, Row, Schema};

/// A node of a query's plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Table(TableRows),
    Select(Box<Select>),
    Join(Box<Join>),
    Group(Box<Group>),
    Top(Box<Top>),
    Window(Box<Window>),
    Unnest(Box<Unnest>),
    /// The rows of all these nodes. Their schemas have the same types.
    Union(Vec<Node>),
    /// Rows given by the query itself.
    Constants(Constants),
    /// No rows: a part of a query that is known to be empty.
    Nothing(Schema),
    Recursion(Box<Recursion>),
    /// Inside the step of a recursion: the recursion's rows.
    Itself(Schema),
}

/// Rows of a table, filtered and computed. Parts of a plan that read a table in the same way have equal `TableRows` and share their
/// arrangements.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRows {
    /// Index into [`Plan::tables`](super::Plan::tables).
    pub table: usize,
    /// Only rows for which this is true are included.
    pub filter: Option<Expression>,
    pub columns: Vec<InputColumn>,
    /// The schema of `columns`.
    pub schema: Schema,
}

/// Rows that never change.
#[derive(Debug, Clone, PartialEq)]
pub struct Constants {
    pub rows: Vec<Row>,
    pub schema: Schema,
}

/// The rows of a node for which the filter is true, with these columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    pub of: Node,
    pub filter: Option<Expression>,
    pub columns: Vec<InputColumn>,
    pub schema: Schema,
}

impl Select {
    /// Whether it at most renames columns.
    pub fn changes_nothing(&self) -> bool {
        let as_is = |(i, column): (usize, &InputColumn)| matches!(column, InputColumn::Column(place) if *place == i);
        self.filter.is_none() && self.columns.len() == self.of.schema().len() && self.columns.iter().enumerate().all(as_is)
    }
}

/// One side of a join.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    pub node: Node,
    /// Columns that must equal the other side's, pairwise.
    pub key: Vec<usize>,
}

/// Pairs of rows whose keys are equal and for which `condition` is true.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    pub left: Side,
    pub right: Side,
    pub kind: JoinKind,
    pub condition: Option<PairCondition>,
    /// Whether NULL equals NULL in keys (set operations) or equals nothing (joins).
    pub null_equals_null: bool,
    /// The columns of a result row: columns of the left row or, numbered after them, of the right row; or the mark.
    pub shown: Vec<usize>,
    pub schema: Schema,
}

/// An expression over some columns of a pair of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct PairCondition {
    pub expression: Expression,
    /// Where each column of the expression's input is: in the left row or, numbered after its columns, in the right row.
    pub columns: Vec<usize>,
}

/// Which rows a join returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    /// Also left rows without a partner, with NULLs for the right columns.
    Left,
    /// Also rows of both sides without a partner.
    Full,
    /// Left rows that have a partner, once each.
    Semi,
    /// Left rows that have no partner.
    Anti,
    /// Every left row, with a mark that says whether it has a partner.
    Mark,
    /// Left rows that certainly have no partner, where NULL may equal anything. There is no condition.
    NotIn,
}

impl JoinKind {
    /// Whether the result has the mark after the left columns, and no right columns.
    pub fn is_marked(self) -> bool {
        self == JoinKind::Mark
    }

    /// Whether a result row consists of columns of a left row only.
    pub fn is_left_only(self) -> bool {
        match self {
            JoinKind::Semi | JoinKind::Anti | JoinKind::NotIn => true,
            JoinKind::Inner | JoinKind::Left | JoinKind::Full | JoinKind::Mark => false,
        }
    }
}

/// One row for each group of rows with equal keys. Without key columns there is exactly one group, even if it has no rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub of: Node,
    pub key: Vec<usize>,
    /// Aggregates over the columns of `of`.
    pub calls: Vec<AggregateFunction>,
    /// The key's columns, then the calls' results.
    pub schema: Schema,
}

/// The first rows of each partition in an order: the `count` row numbers after the first `skip`. Rows that are equal in the order are
/// ordered by their bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Top {
    pub of: Node,
    /// The rows of a partition have equal values in these columns; NULL equals NULL. If empty, all rows are one partition.
    pub partition: Vec<usize>,
    pub order: Vec<Order>,
    pub counted: Counted,
    pub skip: usize,
    pub count: usize,
    /// Whether the result has the row's number.
    pub numbered: bool,
    /// The node's columns, then the number if `numbered`.
    pub schema: Schema,
}

/// How rows are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Consecutively: 1, 2, 3, 4.
    Rows,
    /// Rows that are equal in the order share a number. The next number is one more than the number of rows so far: 1, 2, 2, 4.
    Ranks,
    /// Rows that are equal in the order share a number. The next number is one more: 1, 2, 2, 3.
    Values,
}

/// Every row of a node, with the values of window functions over its partition. Rows that are equal in the order are ordered by their
/// bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    pub of: Node,
    /// The rows of a partition have equal values in these columns; NULL equals NULL. If empty, all rows are one partition.
    pub partition: Vec<usize>,
    pub order: Vec<Order>,
    pub calls: Vec<WindowFunction>,
    /// The node's columns, then the calls' results.
    pub schema: Schema,
}

/// For each row, as many rows as its longest list has elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Unnest {
    pub of: Node,
    pub columns: Vec<UnnestColumn>,
    pub without: WithoutElements,
    pub schema: Schema,
}

/// A column of the rows that are made for elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnnestColumn {
    /// A column of the row, unchanged.
    Column(usize),
    /// The element of this list; NULL if the list is shorter.
    Element(usize),
}

/// How many rows a list without elements yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutElements {
    /// None.
    NoRow,
    /// One with NULL if the list is NULL; none if it is empty.
    RowOfNull,
    /// One with NULL if the list is NULL or empty.
    Row,
}

/// Rows that are found in rounds: first those of `base`, then in each round the rows that `step` makes from those of the previous round.
#[derive(Debug, Clone, PartialEq)]
pub struct Recursion {
    pub base: Node,
    /// Reads the recursion's rows ([`Node::Itself`]) once in each branch, and its result for a row does not depend on other rows. It
    /// consists of selections, unions, and joins with nodes that do not depend on the recursion.
    pub step: Node,
    /// True for UNION: each row is in the result once. False for UNION ALL: a row is in the result as often as it is found.
    pub distinct: bool,
    pub limit: RecursionLimit,
    pub schema: Schema,
}

/// The limit of a recursion. Rows that would be found beyond it are errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecursionLimit {
    /// The most rounds after that of the base.
    pub rounds: u32,
    /// The last round is the one in which the total number of rows exceeds this.
    pub rows: Diff,
}

impl Default for RecursionLimit {
    fn default() -> RecursionLimit {
        RecursionLimit { rounds: 1_000, rows: 10_000_000 }
    }
}

impl Node {
    pub fn schema(&self) -> &Schema {
        match self {
            Node::Table(input) => &input.schema,
            Node::Select(select) => &select.schema,
            Node::Join(join) => &join.schema,
            Node::Group(group) => &group.schema,
            Node::Top(top) => &top.schema,
            Node::Window(window) => &window.schema,
            Node::Unnest(unnest) => &unnest.schema,
            Node::Union(nodes) => nodes[0].schema(),
            Node::Constants(constants) => &constants.schema,
            Node::Nothing(schema) | Node::Itself(schema) => schema,
            Node::Recursion(recursion) => &recursion.schema,
        }
    }

    /// The nodes that this one reads.
    pub fn inputs(&self) -> Vec<&Node> {
        match self {
            Node::Table(_) | Node::Constants(_) | Node::Nothing(_) | Node::Itself(_) => Vec::new(),
            Node::Select(select) => vec![&select.of],
            Node::Join(join) => vec![&join.left.node, &join.right.node],
            Node::Group(group) => vec![&group.of],
            Node::Top(top) => vec![&top.of],
            Node::Window(window) => vec![&window.of],
            Node::Unnest(unnest) => vec![&unnest.of],
            Node::Union(nodes) => nodes.iter().collect(),
            Node::Recursion(recursion) => vec![&recursion.base, &recursion.step],
        }
    }

    pub(super) fn inputs_mut(&mut self) -> Vec<&mut Node> {
        match self {
            Node::Table(_) | Node::Constants(_) | Node::Nothing(_) | Node::Itself(_) => Vec::new(),
            Node::Select(select) => vec![&mut select.of],
            Node::Join(join) => vec![&mut join.left.node, &mut join.right.node],
            Node::Group(group) => vec![&mut group.of],
            Node::Top(top) => vec![&mut top.of],
            Node::Window(window) => vec![&mut window.of],
            Node::Unnest(unnest) => vec![&mut unnest.of],
            Node::Union(nodes) => nodes.iter_mut().collect(),
            Node::Recursion(recursion) => vec![&mut recursion.base, &mut recursion.step],
        }
    }

    /// Whether it reads the rows of the recursion of whose step it is a part.
    pub fn reads_itself(&self) -> bool {
        match self {
            Node::Itself(_) => true,
            // A nested recursion's step reads its own rows.
            Node::Recursion(recursion) => recursion.base.reads_itself(),
            other => other.inputs().into_iter().any(Node::reads_itself),
        }
    }

    /// Whether rows are only inserted, given which tables have this property.
    pub fn only_comes(&self, streams: &dyn Fn(usize) -> bool) -> bool {
        match self {
            Node::Table(input) => streams(input.table),
            Node::Constants(_) => true,
            Node::Join(join) if join.kind != JoinKind::Inner => false,
            Node::Select(_) | Node::Join(_) | Node::Unnest(_) | Node::Union(_) => {
                self.inputs().into_iter().all(|input| input.only_comes(streams))
            }
            _ => false,
        }
    }

    /// The number of nodes in this tree. Every part of it has fewer.
    pub fn size(&self) -> usize {
        1 + self.inputs().into_iter().map(Node::size).sum::<usize>()
    }

    /// Whether `other` is this node or a part of it.
    pub fn contains(&self, other: &Node) -> bool {
        self == other || self.inputs().into_iter().any(|input| input.contains(other))
    }

    /// All tables that are read, in the order of the query.
    pub fn tables(&self) -> Vec<&TableRows> {
        match self {
            Node::Table(input) => vec![input],
            other => other.inputs().into_iter().flat_map(Node::tables).collect(),
        }
    }
}
