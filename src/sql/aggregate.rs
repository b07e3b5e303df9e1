//! Aggregates over groups of rows.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array, new_empty_array};
use datafusion::arrow::compute::{SortColumn, lexsort_to_indices, take};
use datafusion::arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{EmitTo, Expr, GroupsAccumulator};
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregate, LoweredAggregateBuilder};
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr, PhysicalSortExpr};
use datafusion::sql::sqlparser::ast::{
    Expr as Syntax, ExprWithAlias, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Spanned,
};

use super::checked::checked;
use super::error::bytes_of;
use super::expression::{carried, columns_of, fold, narrowed, planner_schema};
use super::names::{self, Place};
use super::session::{coerce, state};
use super::{EvaluationError, SqlError};
use crate::value::{Column, Schema, arrow};

/// An aggregate call over groups of rows of one schema, e.g. `sum(price)` or `count()`. Two are equal if their text and schema are.
#[derive(Debug, Clone)]
pub struct AggregateFunction {
    text: String,
    input: Schema,
    function: Arc<AggregateFunctionExpr>,
    whole: Inputs,
    /// The same over a batch that has only `columns`.
    narrow: Inputs,
    columns: Vec<usize>,
    output: Column,
}

/// What is computed of each row before it is aggregated.
#[derive(Debug, Clone)]
struct Inputs {
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    order_by: Vec<PhysicalSortExpr>,
}

impl PartialEq for AggregateFunction {
    fn eq(&self, other: &AggregateFunction) -> bool {
        self.text == other.text && self.input == other.input
    }
}

impl AggregateFunction {
    /// Compiles one aggregate call over the columns of `input`: any aggregate of DataFusion, with `DISTINCT`, `ORDER BY` inside the
    /// call and `FILTER (WHERE ...)`. `count()` is `count(*)`.
    pub fn compile(text: &str, input: &Schema) -> Result<AggregateFunction, SqlError> {
        let everything = Some(0..text.len());
        let syntax = call(text, names::parse(text, input, Place::Aggregate)?)?;
        let arrow = input.arrow();
        let schema = planner_schema(&arrow);
        let expr = plan(&syntax, &schema).map_err(|error| error.at(culprit(text, &syntax, input).or(everything.clone())))?;
        let described = |error: DataFusionError| SqlError::of_definition(&error).at(everything.clone());
        let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let lowered = LoweredAggregateBuilder::new(&expr, &schema, &arrow, &props, &context).build().map_err(described)?;
        let function = Arc::clone(&lowered.aggregate);
        let output = output_of(text, &function, input).map_err(|error| error.at(everything.clone()))?;
        let whole = Inputs::of(lowered, &arrow).map_err(described)?;
        let columns = columns_of(whole.exprs());
        let narrow = whole.narrowed(&columns);
        Ok(AggregateFunction { text: text.to_string(), input: input.clone(), function, whole, narrow, columns, output })
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

    /// One value for each of `groups` groups, in the Arrow form of the output's type. Row `i` of `batch` (of the input schema's Arrow
    /// form) is of group `group_of_row[i]`, counted from 0; a group without rows has what SQL gives for no rows. Where the order
    /// of rows matters to the function (`first_value`, `array_agg` without `ORDER BY`) it is that of the batch.
    pub fn evaluate(&self, batch: &RecordBatch, group_of_row: &[usize], groups: usize) -> Result<ArrayRef, EvaluationError> {
        self.evaluate_with(&self.whole, batch, group_of_row, groups)
    }

    /// As [`evaluate`](AggregateFunction::evaluate) for a batch of [`columns`](AggregateFunction::columns) only.
    pub fn evaluate_columns(&self, batch: &RecordBatch, group_of_row: &[usize], groups: usize) -> Result<ArrayRef, EvaluationError> {
        self.evaluate_with(&self.narrow, batch, group_of_row, groups)
    }

    fn evaluate_with(
        &self,
        inputs: &Inputs,
        batch: &RecordBatch,
        group_of_row: &[usize],
        groups: usize,
    ) -> Result<ArrayRef, EvaluationError> {
        assert_eq!(batch.num_rows(), group_of_row.len(), "every row has a group");
        if groups == 0 {
            return Ok(new_empty_array(&self.output.ty.arrow()));
        }
        let (values, filter, group_of_row) = inputs.evaluate(batch, group_of_row)?;
        let mut accumulator = self.accumulator()?;
        accumulator.update_batch(&values, &group_of_row, filter.as_ref(), groups)?;
        let result = accumulator.evaluate(EmitTo::All)?;
        self.check_sum(&values, &group_of_row, filter.as_ref(), &result)?;
        Ok(arrow::canonical(&result, &self.output.ty)?)
    }

    fn accumulator(&self) -> Result<Box<dyn GroupsAccumulator>, DataFusionError> {
        if self.function.groups_accumulator_supported() {
            return self.function.create_groups_accumulator();
        }
        let function = Arc::clone(&self.function);
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
    }

    /// DataFusion's sum of integers wraps; this sums again in 128 bits and compares.
    fn check_sum(
        &self,
        values: &[ArrayRef],
        group_of_row: &[usize],
        filter: Option<&BooleanArray>,
        result: &ArrayRef,
    ) -> Result<(), EvaluationError> {
        if self.function.fun().name() != "sum" || self.function.is_distinct() {
            return Ok(());
        }
        let wide = |array: &ArrayRef, row: usize| -> i128 {
            match array.data_type() {
                DataType::Int64 => array.as_primitive::<Int64Type>().value(row) as i128,
                _ => array.as_primitive::<UInt64Type>().value(row) as i128,
            }
        };
        if !matches!((values[0].data_type(), result.data_type()), (DataType::Int64, DataType::Int64) | (DataType::UInt64, DataType::UInt64))
        {
            return Ok(());
        }
        let mut sums = vec![0i128; result.len()];
        for (row, &group) in group_of_row.iter().enumerate() {
            let taken = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if taken && values[0].is_valid(row) {
                sums[group] += wide(&values[0], row);
            }
        }
        let wrapped = sums.iter().enumerate().any(|(group, &sum)| result.is_valid(group) && wide(result, group) != sum);
        match wrapped {
            true => Err(EvaluationError { reason: format!("`{}` became too large for its type", self.text) }),
            false => Ok(()),
        }
    }
}

impl Inputs {
    fn of(lowered: LoweredAggregate, arrow: &datafusion::arrow::datatypes::Schema) -> Result<Inputs, DataFusionError> {
        let mut arguments = Vec::new();
        for argument in lowered.aggregate.expressions() {
            arguments.push(checked(argument, arrow)?);
        }
        let filter = lowered.filter.map(|filter| checked(filter, arrow)).transpose()?;
        let mut order_by = Vec::new();
        for sort in lowered.order_bys {
            order_by.push(PhysicalSortExpr { expr: checked(sort.expr, arrow)?, options: sort.options });
        }
        Ok(Inputs { arguments, filter, order_by })
    }

