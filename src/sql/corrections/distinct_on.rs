//! Rewrites DISTINCT ON to the first row of each partition.
//!
//! DataFusion computes one `first_value` per column. If the order leaves rows equal, these may pick different rows and combine them into a
//! row that does not exist. Here one row is chosen by its row number.

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DataFusionError};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Distinct, DistinctOn, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, WindowFunctionDefinition, lit,
};

/// The plan and its subqueries without DISTINCT ON.
pub(in crate::sql) fn without_distinct_on(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let rewritten = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Distinct(Distinct::On(on)) => first_of_each(on).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    });
    rewritten.data()
}

fn first_of_each(on: DistinctOn) -> Result<LogicalPlan, DataFusionError> {
    let DistinctOn { on_expr, select_expr, sort_expr, input, schema } = on;
    // The order begins with the expressions of the partition.
    let (shared, order) = match sort_expr {
        Some(mut sort) => {
            let order = sort.split_off(on_expr.len());
            (sort, order)
        }
        None => (Vec::new(), Vec::new()),
    };
    let call = Expr::from(WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number_udwf()), Vec::new()));
    let partitioned = call.partition_by(on_expr);
    let number = if order.is_empty() { partitioned.build()? } else { partitioned.order_by(order).build()? };
    let numbered = Column::new_unqualified(number.schema_name().to_string());
    let first = LogicalPlanBuilder::from(input).window([number])?.filter(Expr::Column(numbered).eq(lit(1u64)))?;
    // A LIMIT above takes rows in this order.
    let first = if shared.is_empty() { first } else { first.sort(shared)? };
    let columns = select_expr.into_iter().zip(schema.iter());
    first.project(columns.map(|(expr, (qualifier, field))| expr.alias_qualified(qualifier.cloned(), field.name())))?.build()
}
