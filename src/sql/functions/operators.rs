//! Plans binary operators: those whose result differs between DataFusion and PostgreSQL are replaced.
//!
//! ```text
//! decimal / decimal               rounded (`rounded_quotients`)
//! date + integer, date - integer  that many days later or earlier
//! date + interval                 a timestamp, starting at the date's midnight; DataFusion's result is a date without the hours
//! date + time of day              a timestamp in microseconds; DataFusion's is in nanoseconds
//! date - timestamp                the date is its midnight, in microseconds; DataFusion's are nanoseconds, which end in the year 2262
//! interval * number               with fractions (`lengths_of_time`)
//! double / double                 a divisor of 0 is an error; DataFusion's result is infinite
//! float32 with another number     in float64
//! ```
//! Each rule can be removed when DataFusion follows it: for example, when `date '2015-07-15' + interval '2 hours'` is a timestamp.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::compute::try_binary;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Field, Float64Type, Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DFSchema, Result, TableReference};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, Operator, binary_expr};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::intervals::{as_interval, times};
use super::own_function::{Arguments, OwnFunction};
use super::rounded_quotients::quotient;
use super::zones::local;

/// DataFusion consults this planner before its own.
#[derive(Debug)]
pub(in crate::sql) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, columns: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let operator = match expr.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Modulo => Operator::Modulo,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let (Ok(left), Ok(right)) = (expr.left.get_type(columns), expr.right.get_type(columns)) else {
            return Ok(PlannerResult::Original(expr));
        };
        let planned = match operator {
            Operator::Divide => quotient(&expr.left, &expr.right, columns),
            _ => None,
        };
        let planned = planned.or_else(|| of_types(operator, (&expr.left, left), (&expr.right, right)));
        Ok(planned.map_or_else(|| PlannerResult::Original(expr), PlannerResult::Planned))
    }

    fn plan_compound_identifier(&self, _: &Field, _: Option<&TableReference>, _: &[String]) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Original(Vec::new()))
    }
}

fn of_types(operator: Operator, (left, l): (&Expr, DataType), (right, r): (&Expr, DataType)) -> Option<Expr> {
    use DataType::{Date32, Duration, Float32, Float64, Interval, Time32, Time64, Timestamp};
    let (a, b) = (left.clone(), right.clone());
    Some(match (operator, &l, &r) {
        (Operator::Plus, Date32, days) if days.is_integer() => LATER.call(vec![a, b]),
        (Operator::Plus, days, Date32) if days.is_integer() => LATER.call(vec![b, a]),
        (Operator::Minus, Date32, days) if days.is_integer() => EARLIER.call(vec![a, b]),
        (Operator::Plus | Operator::Minus, Date32, Interval(_) | Duration(_)) => binary_expr(cast(a, local()), operator, b),
        (Operator::Plus, Interval(_) | Duration(_), Date32) => binary_expr(a, operator, cast(b, local())),
        (Operator::Plus, Date32, Time32(_) | Time64(_)) => AT_TIME.call(vec![a, b]),
        (Operator::Plus, Time32(_) | Time64(_), Date32) => AT_TIME.call(vec![b, a]),
        (Operator::Minus, Date32, Timestamp(..)) => binary_expr(cast(a, r.clone()), operator, b),
        (Operator::Minus, Timestamp(..), Date32) => binary_expr(a, operator, cast(b, l.clone())),
        (Operator::Multiply, Interval(_) | Duration(_), number) if number.is_numeric() => times(a, b, false),
        (Operator::Multiply, number, Interval(_) | Duration(_)) if number.is_numeric() => times(b, a, false),
        (Operator::Divide, Interval(_) | Duration(_), number) if number.is_numeric() => times(a, b, true),
        (Operator::Plus | Operator::Minus, Duration(_), Interval(_)) => binary_expr(as_interval(a), operator, b),
        (Operator::Plus | Operator::Minus, Interval(_), Duration(_)) => binary_expr(a, operator, as_interval(b)),
        (Operator::Divide, Float64, number) if number.is_numeric() => QUOTIENT.call(vec![a, b]),
        (Operator::Divide, number, Float64) if number.is_numeric() => QUOTIENT.call(vec![a, b]),
        (Operator::Divide, Float32, number) | (Operator::Divide, number, Float32) if number.is_numeric() => QUOTIENT.call(vec![a, b]),
        (_, Float32, other) | (_, other, Float32) if other.is_numeric() && *other != Float32 => {
            binary_expr(cast(a, Float64), operator, cast(b, Float64))
        }
        _ => return None,
    })
}

