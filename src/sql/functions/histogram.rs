//! The aggregate `histogram`, which DataFusion does not have.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use crate::value::{Column, Diff, Layout, Row, RowBuilder, Schema, Type, arrow, histogram, is_counted, key};

pub(in crate::sql) const NAME: &str = "histogram";

pub(in crate::sql) fn function() -> AggregateUDF {
    AggregateUDF::new_from_impl(HistogramFunction { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct HistogramFunction {
    signature: Signature,
}

impl AggregateUDFImpl for HistogramFunction {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(Type::Json.arrow())
    }

    fn return_field(&self, arguments: &[FieldRef]) -> Result<FieldRef> {
        column_of(&arguments[0])?;
        Ok(Arc::new(Column::new(self.name(), Type::Json, self.is_nullable()).arrow()))
    }

    /// Without values the result is `{}`, not NULL.
    fn is_nullable(&self) -> bool {
        false
    }

    fn default_value(&self, _: &DataType) -> Result<ScalarValue> {
        Ok(ScalarValue::Utf8(Some("{}".to_string())))
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let column = column_of(&arguments.expr_fields[0])?;
        let layout = Layout::new(&Schema::new(vec![Column { nullable: true, ..column }]));
        Ok(Box::new(ValueCounts { builder: RowBuilder::new(&layout), layout, counts: BTreeMap::new() }))
    }

    /// The keys of the values, and the count of each.
    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |name: &str, ty| Arc::new(Field::new_list(format!("{}[{name}]", arguments.name), Field::new_list_field(ty, true), true));
        Ok(vec![list("keys", DataType::Binary), list("counts", DataType::Int64)])
    }
}

fn column_of(field: &Field) -> Result<Column> {
    match Column::from_arrow(field) {
        Ok(column) if is_counted(&column.ty) => Ok(column),
        Ok(column) => plan_err!("histogram counts numbers, texts, dates and times, not {}", column.ty),
        Err(reason) => plan_err!("{reason}"),
    }
}

#[derive(Debug)]
struct ValueCounts {
    layout: Layout,
    builder: RowBuilder,
    counts: BTreeMap<Row, Diff>,
}

impl Accumulator for ValueCounts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let wrong = |error: crate::value::ParseError| datafusion::common::DataFusionError::Execution(error.to_string());
        let values = arrow::canonical(&values[0], &self.layout.schema().columns()[0].ty).map_err(wrong)?;
        for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
            arrow::push_array_value(&mut self.builder, &values, row).map_err(wrong)?;
            *self.counts.entry(key::encode(&self.layout, &self.builder.finish(), &[0])).or_default() += 1;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let counts = self.counts.iter().map(|(value, count)| (&**value, *count));
        Ok(ScalarValue::Utf8(Some(histogram(&self.layout, counts))))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.keys().map(|key| key.len() + size_of::<(Row, Diff)>()).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let keys: Vec<ScalarValue> = self.counts.keys().map(|key| ScalarValue::Binary(Some(key.to_vec()))).collect();
        let counts: Vec<ScalarValue> = self.counts.values().map(|count| ScalarValue::Int64(Some(*count))).collect();
        let list = |values: &[ScalarValue], ty| ScalarValue::List(ScalarValue::new_list_nullable(values, &ty));
        Ok(vec![list(&keys, DataType::Binary), list(&counts, DataType::Int64)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (keys, counts) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for (keys, counts) in keys.iter().zip(counts.iter()) {
            let (Some(keys), Some(counts)) = (keys, counts) else { continue };
            let counts = counts.as_primitive::<datafusion::arrow::datatypes::Int64Type>().values().to_vec();
            for (key, count) in keys.as_binary::<i32>().iter().flatten().zip(counts) {
                *self.counts.entry(Row::from_bytes(key)).or_default() += count;
            }
        }
        Ok(())
    }
}
