//! SQL expressions through DataFusion: one function library for views, queries and tests.
//!
//! In: an expression's text and the schema it may name. Out: an [`Expression`] that evaluates batches of rows, or a [`SqlError`] that
//! points into the text. An [`AggregateFunction`] does the same for `count()`, `sum(price)` and the like over groups of rows.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::physical_expr::PhysicalExpr;

use crate::value::{Column, Schema};

/// A scalar expression over the columns of one schema. Two are equal if their text and schema are.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    input: Schema,
    physical: Arc<dyn PhysicalExpr>,
    /// Type and nullability of the result; its name is the text.
    output: Column,
}

/// An aggregate call over groups of rows of one schema, e.g. `sum(price)` or `count()`.
#[derive(Debug, Clone)]
pub struct AggregateFunction {
    text: String,
    input: Schema,
}

/// What is wrong with an expression, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    pub message: String,
    /// Bytes of the expression's text, where known.
    pub span: Option<Range<usize>>,
    pub help: Option<String>,
}

/// Why an expression failed on a row (overflow, division by zero, a bad cast). Says the reason, not the values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EvaluationError {
    pub reason: String,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.text == other.text && self.input == other.input
    }
}

impl Expression {
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn output(&self) -> &Column {
        &self.output
    }

    /// The value of each row of `batch` (of the input schema's Arrow form). One failing row fails the batch: evaluate row by row
    /// then, to find it.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, EvaluationError> {
        let array = self.physical.evaluate(batch).and_then(|v| v.into_array(batch.num_rows()));
        array.map_err(|e| EvaluationError { reason: e.strip_backtrace() })
    }
}

impl AggregateFunction {
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn input(&self) -> &Schema {
        &self.input
    }
}
