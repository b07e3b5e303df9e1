//! How many rows the nodes of queries have, and how long they are.
//!
//! Rows of tables are those of their samples. The other rules: two columns that are compared have the values of the one with fewer among
//! those of the other; a condition that cannot be tried on a sample keeps a fifth of the rows, as `plan` assumes for its joins; a
//! recursion finds four times the rows that it begins with; a list has four elements. Rows by the last three are a guess.

use std::rc::Rc;

use super::sampled::{Samples, SelectedRows};
use super::widths::{UNKNOWN_WIDTH, fixed_width, width_of_type};
use crate::plan::{AggregateFunction, Group, InputColumn, Join, JoinKind, Node, Plan, Select, Side, Top, UnnestColumn};
use crate::value::Schema;

/// The share of rows that a condition keeps.
const KEPT: f64 = 0.2;
/// The rows of a recursion for each row that it begins with, and the elements of a list.
const FOUND: f64 = 4.0;
const ELEMENTS: f64 = 4.0;

/// The estimated rows of a node.
#[derive(Clone)]
pub(super) struct NodeEstimate {
    pub(super) rows: f64,
    /// The mean bytes of the values of each column.
    pub(super) widths: Vec<f64>,
    /// Where the values of each column come from; several columns for one that is computed from them.
    origins: Vec<Vec<Sampled>>,
    /// Whether a rule without a sample decided the number of rows.
    pub(super) guessed: bool,
}

/// A column of sampled rows.
#[derive(Clone)]
struct Sampled {
    rows: Rc<SelectedRows>,
    column: usize,
}

/// Finds the shapes of a plan's nodes.
pub(super) struct NodeEstimates<'a> {
    pub(super) plan: &'a Plan,
    pub(super) samples: Samples<'a>,
}

impl NodeEstimates<'_> {
    pub(super) fn of_node(&self, node: &Node) -> NodeEstimate {
        match node {
            Node::Table(rows) => {
                let selected = self.samples.selected(rows);
                let origin = |column| vec![Sampled { rows: selected.clone(), column }];
                let origins = (0..rows.schema.len()).map(origin).collect();
                NodeEstimate { rows: selected.rows, widths: selected.widths.clone(), origins, guessed: false }
            }
            Node::Select(select) => self.select(select),
            Node::Join(join) => self.join(join),
            Node::Group(group) => self.group(group),
            Node::Top(top) => self.top(top),
            Node::Window(window) => {
                let of = self.of_node(&window.of);
                let rows = of.rows;
                of.with_columns(&window.schema, rows)
            }
            Node::Unnest(unnest) => {
                let of = self.of_node(&unnest.of);
                let column = |(column, described): (&UnnestColumn, &crate::value::Column)| match column {
                    UnnestColumn::Column(column) => (of.widths[*column], of.origins[*column].clone()),
                    UnnestColumn::Element(column) => {
                        (fixed_width(&described.ty).unwrap_or(of.widths[*column] / ELEMENTS), of.origins[*column].clone())
                    }
                };
                let (widths, origins) = unnest.columns.iter().zip(unnest.schema.columns()).map(column).unzip();
                NodeEstimate { rows: of.rows * ELEMENTS, widths, origins, guessed: true }
            }
            Node::Union(nodes) => {
                let all: Vec<NodeEstimate> = nodes.iter().map(|node| self.of_node(node)).collect();
                let rows: f64 = all.iter().map(|shape| shape.rows).sum();
                let mean = |column: usize| all.iter().map(|shape| shape.widths[column] * shape.rows).sum::<f64>() / rows.max(1.0);
                let widths = (0..node.schema().len()).map(mean).collect();
                let guessed = all.iter().any(|shape| shape.guessed);
                NodeEstimate { rows, widths, origins: vec![Vec::new(); node.schema().len()], guessed }
            }
            Node::Constants(constants) => NodeEstimate { rows: constants.rows.len() as f64, ..NodeEstimate::unknown(&constants.schema) },
            Node::Nothing(schema) | Node::Itself(schema) => NodeEstimate::unknown(schema),
            Node::Recursion(recursion) => {
                let base = self.of_node(&recursion.base);
                NodeEstimate { rows: base.rows * FOUND, guessed: true, ..base }
            }
        }
    }

    /// How many different values these columns have together.
    pub(super) fn distinct(&self, node: &Node, shape: &NodeEstimate, columns: &[usize]) -> f64 {
        let is_unique = self.plan.key_of(node).is_some_and(|key| !key.is_empty() && key.iter().all(|column| columns.contains(column)));
        if is_unique { shape.rows } else { shape.distinct(columns) }
    }

    /// How many rows of `child` match one row of `parent`, on average over all of its rows.
    pub(super) fn matches(&self, parent: (&Node, &NodeEstimate, &[usize]), child: (&Node, &NodeEstimate, &[usize])) -> f64 {
        if child.1.rows == 0.0 || parent.2.is_empty() {
            return child.1.rows;
        }
        let most = self.distinct(parent.0, parent.1, parent.2).max(self.distinct(child.0, child.1, child.2));
        child.1.rows / most.max(1.0)
    }

    fn select(&self, select: &Select) -> NodeEstimate {
        let of = self.of_node(&select.of);
        let column = |(column, described): (&InputColumn, &crate::value::Column)| match column {
            InputColumn::Column(column) => (of.widths[*column], of.origins[*column].clone()),
            InputColumn::Computed(expression) => {
                let origins = expression.columns().iter().flat_map(|&column| of.origins[column].clone()).collect();
                (width_of_type(described), origins)
            }
        };
        let (widths, origins) = select.columns.iter().zip(select.schema.columns()).map(column).unzip();
        let share = if select.filter.is_some() { KEPT } else { 1.0 };
        NodeEstimate { rows: of.rows * share, widths, origins, guessed: of.guessed || select.filter.is_some() }
    }

    fn join(&self, join: &Join) -> NodeEstimate {
        let (left, right) = (self.of_node(&join.left.node), self.of_node(&join.right.node));
        let side = |side: &'_ Side, shape: &NodeEstimate| self.distinct(&side.node, shape, &side.key);
        let share = if join.condition.is_some() { KEPT } else { 1.0 };
        let per_left = self.matches((&join.left.node, &left, &join.left.key), (&join.right.node, &right, &join.right.key));
        let inner = left.rows * per_left * share;
        let found = (side(&join.right, &right) / side(&join.left, &left).max(1.0)).min(1.0);
        let rows = match join.kind {
            JoinKind::Inner => inner,
            JoinKind::Left => inner.max(left.rows),
            JoinKind::Full => inner.max(left.rows).max(right.rows),
            JoinKind::Mark => left.rows,
            JoinKind::Semi => left.rows * found,
            JoinKind::Anti | JoinKind::NotIn => left.rows * (1.0 - found).max(KEPT / 2.0),
        };
        let of_pair = |&column: &usize| match column.checked_sub(left.widths.len()) {
            None => (left.widths[column], left.origins[column].clone()),
            Some(column) => right.widths.get(column).map_or((1.0, Vec::new()), |width| (*width, right.origins[column].clone())),
        };
        let (widths, origins) = join.shown.iter().map(of_pair).unzip();
        let by_rule = join.condition.is_some() || matches!(join.kind, JoinKind::Anti | JoinKind::NotIn);
        NodeEstimate { rows, widths, origins, guessed: left.guessed || right.guessed || by_rule }
    }

    fn group(&self, group: &Group) -> NodeEstimate {
        let of = self.of_node(&group.of);
        let rows = if group.key.is_empty() { 1.0 } else { self.distinct(&group.of, &of, &group.key).min(of.rows) };
        let mut shape = NodeEstimate { rows, widths: Vec::new(), origins: Vec::new(), guessed: of.guessed };
        for &column in &group.key {
            shape.widths.push(of.widths[column]);
            shape.origins.push(of.origins[column].clone());
        }
        for call in &group.calls {
            shape.widths.push(fixed_width(&call.output().ty).unwrap_or_else(|| width_of_call(call, &of, of.rows / rows.max(1.0))));
            shape.origins.push(Vec::new());
        }
        shape
    }

    fn top(&self, top: &Top) -> NodeEstimate {
        let of = self.of_node(&top.of);
        let partitions = if top.partition.is_empty() { 1.0 } else { self.distinct(&top.of, &of, &top.partition) };
        let each = (of.rows / partitions.max(1.0) - top.skip as f64).clamp(0.0, top.count as f64);
        of.with_columns(&top.schema, partitions * each)
    }
}