fn cast(expr: Expr, to: DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), to))
}

static LATER: OwnFunction = OwnFunction {
    name: "days_later",
    takes: |_| Ok(vec![DataType::Date32, DataType::Int64]),
    gives: |_, _| Ok(DataType::Date32),
    compute: |arguments| moved(arguments, i64::checked_add),
    shown: Some(|arguments| format!("{} + {}", arguments[0].schema_name(), arguments[1].schema_name())),
};
static AT_TIME: OwnFunction = OwnFunction {
    name: "at_time",
    takes: |_| Ok(vec![DataType::Date32, DataType::Time64(TimeUnit::Microsecond)]),
    gives: |_, _| Ok(local()),
    compute: |arguments| {
        let (dates, times) =
            (arguments.arrays[0].as_primitive::<Date32Type>(), arguments.arrays[1].as_primitive::<Time64MicrosecondType>());
        let at = |date: i32, time: i64| {
            let micros = i64::from(date).checked_mul(86_400_000_000).and_then(|midnight| midnight.checked_add(time));
            micros.ok_or_else(|| ArrowError::ArithmeticOverflow(String::new()))
        };
        let times: PrimitiveArray<TimestampMicrosecondType> = try_binary(dates, times, at)?;
        Ok(Arc::new(times))
    },
    shown: Some(|arguments| format!("{} + {}", arguments[0].schema_name(), arguments[1].schema_name())),
};
static QUOTIENT: OwnFunction = OwnFunction {
    name: "quotient_of_doubles",
    takes: |_| Ok(vec![DataType::Float64, DataType::Float64]),
    gives: |_, _| Ok(DataType::Float64),
    compute: divided,
    shown: Some(|arguments| format!("{} / {}", arguments[0].schema_name(), arguments[1].schema_name())),
};
static EARLIER: OwnFunction = OwnFunction {
    name: "days_earlier",
    takes: |_| Ok(vec![DataType::Date32, DataType::Int64]),
    gives: |_, _| Ok(DataType::Date32),
    compute: |arguments| moved(arguments, i64::checked_sub),
    shown: Some(|arguments| format!("{} - {}", arguments[0].schema_name(), arguments[1].schema_name())),
};

fn divided(arguments: &Arguments) -> Result<ArrayRef> {
    let (left, right) = (arguments.arrays[0].as_primitive::<Float64Type>(), arguments.arrays[1].as_primitive::<Float64Type>());
    let quotient = |left: f64, right: f64| match right == 0.0 && !left.is_nan() {
        true => Err(ArrowError::DivideByZero),
        false => Ok(left / right),
    };
    let quotients: PrimitiveArray<Float64Type> = try_binary(left, right, quotient)?;
    Ok(Arc::new(quotients))
}

fn moved(arguments: &Arguments, by: fn(i64, i64) -> Option<i64>) -> Result<ArrayRef> {
    let (dates, days) = (arguments.arrays[0].as_primitive::<Date32Type>(), arguments.arrays[1].as_primitive::<Int64Type>());
    let moved = |date: i32, days: i64| {
        let date = by(date.into(), days).and_then(|date| i32::try_from(date).ok());
        date.ok_or_else(|| ArrowError::ArithmeticOverflow(String::new()))
    };
    let moved: PrimitiveArray<Date32Type> = try_binary(dates, days, moved)?;
    Ok(Arc::new(moved))
}
