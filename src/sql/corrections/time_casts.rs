//! Refuses plans in which DataFusion would change values unasked and unlike PostgreSQL, so that the view would be silently wrong.
//!
//! - Types with a time zone other than UTC: rows store instants in UTC.
//! - Intervals that DataFusion would order, group, select or compare, because it does so by months, then days, then hours.
//! - Implicit casts of a double to a decimal, between text and a time, or of a time to nanoseconds, which end in the year 2262.
//! - Intervals with fractions of a microsecond: PostgreSQL rounds them, DataFusion keeps them.
//!
//! Can be removed when DataFusion does none of this.

use std::collections::HashSet;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, Operator};

use crate::sql::SqlError;
use crate::sql::functions::zones::UTC;
use crate::sql::plan_expressions::{columns_below, look_at_expressions};

/// Checks a plan that is not yet analyzed.
pub(in crate::sql) fn refuse_what_changes_values(plan: &LogicalPlan, session: &SessionState) -> Result<(), SqlError> {
    let mut written = HashSet::new();
    look_at_expressions(plan, |expr, columns| {
        written.extend(casts(expr, columns));
        Ok(())
    })?;
    let analyzed = session.analyzer().execute_and_check(plan.clone(), session.config_options(), |_, _| {});
    let analyzed = analyzed.map_err(|error| SqlError::of_definition(&error))?;
    let mut ordered = Ok(());
    let visited = analyzed.apply_with_subqueries(|node| {
        if !matches!(node, LogicalPlan::Projection(_)) {
            let columns = columns_below(node);
            node.apply_expressions(|expr| {
                if expr.get_type(&columns).is_ok_and(|ty| holds_interval(&ty)) {
                    ordered = Err(no_order());
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.expect("nothing here fails");
    ordered?;
    look_at_expressions(&analyzed, |expr, columns| look_at(expr, columns, &written))
}

/// Checks an expression after type coercion. `before` is the expression before it, with explicit casts only.
pub(in crate::sql) fn refuse_what_changes_value(before: &Expr, coerced: &Expr, columns: &DFSchema) -> Result<(), SqlError> {
    look_at(coerced, columns, &casts(before, columns).into_iter().collect())
}

/// A cast: the name of its argument, and its target type.
type CastPair = (String, DataType);

fn casts(expr: &Expr, columns: &DFSchema) -> Vec<CastPair> {
    let mut found = Vec::new();
    let visited = expr.apply(|part| {
        if let Expr::Cast(cast) = part {
            found.extend(changing(cast, columns));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.expect("nothing here fails");
    found
}

/// The cast, if it may change values.
fn changing(cast: &Cast, columns: &DFSchema) -> Option<CastPair> {
    let (from, to) = (cast.expr.get_type(columns).ok()?, cast.field.data_type());
    let is_text = |ty: &DataType| matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let is_time = |ty: &DataType| ty.is_temporal();
    let to_nanos = matches!(from, DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, _))
        && matches!(to, DataType::Timestamp(TimeUnit::Nanosecond, _));
    let changes = to_nanos
        || from.is_floating() && to.is_decimal()
        || is_text(&from) && (is_time(to) || to.is_decimal())
        || is_time(&from) && is_text(to);
    changes.then(|| (cast.expr.schema_name().to_string(), to.clone()))
}

fn look_at(expr: &Expr, columns: &DFSchema, written: &HashSet<CastPair>) -> Result<(), SqlError> {
    let mut found = Ok(());
    let visited = expr.apply(|part| {
        found = look_at_part(part, columns, written);
        Ok(if found.is_err() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    visited.expect("nothing here fails");
    found
}

fn look_at_part(part: &Expr, columns: &DFSchema, written: &HashSet<CastPair>) -> Result<(), SqlError> {
    if part.get_type(columns).is_ok_and(|ty| holds_zone(&ty)) {
        let error = SqlError::new("the result has a time zone of its own, which a row does not keep");
        return Err(error.help("x AT TIME ZONE 'Europe/Berlin' gives the local time there"));
    }
    if let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) = part
        && interval.nanoseconds % 1000 != 0
    {
        return Err(SqlError::new("an interval has six digits of a second at most"));
    }
    if let Expr::Cast(cast) = part
        && let Some(cast_of) = changing(cast, columns)
        && !written.contains(&cast_of)
        && cast.expr.as_literal().is_none_or(|value| !value.is_null())
    {
        let from = cast.expr.get_type(columns).map(|ty| ty.to_string()).unwrap_or_default();
        let error = SqlError::new(format!("{from} and {} are combined here", cast_of.1));
        return Err(error.help("cast one of them to the type of the other"));
    }
    let mut found = Ok(());
    if !takes_intervals(part) {
        let visited = part.apply_children(|child| {
            if child.get_type(columns).is_ok_and(|ty| holds_interval(&ty)) {
                found = Err(no_order());
            }
            Ok(TreeNodeRecursion::Continue)
        });
        visited.expect("nothing here fails");
    }
    found
}

fn no_order() -> SqlError {
    SqlError::new("an interval is not allowed here: its months, days and hours cannot be converted to each other")
        .help("it can be added to a time, compared and multiplied; extract(epoch FROM ...) gives its seconds")
}

/// Whether DataFusion handles intervals in this operation as PostgreSQL does.
fn takes_intervals(part: &Expr) -> bool {
    const FUNCTIONS: [&str; 10] = ["extract", "date_part", "span", "times", "divided", "date_bin", "interval", "coalesce", "nvl", "nvl2"];
    match part {
        Expr::BinaryExpr(binary) => matches!(binary.op, Operator::Plus | Operator::Minus | Operator::Multiply),
        Expr::Negative(_) | Expr::Alias(_) | Expr::Cast(_) | Expr::TryCast(_) | Expr::IsNull(_) | Expr::IsNotNull(_) => true,
        Expr::Case(case) => case.expr.is_none(),
        Expr::ScalarFunction(call) => FUNCTIONS.contains(&call.name()),
        _ => false,
    }
}

fn holds(ty: &DataType, is: &dyn Fn(&DataType) -> bool) -> bool {
    match ty {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) | DataType::Map(item, _) => {
            holds(item.data_type(), is)
        }
        DataType::Struct(fields) => fields.iter().any(|field| holds(field.data_type(), is)),
        DataType::Dictionary(_, value) => holds(value, is),
        ty => is(ty),
    }
}

fn holds_interval(ty: &DataType) -> bool {
    holds(ty, &|ty| matches!(ty, DataType::Interval(_)))
}

fn holds_zone(ty: &DataType) -> bool {
    holds(ty, &|ty| matches!(ty, DataType::Timestamp(_, Some(zone)) if zone.as_ref() != UTC))
}
