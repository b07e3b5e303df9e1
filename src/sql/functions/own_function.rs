//! Scalar functions of our own: argument types, result type, computation.
//!
//! All of them return NULL if an argument that is not constant is NULL, and depend only on their arguments.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// A scalar function.
pub(in crate::sql) struct OwnFunction {
    pub(in crate::sql) name: &'static str,
    /// The types to which arguments of the given types are cast, or an error.
    pub(in crate::sql) takes: fn(&[DataType]) -> Result<Vec<DataType>>,
    /// The result type, from the argument types and the values of constant arguments.
    pub(in crate::sql) gives: fn(&[DataType], &[Option<&ScalarValue>]) -> Result<DataType>,
    /// The value of each row.
    pub(in crate::sql) compute: fn(&Arguments) -> Result<ArrayRef>,
    /// The name of the result column, if it is not that of a call.
    pub(in crate::sql) shown: Option<fn(&[Expr]) -> String>,
}

/// The arguments of a call: one array each, all of the same length.
pub(in crate::sql) struct Arguments<'a> {
    pub(in crate::sql) arrays: &'a [ArrayRef],
    pub(in crate::sql) constants: &'a [Option<ScalarValue>],
    pub(in crate::sql) gives: &'a DataType,
}

impl Arguments<'_> {
    /// The text of a constant argument.
    pub(in crate::sql) fn text(&self, place: usize) -> Option<&str> {
        self.constants[place].as_ref()?.try_as_str().flatten()
    }
}

impl OwnFunction {
    pub(in crate::sql) fn udf(&'static self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(Own { function: self, signature: Signature::user_defined(Volatility::Immutable) }))
    }

    pub(in crate::sql) fn call(&'static self, arguments: Vec<Expr>) -> Expr {
        self.udf().call(arguments)
    }
}

struct Own {
    function: &'static OwnFunction,
    signature: Signature,
}

impl PartialEq for Own {
    fn eq(&self, other: &Own) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Own {}

impl Hash for Own {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.function.name)
    }
}

impl ScalarUDFImpl for Own {
    fn name(&self) -> &str {
        self.function.name
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String> {
        let name = |expr: &Expr| expr.schema_name().to_string();
        Ok(match self.function.shown {
            Some(shown) => shown(arguments),
            None => format!("{}({})", self.function.name, arguments.iter().map(name).collect::<Vec<_>>().join(",")),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        (self.function.takes)(arguments)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        (self.function.gives)(arguments, &vec![None; arguments.len()])
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = arguments.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let ty = (self.function.gives)(&types, arguments.scalar_arguments)?;
        Ok(Arc::new(Field::new(self.name(), ty, arguments.arg_fields.iter().any(|field| field.is_nullable()))))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constants = arguments.args.iter().map(|argument| match argument {
            ColumnarValue::Scalar(value) => Some(value.clone()),
            ColumnarValue::Array(_) => None,
        });
        let constants: Vec<Option<ScalarValue>> = constants.collect();
        let all_constant = constants.iter().all(Option::is_some);
        let rows = if all_constant { 1 } else { arguments.number_rows };
        let arrays = arguments.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let gives = arguments.return_field.data_type();
        let result = (self.function.compute)(&Arguments { arrays: &arrays, constants: &constants, gives })?;
        match all_constant {
            true => ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar),
            false => Ok(ColumnarValue::Array(result)),
        }
    }
}

/// The error for a value that its type cannot represent.
pub(in crate::sql) fn too_large() -> DataFusionError {
    DataFusionError::ArrowError(Box::new(datafusion::arrow::error::ArrowError::ArithmeticOverflow(String::new())), None)
}
