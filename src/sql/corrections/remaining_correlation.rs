//! Refuses correlated subqueries that DataFusion would compute incorrectly.
//!
//! DataFusion moves the condition of such a subquery into a join. That is correct below a filter or an aggregate. But a window function
//! would then see the rows of all outer rows, the total of GROUPING SETS would be missing where there are no rows, and an outer join would
//! lose its unmatched rows if the condition is part of the join or below its optional side.

use datafusion::common::JoinType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, Join, LogicalPlan};

use crate::sql::SqlError;

pub(in crate::sql) fn refuse_what_is_not_taken_out(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut found = Ok(());
    let visited = plan.apply_with_subqueries(|node| {
        let what = match node {
            LogicalPlan::Join(join) if loses_rows(join) => {
                let message =
                    "an outer join in a subquery is not maintained if its condition or its optional side depends on the row around the subquery";
                found = Err(SqlError::new(message)
                    .help("move the part that depends on the row around into WHERE, if it is about the side that is always present"));
                return Ok(TreeNodeRecursion::Stop);
            }
            LogicalPlan::Window(_) => "window functions",
            LogicalPlan::Aggregate(aggregate) if matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) => "GROUPING SETS",
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        if !node.inputs().into_iter().any(depends) {
            return Ok(TreeNodeRecursion::Continue);
        }
        let message = format!("{what} in a correlated subquery are not maintained");
        found = Err(SqlError::new(message).help("compute them in a WITH over all rows, and join with it"));
        Ok(TreeNodeRecursion::Stop)
    });
    visited.expect("nothing here fails");
    found
}

/// Whether the plan names a column of an enclosing query. LATERAL names columns of its neighbours instead.
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
