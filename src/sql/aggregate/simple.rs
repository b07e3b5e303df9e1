//! Calls that are no more than a function of one column, for which there are quicker ways than to evaluate them.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::physical_expr::expressions::{CastExpr, Column as PhysicalColumn, IsNotNullExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};

use super::AggregateFunction;

/// A call of one column, or of none: then it is about rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simple<'a> {
    /// The function's name, in small letters.
    pub name: &'a str,
    pub argument: Option<usize>,
    pub distinct: bool,
    /// A column that must be true of a row for it to count.
    pub filter: Option<usize>,
    /// A column that must not be NULL for it.
    pub not_null: Option<usize>,
    pub order_by: Vec<Order>,
    /// Whether it was told to pass over NULLs.
    pub ignores_nulls: bool,
}

/// By a column of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

impl AggregateFunction {
    /// What the call is where it is no more than a function of one column, or of rows.
    pub fn simple(&self) -> Option<Simple<'_>> {
        let [argument] = self.whole.arguments.as_slice() else { return None };
        let column_of = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<PhysicalColumn>().map(PhysicalColumn::index);
        let (filter, not_null) = match &self.whole.filter {
            Some(filter) => match filter.downcast_ref::<IsNotNullExpr>() {
                Some(not_null) => (None, Some(column_of(not_null.arg())?)),
                None => (Some(column_of(filter)?), None),
            },
            None => (None, None),
        };
        let order = |sort: &PhysicalSortExpr| {
            let (descending, nulls_first) = (sort.options.descending, sort.options.nulls_first);
            Some(Order { column: column_of(&sort.expr)?, descending, nulls_first })
        };
        let order_by = self.whole.order_by.iter().map(order).collect::<Option<Vec<_>>>()?;
        let (name, distinct, ignores_nulls) = (self.function.fun().name(), self.function.is_distinct(), self.function.ignore_nulls());
        if let Some(literal) = argument.downcast_ref::<Literal>() {
            return (!literal.value().is_null()).then_some(Simple {
                name,
                argument: None,
                distinct,
                filter,
                not_null,
                order_by,
                ignores_nulls,
            });
        }
        let ty = |column: &PhysicalColumn| self.input.columns()[column.index()].ty.arrow();
        let column = match argument.downcast_ref::<CastExpr>() {
            // A wider integer, or an average's double, is the same number.
            Some(cast) => cast.expr().downcast_ref::<PhysicalColumn>().filter(|column| {
                let wider = matches!((cast.cast_type(), name), (DataType::Int64 | DataType::UInt64, "sum") | (DataType::Float64, "avg"));
                let kept = ty(column).is_signed_integer() == cast.cast_type().is_signed_integer() || *cast.cast_type() == DataType::Float64;
                ty(column).is_integer() && wider && kept
            })?,
            None => argument.downcast_ref::<PhysicalColumn>()?,
        };
        Some(Simple { name, argument: Some(column.index()), distinct, filter, not_null, order_by, ignores_nulls })
    }
}
