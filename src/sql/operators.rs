//! Binary operators, as they are read: those that DataFusion computes otherwise than PostgreSQL become what it computes alike.

use datafusion::arrow::datatypes::Field;
use datafusion::common::{DFSchema, Result, TableReference};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::rounded_quotients::quotient;

/// Asked before DataFusion's own.
#[derive(Debug)]
pub(super) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, columns: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let planned = match expr.op {
            BinaryOperator::Divide => quotient(&expr.left, &expr.right, columns),
            _ => None,
        };
        Ok(planned.map_or_else(|| PlannerResult::Original(expr), PlannerResult::Planned))
    }

    fn plan_compound_identifier(&self, _: &Field, _: Option<&TableReference>, _: &[String]) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Original(Vec::new()))
    }
}
