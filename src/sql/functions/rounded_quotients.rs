//! Quotients of decimals, rounded half away from zero as in PostgreSQL. DataFusion truncates the digits beyond its scale.
//!
//! The scale is DataFusion's: that of the dividend plus four digits. The quotient is exact to the last of 38 digits. A divisor of 0 and a
//! quotient with more digits fail the row.
//!
//! Can be removed when `2.00 / 3` is 0.666667.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::compute::try_binary;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType, i256};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, Operator};

use super::own_function::{Arguments, OwnFunction};
use crate::value::decimal;

/// The rounded quotient, if DataFusion would divide these operands as decimals.
pub(in crate::sql) fn quotient(left: &Expr, right: &Expr, columns: &DFSchema) -> Option<Expr> {
    let types = [left.get_type(columns).ok()?, right.get_type(columns).ok()?];
    let divided = divided(&types)?;
    let cast = |expr: &Expr, from: &DataType, to: DataType| match *from == to {
        true => expr.clone(),
        false => Expr::Cast(Cast::new(Box::new(expr.clone()), to)),
    };
    let [dividend, divisor] = divided;
    Some(FUNCTION.call(vec![cast(left, &types[0], dividend), cast(right, &types[1], divisor)]))
}

/// The decimal types to which both operands are cast, if they are divided as decimals.
fn divided(types: &[DataType]) -> Option<[DataType; 2]> {
    let [left, right] = types else { return None };
    let (left, right) = BinaryTypeCoercer::new(left, &Operator::Divide, right).get_input_types().ok()?;
    let kinds = (&left, &right);
    matches!(kinds, (DataType::Decimal128(..), DataType::Decimal128(..)) | (DataType::Decimal256(..), DataType::Decimal256(..)))
        .then_some([left, right])
}

static FUNCTION: OwnFunction = OwnFunction { name: "quotient", takes, gives, compute, shown: Some(shown) };

fn takes(types: &[DataType]) -> Result<Vec<DataType>> {
    match divided(types) {
        Some(types) => Ok(types.into()),
        None => plan_err!("a quotient of decimals takes decimals"),
    }
}

fn gives(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    BinaryTypeCoercer::new(&types[0], &Operator::Divide, &types[1]).get_result_type()
}

fn shown(arguments: &[Expr]) -> String {
    format!("{} / {}", arguments[0].schema_name(), arguments[1].schema_name())
}

fn compute(arguments: &Arguments) -> Result<ArrayRef> {
    let [left, right] = arguments.arrays else { return plan_err!("a quotient is of two numbers") };
    let scale = |ty: &DataType| match ty {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => i32::from(*scale),
        _ => 0,
    };
    // The number of digits by which the dividend is scaled up, or the divisor if negative.
    let digits = scale(arguments.gives) - scale(left.data_type()) + scale(right.data_type());
    let (above, below) = (digits.max(0) as u32, (-digits).max(0) as u32);
    Ok(match arguments.gives {
        DataType::Decimal128(..) => divide::<Decimal128Type>(left, right, arguments.gives, |left, right| short(left, right, above, below)),
        _ => divide::<Decimal256Type>(left, right, arguments.gives, |left, right| long(left, right, above, below)),
    }?)
}

fn divide<T: DecimalType>(
    left: &ArrayRef,
    right: &ArrayRef,
    gives: &DataType,
    quotient: impl Fn(T::Native, T::Native) -> Option<T::Native>,
) -> Result<ArrayRef, ArrowError> {
    let zero = T::Native::default();
    let quotients: PrimitiveArray<T> =
        try_binary(left.as_primitive::<T>(), right.as_primitive::<T>(), |left, right| match right == zero {
            true => Err(ArrowError::DivideByZero),
            false => quotient(left, right).ok_or_else(|| ArrowError::ArithmeticOverflow(String::new())),
        })?;
    Ok(Arc::new(quotients.with_data_type(gives.clone())))
}

fn short(left: i128, right: i128, above: u32, below: u32) -> Option<i128> {
    let scaled = |value: i128, digits: u32| 10i128.checked_pow(digits).and_then(|power| value.checked_mul(power));
    match (scaled(left, above), scaled(right, below)) {
        (Some(left), Some(right)) => decimal::quotient(left, right),
        _ => long(i256::from_i128(left), i256::from_i128(right), above, below)?.to_i128(),
    }
}

fn long(left: i256, right: i256, above: u32, below: u32) -> Option<i256> {
    let scaled = |value: i256, digits: u32| i256::from_i128(10).checked_pow(digits).and_then(|power| value.checked_mul(power));
    decimal::quotient_i256(scaled(left, above)?, scaled(right, below)?)
}
