//! Refuses GROUP BY, DISTINCT and ORDER BY above an UNNEST of unique rows.
//!
//! DataFusion assumes that columns that are unique below UNNEST are also unique above it, although there is a row for each element. It then
//! drops columns that it considers redundant from GROUP BY, DISTINCT and ORDER BY.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use crate::sql::SqlError;

pub(in crate::sql) fn refuse_what_takes_elements_for_unique(plan: &LogicalPlan) -> Result<(), SqlError> {
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
