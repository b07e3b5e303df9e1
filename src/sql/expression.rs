//! Scalar expressions, evaluated row by row.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::Schema as ArrowSchema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::expressions::{Column as PhysicalColumn, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::sql::sqlparser::ast::{Expr as Syntax, ExprWithAlias};

use super::checked::{check_constants, checked};
use super::constant_arguments::check_arguments;
use super::corrections::coercions::together;
use super::corrections::rounded_casts::rounded;
use super::corrections::time_casts::refuse_what_changes_value;
use super::corrections::time_literals;
use super::names::{self, ExpressionRole};
use super::session::{coerce, simplifier, state};
use super::{EvaluationError, SqlError};
use crate::value::{Column, Schema, Type, arrow};

/// A scalar expression over the columns of one schema. Two are equal if they have the same text, schema and resolved columns.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    input: Schema,
    physical: Arc<dyn PhysicalExpr>,
    /// The same expression over a batch that has only `columns`.
    narrow: Arc<dyn PhysicalExpr>,
    columns: Vec<usize>,
    /// Type and nullability of the result; the name is the text.
    output: Column,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.text == other.text && self.input == other.input && self.resolved() == other.resolved()
    }
}

impl Expression {
    /// Compiles `text` over the columns of `input`.
    pub fn compile(text: &str, input: &Schema) -> Result<Expression, SqlError> {
        let syntax = names::parse(text, input, ExpressionRole::Scalar)?;
        let physical = Expression::plan(&syntax, input)
            .map_err(|error| error.at(Expression::culprit(text, &syntax, input).or(Some(0..text.len()))))?;
        let output = output_of(text, physical.as_ref(), input).map_err(|error| error.at(Some(0..text.len())))?;
        let columns = columns_of([&physical]);
        let narrow = narrowed(Arc::clone(&physical), &columns);
        Ok(Expression { text: text.to_string(), input: input.clone(), physical, narrow, columns, output })
    }

    /// Same as [`compile`](Expression::compile), but the result must be boolean (NULL counts as false).
    pub fn compile_filter(text: &str, input: &Schema) -> Result<Expression, SqlError> {
        let expression = Expression::compile(text, input)?;
        if expression.output.ty != Type::Bool {
            let message = format!("a filter must be true or false, this is of type {}", expression.output.ty);
            return Err(SqlError::new(message).at(Some(0..text.len())).help("compare it with something"));
        }
        Ok(expression)
    }

    /// The smallest part of the expression that does not compile on its own.
    pub(super) fn culprit(text: &str, syntax: &Syntax, input: &Schema) -> Option<Range<usize>> {
        names::culprit(text, syntax, |part| Expression::plan(part, input).is_ok())
    }

    /// Compiles an expression of a query's plan. `names` gives the names of its columns; `input` has the same columns in the same order.
    pub fn of_plan(expr: &Expr, names: &DFSchema, input: &Schema) -> Result<Expression, SqlError> {
        let described = |error: DataFusionError| SqlError::of_definition(&error);
        let physical = state().create_physical_expr(expr.clone(), names).map_err(described)?;
        let physical = checked(physical, &input.arrow()).map_err(described)?;
        let text = expr.to_string();
        let output = output_of(&text, physical.as_ref(), input)?;
        let columns = columns_of([&physical]);
        let narrow = narrowed(Arc::clone(&physical), &columns);
        Ok(Expression { text, input: input.clone(), physical, narrow, columns, output })
    }

    /// The column, if the expression is just a column.
    pub fn as_column(&self) -> Option<usize> {
        self.physical.downcast_ref::<PhysicalColumn>().map(PhysicalColumn::index)
    }

    /// The same expression over another input. `place` maps the index of each column that it reads to the index in `input`.
    pub fn moved(&self, input: &Schema, place: impl Fn(usize) -> usize) -> Expression {
        let places = self.columns.iter().map(|&column| (column, place(column))).collect();
        let physical = moved(Arc::clone(&self.physical), &places);
        let columns = columns_of([&physical]);
        let narrow = narrowed(Arc::clone(&physical), &columns);
        Expression { text: self.text.clone(), input: input.clone(), physical, narrow, columns, output: self.output.clone() }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The computation with the index of each column. Unlike the text, it distinguishes different columns of the same name.
    pub fn resolved(&self) -> String {
        self.physical.to_string()
    }

    pub fn input(&self) -> &Schema {
        &self.input
    }

    /// The result column; its name is the text.
    pub fn output(&self) -> &Column {
        &self.output
    }

    /// How many elements at the start of the lists in this column are read at most; `None` if possibly all.
    pub fn first_read(&self, column: usize) -> Option<usize> {
        first_read(&self.physical, column)
    }

    /// The columns of the input that the expression reads, in ascending order.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The value of each row of `batch` (in the Arrow form of the input schema), in the Arrow form of the output's type. One failing row
    /// fails the batch; evaluate row by row to find it.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, EvaluationError> {
        self.evaluate_with(&self.physical, batch)
    }

    /// Same as [`evaluate`](Expression::evaluate), for a batch that has only [`columns`](Expression::columns).
    pub fn evaluate_columns(&self, batch: &RecordBatch) -> Result<ArrayRef, EvaluationError> {
        self.evaluate_with(&self.narrow, batch)
    }

