//! What cannot be above UNNEST.
//!
//! DataFusion takes what made a row unique below UNNEST for what makes one unique above it, where there is a row for each element, and
//! leaves columns out of GROUP BY, DISTINCT and ORDER BY that it thinks are settled.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use super::SqlError;

pub(super) fn refuse_what_takes_elements_for_unique(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut found = Ok(());
    let visited = plan.apply_with_subqueries(|node| {
        let mistaken = matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) | LogicalPlan::Sort(_));
        if !mistaken || !node.inputs().into_iter().any(has_elements_of_unique_rows) {
            return Ok(TreeNodeRecursion::Continue);
        }
        let error = SqlError::new("GROUP BY, DISTINCT and ORDER BY over an UNNEST of groups are not maintained");
        found = Err(error.help("make the UNNEST a view of its own"));
        Ok(TreeNodeRecursion::Stop)
    });
    visited.expect("nothing here fails");
    found
}

fn has_elements_of_unique_rows(plan: &LogicalPlan) -> bool {
    let here = matches!(plan, LogicalPlan::Unnest(unnest) if !unnest.input.schema().functional_dependencies().is_empty());
    here || plan.inputs().into_iter().any(has_elements_of_unique_rows)
}
