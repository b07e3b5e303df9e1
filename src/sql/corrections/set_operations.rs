//! EXCEPT ALL and INTERSECT ALL, which count duplicate rows.
//!
//! DataFusion plans them as if only the existence of a row on the right side mattered, not the number of its duplicates. Here duplicates
//! are numbered on both sides, and rows are compared together with their numbers: with three duplicates on the left and one on the right,
//! the first is on both sides, the second and third are only on the left.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DataFusionError, JoinType, NullEquality};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Distinct, Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder, WindowFunctionDefinition};

/// The unoptimized plan and its subqueries, with such operations over numbered rows.
pub(in crate::sql) fn count_copies(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let rewritten = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Join(join) if keeps_copies(&join) => over_numbered(join).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    });
    rewritten.data()
}

/// Whether the join is a set operation that must count duplicates. Without ALL the left side is distinct, and then there is nothing to count.
fn keeps_copies(join: &Join) -> bool {
    let one_side = matches!(join.join_type, JoinType::LeftAnti | JoinType::LeftSemi);
    one_side && join.null_equality == NullEquality::NullEqualsNull && !matches!(*join.left, LogicalPlan::Distinct(Distinct::All(_)))
}

fn over_numbered(join: Join) -> Result<LogicalPlan, DataFusionError> {
    let shown = columns(&join.left);
    let [(left, number), (right, other)] = [numbered(join.left, "copy of the left")?, numbered(join.right, "copy of the right")?];
    let on = join.on.into_iter().chain([(number, other)]).collect();
    let (left, right) = (Arc::new(left), Arc::new(right));
    let join = Join::try_new(left, right, on, join.filter, join.join_type, join.join_constraint, join.null_equality, join.null_aware)?;
    LogicalPlanBuilder::from(LogicalPlan::Join(join)).project(shown)?.build()
}

/// The rows, numbered among their duplicates.
fn numbered(of: Arc<LogicalPlan>, name: &str) -> Result<(LogicalPlan, Expr), DataFusionError> {
    let columns = columns(&of);
    let call = Expr::from(WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number_udwf()), Vec::new()));
    let number = call.partition_by(columns.clone()).build()?;
    let made = Expr::Column(Column::new_unqualified(number.schema_name().to_string()));
    let shown = columns.into_iter().chain([made.alias(name)]);
    let plan = LogicalPlanBuilder::from(of).window([number])?.project(shown)?.build()?;
    Ok((plan, Expr::Column(Column::new_unqualified(name))))
}

fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}
