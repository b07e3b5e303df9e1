//! What a subquery that depends on the row around it cannot have.
//!
//! DataFusion takes such a subquery's condition out of it and makes it a join's. That is right below a filter or an aggregate; a window
//! function, though, would then see the rows of all outer rows, and the total of GROUPING SETS would be missing where no row is. Of an outer join
//! the rows that stand alone would be lost where the condition is one of the join, or below the side that may be missing.

use datafusion::common::JoinType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, Join, LogicalPlan};

use super::SqlError;

pub(super) fn refuse_what_is_not_taken_out(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut found = Ok(());
    let visited = plan.apply_with_subqueries(|node| {
        let what = match node {
            LogicalPlan::Join(join) if loses_rows(join) => {
                let message =
                    "an outer join, in a subquery, whose condition or side that may be missing depends on the row around is not maintained";
                found = Err(SqlError::new(message)
                    .help("put what depends on the row around into WHERE, where it is about the side that is always there"));
                return Ok(TreeNodeRecursion::Stop);
            }
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

fn loses_rows(join: &Join) -> bool {
    let condition = || join.filter.iter().chain(join.on.iter().flat_map(|(left, right)| [left, right])).any(names_outside);
    match join.join_type {
        JoinType::Left => condition() || depends(&join.right),
        JoinType::Right => condition() || depends(&join.left),
        JoinType::Full => condition() || depends(&join.left) || depends(&join.right),
        _ => false,
    }
}

fn names_outside(expr: &Expr) -> bool {
    expr.exists(|part| Ok(matches!(part, Expr::OuterReferenceColumn(..)))).expect("nothing here fails")
}
