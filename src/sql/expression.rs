//! Expressions of one row.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::Schema as ArrowSchema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::sql::sqlparser::ast::{Expr as Syntax, ExprWithAlias};

use super::checked::{check_constants, checked};
use super::names::{self, Place};
use super::session::{coerce, simplifier, state};
use super::{EvaluationError, SqlError};
use crate::value::{Column, Schema, Type, arrow};

/// A scalar expression over the columns of one schema. Two are equal if their text and schema are.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    input: Schema,
    physical: Arc<dyn PhysicalExpr>,
    /// The same over a batch that has only `columns`.
    narrow: Arc<dyn PhysicalExpr>,
    columns: Vec<usize>,
    /// Type and nullability of the result; its name is the text.
    output: Column,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.text == other.text && self.input == other.input
    }
}

impl Expression {
    /// Compiles `text` over the columns of `input`.
    pub fn compile(text: &str, input: &Schema) -> Result<Expression, SqlError> {
        let syntax = names::parse(text, input, Place::Scalar)?;
        let physical =
            Expression::plan(&syntax, input).map_err(|error| error.at(names::culprit(text, &syntax, input).or(Some(0..text.len()))))?;
        let output = output_of(text, physical.as_ref(), input).map_err(|error| error.at(Some(0..text.len())))?;
        let columns = columns_of([&physical]);
        let narrow = narrowed(Arc::clone(&physical), &columns);
        Ok(Expression { text: text.to_string(), input: input.clone(), physical, narrow, columns, output })
    }

    /// As [`compile`](Expression::compile); the result must be true or false (or NULL, which counts as not true).
    pub fn compile_filter(text: &str, input: &Schema) -> Result<Expression, SqlError> {
        let expression = Expression::compile(text, input)?;
        if expression.output.ty != Type::Bool {
            let message = format!("a filter is true or false, this is of type {}", expression.output.ty);
            return Err(SqlError::new(message).at(Some(0..text.len())).help("compare it with something"));
        }
        Ok(expression)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn input(&self) -> &Schema {
        &self.input
    }

    /// The result: its name is the text.
    pub fn output(&self) -> &Column {
        &self.output
    }

    /// The columns of the input that it reads, in rising order.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The value of each row of `batch` (of the input schema's Arrow form), in the Arrow form of the output's type. One failing
    /// row fails the batch: evaluate row by row then, to find it.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, EvaluationError> {
        self.evaluate_with(&self.physical, batch)
    }

    /// As [`evaluate`](Expression::evaluate) for a batch of [`columns`](Expression::columns) only.
    pub fn evaluate_columns(&self, batch: &RecordBatch) -> Result<ArrayRef, EvaluationError> {
        self.evaluate_with(&self.narrow, batch)
    }

    fn evaluate_with(&self, physical: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef, EvaluationError> {
        let array = physical.evaluate(batch).and_then(|value| value.into_array(batch.num_rows()))?;
        Ok(arrow::canonical(&array, &self.output.ty)?)
    }

    /// The physical expression of a syntax tree; the error without a place.
    pub(super) fn plan(syntax: &Syntax, input: &Schema) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
        let arrow = input.arrow();
        let schema = planner_schema(&arrow);
        let described = |error: DataFusionError| SqlError::of_definition(&error);
        let logical =
            state().create_logical_expr_from_sql_expr(ExprWithAlias { expr: syntax.clone(), alias: None }, &schema).map_err(described)?;
        let folded = fold(logical, &schema)?;
        let physical = state().create_physical_expr(folded, &schema).map_err(described)?;
        checked(physical, &arrow).map_err(described)
    }
}

pub(super) fn planner_schema(arrow: &ArrowSchema) -> DFSchema {
    DFSchema::try_from(arrow.clone()).expect("the names of a schema's columns differ")
}

/// Brings types together and folds constants, of which none may overflow.
pub(super) fn fold(expr: Expr, schema: &DFSchema) -> Result<Expr, SqlError> {
    let coerced = coerce(expr, schema).map_err(|error| SqlError::of_definition(&error))?;
    check_constants(&coerced, schema).map_err(|error| SqlError::new(error.reason))?;
    simplifier(schema).simplify(coerced).map_err(|error| SqlError::of_definition(&error))
}

