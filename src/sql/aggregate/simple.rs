//! Recognizes calls over plain columns and literals, for which there are faster algorithms than evaluation by DataFusion.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{CastExpr, Column as PhysicalColumn, IsNotNullExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};

use super::AggregateFunction;

/// A call over columns and literals.
#[derive(Debug, Clone, PartialEq)]
pub struct Simple<'a> {
    /// The function's name, in lower case.
    pub name: &'a str,
    pub arguments: Vec<Argument>,
    pub distinct: bool,
    /// A boolean column that must be true for a row to count.
    pub filter: Option<usize>,
    /// A column that must not be NULL for a row to count.
    pub not_null: Option<usize>,
    pub order_by: Vec<Order>,
    /// Whether the call has IGNORE NULLS.
    pub ignores_nulls: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// A column's value; an integer may be cast to a wider type.
    Column(usize),
    /// A column of numbers, cast to double.
    Float(usize),
    Null,
    Whole(i64),
    Number(f64),
    Text(String),
    /// Any other literal.
    Other,
}

/// One column of ORDER BY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

impl Argument {
    pub fn is_literal(&self) -> bool {
        !matches!(self, Argument::Column(_) | Argument::Float(_))
    }
}

impl Simple<'_> {
    /// The same call with other column indexes.
    pub fn moved(self, place: impl Fn(usize) -> usize) -> Self {
        let argument = |argument| match argument {
            Argument::Column(column) => Argument::Column(place(column)),
            Argument::Float(column) => Argument::Float(place(column)),
            literal => literal,
        };
        Simple {
            arguments: self.arguments.into_iter().map(argument).collect(),
            filter: self.filter.map(&place),
            not_null: self.not_null.map(&place),
            order_by: self.order_by.into_iter().map(|by| Order { column: place(by.column), ..by }).collect(),
            ..self
        }
    }
}

/// Whether an aggregate can read the column without the cast: to a wider integer, or from a number to a double.
pub(crate) fn is_plain_cast(from: &DataType, to: &DataType) -> bool {
    let wider = matches!(to, DataType::Int64 | DataType::UInt64) && from.is_signed_integer() == to.is_signed_integer();
    (from.is_integer() && (wider || *to == DataType::Float64)) || (*from == DataType::Float32 && *to == DataType::Float64)
}

impl AggregateFunction {
    /// The call, if it consists of columns and literals only.
    pub fn simple(&self) -> Option<Simple<'_>> {
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
        Some(Simple {
            name: self.function.fun().name(),
            arguments: self.whole.arguments.iter().map(|argument| self.argument(argument)).collect::<Option<_>>()?,
            distinct: self.function.is_distinct(),
            filter,
            not_null,
            order_by: self.whole.order_by.iter().map(order).collect::<Option<_>>()?,
            ignores_nulls: self.function.ignore_nulls(),
        })
    }

    fn argument(&self, argument: &Arc<dyn PhysicalExpr>) -> Option<Argument> {
        if let Some(literal) = argument.downcast_ref::<Literal>() {
            return Some(literal_of(literal.value()));
        }
        let Some(cast) = argument.downcast_ref::<CastExpr>() else { return column_of(argument).map(Argument::Column) };
        let (column, to) = (column_of(cast.expr())?, cast.cast_type());
        is_plain_cast(&self.input.columns()[column].ty.arrow(), to).then_some(match to {
            DataType::Float64 => Argument::Float(column),
            _ => Argument::Column(column),
        })
    }
}

fn column_of(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<PhysicalColumn>().map(PhysicalColumn::index)
}

fn literal_of(value: &ScalarValue) -> Argument {
    let text = value.try_as_str().flatten();
    match value {
        _ if value.is_null() => Argument::Null,
        _ if let Some(text) = text => Argument::Text(text.to_string()),
        ScalarValue::Float64(Some(number)) => Argument::Number(*number),
        ScalarValue::Int64(Some(number)) => Argument::Whole(*number),
        _ => Argument::Other,
    }
}
