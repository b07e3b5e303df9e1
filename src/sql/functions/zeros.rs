//! Makes -0.0 and 0.0 equal, as in PostgreSQL and in keys of views. DataFusion compares doubles in the total order of IEEE 754, in which
//! -0.0 is less than 0.0, so that `WHERE x = 0` excludes -0.0.
//!
//! In: an operand of a comparison. Out: the operand without the sign of a zero. Can be removed when `cast(-0.0 AS double) = 0.0` is true.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::Expr;

use super::own_function::{Arguments, OwnFunction};

/// Removes the sign of a zero from a 64-bit or 32-bit float.
pub(in crate::sql) fn without_sign(of: Expr) -> Expr {
    WITHOUT_SIGN.call(vec![of])
}

static WITHOUT_SIGN: OwnFunction = OwnFunction {
    name: "zero_without_sign",
    takes: |types| match types {
        [DataType::Float32 | DataType::Float64] => Ok(types.to_vec()),
        _ => plan_err!("only doubles have a signed zero"),
    },
    gives: |types, _| Ok(types[0].clone()),
    compute: unsigned,
    shown: Some(|arguments| arguments[0].schema_name().to_string()),
};

/// -0.0 + 0.0 is 0.0.
fn unsigned(arguments: &Arguments) -> Result<ArrayRef> {
    let array = &arguments.arrays[0];
    match array.data_type() {
        DataType::Float32 => {
            let values: Float32Array = array.as_primitive::<Float32Type>().unary(|value| value + 0.0);
            Ok(Arc::new(values))
        }
        _ => {
            let values: Float64Array = array.as_primitive::<Float64Type>().unary(|value| value + 0.0);
            Ok(Arc::new(values))
        }
    }
}
