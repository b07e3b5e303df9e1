//! What makes a row of a node unique.

use super::Readable;
use crate::plan::{InputColumn, JoinKind, Node};

impl Readable<'_> {
    /// The columns that make a row of the node unique.
    pub(in crate::plan) fn key(&self, node: &Node) -> Option<Vec<usize>> {
        match node {
            Node::Table(input) => {
                let key = &self.tables[input.table].key;
                let place = |k: &usize| input.columns.iter().position(|c| matches!(c, InputColumn::Column(column) if column == k));
                key.iter().map(place).collect::<Option<Vec<_>>>().filter(|key| !key.is_empty())
            }
            Node::Select(select) => {
                let key = self.key(&select.of)?;
                let place = |k: &usize| select.columns.iter().position(|c| matches!(c, InputColumn::Column(column) if column == k));
                key.iter().map(place).collect()
            }
            Node::Group(group) => Some((0..group.key.len()).collect::<Vec<_>>()).filter(|key| !key.is_empty()),
            Node::Top(top) => self.key(&top.of),
            Node::Window(window) => self.key(&window.of),
            Node::Union(_) | Node::Nothing(_) => None,
            Node::Join(join) => {
                let left = self.key(&join.left.node)?;
                if matches!(join.kind, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark) {
                    return Some(left);
                }
                let right = self.key(&join.right.node)?;
                let one_each = right.iter().all(|k| join.right.key.contains(k)) && join.kind != JoinKind::Full;
                let offset = join.left.node.schema().len();
                let right = if one_each { Vec::new() } else { right };
                Some(left.into_iter().chain(right.into_iter().map(|k| k + offset)).collect())
            }
        }
    }
}

/// Whether a key of the node's rows has one row at most whatever the tables hold.
pub(in crate::plan) fn makes_unique(node: &Node) -> bool {
    match node {
        Node::Group(_) => true,
        Node::Select(select) => makes_unique(&select.of),
        Node::Top(top) => makes_unique(&top.of),
        Node::Join(join) => matches!(join.kind, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark) && makes_unique(&join.left.node),
        _ => false,
    }
}
