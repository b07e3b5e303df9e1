//! Makes integer arithmetic fail on overflow; DataFusion wraps.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::ExprSimplifyResult;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Literal, NegativeExpr};

use super::EvaluationError;
use super::session::{simplify_context, state};

/// The same expression with overflow checks for `+`, `-`, `*` and negation.
pub(super) fn checked(expr: Arc<dyn PhysicalExpr>, input: &Schema) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    expr.transform_up(|expr| {
        if let Some(binary) = expr.downcast_ref::<BinaryExpr>()
            && matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply)
        {
            return Ok(Transformed::yes(Arc::new(binary.clone().with_fail_on_overflow(true)) as Arc<dyn PhysicalExpr>));
        }
        if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
            let ty = negative.arg().data_type(input)?;
            if ty.is_signed_integer() {
                let zero = Arc::new(Literal::new(ScalarValue::new_zero(&ty)?));
                let minus = BinaryExpr::new(zero, Operator::Minus, Arc::clone(negative.arg())).with_fail_on_overflow(true);
                return Ok(Transformed::yes(Arc::new(minus) as Arc<dyn PhysicalExpr>));
            }
        }
        Ok(Transformed::no(expr))
    })
    .data()
}

/// Evaluates arithmetic without columns before it is folded, because folding wraps.
pub(super) fn check_constants(expr: &Expr, schema: &DFSchema) -> Result<(), EvaluationError> {
    let mut failure = None;
    let nothing = Schema::empty();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one_row = RecordBatch::try_new_with_options(Arc::new(nothing.clone()), Vec::new(), &options).expect("no columns, one row");
    expr.apply(|part| {
        let arithmetic = match part {
            Expr::BinaryExpr(binary) => matches!(binary.op, Operator::Plus | Operator::Minus | Operator::Multiply),
            Expr::Negative(_) => true,
            _ => false,
        };
        if !arithmetic || part.any_column_refs() {
            return Ok(TreeNodeRecursion::Continue);
        }
        let physical = executable(part.clone(), schema).and_then(|part| state().create_physical_expr(part, schema));
        if let Ok(Ok(physical)) = physical.map(|physical| checked(physical, &nothing)) {
            failure = physical.evaluate(&one_row).err();
        }
        Ok(if failure.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Jump })
    })
    .expect("nothing here fails");
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Simplifies functions that DataFusion can evaluate only after simplification, such as `coalesce`.
fn executable(expr: Expr, schema: &DFSchema) -> Result<Expr, DataFusionError> {
    let context = simplify_context(schema);
    let simplified = expr.transform_up(|part| match part {
        Expr::ScalarFunction(call) if matches!(call.name(), "coalesce" | "nvl2" | "arrow_cast" | "arrow_try_cast") => {
            Ok(match call.func.simplify(call.args.clone(), &context)? {
                ExprSimplifyResult::Simplified(expr) => Transformed::yes(expr),
                ExprSimplifyResult::Original(args) => Transformed::no(Expr::ScalarFunction(ScalarFunction { args, ..call })),
            })
        }
        other => Ok(Transformed::no(other)),
    });
    simplified.data()
}
