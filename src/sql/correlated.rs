//! What a subquery that depends on the row around it cannot have.
//!
//! DataFusion takes such a subquery's condition out of it and makes it a join's. That is right below a filter or an aggregate; a window
//! function, though, would then see the rows of all outer rows, and the total of GROUPING SETS would be missing where no row is.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::SqlError;

pub(super) fn refuse_what_is_not_taken_out(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut found = Ok(());
    let visited = plan.apply_with_subqueries(|node| {
        let what = match node {
            LogicalPlan::Window(_) => "window functions",
            LogicalPlan::Aggregate(aggregate) if matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) => "GROUPING SETS",
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        if !node.inputs().into_iter().any(depends) {
            return Ok(TreeNodeRecursion::Continue);
        }
        let message = format!("{what} in a subquery that depends on the row around it are not maintained");
        found = Err(SqlError::new(message).help("compute them in a WITH over all rows, and join with it"));
        Ok(TreeNodeRecursion::Stop)
    });
    visited.expect("nothing here fails");
    found
}

/// Whether the plan names a column of the query around it. What LATERAL names is beside it, not around.
fn depends(plan: &LogicalPlan) -> bool {
    !matches!(plan, LogicalPlan::Subquery(_)) && (plan.contains_outer_reference() || plan.inputs().into_iter().any(depends))
}
