//! Rounds in casts to a type with fewer digits, as PostgreSQL does. DataFusion truncates if the target is an integer, and it drops the cast
//! when a cast decimal is compared.
//!
//! A decimal is rounded half away from zero, a double half to even, also by `round`. The remaining cast then loses nothing, so dropping it
//! in a comparison changes nothing. The rounded expression keeps its name, because casts in GROUPING SETS and `grouping` are matched by
//! name. A cast of a time to fewer digits of a second is refused: DataFusion would truncate it.
//!
//! In: an unoptimized plan. Out: the same plan with `round` inside such casts. Can be removed when `cast(2.75 AS int)` is 3 and `cast(n AS
//! decimal(10, 1)) = 1.0` is true for 1.0001.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, plan_err};
use datafusion::functions::math::expr_fn::{abs, round, trunc};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Case, Expr, ExprSchemable, LogicalPlan, lit};

use crate::sql::plan_expressions::columns_below;

pub(in crate::sql) fn round_casts(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let columns = columns_below(&node);
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(|part| rounded(part, &columns))?.update_data(|expr| name.restore(expr)))
        })
    });
    rewritten.data()
}

pub(in crate::sql) fn rounded(part: Expr, columns: &DFSchema) -> Result<Transformed<Expr>, DataFusionError> {
    let (expr, to) = match &part {
        Expr::Cast(cast) => (&cast.expr, cast.field.data_type()),
        Expr::TryCast(cast) => (&cast.expr, cast.field.data_type()),
        Expr::ScalarFunction(call) if call.name() == "round" && call.args.len() == 1 && is_double(&call.args[0].get_type(columns)?) => {
            let name = part.schema_name().to_string();
            return Ok(Transformed::yes(half_to_even(call.args[0].clone()).alias(name)));
        }
        _ => return Ok(Transformed::no(part)),
    };
    let from = expr.get_type(columns)?;
    let value = || expr.as_ref().clone();
    let rounded = match (&from, to) {
        (DataType::Float16 | DataType::Float32 | DataType::Float64, to) if to.is_integer() => half_to_even(value()),
        (from, to) if from.is_decimal() && to.is_integer() && scale(from) > 0 => round(vec![value(), lit(0i64)]),
        (from, to) if from.is_decimal() && to.is_decimal() && scale(to) < scale(from) => round(vec![value(), lit(i64::from(scale(to)))]),
        (DataType::Timestamp(from, _), DataType::Timestamp(to, _)) if digits(*to) < digits(*from) => {
            return plan_err!("a cast to a time with fewer digits of a second is not maintained: use `date_trunc`");
        }
        _ => return Ok(Transformed::no(part)),
    };
    let rounded = Box::new(rounded.alias(expr.schema_name().to_string()));
    Ok(Transformed::yes(match part {
        Expr::Cast(mut cast) => {
            cast.expr = rounded;
            Expr::Cast(cast)
        }
        Expr::TryCast(mut cast) => {
            cast.expr = rounded;
            Expr::TryCast(cast)
        }
        _ => unreachable!("it is a cast"),
    }))
}

/// `round` rounds half away from zero. For an exact half, half of the double is rounded and then doubled.
fn half_to_even(value: Expr) -> Expr {
    let lost = abs(value.clone() - trunc(vec![value.clone()]));
    let even = lit(2.0) * round(vec![value.clone() / lit(2.0)]);
    let case = Case {
        expr: None,
        when_then_expr: vec![(Box::new(lost.eq(lit(0.5))), Box::new(even))],
        else_expr: Some(Box::new(round(vec![value]))),
    };
    Expr::Case(case)
}

fn is_double(ty: &DataType) -> bool {
    matches!(ty, DataType::Float32 | DataType::Float64)
}

fn scale(decimal: &DataType) -> i8 {
    match decimal {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            *scale
        }
        _ => 0,
    }
}

fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}
