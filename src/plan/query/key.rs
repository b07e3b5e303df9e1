//! Which columns make a row of a node unique.

use std::collections::BTreeMap;

use super::Readable;
use crate::plan::{Counted, InputColumn, Join, JoinKind, Node, PlanTable, RecursionLimit, Top, Window};

impl Readable<'_> {
    /// The columns that make a row of the node unique; `None` if unknown.
    pub(in crate::plan) fn key(&self, node: &Node) -> Option<Vec<usize>> {
        self.keys(node).into_iter().next()
    }

    /// All known sets of columns that make a row unique. Those that stay the same when other columns change come first.
    fn keys(&self, node: &Node) -> Vec<Vec<usize>> {
        match node {
            Node::Table(input) => shown(vec![self.tables[input.table].key.clone()], &input.columns),
            Node::Select(select) => shown(self.keys(&select.of), &select.columns),
            Node::Group(group) => some((0..group.key.len()).collect()),
            Node::Top(top) => self.keys_of_top(top),
            Node::Window(window) => self.keys_of_window(window),
            // The planner found that there are no rows, so any columns are a key.
            Node::Nothing(schema) => some((0..schema.len()).collect()),
            Node::Union(_) | Node::Unnest(_) | Node::Constants(_) | Node::Itself(_) => Vec::new(),
            Node::Recursion(recursion) if recursion.distinct => some((0..recursion.schema.len()).collect()),
            Node::Recursion(_) => Vec::new(),
            Node::Join(join) => self.keys_of_join(join),
        }
    }

    fn keys_of_top(&self, top: &Top) -> Vec<Vec<usize>> {
        let one_each = top.counted == Counted::Rows && top.count == 1;
        let mut keys = if one_each { some(top.partition.clone()) } else { Vec::new() };
        keys.extend(self.keys(&top.of));
        if top.counted == Counted::Rows && top.numbered {
            keys.push(top.partition.iter().copied().chain([top.of.schema().len()]).collect());
        }
        keys
    }

    fn keys_of_window(&self, window: &Window) -> Vec<Vec<usize>> {
        let mut keys = self.keys(&window.of);
        if let Some(number) = window.calls.iter().position(|call| call.name() == "row_number") {
            keys.push(window.partition.iter().copied().chain([window.of.schema().len() + number]).collect());
        }
        keys
    }

    fn keys_of_join(&self, join: &Join) -> Vec<Vec<usize>> {
        let left = self.keys(&join.left.node);
        let of_pairs = match join.kind {
            JoinKind::Semi | JoinKind::Anti | JoinKind::Mark | JoinKind::NotIn => left,
            JoinKind::Inner | JoinKind::Left | JoinKind::Full => {
                let right = self.keys(&join.right.node);
                let one_each = right.iter().any(|key| key.iter().all(|k| join.right.key.contains(k))) && join.kind != JoinKind::Full;
                let offset = join.left.node.schema().len();
                let pair = |left: &[usize], right: &[usize]| left.iter().copied().chain(right.iter().map(|k| k + offset)).collect();
                match one_each {
                    true => left,
                    false => left.iter().flat_map(|l| right.iter().map(|r| pair(l, r))).collect(),
                }
            }
        };
        let columns: Vec<InputColumn> = join.shown.iter().copied().map(InputColumn::Column).collect();
        shown(of_pairs, &columns)
    }
}

/// The keys as places among `columns`. A key is dropped if one of its columns is missing.
fn shown(keys: Vec<Vec<usize>>, columns: &[InputColumn]) -> Vec<Vec<usize>> {
    let place = |k: &usize| columns.iter().position(|c| matches!(c, InputColumn::Column(column) if column == k));
    keys.iter().filter_map(|key| key.iter().map(place).collect::<Option<Vec<_>>>()).filter(|key| !key.is_empty()).collect()
}

fn some(key: Vec<usize>) -> Vec<Vec<usize>> {
    if key.is_empty() { Vec::new() } else { vec![key] }
}

/// Whether the node itself guarantees that a key has at most one row, whatever the tables contain.
pub(in crate::plan) fn makes_unique(node: &Node) -> bool {
    match node {
        Node::Group(_) => true,
        Node::Recursion(recursion) => recursion.distinct,
        Node::Select(select) => makes_unique(&select.of),
        Node::Top(top) => makes_unique(&top.of),
        Node::Join(join) => matches!(join.kind, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark) && makes_unique(&join.left.node),
        _ => false,
    }
}

/// Whether there is at most one row for each combination of values of these columns.
pub(in crate::plan) fn is_unique(tables: &[PlanTable], node: &Node, columns: &[usize]) -> bool {
    keys(tables, node).iter().any(|key| key.iter().all(|column| columns.contains(column)))
}

/// The columns that make a row of the node unique; `None` if unknown.
pub(in crate::plan) fn key(tables: &[PlanTable], node: &Node) -> Option<Vec<usize>> {
    keys(tables, node).into_iter().next()
}

fn keys(tables: &[PlanTable], node: &Node) -> Vec<Vec<usize>> {
    Readable { text: "", tables, views: &BTreeMap::new(), limit: RecursionLimit::default(), itself: None }.keys(node)
}