    fn exprs(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.arguments.iter().chain(&self.filter).chain(self.order_by.iter().map(|sort| &sort.expr))
    }

    fn narrowed(&self, columns: &[usize]) -> Inputs {
        let narrow = |expr: &Arc<dyn PhysicalExpr>| narrowed(Arc::clone(expr), columns);
        Inputs {
            arguments: self.arguments.iter().map(narrow).collect(),
            filter: self.filter.as_ref().map(narrow),
            order_by: self.order_by.iter().map(|sort| PhysicalSortExpr { expr: narrow(&sort.expr), options: sort.options }).collect(),
        }
    }

    /// The arguments and the values to order by, the filter, and the group of each row; all in the wanted order.
    #[allow(clippy::type_complexity)]
    fn evaluate(
        &self,
        batch: &RecordBatch,
        group_of_row: &[usize],
    ) -> Result<(Vec<ArrayRef>, Option<BooleanArray>, Vec<usize>), EvaluationError> {
        let column = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch).and_then(|value| value.into_array(batch.num_rows()));
        let mut values = self.arguments.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let filter = self.filter.as_ref().map(column).transpose()?;
        if self.order_by.is_empty() {
            return Ok((values, filter.map(|filter| filter.as_boolean().clone()), group_of_row.to_vec()));
        }
        let keys = self.order_by.iter().map(|sort| column(&sort.expr)).collect::<Result<Vec<_>, _>>()?;
        values.extend(keys.iter().cloned());
        let mut by: Vec<SortColumn> = Vec::new();
        for (key, sort) in keys.into_iter().zip(&self.order_by) {
            by.push(SortColumn { values: key, options: Some(sort.options) });
        }
        // Rows that the order leaves equal stay as they came.
        by.push(SortColumn { values: Arc::new(UInt64Array::from_iter_values(0..group_of_row.len() as u64)), options: None });
        let order = lexsort_to_indices(&by, None).map_err(DataFusionError::from)?;
        let reordered = |array: &ArrayRef| take(array, &order, None).map_err(DataFusionError::from);
        let values = values.iter().map(reordered).collect::<Result<Vec<_>, _>>()?;
        let filter = filter.as_ref().map(reordered).transpose()?.map(|filter| filter.as_boolean().clone());
        let groups = order.values().iter().map(|&row| group_of_row[row as usize]).collect();
        Ok((values, filter, groups))
    }
}