/// The columns of the input that any of these read, in rising order.
pub(super) fn columns_of<'a>(exprs: impl IntoIterator<Item = &'a Arc<dyn PhysicalExpr>>) -> Vec<usize> {
    let mut columns: Vec<usize> = exprs.into_iter().flat_map(collect_columns).map(|column| column.index()).collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// The expression over a batch that has only `columns`.
pub(super) fn narrowed(expr: Arc<dyn PhysicalExpr>, columns: &[usize]) -> Arc<dyn PhysicalExpr> {
    let place: HashMap<usize, usize> = columns.iter().enumerate().map(|(place, &column)| (column, place)).collect();
    let moved = expr.transform_up(|expr| {
        Ok(match expr.downcast_ref::<PhysicalColumn>() {
            Some(column) => Transformed::yes(Arc::new(PhysicalColumn::new(column.name(), place[&column.index()])) as Arc<dyn PhysicalExpr>),
            None => Transformed::no(expr),
        })
    });
    moved.data().expect("moving columns does not fail")
}

/// What the expression makes. A column as it is keeps its type to the last detail (JSON, fraction digits); what is computed has
/// the type that Arrow's says.
fn output_of(text: &str, physical: &dyn PhysicalExpr, input: &Schema) -> Result<Column, SqlError> {
    if let Some(column) = physical.downcast_ref::<PhysicalColumn>() {
        let column = &input.columns()[column.index()];
        return Ok(Column { name: text.to_string(), absent_when_null: false, ..column.clone() });
    }
    let arrow = input.arrow();
    let field = physical.return_field(&arrow).map_err(|error| SqlError::of_definition(&error))?;
    carried(text, &field)
}

/// The column of a computed field.
pub(super) fn carried(text: &str, field: &datafusion::arrow::datatypes::Field) -> Result<Column, SqlError> {
    let field = field.clone().with_name(text).with_metadata(HashMap::new());
    Column::from_arrow(&field).map_err(|_| {
        let message = format!("the result is of the type {}, which a row cannot hold", field.data_type());
        SqlError::new(message).help("cast it to text or to a number")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Layout, RowBuilder, json, push_text};

    fn shop() -> Schema {
        let column = |name: &str, ty: &str| Column::new(name, ty.parse().unwrap(), true);
        let address = Type::Struct(Schema::new(vec![column("city", "text")]));
        Schema::new(vec![
            column("customerId", "int32"),
            column("price", "decimal(10,2)"),
            column("quantity", "int64"),
            column("ordered_at", "datetime(3)"),
            column("notes", "json"),
            Column::new("address", address, true),
            column("big", "uint64"),
            column("took", "time(2)"),
        ])
    }

    const ROW: [&str; 8] = [
        "7",
        "10.50",
        "9223372036854775807",
        "2017-10-02 10:56:33.120",
        "{\"a\":1}",
        "{\"city\":\"Rio\"}",
        "18446744073709551615",
        "-01:00:00.25",
    ];

    fn evaluate(text: &str) -> Result<(String, String), EvaluationError> {
        let expression = Expression::compile(text, &shop()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let layout = Layout::new(&shop());
        let mut builder = RowBuilder::new(&layout);
        ROW.iter().for_each(|text| push_text(&mut builder, text).unwrap());
        let row = builder.finish();
        let narrow = arrow::to_batch_of(&layout, expression.columns(), std::iter::once(&row[..]));
        let array = expression.evaluate_columns(&narrow)?;
        assert_eq!(&expression.evaluate(&arrow::to_batch(&layout, std::iter::once(&row[..])))?, &array);
        let out = Layout::new(&Schema::new(vec![expression.output().clone()]));
        let mut builder = RowBuilder::new(&out);
        arrow::push_array_value(&mut builder, &array, 0).unwrap();
        let mut text = Vec::new();
        json::write_datum(&expression.output().ty, out.get(&builder.finish(), 0), &mut text);
        Ok((expression.output().ty.to_string(), String::from_utf8(text).unwrap()))
    }

    fn value(text: &str) -> (String, String) {
        evaluate(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn is(text: &str, ty: &str, json: &str) {
        assert_eq!(value(text), (ty.to_string(), json.to_string()), "{text}");
    }

    #[test]
    fn names_are_taken_as_written() {
        is("customerId + 1", "int64", "8");
        is("\"customerId\"", "int32", "7");
        is("`customerId`", "int32", "7");
        is("address['city']", "text", "\"Rio\"");
        is("UPPER(address.city)", "text", "\"RIO\"");
    }

    #[test]
    fn decimals_stay_exact() {
        is("price * 1.19", "decimal(14,4)", "12.4950");
        is("price + 1", "decimal(23,2)", "11.50");
        is("coalesce(price, 0)", "decimal(22,2)", "10.50");
    }

    #[test]
    fn a_column_keeps_its_type_to_the_last_detail() {
        is("notes", "json", "{\"a\":1}");
        is("ordered_at", "datetime(3)", "\"2017-10-02T10:56:33.120\"");
        is("took", "time(2)", "\"-01:00:00.25\"");
        is("big", "uint64", "18446744073709551615");
        is("date_trunc('month', ordered_at)", "datetime(6)", "\"2017-10-01T00:00:00.000000\"");
        is("cast(ordered_at as date)", "date", "\"2017-10-02\"");
    }

    #[test]
    fn the_library_is_there() {
        is("case when customerId in (1, 7) then 'yes' else 'no' end", "text", "\"yes\"");
        is("concat('#', customerId)", "text", "\"#7\"");
        is("regexp_like('abc', '^a')", "bool", "true");
        is("array_length(make_array(1, 2))", "uint64", "2");
        is("customerId between 1 and 10 and price > 10", "bool", "true");
        is("ordered_at >= '2017-01-01'", "bool", "true");
        is("NULL", "text", "null");
    }

    #[test]
    fn what_overflows_fails() {
        let fails = |text: &str, reason: &str| assert_eq!(evaluate(text).unwrap_err().reason, reason, "{text}");
        fails("quantity + 1", "a number became too large for its type");
        fails("quantity * 2", "a number became too large for its type");
        fails("-quantity - 2", "a number became too large for its type");
        fails("-(-quantity - 1)", "a number became too large for its type");
        fails("customerId / (customerId - 7)", "division by zero");
        fails("cast(notes as int)", "Cannot cast string … to value of Int32 type");
        is("-quantity - 1", "int64", "-9223372036854775808");
        let error = Expression::compile("9223372036854775807 + 1 + customerId", &shop()).unwrap_err();
        assert_eq!(error.message, "a number became too large for its type");
    }

    #[test]
    fn only_the_columns_that_are_read_are_needed() {
        let expression = Expression::compile("price * quantity + price", &shop()).unwrap();
        assert_eq!(expression.columns(), [1, 2]);
        assert!(Expression::compile("1 + 1", &shop()).unwrap().columns().is_empty());
    }

    /// The message, what of the text it points at, and the help.
    fn refused(text: &str) -> (String, String, String) {
        let error = Expression::compile_filter(text, &shop()).unwrap_err();
        (error.message, error.span.map_or(String::new(), |span| text[span].to_string()), error.help.unwrap_or_default())
    }

    #[test]
    fn errors_point_into_the_text() {
        let expect = |text: &str, message: &str, at: &str, help: &str| {
            assert_eq!(refused(text), (message.to_string(), at.to_string(), help.to_string()), "{text}");
        };
        expect("customerid = 1", "there is no column `customerid`", "customerid", "did you mean `customerId`?");
        expect(
            "'ü' = \"x y\"",
            "there is no column `x y`",
            "\"x y\"",
            "columns: customerId, price, quantity, ordered_at, notes, address, big, took",
        );
        expect("uper(notes) = 'A'", "there is no function `uper`", "uper", "did you mean `upper`?");
        expect("price", "a filter is true or false, this is of type decimal(10,2)", "price", "compare it with something");
        expect(
            "price > avg(price)",
            "the aggregate `avg` cannot stand in an expression of one row",
            "avg",
            "aggregates go under `aggregates:` of a lookup",
        );
        expect(
            "row_number() over (order by price) = 1",
            "`row_number` over a window cannot stand here",
            "row_number",
            "an expression sees one row, not its neighbours",
        );
        let clock = "a view's rows depend on their sources only: compare with a fixed time, or filter when reading the view";
        expect("ordered_at > NOW()", "`now` depends on when it is called", "NOW", clock);
        expect("cast(ordered_at as date) = current_date", "`current_date` depends on when it is called", "current_date", clock);
        let chance = "a view's rows depend on their sources only: use a column of the row";
        expect("random() > 0.5", "`random` gives another value at every call", "random", chance);
        let lookup = "an expression sees one row; rows of other tables come in by a lookup";
        expect("price in (select 1)", "a subquery cannot stand here", "select 1", lookup);
        expect("price > 1 as x", "an expression does not name its result", "x", "the name stands beside the expression, in the spec");
        expect("price > ", "Expected: an expression, found: EOF", "", "");
        expect("price > 1 1", "Expected: end of expression, found: 1", "1", "");
        expect(
            "price > 1\n  and abs(address) = 1",
            "Function 'abs' expects Numeric but received Struct(\"city\": String)",
            "abs(address)",
            "",
        );
    }
}
