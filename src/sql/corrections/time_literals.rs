//! Rewrites the syntax of times where DataFusion understands it differently from PostgreSQL.
//!
//! ```text
//! timestamp, timestamp with time zone   in microseconds; DataFusion's are in nanoseconds, which end in the year 2262
//! x AT TIME ZONE z                      timezone(z, x); DataFusion stores the zone in the type, which rows do not support
//! extract(field FROM x)                 our `extract`, which returns fractions of a second
//! interval '1 day 10:20:30'             in months, days and microseconds (`read_intervals`)
//! ```
//! In: the syntax tree of a query or an expression. Out: the same tree with these rewrites. Can be removed when DataFusion has one type for
//! instants of any zone, and its `timestamp` is in microseconds.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{CastKind, DataType, Expr, Interval, Spanned, TypedString, Value, VisitMut, VisitorMut};

use crate::sql::functions::interval_text::in_plain_words;
use crate::sql::syntax::call;

pub(in crate::sql) fn write_out(syntax: &mut impl VisitMut) {
    let _ = VisitMut::visit(syntax, &mut Times);
}

struct Times;

impl VisitorMut for Times {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let span = expr.span();
        match expr {
            Expr::Interval(interval) => in_plain_interval(interval),
            Expr::Cast { expr: text, data_type: DataType::Interval { fields: None, .. }, .. } => {
                in_plain_text(text, None);
            }
            Expr::Cast { kind: CastKind::Cast | CastKind::TryCast | CastKind::SafeCast | CastKind::DoubleColon, data_type, .. }
            | Expr::TypedString(TypedString { data_type, .. }) => in_microseconds(data_type),
            Expr::AtTimeZone { timestamp, time_zone } => {
                let (timestamp, zone) = (timestamp.as_ref().clone(), time_zone.as_ref().clone());
                *expr = call("timezone", vec![zone, timestamp], span);
            }
            Expr::Extract { field, expr: of, .. } => {
                let field = Expr::value(Value::SingleQuotedString(field.to_string()));
                let of = of.as_ref().clone();
                *expr = call("extract", vec![field, of], span);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn in_microseconds(ty: &mut DataType) {
    match ty {
        DataType::Timestamp(digits @ None, _) => *digits = Some(6),
        DataType::Array(
            datafusion::sql::sqlparser::ast::ArrayElemTypeDef::AngleBracket(item)
            | datafusion::sql::sqlparser::ast::ArrayElemTypeDef::SquareBracket(item, _)
            | datafusion::sql::sqlparser::ast::ArrayElemTypeDef::Parenthesis(item),
        ) => in_microseconds(item),
        _ => {}
    }
}

fn in_plain_interval(interval: &mut Interval) {
    let unit = interval.leading_field.as_ref().map(ToString::to_string);
    let is_plain = interval.leading_precision.is_none() && interval.last_field.is_none() && interval.fractional_seconds_precision.is_none();
    if is_plain && in_plain_text(&mut interval.value, unit.as_deref()) {
        interval.leading_field = None;
    }
}

/// Replaces the literal if it is an interval in PostgreSQL's syntax, and returns whether it is.
fn in_plain_text(text: &mut Expr, unit: Option<&str>) -> bool {
    let Expr::Value(value) = text else { return false };
    let (Value::SingleQuotedString(written) | Value::Number(written, false)) = &value.value else { return false };
    let Some(plain) = in_plain_words(written, unit) else { return false };
    value.value = Value::SingleQuotedString(plain);
    true
}
