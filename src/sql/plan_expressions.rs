//! Visits the expressions of a plan, with the columns they may name.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::SqlError;

/// Calls `look` for every expression of the plan and of its subqueries, with the columns that it may name, until the first error.
pub(super) fn look_at_expressions(
    plan: &LogicalPlan,
    mut look: impl FnMut(&Expr, &DFSchema) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    let mut found = Ok(());
    let visited = plan.apply_with_subqueries(|node| {
        let columns = columns_below(node);
        node.apply_expressions(|expr| {
            found = look(expr, &columns);
            Ok(if found.is_err() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    });
    visited.expect("nothing here fails");
    found
}

/// The columns that the expressions of a node may name.
pub(super) fn columns_below(node: &LogicalPlan) -> DFSchema {
    node.inputs().iter().fold(DFSchema::empty(), |mut columns, input| {
        columns.merge(input.schema());
        columns
    })
}

/// Whether the expression contains a subquery that the optimizer did not turn into a join.
pub fn has_subquery(expr: &Expr) -> bool {
    let mut found = false;
    let visited = expr.apply(|part| {
        found |= matches!(part, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::OuterReferenceColumn(_, _));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    visited.expect("nothing here fails");
    found
}
