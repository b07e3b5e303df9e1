//! Window functions over the ordered rows of one partition.

mod reach;

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter;
use datafusion::arrow::datatypes::{DataType, DurationMicrosecondType, Int64Type, TimeUnit, UInt64Type};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::{WindowFunction as Call, WindowFunctionParams};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::window_state::WindowFrameContext;
use datafusion::logical_expr::{Expr, WindowFrame, WindowFunctionDefinition};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::window::{PlainAggregateWindowExpr, SlidingAggregateWindowExpr, WindowExpr};
use datafusion::physical_planner::create_window_expr;

pub use self::reach::{Reach, Running};
use super::expression::carried;
use super::{EvaluationError, SqlError};
use crate::value::{Column, Schema, arrow};

/// A call such as `row_number()` or `sum(price)` with its order and frame. Two are equal if the calls, schemas and columns are equal.
#[derive(Debug, Clone)]
pub struct WindowFunction {
    text: String,
    call: Call,
    input: Schema,
    function: Arc<dyn WindowExpr>,
    /// The columns of the input that a batch has, in the order of the call.
    columns: Vec<usize>,
    /// The index in a batch of the column that selects the rows of an aggregate (FILTER).
    filter: Option<usize>,
    /// Set if the aggregate must be computed from scratch for each frame.
    each_frame: Option<Arc<AggregateFunctionExpr>>,
    output: Column,
}

impl PartialEq for WindowFunction {
    fn eq(&self, other: &WindowFunction) -> bool {
        self.call == other.call && self.input == other.input && self.columns == other.columns
    }
}

/// Aggregates that can be evaluated repeatedly while rows are added. Others may discard what they have seen.
const ASKED_OFTEN: [&str; 5] = ["count", "sum", "avg", "min", "max"];
/// Functions whose result is one of their input values.
const PICKS_A_VALUE: [&str; 7] = ["lag", "lead", "first_value", "last_value", "nth_value", "min", "max"];

impl WindowFunction {
    /// Compiles a call of a query's plan, whose arguments, order and filter must be columns or constants. `text` is the name shown to
    /// users. `names` gives the names of its columns; `input` has the same columns in the same order.
    pub fn of_plan(text: String, call: &Call, names: &DFSchema, input: &Schema) -> Result<WindowFunction, SqlError> {
        let described = |error: DataFusionError| SqlError::of_definition(&error);
        // A batch has the rows of one partition.
        let params = WindowFunctionParams { partition_by: Vec::new(), ..call.params.clone() };
        let call = Call { fun: call.fun.clone(), params };
        let columns = columns_of(&call.params, names)?;
        let field = |&place: &usize| (names.qualified_field(place).0.cloned(), Arc::new(named(names, place, input).arrow()));
        let narrow = DFSchema::new_with_metadata(columns.iter().map(field).collect(), Default::default()).map_err(described)?;
        let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let expr = Expr::WindowFunction(Box::new(call.clone()));
        let function = create_window_expr(&expr, &narrow, &props, &context).map_err(described)?;
        let filter = call.params.filter.as_deref().map(|filter| place_of(filter, &narrow)).transpose()?;
        let each_frame = each_frame(&call, function.as_ref());
        let output = output_of(&text, &call, function.as_ref(), names, input)?;
        Ok(WindowFunction { text, call, input: input.clone(), function, columns, filter, each_frame, output })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The function's name, in lower case.
    pub fn name(&self) -> &str {
        self.call.fun.name()
    }

    /// The result column; its name is the text.
    pub fn output(&self) -> &Column {
        &self.output
    }

    /// The columns of the input that a batch must have, in this order.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The value of each row of a partition that is not empty. `batch` has these [`columns`](WindowFunction::columns) of the partition's
    /// rows, in their order.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, EvaluationError> {
        let result = match &self.each_frame {
            Some(aggregate) => self.of_each_frame(aggregate, batch)?,
            None => self.function.evaluate(batch)?,
        };
        self.check_sum(batch, &result)?;
        Ok(arrow::canonical(&result, &self.output.ty)?)
    }

    fn of_each_frame(&self, aggregate: &AggregateFunctionExpr, batch: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
        let values = self.function.evaluate_args(batch)?;
        let taken = self.taken(batch);
        let mut last: Option<(Range<usize>, ScalarValue)> = None;
        let mut results = Vec::with_capacity(batch.num_rows());
        for frame in self.frames(batch)? {
            if let Some((_, value)) = last.as_ref().filter(|(of, _)| *of == frame) {
                results.push(value.clone());
                continue;
            }
            let mut accumulator = aggregate.create_accumulator()?;
            let mut inside: Vec<ArrayRef> = values.iter().map(|array| array.slice(frame.start, frame.len())).collect();
            if let Some(taken) = &taken {
                let taken = taken.slice(frame.start, frame.len());
                inside = inside.iter().map(|array| filter(array, &taken)).collect::<Result<_, _>>()?;
            }
            accumulator.update_batch(&inside)?;
            let value = accumulator.evaluate()?;
            results.push(value.clone());
            last = Some((frame, value));
        }
        ScalarValue::iter_to_array(results)
    }

