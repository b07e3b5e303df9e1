//! The first rows of each partition: a filter on a row's number, directly above the window function that computes it.
//!
//! `row_number() OVER (PARTITION BY a ORDER BY b) <= 3` keeps the first three rows of each partition; the other rows need no number.
//! `rank() <= 3` and `dense_rank() <= 3` also keep rows that are equal to the last of these.

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Operator};

use crate::plan::{Counted, InputColumn, Node, Select, Top, Window};
use crate::value::Schema;

/// Turns conditions on the row number into a [`Top`] node. Returns it with the rest of the filter; `None` if the filter does not bound the
/// number.
pub(super) fn first_rows(node: &Node, filter: &Expr, names: &DFSchema) -> Option<(Node, Option<Expr>)> {
    let (window, columns) = numbering(node)?;
    let counted = counted(window)?;
    let number = window.of.schema().len();
    let place = match columns {
        Some(columns) => columns.iter().position(|c| matches!(c, InputColumn::Column(column) if *column == number))?,
        None => number,
    };
    let mut range = Range::ALL;
    let mut others = Vec::new();
    for part in split_conjunction(filter) {
        match bound(part, place, names).and_then(|(operator, bound)| range.within(operator, bound)) {
            // If several rows may share a number, a lower bound cannot become `skip` and stays in the filter.
            Some(within) if counted == Counted::Rows || within.first == 1 => range = within,
            _ => others.push(part.clone()),
        }
    }
    let count = usize::try_from(range.last.checked_sub(range.first - 1)?.max(0)).ok()?;
    let top = Top {
        of: window.of.clone(),
        partition: window.partition.clone(),
        order: window.order.clone(),
        counted,
        skip: usize::try_from(range.first - 1).ok()?,
        count,
        numbered: true,
        schema: window.schema.clone(),
    };
    let top = Node::Top(Box::new(top));
    let node = match node {
        Node::Select(select) => Node::Select(Box::new(Select { of: top, ..(**select).clone() })),
        _ => top,
    };
    (range.last < i128::from(u64::MAX)).then(|| (node, conjunction(others)))
}

/// The selection, without the row number below it if none of its columns uses it.
pub(super) fn without_number(select: Select) -> Select {
    if !is_plain(&select) {
        return select;
    }
    let below = match &select.of {
        Node::Select(inner) if is_plain(inner) => &inner.of,
        other => other,
    };
    let Node::Top(top) = below else { return select };
    let columns: Vec<usize> = match &select.of {
        Node::Select(inner) => plain(&select).map(|column| plain(inner).nth(column).expect("it is one of them")).collect(),
        _ => plain(&select).collect(),
    };
    let number = top.of.schema().len();
    if !top.numbered || columns.contains(&number) {
        return select;
    }
    let schema = Schema::new(top.schema.columns()[..number].to_vec());
    let of = Node::Top(Box::new(Top { numbered: false, schema, ..(**top).clone() }));
    Select { of, columns: columns.into_iter().map(InputColumn::Column).collect(), ..select }
}

/// A window with a single call, and the columns that a plain selection above it chooses.
fn numbering(node: &Node) -> Option<(&Window, Option<&[InputColumn]>)> {
    match node {
        Node::Window(window) if window.calls.len() == 1 => Some((window, None)),
        Node::Select(select) if is_plain(select) => match &select.of {
            Node::Window(window) if window.calls.len() == 1 => Some((window, Some(&select.columns))),
            _ => None,
        },
        _ => None,
    }
}

fn is_plain(select: &Select) -> bool {
    select.filter.is_none() && plain(select).count() == select.columns.len()
}

fn plain(select: &Select) -> impl Iterator<Item = usize> {
    select.columns.iter().filter_map(|column| match column {
        InputColumn::Column(column) => Some(*column),
        InputColumn::Computed(_) => None,
    })
}

fn counted(window: &Window) -> Option<Counted> {
    match window.calls[0].name() {
        "row_number" => Some(Counted::Rows),
        "rank" => Some(Counted::Ranks),
        "dense_rank" => Some(Counted::Values),
        _ => None,
    }
}

/// A range of row numbers, both ends included.
#[derive(Clone, Copy)]
struct Range {
    first: i128,
    last: i128,
}

impl Range {
    const ALL: Range = Range { first: 1, last: i128::MAX };

    fn within(self, operator: Operator, bound: i128) -> Option<Range> {
        let (first, last) = match operator {
            Operator::Lt => (1, bound - 1),
            Operator::LtEq => (1, bound),
            Operator::Eq => (bound, bound),
            Operator::GtEq => (bound, i128::MAX),
            Operator::Gt => (bound + 1, i128::MAX),
            _ => return None,
        };
        let first = self.first.max(first);
        // An empty range ends just before its first number.
        Some(Range { first, last: self.last.min(last).max(first - 1) })
    }
}

/// The comparison of the column at `place` with an integer, with the column on the left.
fn bound(part: &Expr, place: usize, names: &DFSchema) -> Option<(Operator, i128)> {
    let Expr::BinaryExpr(binary) = part else { return None };
    let (column, literal, operator) = match (binary.left.as_ref(), binary.right.as_ref()) {
        (Expr::Column(column), Expr::Literal(literal, _)) => (column, literal, binary.op),
        (Expr::Literal(literal, _), Expr::Column(column)) => (column, literal, binary.op.swap()?),
        _ => return None,
    };
    let number = match literal {
        ScalarValue::UInt64(Some(number)) => i128::from(*number),
        ScalarValue::Int64(Some(number)) => i128::from(*number),
        _ => return None,
    };
    (names.index_of_column(column).ok()? == place).then_some((operator, number))
}
