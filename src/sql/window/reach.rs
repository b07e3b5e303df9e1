//! How far a window function sees: what a change of one row can do to the values of the others.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunctionParams};
use datafusion::logical_expr::{Expr, WindowFrameBound, WindowFrameUnits};

use super::WindowFunction;
use crate::value::Type;

/// Which rows a row's value depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// On those that stand no further from it than that.
    Near { before: usize, behind: usize },
    /// On it and what the rows before it add up to; `peers`: also on those that the order leaves equal to it.
    Running { running: Running, peers: bool },
    /// On any row of its partition.
    Partition,
}

/// What rows add up to, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// `row_number()`.
    Rows,
    /// `rank()`.
    Ranks,
    /// `dense_rank()`.
    Values,
    /// Rows, or those in which the column is not NULL.
    Count(Option<usize>),
    /// Of integers or decimals.
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

    /// From the first row to this one.
    fn running(&self, params: &WindowFunctionParams) -> Option<Reach> {
        let frame = &params.window_frame;
        let to_here = frame.start_bound.is_unbounded() && matches!(frame.end_bound, WindowFrameBound::CurrentRow);
        if !to_here || params.distinct || params.filter.is_some() {
            return None;
        }
        // Without an order the frame is the partition.
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

    /// A frame of a number of rows, where its value depends on nothing but the rows in it. A sum or an average of floats depends on where
    /// the summing began.
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

    /// Whether the column is of numbers that add up exactly.
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

/// How many rows behind this one the bound is.
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
