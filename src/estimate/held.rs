//! The memory of arrangements and of the operators that keep rows, as they are laid out in `dataflow`.

use super::shape::{NodeEstimate, NodeEstimates};
use super::widths::{key_bytes, row_bytes};
use crate::plan::{
    AggregateFunction, ArrangedSize, Arrangement, ArrangementKind, Arrangements, Body, Group, Node, Query, Side, Uniqueness, View,
};

/// In an arrangement: an offset for each key and each row, and where the rows of a key and the changes of a row begin.
const BESIDE_KEY: f64 = 8.0;
const BESIDE_ROW: f64 = 10.0;
/// A group: its slot, its entry in the hash table, and its last row in a block of its own.
const BESIDE_GROUP: f64 = 150.0;
/// The state of one aggregate of a group.
const BESIDE_CALL: f64 = 40.0;
/// An entry of a sorted tree or of a hash table, with the block for its bytes.
const BESIDE_ENTRY: f64 = 80.0;
/// Aggregates that do not keep the values of a group.
const COUNTS: [&str; 12] = ["count", "sum", "avg", "var", "stddev", "corr", "covar", "regr", "bool_", "bit_", "mean", "approx"];

impl NodeEstimates<'_> {
    pub(super) fn arrangement(&self, Arrangement { input, kind }: &Arrangement) -> ArrangedSize {
        let shape = self.of_node(&input.rows);
        match kind {
            ArrangementKind::Rows { key } => self.arranged(&input.rows, &shape, key),
            ArrangementKind::Reverse { from, to } => {
                let schema = input.schema();
                let (from_bytes, to_bytes) = (key_bytes(schema, &shape.widths, from), key_bytes(schema, &shape.widths, to));
                let keys = self.distinct(&input.rows, &shape, from);
                let bytes = keys * (from_bytes + BESIDE_KEY) + shape.rows * (to_bytes + BESIDE_ROW);
                ArrangedSize { rows: shape.rows, bytes }
            }
        }
    }

    fn arranged(&self, node: &Node, shape: &NodeEstimate, key: &[usize]) -> ArrangedSize {
        let (row, key_width) = (row_bytes(node.schema(), &shape.widths), key_bytes(node.schema(), &shape.widths, key));
        let keys = self.distinct(node, shape, key);
        ArrangedSize { rows: shape.rows, bytes: keys * (key_width + BESIDE_KEY) + shape.rows * (row + BESIDE_ROW) }
    }

    /// Everything that operators of queries hold: join sides that are not in the list, and the state of nodes. `rows`: also those that joins
    /// pass on.
    pub(super) fn operators(&self, arrangements: &Arrangements) -> ArrangedSize {
        let mut seen = SeenNodes::default();
        for view in &self.plan.views {
            match &view.body {
                Body::Query(query) => {
                    self.node(&query.node, arrangements, &mut seen);
                    let (rows, bytes) = self.presented(view, query);
                    seen.add(rows, bytes);
                }
                Body::Document(document) => document.inputs().into_iter().for_each(|input| self.node(&input.rows, arrangements, &mut seen)),
            }
        }
        ArrangedSize { rows: seen.rows, bytes: seen.bytes }
    }

    fn node<'p>(&self, node: &'p Node, arrangements: &'p Arrangements, seen: &mut SeenNodes<'p>) {
        if seen.nodes.contains(&node) {
            return;
        }
        seen.nodes.push(node);
        if let Node::Join(_) = node {
            seen.rows += self.of_node(node).rows;
        }
        match (arrangements.delta_of(node), node) {
            (Some(delta), _) => {
                delta.sides().for_each(|side| self.side(side, arrangements, seen));
                return delta.sides().for_each(|side| self.node(&side.node, arrangements, seen));
            }
            (None, Node::Join(join)) => [&join.left, &join.right].into_iter().for_each(|side| self.side(side, arrangements, seen)),
            (None, Node::Group(group)) => self.groups(node, group, seen),
            (None, Node::Top(top)) => self.all_rows(&top.of, 1.0, seen),
            (None, Node::Window(window)) => self.all_rows(&window.of, 2.0, seen),
            (None, Node::Recursion(_)) => self.all_rows(node, 2.0, seen),
            _ => {}
        }
        node.inputs().into_iter().for_each(|input| self.node(input, arrangements, seen));
    }

    /// A join side that only the join holds.
    fn side<'p>(&self, side: &'p Side, arrangements: &Arrangements, seen: &mut SeenNodes<'p>) {
        if arrangements.of_side(&side.node, &side.key).is_none() && !seen.sides.contains(&side) {
            seen.sides.push(side);
            let ArrangedSize { rows, bytes } = self.arranged(&side.node, &self.of_node(&side.node), &side.key);
            seen.add(rows, bytes);
        }
    }

    fn groups(&self, node: &Node, group: &Group, seen: &mut SeenNodes) {
        let (of, shape) = (self.of_node(&group.of), self.of_node(node));
        let keys: Vec<usize> = (0..group.key.len()).collect();
        let each = BESIDE_GROUP
            + BESIDE_CALL * group.calls.len() as f64
            + key_bytes(&group.schema, &shape.widths, &keys)
            + row_bytes(&group.schema, &shape.widths);
        let only_comes = group.of.only_comes(&|table| self.plan.tables[table].stream);
        seen.add(shape.rows, shape.rows * each);
        for bytes in group.calls.iter().map(|call| value_bytes(call, &of, only_comes)).filter(|bytes| *bytes > 0.0) {
            seen.add(of.rows, of.rows * bytes);
        }
    }

    /// All rows of a node, each in an entry of its own.
    fn all_rows(&self, node: &Node, copies: f64, seen: &mut SeenNodes) {
        let shape = self.of_node(node);
        seen.add(shape.rows * copies, shape.rows * copies * (BESIDE_ENTRY + row_bytes(node.schema(), &shape.widths)));
    }

    /// The rows and bytes that are kept to present the rows of a query by the view's key.
    fn presented(&self, view: &View, query: &Query) -> (f64, f64) {
        let shape = self.of_node(&query.node);
        let bytes = row_bytes(&view.schema, &shape.widths);
        let each = match query.uniqueness {
            Uniqueness::Made => return (0.0, 0.0),
            Uniqueness::Declared => 2.0 * BESIDE_ENTRY + key_bytes(&view.schema, &shape.widths, &view.key) + bytes,
            Uniqueness::None => BESIDE_ENTRY + bytes,
        };
        (shape.rows, shape.rows * each)
    }
}

/// What was counted.
#[derive(Default)]
struct SeenNodes<'p> {
    nodes: Vec<&'p Node>,
    sides: Vec<&'p Side>,
    rows: f64,
    bytes: f64,
}

impl SeenNodes<'_> {
    fn add(&mut self, rows: f64, bytes: f64) {
        self.rows += rows;
        self.bytes += bytes;
    }
}

/// The bytes that an aggregate keeps for each row of its group. If rows only come, one value is enough for most.
fn value_bytes(call: &AggregateFunction, of: &NodeEstimate, only_comes: bool) -> f64 {
    let text = call.text().to_lowercase();
    let counts = COUNTS.iter().any(|name| text.starts_with(name)) && !text.contains("distinct");
    let picks = ["min", "max", "first", "last", "latest", "earliest", "any_value"].iter().any(|name| text.starts_with(name));
    match counts || (picks && only_comes) {
        true => 0.0,
        false => BESIDE_ENTRY + call.columns().iter().map(|&column| of.widths[column]).sum::<f64>(),
    }
}
