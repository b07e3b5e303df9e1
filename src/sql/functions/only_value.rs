//! The aggregate `only_value`: the value of a group's only row. It makes one value of the rows of a scalar subquery.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility};

/// The error of a group with more than one row.
pub(crate) const SEVERAL: &str = "a scalar subquery has more than one row";

/// The call `only_value(of)`.
pub(in crate::sql) fn only_value(of: Expr) -> Expr {
    AggregateUDF::new_from_impl(OnlyValue { signature: Signature::any(1, Volatility::Immutable) }).call(vec![of])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OnlyValue {
    signature: Signature,
}

impl AggregateUDFImpl for OnlyValue {
    fn name(&self) -> &str {
        "only_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    /// Returns NULL when the group has no rows.
    fn return_field(&self, arguments: &[FieldRef]) -> Result<FieldRef> {
        Ok(Arc::new(arguments[0].as_ref().clone().with_name(self.name()).with_nullable(true)))
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OnlyAccumulator { rows: 0, value: ScalarValue::try_from(arguments.return_field.data_type())? }))
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let value = arguments.return_field.as_ref().clone().with_name(format!("{}[value]", arguments.name));
        Ok(vec![Arc::new(Field::new(format!("{}[rows]", arguments.name), DataType::Int64, false)), Arc::new(value)])
    }
}

#[derive(Debug)]
struct OnlyAccumulator {
    rows: i64,
    value: ScalarValue,
}

impl OnlyAccumulator {
    fn add(&mut self, rows: i64, values: &ArrayRef, row: usize) -> Result<()> {
        if rows > 0 {
            self.rows += rows;
            self.value = ScalarValue::try_from_array(values, row)?;
        }
        Ok(())
    }
}

impl Accumulator for OnlyAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        (0..values[0].len()).try_for_each(|row| self.add(1, &values[0], row))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.rows > 1 {
            return exec_err!("{SEVERAL}");
        }
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Int64(Some(self.rows)), self.value.clone()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states[0].as_primitive::<Int64Type>();
        (0..rows.len()).try_for_each(|state| self.add(rows.value(state), &states[1], state))
    }
}
