//! Aggregate calls, evaluated over groups of rows.

mod simple;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array, new_empty_array};
use datafusion::arrow::compute::{SortColumn, lexsort_to_indices, take};
use datafusion::arrow::datatypes::{DataType, DurationMicrosecondType, Int64Type, TimeUnit, UInt64Type};
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

pub(crate) use self::simple::is_plain_cast;
pub use self::simple::{Argument, Order, Simple};
use super::EvaluationError;
use super::SqlError;
use super::checked::checked;
use super::corrections::time_literals;
use super::error::bytes_of;
use super::expression::{Expression, carried, columns_of, fold, moved, narrowed, planner_schema};
use super::functions::histogram;
use super::names::{self, ExpressionRole};
use super::session::{coerce, state};
use crate::value::{Column, Schema, Type, arrow};

/// An aggregate call over groups of rows of one schema, e.g. `sum(price)` or `count()`. Two are equal if they have the same text, schema
/// and resolved columns.
#[derive(Debug, Clone)]
pub struct AggregateFunction {
    text: String,
    input: Schema,
    function: Arc<AggregateFunctionExpr>,
    whole: AggregateInputs,
    /// The same inputs over a batch that has only `columns`.
    narrow: AggregateInputs,
    columns: Vec<usize>,
    output: Column,
    first_read: Option<usize>,
}

/// The expressions that are computed for each row before aggregation.
#[derive(Debug, Clone)]
struct AggregateInputs {
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    order_by: Vec<PhysicalSortExpr>,
}

impl PartialEq for AggregateFunction {
    fn eq(&self, other: &AggregateFunction) -> bool {
        let same = self.text == other.text && self.first_read == other.first_read;
        same && self.input == other.input && self.resolved() == other.resolved()
    }
}

impl AggregateFunction {
    /// Compiles one aggregate call over the columns of `input`: any aggregate of DataFusion, with `DISTINCT`, `ORDER BY` inside the call
    /// and `FILTER (WHERE ...)`. `count()` is `count(*)`.
    pub fn compile(text: &str, input: &Schema) -> Result<AggregateFunction, SqlError> {
        let everything = Some(0..text.len());
        let syntax = call(text, names::parse(text, input, ExpressionRole::Aggregate)?)?;
        let arrow = input.arrow();
        let schema = planner_schema(&arrow);
        let expr = plan(&syntax, &schema).map_err(|error| error.at(culprit(text, &syntax, input).or(everything.clone())))?;
        let described = |error: DataFusionError| SqlError::of_definition(&error).at(everything.clone());
        let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let lowered = LoweredAggregateBuilder::new(&expr, &schema, &arrow, &props, &context).build().map_err(described)?;
        let function = Arc::clone(&lowered.aggregate);
        let output = output_of(text, &function, input).map_err(|error| error.at(everything.clone()))?;
        let whole = AggregateInputs::compile(lowered, &arrow).map_err(described)?;
        let columns = columns_of(whole.exprs());
        let narrow = whole.narrowed(&columns);
        Ok(AggregateFunction { text: text.to_string(), input: input.clone(), function, whole, narrow, columns, output, first_read: None })
    }

    /// The same call over rows of `input`, in which the columns may have other places and names: column `i` is at `place(i)` and has the
    /// same type.
    pub fn over(self, input: &Schema, place: impl Fn(usize) -> usize) -> AggregateFunction {
        let places: HashMap<usize, usize> = self.columns.iter().map(|&column| (column, place(column))).collect();
        let whole = self.whole.map(|expr| moved(expr, &places));
        let columns = columns_of(whole.exprs());
        let narrow = whole.narrowed(&columns);
        AggregateFunction { input: input.clone(), whole, narrow, columns, ..self }
    }