    /// The frame of each row, as a range of rows.
    fn frames(&self, batch: &RecordBatch) -> Result<Vec<Range<usize>>, DataFusionError> {
        let order: Vec<ArrayRef> = self.function.order_by_columns(batch)?.into_iter().map(|column| column.values).collect();
        let options = self.function.order_by().iter().map(|sort| sort.options).collect();
        let mut context = WindowFrameContext::new(Arc::clone(self.function.get_window_frame()), options);
        let mut last = 0..0;
        let mut frames = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            last = context.calculate_range(&order, &last, batch.num_rows(), row)?;
            frames.push(last.clone());
        }
        Ok(frames)
    }

    /// Which rows pass the filter; `None` without a filter.
    fn taken(&self, batch: &RecordBatch) -> Option<BooleanArray> {
        let filter = batch.column(self.filter?).as_boolean();
        Some((0..filter.len()).map(|row| Some(filter.is_valid(row) && filter.value(row))).collect())
    }

    /// DataFusion's sum of integers and of durations wraps: compares it with a sum in 128 bits.
    fn check_sum(&self, batch: &RecordBatch, result: &ArrayRef) -> Result<(), EvaluationError> {
        let most = match result.data_type() {
            _ if self.name() != "sum" => return Ok(()),
            DataType::Int64 => i128::from(i64::MAX),
            DataType::UInt64 => i128::from(u64::MAX),
            DataType::Duration(TimeUnit::Microsecond) => i128::from(i64::MAX),
            _ => return Ok(()),
        };
        let values = &self.function.evaluate_args(batch)?[0];
        if values.data_type() != result.data_type() {
            return Ok(());
        }
        let taken = self.taken(batch);
        let of_row = |row: usize| (values.is_valid(row) && taken.as_ref().is_none_or(|taken| taken.value(row))).then(|| wide(values, row));
        if (0..values.len()).filter_map(of_row).map(i128::abs).sum::<i128>() <= most {
            return Ok(());
        }
        let sums = match self.call.params.distinct {
            true => distinct_sums(&self.frames(batch)?, of_row),
            false => sums(&self.frames(batch)?, of_row),
        };
        match sums.into_iter().enumerate().all(|(row, sum)| result.is_null(row) || wide(result, row) == sum) {
            true => Ok(()),
            false => Err(EvaluationError { reason: format!("`{}` became too large for its type", self.text) }),
        }
    }
}

fn wide(array: &ArrayRef, row: usize) -> i128 {
    match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Duration(_) => array.as_primitive::<DurationMicrosecondType>().value(row).into(),
        _ => array.as_primitive::<UInt64Type>().value(row).into(),
    }
}

fn sums(frames: &[Range<usize>], of_row: impl Fn(usize) -> Option<i128>) -> Vec<i128> {
    let mut until = vec![0];
    for row in 0..frames.len() {
        until.push(until[row] + of_row(row).unwrap_or(0));
    }
    frames.iter().map(|frame| until[frame.end.max(frame.start)] - until[frame.start]).collect()
}

fn distinct_sums(frames: &[Range<usize>], of_row: impl Fn(usize) -> Option<i128>) -> Vec<i128> {
    let distinct = |frame: &Range<usize>| frame.clone().filter_map(&of_row).collect::<std::collections::BTreeSet<i128>>();
    frames.iter().map(|frame| distinct(frame).into_iter().sum()).collect()
}

/// The indexes of the columns that the call reads, each once.
fn columns_of(params: &WindowFunctionParams, names: &DFSchema) -> Result<Vec<usize>, SqlError> {
    let order = params.order_by.iter().map(|sort| &sort.expr);
    let exprs = params.args.iter().chain(order).chain(params.filter.as_deref());
    let mut columns = Vec::new();
    for expr in exprs.filter(|expr| matches!(expr, Expr::Column(_))) {
        let place = place_of(expr, names)?;
        if !columns.contains(&place) {
            columns.push(place);
        }
    }
    Ok(columns)
}

fn place_of(expr: &Expr, names: &DFSchema) -> Result<usize, SqlError> {
    match expr {
        Expr::Column(column) => names.index_of_column(column).map_err(|error| SqlError::of_definition(&error)),
        _ => Err(SqlError::new("an argument of a window function is not a column")),
    }
}

/// The input column under the plan's name.
fn named(names: &DFSchema, place: usize, input: &Schema) -> Column {
    Column { name: names.field(place).name().clone(), ..input.columns()[place].clone() }
}

fn each_frame(call: &Call, function: &dyn WindowExpr) -> Option<Arc<AggregateFunctionExpr>> {
    let WindowFunctionDefinition::AggregateUDF(aggregate) = &call.fun else { return None };
    let whole = |frame: &WindowFrame| frame.start_bound.is_unbounded() && frame.end_bound.is_unbounded();
    let asked_often = ASKED_OFTEN.contains(&aggregate.name()) && function.create_window_fn().is_ok();
    if asked_often || whole(function.get_window_frame()) {
        return None;
    }
    let any = function.as_any();
    let plain = any.downcast_ref::<PlainAggregateWindowExpr>().map(PlainAggregateWindowExpr::get_aggregate_expr);
    let sliding = || any.downcast_ref::<SlidingAggregateWindowExpr>().map(SlidingAggregateWindowExpr::get_aggregate_expr);
    plain.or_else(sliding).map(|aggregate| Arc::new(aggregate.clone()))
}

fn output_of(text: &str, call: &Call, function: &dyn WindowExpr, names: &DFSchema, input: &Schema) -> Result<Column, SqlError> {
    let field = function.field().map_err(|error| SqlError::of_definition(&error))?;
    let computed = carried(text, &field)?;
    match call.params.args.first() {
        Some(argument @ Expr::Column(_)) if PICKS_A_VALUE.contains(&call.fun.name()) => {
            let ty = &input.columns()[place_of(argument, names)?].ty;
            Ok(Column { ty: if ty.arrow() == computed.ty.arrow() { ty.clone() } else { computed.ty }, ..computed })
        }
        _ => Ok(computed),
    }
}