/// The call that the text is, with `count()` made `count(*)`.
fn call(text: &str, syntax: Syntax) -> Result<Syntax, SqlError> {
    match syntax {
        Syntax::Nested(inner) => call(text, *inner),
        Syntax::Function(mut function) if state().aggregate_functions().contains_key(&function.name.to_string().to_lowercase()) => {
            if let FunctionArguments::List(FunctionArgumentList { args, clauses, duplicate_treatment: None }) = &mut function.args
                && args.is_empty()
                && clauses.is_empty()
                && function.name.to_string().eq_ignore_ascii_case("count")
            {
                args.push(FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
            }
            Ok(Syntax::Function(function))
        }
        other => {
            let error = SqlError::new("this is not an aggregate").at(bytes_of(text, other.span()).or(Some(0..text.len())));
            Err(error.help("an aggregate is one call such as count(), sum(price) or max(shipped_at)"))
        }
    }
}

fn plan(syntax: &Syntax, schema: &DFSchema) -> Result<Expr, SqlError> {
    let described = |error: DataFusionError| SqlError::of_definition(&error);
    let expr = ExprWithAlias { expr: syntax.clone(), alias: None };
    let logical = state().create_logical_expr_from_sql_expr(expr, schema).map_err(described)?.unalias_nested().data;
    let coerced = coerce(logical, schema).map_err(described)?;
    // Only the inside is folded: some aggregates would be rewritten into several.
    let mut problem = None;
    let folded = coerced.map_children(|inside| {
        Ok(match fold(inside.clone(), schema) {
            Ok(folded) => Transformed::yes(folded),
            Err(error) => {
                problem = Some(error);
                Transformed::no(inside)
            }
        })
    });
    match problem {
        Some(error) => Err(error),
        None => folded.data().map_err(described),
    }
}

/// The argument that does not compile, if it is one.
fn culprit(text: &str, syntax: &Syntax, input: &Schema) -> Option<std::ops::Range<usize>> {
    let Syntax::Function(function) = syntax else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    list.args.iter().find_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => names::culprit(text, expr, input),
        _ => None,
    })
}

/// Functions whose result is one of the values that went in.
const PICKS_A_VALUE: [&str; 6] = ["min", "max", "first_value", "last_value", "nth_value", "any_value"];

