//! The expressions of a plan, and what they may name.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::SqlError;

/// Gives every expression of the plan and of its subqueries to `look`, with the columns that it may name, up to the first error.
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

/// What the expressions of a node may name.
pub(super) fn columns_below(node: &LogicalPlan) -> DFSchema {
    node.inputs().iter().fold(DFSchema::empty(), |mut columns, input| {
        columns.merge(input.schema());
        columns
    })
}

/// Whether the expression has a subquery that the optimizer did not make a join of.
pub fn has_subquery(expr: &Expr) -> bool {
    let mut found = false;
    let visited = expr.apply(|part| {
        found |= matches!(part, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::OuterReferenceColumn(_, _));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    visited.expect("nothing here fails");
    found
}
