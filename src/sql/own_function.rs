//! Scalar functions of ours: what they take, what they give, and how a row's value is made of its arguments'.
//!
//! All of them give NULL where an argument that is not constant is NULL, and depend on nothing but their arguments.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// One function.
pub(super) struct OwnFunction {
    pub(super) name: &'static str,
    /// The types that arguments of these are cast to, or why there are none.
    pub(super) takes: fn(&[DataType]) -> Result<Vec<DataType>>,
    /// The type of the result. The constants are those of the arguments that are constant.
    pub(super) gives: fn(&[DataType], &[Option<&ScalarValue>]) -> Result<DataType>,
    pub(super) compute: fn(&Arguments) -> Result<ArrayRef>,
    /// The name of the column that it makes, where it is not that of a call.
    pub(super) shown: Option<fn(&[Expr]) -> String>,
}

/// What a function is called with: an array of each, all of one length.
pub(super) struct Arguments<'a> {
    pub(super) arrays: &'a [ArrayRef],
    pub(super) constants: &'a [Option<ScalarValue>],
    pub(super) gives: &'a DataType,
}

impl Arguments<'_> {
    /// The text of a constant.
    pub(super) fn text(&self, place: usize) -> Option<&str> {
        self.constants[place].as_ref()?.try_as_str().flatten()
    }
}

impl OwnFunction {
    pub(super) fn udf(&'static self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(Own { function: self, signature: Signature::user_defined(Volatility::Immutable) }))
    }

    pub(super) fn call(&'static self, arguments: Vec<Expr>) -> Expr {
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

/// A value is beyond what its type holds.
pub(super) fn too_large() -> DataFusionError {
    DataFusionError::ArrowError(Box::new(datafusion::arrow::error::ArrowError::ArithmeticOverflow(String::new())), None)
}
