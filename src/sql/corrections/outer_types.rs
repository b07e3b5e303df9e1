//! Corrects the types of outer columns in correlated subqueries.
//!
//! DataFusion stores the type in every such reference when it parses the text. Only later it chooses one type for each column of a UNION. A
//! subquery that is correlated with a UNION then has references with the type of the UNION's first part, and the two sides of its
//! comparisons are not aligned. Here references get the actual type of the column.
//!
//! In: an unoptimized plan. Out: the same plan, analyzed if the type of a reference changed.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};

pub(in crate::sql) fn with_types_of_outer(plan: LogicalPlan, session: &SessionState) -> Result<LogicalPlan, DataFusionError> {
    let analyzed = session.analyzer().execute_and_check(plan.clone(), session.config_options(), |_, _| {})?;
    let retyped = retyped(analyzed, &[])?;
    Ok(if retyped.transformed { retyped.data } else { plan })
}

/// Corrects a plan inside queries whose rows have these columns, the outermost first.
fn retyped(plan: LogicalPlan, around: &[DFSchemaRef]) -> Result<Transformed<LogicalPlan>, DataFusionError> {
    let plan = plan.map_children(|child| retyped(child, around))?;
    let mut own = DFSchema::empty();
    plan.data.inputs().iter().for_each(|input| own.merge(input.schema()));
    let within = [around, &[Arc::new(own)]].concat();
    let subquery = |plan: LogicalPlan| match plan {
        LogicalPlan::Subquery(Subquery { subquery, outer_ref_columns, spans }) => {
            let plan = retyped(Arc::unwrap_or_clone(subquery), &within)?;
            let references = outer_ref_columns.into_iter().map(|column| Ok(reference(column, &within)?.data));
            let outer_ref_columns = references.collect::<Result<_, DataFusionError>>()?;
            Ok(plan.update_data(|plan| LogicalPlan::Subquery(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans })))
        }
        other => Ok(Transformed::no(other)),
    };
    let plan = plan.transform_data(|plan| plan.map_subqueries(subquery))?;
    let plan = plan.transform_data(|plan| plan.map_expressions(|expr| reference(expr, around)))?;
    if plan.transformed { plan.map_data(LogicalPlan::recompute_schema) } else { Ok(plan) }
}

/// Corrects the types of outer references in an expression.
fn reference(expr: Expr, around: &[DFSchemaRef]) -> Result<Transformed<Expr>, DataFusionError> {
    expr.transform(|expr| {
        let Expr::OuterReferenceColumn(said, column) = expr else { return Ok(Transformed::no(expr)) };
        let found = around.iter().rev().find_map(|schema| schema.qualified_field_from_column(&column).ok());
        match found {
            Some((_, field)) if field.data_type() != said.data_type() => {
                Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column)))
            }
            _ => Ok(Transformed::no(Expr::OuterReferenceColumn(said, column))),
        }
    })
}