    fn evaluate_with(&self, physical: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef, EvaluationError> {
        let array = physical.evaluate(batch).and_then(|value| value.into_array(batch.num_rows()))?;
        Ok(arrow::canonical(&array, &self.output.ty)?)
    }

    /// The physical expression of a syntax tree. Errors have no place.
    pub(super) fn plan(syntax: &Syntax, input: &Schema) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
        let arrow = input.arrow();
        let schema = planner_schema(&arrow);
        let described = |error: DataFusionError| SqlError::of_definition(&error);
        let mut expr = syntax.clone();
        time_literals::write_out(&mut expr);
        let logical = state().create_logical_expr_from_sql_expr(ExprWithAlias { expr, alias: None }, &schema).map_err(described)?;
        let folded = fold(logical, &schema)?;
        let physical = state().create_physical_expr(folded, &schema).map_err(described)?;
        checked(physical, &arrow).map_err(described)
    }
}

pub(super) fn planner_schema(arrow: &ArrowSchema) -> DFSchema {
    DFSchema::try_from(arrow.clone()).expect("the names of a schema's columns differ")
}

/// Rounds casts, aligns types as PostgreSQL does and folds constants, which must not overflow.
pub(super) fn fold(expr: Expr, schema: &DFSchema) -> Result<Expr, SqlError> {
    check_arguments(&expr, schema)?;
    let described = |error: DataFusionError| SqlError::of_definition(&error);
    let alike = expr.transform_up(|part| together(part, schema)).data();
    let rounded = alike.and_then(|expr| expr.transform_up(|part| rounded(part, schema)).data()).map_err(described)?;
    let coerced = coerce(rounded.clone(), schema).map_err(described)?;
    refuse_what_changes_value(&rounded, &coerced, schema)?;
    check_constants(&coerced, schema).map_err(|error| SqlError::new(error.reason))?;
    simplifier(schema).simplify(coerced).map_err(described)
}

/// The columns of the input that any of these expressions read, in ascending order.
pub(super) fn columns_of<'a>(exprs: impl IntoIterator<Item = &'a Arc<dyn PhysicalExpr>>) -> Vec<usize> {
    let mut columns: Vec<usize> = exprs.into_iter().flat_map(collect_columns).map(|column| column.index()).collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// Recognizes `array_slice(list, 1, n)` and `list[n]`, whose result does not change if the list is cut after `n` elements.
fn first_read(expr: &Arc<dyn PhysicalExpr>, column: usize) -> Option<usize> {
    let literal = |expr: &Arc<dyn PhysicalExpr>| match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::Int64(Some(number)) => usize::try_from(*number).ok().filter(|number| *number > 0),
        _ => None,
    };
    let is_it = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<PhysicalColumn>().is_some_and(|found| found.index() == column);
    if is_it(expr) {
        return None;
    }
    if let Some(function) = expr.downcast_ref::<ScalarFunctionExpr>() {
        match (function.fun().name(), function.args()) {
            ("array_slice", [list, from, to]) if is_it(list) && literal(from) == Some(1) && literal(to).is_some() => return literal(to),
            ("array_element", [list, at]) if is_it(list) && literal(at).is_some() => return literal(at),
            _ => {}
        }
    }
    expr.children().into_iter().try_fold(0, |most, child| Some(most.max(first_read(child, column)?)))
}

/// The expression over a batch that has only `columns`.
pub(super) fn narrowed(expr: Arc<dyn PhysicalExpr>, columns: &[usize]) -> Arc<dyn PhysicalExpr> {
    let places: HashMap<usize, usize> = columns.iter().enumerate().map(|(place, &column)| (column, place)).collect();
    moved(expr, &places)
}

/// The expression with the index of each column replaced by `places`.
pub(super) fn moved(expr: Arc<dyn PhysicalExpr>, places: &HashMap<usize, usize>) -> Arc<dyn PhysicalExpr> {
    let moved = expr.transform_up(|expr| {
        Ok(match expr.downcast_ref::<PhysicalColumn>() {
            Some(column) => {
                Transformed::yes(Arc::new(PhysicalColumn::new(column.name(), places[&column.index()])) as Arc<dyn PhysicalExpr>)
            }
            None => Transformed::no(expr),
        })
    });
    moved.data().expect("moving columns does not fail")
}

/// The result column of an expression. A plain column keeps its exact type (JSON, fraction digits); a computed value has the type of its
/// Arrow form.
fn output_of(text: &str, physical: &dyn PhysicalExpr, input: &Schema) -> Result<Column, SqlError> {
    if let Some(column) = physical.downcast_ref::<PhysicalColumn>() {
        let column = &input.columns()[column.index()];
        return Ok(Column { name: text.to_string(), absent_when_null: false, ..column.clone() });
    }
    let arrow = input.arrow();
    let field = physical.return_field(&arrow).map_err(|error| SqlError::of_definition(&error))?;
    carried(text, &field)
}

/// The column of a computed field; an error if rows do not support its type.
pub(super) fn carried(text: &str, field: &datafusion::arrow::datatypes::Field) -> Result<Column, SqlError> {
    let field = field.clone().with_name(text).with_metadata(HashMap::new());
    Column::from_arrow(&field).map_err(|_| {
        let message = format!("the result is of the type {}, which rows do not support", field.data_type());
        SqlError::new(message).help("cast it to text or to a number")
    })
}

#[cfg(test)]
mod tests;