    /// Compiles an aggregate of a query's plan. `names` gives the names of its columns; `input` has the same columns in the same order.
    pub fn of_plan(expr: &Expr, names: &DFSchema, input: &Schema) -> Result<AggregateFunction, SqlError> {
        let arrow = input.arrow();
        let described = |error: DataFusionError| SqlError::of_definition(&error);
        let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let lowered = LoweredAggregateBuilder::new(expr, names, &arrow, &props, &context).build().map_err(described)?;
        let text = expr.to_string();
        let function = Arc::clone(&lowered.aggregate);
        let output = output_of(&text, &function, input)?;
        let whole = AggregateInputs::compile(lowered, &arrow).map_err(described)?;
        let columns = columns_of(whole.exprs());
        let narrow = whole.narrowed(&columns);
        if function.fun().name() == "count" && function.is_distinct() && whole.arguments.len() > 1 {
            let error = SqlError::new("count(DISTINCT ...) of several values is not maintained");
            return Err(error.help("count(DISTINCT struct(a, b)) FILTER (WHERE a IS NOT NULL AND b IS NOT NULL) counts pairs"));
        }
        Ok(AggregateFunction { text, input: input.clone(), function, whole, narrow, columns, output, first_read: None })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The computation for each row with the index of each column. Unlike the text, it distinguishes different columns of the same name.
    pub fn resolved(&self) -> String {
        self.whole.exprs().map(|expr| expr.to_string()).collect::<Vec<_>>().join(", ")
    }

    pub fn input(&self) -> &Schema {
        &self.input
    }

    /// The result column; its name is the text.
    pub fn output(&self) -> &Column {
        &self.output
    }

    /// How many elements of the resulting list are read at most, if known: the list may end there.
    pub fn first_read(&self) -> Option<usize> {
        self.first_read
    }

    pub fn with_first_read(self, first_read: Option<usize>) -> AggregateFunction {
        let is_list = matches!(self.output.ty, Type::List(_));
        AggregateFunction { first_read: first_read.filter(|_| is_list), ..self }
    }

    /// The columns of the input that the call reads, in ascending order.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// One value for each of `groups` groups, in the Arrow form of the output's type. Row `i` of `batch` (in the Arrow form of the input
    /// schema) belongs to group `group_of_row[i]`, counted from 0. A group without rows has SQL's value for no rows. If the result depends
    /// on the order of rows (`first_value`, `array_agg` without `ORDER BY`), that of the batch is used.
    pub fn evaluate(&self, batch: &RecordBatch, group_of_row: &[usize], groups: usize) -> Result<ArrayRef, EvaluationError> {
        self.evaluate_with(&self.whole, batch, group_of_row, groups)
    }

    /// Same as [`evaluate`](AggregateFunction::evaluate), for a batch that has only [`columns`](AggregateFunction::columns).
    pub fn evaluate_columns(&self, batch: &RecordBatch, group_of_row: &[usize], groups: usize) -> Result<ArrayRef, EvaluationError> {
        self.evaluate_with(&self.narrow, batch, group_of_row, groups)
    }

    fn evaluate_with(
        &self,
        inputs: &AggregateInputs,
        batch: &RecordBatch,
        group_of_row: &[usize],
        groups: usize,
    ) -> Result<ArrayRef, EvaluationError> {
        assert_eq!(batch.num_rows(), group_of_row.len(), "every row has a group");
        if groups == 0 {
            return Ok(new_empty_array(&self.output.ty.arrow()));
        }
        let (values, filter, group_of_row) = inputs.evaluate(batch, group_of_row)?;
        // Without a filter DataFusion assumes that every group has a row, and a sum over no rows would be 0 instead of NULL.
        let filter = filter.or_else(|| Some(BooleanArray::from(vec![true; group_of_row.len()])));
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

    /// DataFusion's sum of integers and of durations wraps: compares it with a sum in 128 bits.
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
                DataType::Duration(_) => array.as_primitive::<DurationMicrosecondType>().value(row) as i128,
                _ => array.as_primitive::<UInt64Type>().value(row) as i128,
            }
        };
        let summed = (values[0].data_type(), result.data_type());
        let micros = DataType::Duration(TimeUnit::Microsecond);
        if !matches!(summed, (DataType::Int64, DataType::Int64) | (DataType::UInt64, DataType::UInt64)) && summed != (&micros, &micros) {
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

impl AggregateInputs {
    fn compile(lowered: LoweredAggregate, arrow: &datafusion::arrow::datatypes::Schema) -> Result<AggregateInputs, DataFusionError> {
        let mut arguments = Vec::new();
        for argument in lowered.aggregate.expressions() {
            arguments.push(checked(argument, arrow)?);
        }
        let filter = lowered.filter.map(|filter| checked(filter, arrow)).transpose()?;
        let mut order_by = Vec::new();
        for sort in lowered.order_bys {
            order_by.push(PhysicalSortExpr { expr: checked(sort.expr, arrow)?, options: sort.options });
        }
        Ok(AggregateInputs { arguments, filter, order_by })
    }

    fn exprs(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.arguments.iter().chain(&self.filter).chain(self.order_by.iter().map(|sort| &sort.expr))
    }

    fn narrowed(&self, columns: &[usize]) -> AggregateInputs {
        self.map(|expr| narrowed(expr, columns))
    }

    fn map(&self, change: impl Fn(Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr>) -> AggregateInputs {
        let changed = |expr: &Arc<dyn PhysicalExpr>| change(Arc::clone(expr));
        AggregateInputs {
            arguments: self.arguments.iter().map(changed).collect(),
            filter: self.filter.as_ref().map(changed),
            order_by: self.order_by.iter().map(|sort| PhysicalSortExpr { expr: changed(&sort.expr), options: sort.options }).collect(),
        }
    }

    /// The arguments followed by the values to order by, the filter, and the group of each row; all in the order of `ORDER BY`.
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
        // Rows that compare equal keep their order.
        by.push(SortColumn { values: Arc::new(UInt64Array::from_iter_values(0..group_of_row.len() as u64)), options: None });
        let order = lexsort_to_indices(&by, None).map_err(DataFusionError::from)?;
        let reordered = |array: &ArrayRef| take(array, &order, None).map_err(DataFusionError::from);
        let values = values.iter().map(reordered).collect::<Result<Vec<_>, _>>()?;
        let filter = filter.as_ref().map(reordered).transpose()?.map(|filter| filter.as_boolean().clone());
        let groups = order.values().iter().map(|&row| group_of_row[row as usize]).collect();
        Ok((values, filter, groups))
    }
}

/// The aggregate call in the text; `count()` becomes `count(*)`.
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
    let mut expr = syntax.clone();
    time_literals::write_out(&mut expr);
    let expr = ExprWithAlias { expr, alias: None };
    let logical = state().create_logical_expr_from_sql_expr(expr, schema).map_err(described)?.unalias_nested().data;
    let coerced = coerce(logical, schema).map_err(described)?;
    // Only the arguments are folded: folding would rewrite some aggregates to several.
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

/// The place of an argument that does not compile, if there is one.
fn culprit(text: &str, syntax: &Syntax, input: &Schema) -> Option<std::ops::Range<usize>> {
    let Syntax::Function(function) = syntax else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    list.args.iter().find_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Expression::culprit(text, expr, input),
        _ => None,
    })
}

/// Functions whose result is one of their input values.
const PICKS_A_VALUE: [&str; 6] = ["min", "max", "first_value", "last_value", "nth_value", "any_value"];

fn output_of(text: &str, function: &AggregateFunctionExpr, input: &Schema) -> Result<Column, SqlError> {
    let computed = carried(text, &function.field())?;
    if function.fun().name() == histogram::NAME {
        return Ok(Column { ty: Type::Json, ..computed });
    }
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
mod tests;