impl NodeEstimate {
    fn unknown(schema: &Schema) -> NodeEstimate {
        let widths = schema.columns().iter().map(width_of_type).collect();
        NodeEstimate { rows: 0.0, widths, origins: vec![Vec::new(); schema.len()], guessed: false }
    }

    /// The same columns, and after them those of the schema that are computed.
    fn with_columns(mut self, schema: &Schema, rows: f64) -> NodeEstimate {
        let added = &schema.columns()[self.widths.len()..];
        self.widths.extend(added.iter().map(width_of_type));
        self.origins.extend(added.iter().map(|_| Vec::new()));
        NodeEstimate { rows, ..self }
    }

    fn distinct(&self, columns: &[usize]) -> f64 {
        let mut by_rows: Vec<(Rc<SelectedRows>, Vec<usize>)> = Vec::new();
        for Sampled { rows, column } in columns.iter().flat_map(|&column| &self.origins[column]) {
            match by_rows.iter_mut().find(|(known, _)| Rc::ptr_eq(known, rows)) {
                Some((_, columns)) => columns.push(*column),
                None => by_rows.push((rows.clone(), vec![*column])),
            }
        }
        if columns.iter().any(|&column| self.origins[column].is_empty()) {
            return self.rows;
        }
        by_rows.iter().map(|(rows, columns)| rows.distinct(columns)).product::<f64>().min(self.rows)
    }
}

/// The bytes of a result of variable length: one value, or those of all rows of the group.
fn width_of_call(call: &AggregateFunction, of: &NodeEstimate, rows_a_group: f64) -> f64 {
    let arguments: f64 = call.columns().iter().map(|&column| of.widths[column]).sum();
    let text = call.text();
    let collects = ["array_agg", "string_agg", "collect", "histogram", "topk"].iter().any(|name| text.contains(name));
    match collects {
        true => (arguments + 6.0) * rows_a_group,
        false if call.columns().is_empty() => UNKNOWN_WIDTH,
        false => arguments,
    }
}
