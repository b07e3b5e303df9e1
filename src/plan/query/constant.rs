//! Rows given by the query itself: VALUES, and queries without a table. They are computed here, once; an error in them is an error of the
//! spec.

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::common::DFSchema;
use datafusion::logical_expr::Values;

use super::{compiled, unique_names};
use crate::plan::{Constants, EvaluationError, InputColumn, Node, Select};
use crate::sql::SqlError;
use crate::value::{Column, Layout, Row, RowBuilder, Schema, arrow};

/// One row without columns.
pub(super) fn one_row() -> Node {
    let schema = Schema::new(Vec::new());
    let row = RowBuilder::new(&Layout::new(&schema)).finish();
    Node::Constants(Constants { rows: vec![row], schema })
}

pub(super) fn values(values: &Values) -> Result<Node, SqlError> {
    let columns = values.schema.fields().iter().map(|field| Column::from_arrow(field)).collect::<Result<_, _>>();
    let schema = unique_names(columns.map_err(SqlError::new)?);
    let nothing = Schema::new(Vec::new());
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(nothing.arrow().into(), Vec::new(), &options).expect("no columns, one row");
    let mut rows = Vec::new();
    for row in &values.values {
        let column = |(expr, column): (_, &Column)| {
            let array = compiled(expr, &DFSchema::empty(), &nothing)?.evaluate(&batch).map_err(failing)?;
            arrow::canonical(&array, &column.ty).map_err(|error| failing(error.into()))
        };
        let arrays = row.iter().zip(schema.columns()).map(column).collect::<Result<Vec<_>, _>>()?;
        rows.extend(packed(&schema, &arrays, 1)?);
    }
    Ok(Node::Constants(Constants { rows, schema }))
}

/// A selection of constant rows is computed here, too.
pub(super) fn folded(select: Select) -> Result<Node, SqlError> {
    let Node::Constants(constants) = &select.of else { return Ok(Node::Select(Box::new(select))) };
    let mut batch = arrow::to_batch(&Layout::new(&constants.schema), constants.rows.iter().map(|row| &**row));
    if let Some(filter) = &select.filter {
        let keep = filter.evaluate(&batch).map_err(failing)?;
        batch = filter_record_batch(&batch, keep.as_boolean()).map_err(|error| SqlError::new(error.to_string()))?;
    }
    let column = |column: &InputColumn| match column {
        InputColumn::Column(place) => Ok(batch.column(*place).clone()),
        InputColumn::Computed(expression) => expression.evaluate(&batch).map_err(failing),
    };
    let arrays = select.columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let rows = packed(&select.schema, &arrays, batch.num_rows())?;
    Ok(Node::Constants(Constants { rows, schema: select.schema }))
}

fn packed(schema: &Schema, columns: &[ArrayRef], count: usize) -> Result<Vec<Row>, SqlError> {
    let mut builder = RowBuilder::new(&Layout::new(schema));
    let mut row = |i: usize| {
        columns.iter().try_for_each(|array| arrow::push_array_value(&mut builder, array, i)).map_err(|error| failing(error.into()))?;
        Ok(builder.finish())
    };
    (0..count).map(&mut row).collect()
}

fn failing(error: EvaluationError) -> SqlError {
    SqlError::new(format!("a constant cannot be computed: {}", error.reason)).help("correct the expression")
}
