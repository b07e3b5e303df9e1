//! What a SQL query is maintained by: relational nodes, each with the schema of its rows.
//!
//! Rows are multisets, as in SQL. Names in a node's schema are only for people; columns are indexes.

use super::InputColumn;
use crate::sql::{AggregateFunction, Expression, Order, WindowFunction};
use crate::value::{Diff, Row, Schema};

#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Table(TableRows),
    Select(Box<Select>),
    Join(Box<Join>),
    Group(Box<Group>),
    Top(Box<Top>),
    Window(Box<Window>),
    Unnest(Box<Unnest>),
    /// The rows of all of them; their schemas have the same types.
    Union(Vec<Node>),
    /// Rows of the query's own.
    Constants(Constants),
    /// No rows: a part of a query that cannot have any.
    Nothing(Schema),
    Recursion(Box<Recursion>),
    /// Inside the step of a recursion: the recursion's rows.
    Itself(Schema),
}

/// Rows of a table, filtered and computed. What sees a table alike has equal ones, and shares what is arranged of them.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRows {
    /// Index into [`Plan::tables`](super::Plan::tables).
    pub table: usize,
    /// Rows for which this is not true are not there.
    pub filter: Option<Expression>,
    pub columns: Vec<InputColumn>,
    /// What `columns` make.
    pub schema: Schema,
}

/// Rows that are always there.
#[derive(Debug, Clone, PartialEq)]
pub struct Constants {
    pub rows: Vec<Row>,
    pub schema: Schema,
}

/// The rows of a node for which the filter is true, each made into these columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    pub of: Node,
    pub filter: Option<Expression>,
    pub columns: Vec<InputColumn>,
    pub schema: Schema,
}

impl Select {
    /// Whether it does no more than to give columns other names.
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
    /// Whether a NULL in a key equals a NULL (set operations) or nothing (joins).
    pub null_equals_null: bool,
    /// What a row of the result is made of: columns of the left row and, counted on behind them, of the right one, or the mark.
    pub shown: Vec<usize>,
    pub schema: Schema,
}

/// An expression over some columns of a pair of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct PairCondition {
    pub expression: Expression,
    /// Where each column of the expression's input is: among the left row's or, counted on behind them, the right one's.
    pub columns: Vec<usize>,
}

/// Which rows a join gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    /// And left rows without a partner, with NULLs for the right one's columns.
    Left,
    /// And rows of either side without a partner.
    Full,
    /// Left rows that have a partner, once each.
    Semi,
    /// Left rows that have none.
    Anti,
    /// Every left row, with whether it has a partner.
    Mark,
    /// Left rows of which it is known that they have none: NULL may be equal to anything. There is no condition.
    NotIn,
}

impl JoinKind {
    /// Whether the result shows the mark behind the left columns, and no right one.
    pub fn is_marked(self) -> bool {
        self == JoinKind::Mark
    }

    /// Whether a row of the result is a left one, and nothing else.
    pub fn is_left_only(self) -> bool {
        match self {
            JoinKind::Semi | JoinKind::Anti | JoinKind::NotIn => true,
            JoinKind::Inner | JoinKind::Left | JoinKind::Full | JoinKind::Mark => false,
        }
    }
}

/// One row for each group of rows with equal keys; where there are no keys, one row for all, also of none.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub of: Node,
    pub key: Vec<usize>,
    /// Over the columns of the grouped node.
    pub calls: Vec<AggregateFunction>,
    /// The key's columns, then the calls' results.
    pub schema: Schema,
}

/// The first rows of each partition in an order: those whose number is one of `count` numbers behind the first `skip`. Rows that the order
/// leaves equal are in the order of their bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Top {
    pub of: Node,
    /// Columns whose values the rows of a partition share, as far as they are not one: NULL is a value here.
    pub partition: Vec<usize>,
    pub order: Vec<Order>,
    pub counted: Counted,
    pub skip: usize,
    pub count: usize,
    /// Whether a row's number is shown.
    pub numbered: bool,
    /// The node's columns, then the number.
    pub schema: Schema,
}

/// What numbers rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// 1, 2, 3, 4.
    Rows,
    /// Rows that the order leaves equal have one number, and the next row the number of rows before it and one: 1, 2, 2, 4.
    Ranks,
    /// Rows that the order leaves equal have one number, and the next row the next one: 1, 2, 2, 3.
    Values,
}

/// Every row of a node, with what functions make of the rows of its partition in their order. Rows that the order leaves equal are in the
/// order of their bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    pub of: Node,
    /// Columns whose values the rows of a partition share; NULL is a value here.
    pub partition: Vec<usize>,
    pub order: Vec<Order>,
    pub calls: Vec<WindowFunction>,
    /// The node's columns, then the calls' results.
    pub schema: Schema,
}

/// For each row as many as its longest list has elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Unnest {
    pub of: Node,
    pub columns: Vec<UnnestColumn>,
    pub without: WithoutElements,
    pub schema: Schema,
}

/// What stands in a row of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnnestColumn {
    /// A column as it is.
    Column(usize),
    /// The list's element, or NULL where it has no more.
    Element(usize),
}

/// What a list without elements counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutElements {
    /// Nothing.
    NoRow,
    /// One NULL, if it is NULL itself.
    RowOfNull,
    /// One NULL, be it NULL or empty.
    Row,
}

/// Rows that are found in rounds: first those of `base`, then, round by round, what `step` makes of those that the round before found.
#[derive(Debug, Clone, PartialEq)]
pub struct Recursion {
    pub base: Node,
    /// Reads the recursion's rows ([`Node::Itself`]) once in each of its branches, and makes of each row what it makes of it whichever
    /// others there are: selections, unions, and joins with what does not depend on the recursion.
    pub step: Node,
    /// Whether a row that was found is not found again (UNION), or is there as often as it is found (UNION ALL).
    pub distinct: bool,
    pub limit: RecursionLimit,
    pub schema: Schema,
}

/// How far a recursion may go. Rows that it would find behind that are errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecursionLimit {
    /// How many rounds may follow the base's.
    pub rounds: u32,
    /// The round with which more rows than this are found is the last.
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

    /// Whether it reads the rows of a recursion that it is a part of the step of.
    pub fn reads_itself(&self) -> bool {
        match self {
            Node::Itself(_) => true,
            // Its step reads its own rows.
            Node::Recursion(recursion) => recursion.base.reads_itself(),
            other => other.inputs().into_iter().any(Node::reads_itself),
        }
    }

    /// Whether rows only ever come, given those of the plan's tables of which that is so.
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

    /// How many nodes it is made of; a part of it has fewer.
    pub fn size(&self) -> usize {
        1 + self.inputs().into_iter().map(Node::size).sum::<usize>()
    }

    /// Whether the other is this one or a part of it.
    pub fn contains(&self, other: &Node) -> bool {
        self == other || self.inputs().into_iter().any(|input| input.contains(other))
    }

    /// Every table that is read, in the order of the query.
    pub fn tables(&self) -> Vec<&TableRows> {
        match self {
            Node::Table(input) => vec![input],
            other => other.inputs().into_iter().flat_map(Node::tables).collect(),
        }
    }
}
