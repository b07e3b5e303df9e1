//! Table rows whose columns are all unchanged ("plain"). Only these can share an arrangement that has other columns.
//!
//! Two of them are alike if table, filter and key are the same, whatever columns they show. Rows with a computed column are not plain: a
//! row whose computation fails is missing.

use super::arrangement::{Arrangement, ArrangementKind};
use super::{Expression, InputColumn, Node, Side, TableRows};

/// Unchanged columns of a table, by a key of some of them.
pub(super) struct Plain<'a> {
    pub(super) table: usize,
    pub(super) filter: &'a Option<Expression>,
    pub(super) columns: Vec<usize>,
    /// Columns of the table.
    pub(super) key: Vec<usize>,
}

impl<'a> Plain<'a> {
    pub(super) fn from_arrangement(Arrangement { input, kind }: &'a Arrangement) -> Option<Plain<'a>> {
        match kind {
            ArrangementKind::Rows { key } => Plain::of_side(&input.rows, key),
            ArrangementKind::Reverse { .. } => None,
        }
    }

    fn of_side(node: &'a Node, key: &[usize]) -> Option<Plain<'a>> {
        let Node::Table(rows) = node else { return None };
        let columns = plain_columns(rows)?;
        let key = key.iter().map(|&place| columns[place]).collect();
        Some(Plain { table: rows.table, filter: &rows.filter, columns, key })
    }

    /// Whether both select the same rows of a table by the same key.
    pub(super) fn is_like(&self, other: &Plain) -> bool {
        (self.table, self.filter, &self.key) == (other.table, other.filter, &other.key)
    }

    pub(super) fn has_all_of(&self, columns: &[usize]) -> bool {
        columns.iter().all(|column| self.columns.contains(column))
    }
}

/// Whether the side can use this arrangement, which may have to get more columns.
pub(super) fn is_shared(held: &Arrangement, side: &Side) -> bool {
    let as_it_is = held.input.rows == side.node && matches!(&held.kind, ArrangementKind::Rows { key } if *key == side.key);
    let alike = Plain::from_arrangement(held).zip(Plain::of_side(&side.node, &side.key)).is_some_and(|(held, side)| held.is_like(&side));
    as_it_is || alike
}

/// The table's columns that are shown; `None` if any is computed.
pub(super) fn plain_columns(rows: &TableRows) -> Option<Vec<usize>> {
    let plain = |column: &InputColumn| match column {
        InputColumn::Column(column) => Some(*column),
        InputColumn::Computed(_) => None,
    };
    rows.columns.iter().map(plain).collect()
}