fn output_of(text: &str, function: &AggregateFunctionExpr, input: &Schema) -> Result<Column, SqlError> {
    let computed = carried(text, &function.field())?;
    let arguments = function.expressions();
    let picked = arguments.first().and_then(|argument| argument.downcast_ref::<PhysicalColumn>());
    match picked {
        Some(column) if PICKS_A_VALUE.contains(&function.fun().name()) => {
            Ok(Column { ty: input.columns()[column.index()].ty.clone(), ..computed })
        }
        _ => Ok(computed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Layout, Row, RowBuilder, json, push_text};

    fn items() -> Schema {
        let column = |name: &str, ty: &str| Column::new(name, ty.parse().unwrap(), true);
        Schema::new(vec![
            column("price", "decimal(10,2)"),
            column("quantity", "int64"),
            column("at", "datetime(3)"),
            column("name", "text"),
            column("weight", "float64"),
        ])
    }

    /// Two groups with rows and one without; empty is NULL.
    const ROWS: [(usize, [&str; 5]); 5] = [
        (0, ["10.50", "1", "2017-10-02 10:56:33.120", "b", "0.5"]),
        (2, ["1.00", "5", "2018-01-01", "x", "1"]),
        (0, ["0.25", "3", "2016-10-02", "a", "1.5"]),
        (0, ["", "", "", "", ""]),
        (0, ["0.25", "2", "2017-10-02", "c", "2.5"]),
    ];

    fn evaluate(text: &str) -> Result<(String, Vec<String>), EvaluationError> {
        let function = AggregateFunction::compile(text, &items()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let layout = Layout::new(&items());
        let mut builder = RowBuilder::new(&layout);
        let mut row = |texts: &[&str]| -> Row {
            for text in texts {
                match text.is_empty() {
                    true => builder.push(crate::value::Datum::Null),
                    false => push_text(&mut builder, text).unwrap(),
                }
            }
            builder.finish()
        };
        let rows: Vec<Row> = ROWS.iter().map(|(_, texts)| row(texts)).collect();
        let groups: Vec<usize> = ROWS.iter().map(|(group, _)| *group).collect();
        let batch = arrow::to_batch(&layout, rows.iter().map(|row| &row[..]));
        let array = function.evaluate(&batch, &groups, 3)?;
        let narrow = arrow::to_batch_of(&layout, function.columns(), rows.iter().map(|row| &row[..]));
        assert_eq!(&function.evaluate_columns(&narrow, &groups, 3)?, &array, "{text}");
        let out = Layout::new(&Schema::new(vec![function.output().clone()]));
        let mut builder = RowBuilder::new(&out);
        let mut values = Vec::new();
        for group in 0..array.len() {
            arrow::push_array_value(&mut builder, &array, group).unwrap();
            let (row, mut value) = (builder.finish(), Vec::new());
            json::write_datum(&function.output().ty, out.get(&row, 0), &mut value);
            values.push(String::from_utf8(value).unwrap());
        }
        Ok((function.output().ty.to_string(), values))
    }

    fn are(text: &str, ty: &str, values: [&str; 3]) {
        let (found_ty, found) = evaluate(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((found_ty.as_str(), found), (ty, values.map(String::from).to_vec()), "{text}");
    }

    #[test]
    fn groups_without_rows_have_what_sql_gives_for_no_rows() {
        are("count()", "int64", ["4", "0", "1"]);
        are("COUNT(*)", "int64", ["4", "0", "1"]);
        are("count(price)", "int64", ["3", "0", "1"]);
        are("sum(price)", "decimal(20,2)", ["11.00", "null", "1.00"]);
        are("avg(price)", "decimal(14,6)", ["3.666666", "null", "1.000000"]);
        are("sum(quantity)", "int64", ["6", "null", "5"]);
        are("avg(quantity)", "float64", ["2.0", "null", "5.0"]);
    }

    #[test]
    fn a_picked_value_keeps_its_type() {
        are("max(at)", "datetime(3)", ["\"2017-10-02T10:56:33.120\"", "null", "\"2018-01-01T00:00:00.000\""]);
        are("min(name)", "text", ["\"a\"", "null", "\"x\""]);
        are("first_value(name order by at)", "text", ["\"a\"", "null", "\"x\""]);
    }

    #[test]
    fn distinct_filter_order_and_expressions() {
        are("count(DISTINCT price)", "int64", ["2", "0", "1"]);
        are("sum(price * quantity)", "decimal(38,2)", ["11.75", "null", "5.00"]);
        are("count(*) FILTER (WHERE quantity > 1)", "int64", ["2", "0", "1"]);
        are("string_agg(name, '+' order by quantity desc)", "text", ["\"a+c+b\"", "null", "\"x\""]);
        are("array_agg(quantity order by price, quantity desc)", "list(int64)", ["[3,2,1,null]", "null", "[5]"]);
        are("median(weight)", "float64", ["1.5", "null", "1.0"]);
        are("stddev(weight)", "float64", ["1.0", "null", "null"]);
        are("bool_and(weight < 2)", "bool", ["false", "null", "true"]);
    }

    #[test]
    fn a_sum_that_overflows_fails() {
        let error = evaluate("sum(quantity + 9223372036854775000)").unwrap_err();
        assert_eq!(error.reason, "`sum(quantity + 9223372036854775000)` became too large for its type");
    }

    #[test]
    fn no_group_has_no_value() {
        let function = AggregateFunction::compile("count()", &items()).unwrap();
        assert!(function.columns().is_empty());
        let batch = arrow::to_batch(&Layout::new(&items()), std::iter::empty());
        assert_eq!(function.evaluate(&batch, &[], 0).unwrap().len(), 0);
        assert_eq!(function.evaluate(&batch, &[], 2).unwrap().len(), 2);
    }

    #[test]
    fn what_is_not_one_aggregate_is_refused() {
        let refused = |text: &str, message: &str, at: &str| {
            let error = AggregateFunction::compile(text, &items()).unwrap_err();
            assert_eq!((error.message.as_str(), &text[error.span.unwrap()]), (message, at), "{text}");
        };
        refused("price", "this is not an aggregate", "price");
        refused("upper(name)", "this is not an aggregate", "upper(name)");
        refused("sum(price) / count()", "the aggregate `sum` stands inside another expression", "sum");
        refused("sum(avg(price))", "the aggregate `avg` stands inside another expression", "avg");
        refused("sum(prise)", "there is no column `prise`", "prise");
        refused("summ(price)", "there is no function `summ`", "summ");
        refused("sum(price) over ()", "`sum` over a window cannot stand here", "sum");
    }
}
