//! How far a window function reaches: which values a change of one row can affect.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunctionParams};
use datafusion::logical_expr::{Expr, WindowFrameBound, WindowFrameUnits};

use super::WindowFunction;
use crate::value::Type;

/// The rows that the value of a row depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Only rows at most this many positions before and after it.
    Near { before: usize, behind: usize },
    /// The row itself and a running total of the rows before it. `peers`: also all rows that are equal to it in the order.
    Running { running: Running, peers: bool },
    /// Any row of the partition.
    Partition,
}

/// The running total of a sequence of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// `row_number()`.
    Rows,
    /// `rank()`.
    Ranks,
    /// `dense_rank()`.
    Values,
    /// The number of rows, or of rows in which the column is not NULL.
    Count(Option<usize>),
    /// A sum of integers or decimals.
    Sum(usize),
    Least(usize),
    Greatest(usize),
}

impl WindowFunction {
    pub fn reach(&self) -> Reach {
        let params = &self.call.params;
        match self.name() {
            "row_number" => Reach::Running { running: Running::Rows, peers: false },
            "rank" => Reach::Running { running: Running::Ranks, peers: true },
            "dense_rank" => Reach::Running { running: Running::Values, peers: true },
            "lag" | "lead" => self.neighbour(params).unwrap_or(Reach::Partition),
            _ => self.running(params).or_else(|| self.near(params)).unwrap_or(Reach::Partition),
        }
    }

    fn neighbour(&self, params: &WindowFunctionParams) -> Option<Reach> {
        let distance = match params.args.get(1) {
            None => 1,
            Some(Expr::Literal(ScalarValue::Int64(Some(distance)), _)) => usize::try_from(*distance).ok()?,
            Some(_) => return None,
        };
        let respects = params.null_treatment != Some(NullTreatment::IgnoreNulls);
        let lag = self.name() == "lag";
        respects.then_some(Reach::Near { before: if lag { distance } else { 0 }, behind: if lag { 0 } else { distance } })
    }

    /// For frames from the first row of the partition to the current row.
    fn running(&self, params: &WindowFunctionParams) -> Option<Reach> {
        let frame = &params.window_frame;
        let to_here = frame.start_bound.is_unbounded() && matches!(frame.end_bound, WindowFrameBound::CurrentRow);
        if !to_here || params.distinct || params.filter.is_some() {
            return None;
        }
        // Without an order the frame is the whole partition.
        let peers = frame.units != WindowFrameUnits::Rows;
        let column = match params.args.as_slice() {
            [Expr::Column(_)] => Some(*self.columns.first()?),
            [Expr::Literal(value, _)] if !value.is_null() => None,
            _ => return None,
        };
        let same = |column: usize| self.input.columns()[column].ty == self.output.ty;
        let running = match (self.name(), column) {
            ("count", column) => Running::Count(column),
            ("sum", Some(column)) if self.is_exact(column) => Running::Sum(column),
            ("min", Some(column)) if same(column) && !is_float(&self.output.ty) => Running::Least(column),
            ("max", Some(column)) if same(column) && !is_float(&self.output.ty) => Running::Greatest(column),
            _ => return None,
        };
        Some(Reach::Running { running, peers })
    }

    /// For frames of a fixed number of rows, if the value depends on these rows only. A sum or an average of floats also depends on the row
    /// at which summation began.
    fn near(&self, params: &WindowFunctionParams) -> Option<Reach> {
        let exact = match self.name() {
            "first_value" | "last_value" | "nth_value" | "count" | "min" | "max" => true,
            "sum" => self.columns.first().is_some_and(|&column| self.is_exact(column)),
            _ => self.each_frame.is_some(),
        };
        if !exact || params.window_frame.units != WindowFrameUnits::Rows {
            return None;
        }
        let start = rows(&params.window_frame.start_bound)?;
        let end = rows(&params.window_frame.end_bound)?;
        Some(Reach::Near { before: usize::try_from(-start).unwrap_or(0), behind: usize::try_from(end).unwrap_or(0) })
    }

    /// Whether a sum over the column is exact.
    fn is_exact(&self, column: usize) -> bool {
        match (&self.input.columns()[column].ty, &self.output.ty) {
            (Type::Int64, Type::Int64) | (Type::UInt64, Type::UInt64) => true,
            (Type::Decimal { precision, scale }, Type::Decimal { precision: digits, scale: same }) => {
                *precision <= 28 && *digits <= 38 && scale == same
            }
            _ => false,
        }
    }
}

fn is_float(ty: &Type) -> bool {
    matches!(ty, Type::Float32 | Type::Float64)
}

/// The offset of the bound from the current row, in rows.
fn rows(bound: &WindowFrameBound) -> Option<isize> {
    let number = |value: &ScalarValue| match value {
        ScalarValue::UInt64(Some(number)) => isize::try_from(*number).ok(),
        _ => None,
    };
    match bound {
        WindowFrameBound::Preceding(value) => number(value).map(|number| -number),
        WindowFrameBound::CurrentRow => Some(0),
        WindowFrameBound::Following(value) => number(value),
    }
}
