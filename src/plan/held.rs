//! Join sides whose arrangement has more columns than the join reads, and joins over such arrangements.

use super::plain::plain_columns;
use super::{Join, JoinKind, Node, PairCondition, Side};

/// The rows of the arrangement, and where the side's columns are in them.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldSide {
    pub node: Node,
    pub places: Vec<usize>,
}

impl HeldSide {
    /// `None` if the arrangement has exactly the side's rows.
    pub(super) fn find(held: &Node, side: &Node) -> Option<HeldSide> {
        let (Node::Table(wide), Node::Table(narrow)) = (held, side) else { return None };
        if wide == narrow {
            return None;
        }
        let (wide, narrow) = (plain_columns(wide)?, plain_columns(narrow)?);
        let places = narrow.iter().map(|column| wide.iter().position(|other| other == column)).collect::<Option<_>>()?;
        Some(HeldSide { node: held.clone(), places })
    }
}

impl Join {
    /// The same join over arranged rows. `None` for a side whose arrangement has exactly its columns.
    pub fn over(&self, held: [Option<&HeldSide>; 2]) -> Join {
        let widths = [&self.left, &self.right].map(|side| side.node.schema().len());
        let side = |side: &Side, held: Option<&HeldSide>| match held {
            Some(held) => Side { node: held.node.clone(), key: side.key.iter().map(|&column| held.places[column]).collect() },
            None => side.clone(),
        };
        let (left, right) = (side(&self.left, held[0]), side(&self.right, held[1]));
        let place = |column: usize, held: Option<&HeldSide>| held.map_or(column, |held| held.places[column]);
        let of_pair = |column: usize| match column.checked_sub(widths[0]) {
            None => place(column, held[0]),
            // The mark's number follows those of the left columns.
            Some(_) if self.kind == JoinKind::Mark => left.node.schema().len(),
            Some(column) => left.node.schema().len() + place(column, held[1]),
        };
        let of_condition = |column: usize| match column.checked_sub(widths[0]) {
            None => place(column, held[0]),
            Some(column) => left.node.schema().len() + place(column, held[1]),
        };
        let condition = self.condition.as_ref().map(|PairCondition { expression, columns }| PairCondition {
            expression: expression.clone(),
            columns: columns.iter().map(|&column| of_condition(column)).collect(),
        });
        let shown = self.shown.iter().map(|&column| of_pair(column)).collect();
        Join { condition, shown, kind: self.kind, null_equals_null: self.null_equals_null, schema: self.schema.clone(), left, right }
    }
}
