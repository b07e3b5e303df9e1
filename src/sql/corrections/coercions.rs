//! Aligns the types of values that are compared or chosen from, as PostgreSQL does, where DataFusion's alignment would change values.
//!
//! ```text
//! double with decimal      double; DataFusion converts the double to a decimal with 15 digits after the point
//! date with timestamp      timestamp in microseconds; DataFusion's is in nanoseconds, which end in the year 2262
//! text with date or time   a constant is parsed; a column is refused
//! text with decimal        a constant keeps all its digits; a column is refused
//! interval with interval   compared by length (`lengths_of_time`)
//! -0.0 with 0.0            equal; DataFusion orders -0.0 before 0.0
//! ```
//! Casts between texts, numbers and times are also aligned (`read_times`). PostgreSQL has no casts between numbers and times; they are refused.
//!
//! In: a plan before type coercion. Out: the same plan with these types aligned. Each rule can be removed when DataFusion follows it: for
//! example, when 1e-20 as a double is more than 0.0.

use std::cell::Cell;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{Between, Case, InList, InSubquery, ScalarFunction, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator};

use crate::sql::functions::double_text;
use crate::sql::functions::intervals::span;
use crate::sql::functions::time_fields::of_length;
use crate::sql::functions::time_text::{of_text, to_text};
use crate::sql::functions::zeros::without_sign;
use crate::sql::functions::zones::{UTC, instant, local};
use crate::sql::plan_expressions::columns_below;
use crate::value::{Datum, decimal};

pub(in crate::sql) fn bring_together(plan: LogicalPlan) -> Result<LogicalPlan> {
    // After the first change, the schemas of the nodes above may have outdated types.
    let changed = Cell::new(false);
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let node = if changed.get() { node.recompute_schema()? } else { node };
        let columns = columns_below(&node);
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(|part| together(part, &columns))?.update_data(|expr| name.restore(expr)))
        })?;
        let node = node.transform_data(|node| keys_together(node, &columns))?;
        if !node.transformed {
            return Ok(node);
        }
        changed.set(true);
        node.map_data(LogicalPlan::recompute_schema)
    });
    rewritten.data()
}

fn keys_together(node: LogicalPlan, columns: &DFSchema) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(mut join) = node else { return Ok(Transformed::no(node)) };
    let mut transformed = false;
    for (left, right) in &mut join.on {
        transformed |= align(&mut [left, right], Meeting::Compared, columns)?;
    }
    Ok(if transformed { Transformed::yes(LogicalPlan::Join(join)) } else { Transformed::no(LogicalPlan::Join(join)) })
}

/// Aligns the types in one part of an expression, whose children are already aligned.
pub(in crate::sql) fn together(part: Expr, columns: &DFSchema) -> Result<Transformed<Expr>> {
    let mut part = match part {
        Expr::Cast(cast) => return cast_as_postgres(cast, columns),
        Expr::TryCast(try_cast) => {
            let (from, to) = (try_cast.expr.get_type(columns)?, try_cast.field.data_type());
            if is_text(&from) && is_time(to) || is_time(&from) && is_text(to) {
                return plan_err!("try_cast between text and times is not maintained: use cast, which fails if the text is not a time");
            }
            check_cast(&from, to)?;
            return Ok(Transformed::no(Expr::TryCast(try_cast)));
        }
        Expr::ScalarFunction(call)
            if call.name() == "to_timestamp" && call.args.iter().any(|arg| arg.get_type(columns).is_ok_and(|ty| is_text(&ty))) =>
        {
            return plan_err!("to_timestamp takes seconds: cast a text to timestamp");
        }
        // The type of the result depends on the number of digits, which DataFusion sees only if the number is an Int32.
        Expr::ScalarFunction(mut call) if matches!(call.name(), "round" | "trunc") && call.args.len() == 2 => {
            let Some(digits) = call.args[1].as_literal().filter(|digits| digits.data_type() == DataType::Int64) else {
                return Ok(Transformed::no(Expr::ScalarFunction(call)));
            };
            call.args[1] = Expr::Literal(digits.cast_to(&DataType::Int32)?, None);
            return Ok(Transformed::yes(Expr::ScalarFunction(call)));
        }
        // DataFusion's `to_char` takes instants in nanoseconds only: one after the year 2262 fails its row.
        Expr::ScalarFunction(mut call)
            if call.name() == "to_char" && call.args.len() == 2 && call.args[0].get_type(columns)? == instant() =>
        {
            let nanos = DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into()));
            call.args[0] = Expr::Cast(Cast::new(Box::new(call.args[0].clone()), nanos));
            return Ok(Transformed::yes(Expr::ScalarFunction(call)));
        }
        Expr::ScalarFunction(call) => match of_length(&call, columns)? {
            Some(of_length) => return Ok(Transformed::yes(of_length)),
            None => Expr::ScalarFunction(call),
        },
        other => other,
    };
    let mut transformed = false;
    match &mut part {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            transformed = align(&mut [left, right], Meeting::Compared, columns)?;
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
            transformed = as_texts([left.as_mut(), right.as_mut()], columns)
        }
        Expr::InSubquery(InSubquery { expr, subquery, .. }) | Expr::SetComparison(SetComparison { expr, subquery, .. }) => {
            transformed = align_with(expr, subquery.subquery.schema().field(0).data_type(), columns)?;
        }
        Expr::Between(Between { expr, low, high, .. }) => transformed = align(&mut [expr, low, high], Meeting::Compared, columns)?,
        Expr::InList(InList { expr, list, .. }) => {
            let mut all: Vec<&mut Expr> = std::iter::once(expr.as_mut()).chain(list).collect();
            transformed = align(&mut all, Meeting::Compared, columns)?;
        }
        Expr::Case(Case { expr, when_then_expr, else_expr }) => {
            let (mut whens, mut thens) = (Vec::new(), Vec::new());
            for (when, then) in when_then_expr {
                whens.push(when.as_mut());
                thens.push(then.as_mut());
            }
            thens.extend(else_expr.as_deref_mut());
            if let Some(of) = expr {
                whens.push(of.as_mut());
                transformed |= align(&mut whens, Meeting::Compared, columns)?;
            }
            transformed |= align(&mut thens, Meeting::Chosen, columns)?;
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if matches!(func.name(), "concat" | "concat_ws") => {
            transformed = as_texts(args, columns);
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            let of = match func.name() {
                "coalesce" | "nvl" | "nullif" | "greatest" | "least" => &mut args[..],
                "nvl2" if args.len() == 3 => &mut args[1..],
                _ => &mut [],
            };
            transformed = align(&mut of.iter_mut().collect::<Vec<_>>(), Meeting::Chosen, columns)?;
            if let ("nullif", [of, unless]) = (func.name(), &args[..])
                && is_float(&of.get_type(columns)?)
            {
                let equal = together(of.clone().eq(unless.clone()), columns)?.data;
                let when_then_expr = vec![(Box::new(equal), Box::new(Expr::Literal(ScalarValue::Null, None)))];
                return Ok(Transformed::yes(Expr::Case(Case { expr: None, when_then_expr, else_expr: Some(Box::new(of.clone())) })));
            }
        }
        _ => {}
    }
    Ok(if transformed { Transformed::yes(part) } else { Transformed::no(part) })
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_text(ty: &DataType) -> bool {
    matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_time(ty: &DataType) -> bool {
    matches!(ty, DataType::Date32 | DataType::Timestamp(..))
}

fn is_length(ty: &DataType) -> bool {
    matches!(ty, DataType::Interval(_) | DataType::Duration(_))
}

fn is_float(ty: &DataType) -> bool {
    matches!(ty, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

fn cast_as_postgres(cast: Cast, columns: &DFSchema) -> Result<Transformed<Expr>> {
    let (from, to) = (cast.expr.get_type(columns)?, cast.field.data_type());
    check_cast(&from, to)?;
    let name = cast.expr.schema_name().to_string();
    if matches!(to, DataType::Time64(_))
        && let Some(text) = constant_text(&cast.expr)
    {
        check_digits(text)?;
    }
    let own = match () {
        () if is_text(&from) && is_time(to) => {
            of_text(&cast.expr, to)?.map(|read| if read.as_literal().is_some() { read.alias(name) } else { read })
        }
        () if is_text(to) => as_text(&cast.expr, &from),
        () => None,
    };
    Ok(own.map_or(Transformed::no(Expr::Cast(cast)), Transformed::yes))
}

/// Fails if PostgreSQL has no such cast, or if DataFusion's cast has another result.
fn check_cast(from: &DataType, to: &DataType) -> Result<()> {
    let is_number = |ty: &DataType| ty.is_numeric() || *ty == DataType::Boolean;
    let is_any_time = |ty: &DataType| is_time(ty) || is_length(ty) || matches!(ty, DataType::Time32(_) | DataType::Time64(_));
    match (from, to) {
        (from, to) if is_number(from) && is_any_time(to) => {
            plan_err!(
                "a number cannot be cast to a date, time or interval: use to_timestamp(seconds), date + days or interval '1 day' * number"
            )
        }
        (from, to) if is_any_time(from) && is_number(to) => {
            plan_err!("a date, time or interval cannot be cast to a number: extract(epoch FROM ...) gives its seconds")
        }
        (from, DataType::Timestamp(unit, _)) if *unit != TimeUnit::Microsecond && from != to => {
            plan_err!("a cast to a time with fewer digits of a second is not maintained: use `date_trunc`")
        }
        (from, to) if is_length(from) && is_text(to) => {
            plan_err!("an interval as text is not maintained: extract(epoch FROM ...) gives its seconds")
        }
        _ => Ok(()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meeting {
    Compared,
    /// One of the values is the result.
    Chosen,
}

/// Casts the expressions to one type. Returns whether anything was changed.
fn align(exprs: &mut [&mut Expr], meeting: Meeting, columns: &DFSchema) -> Result<bool> {
    let changed = to_one_type(exprs, meeting, columns)?;
    let mut unsigned = false;
    for expr in exprs.iter_mut().filter(|expr| meeting == Meeting::Compared && expr.as_literal().is_none()) {
        if matches!(expr.get_type(columns), Ok(DataType::Float32 | DataType::Float64)) {
            **expr = without_sign(expr.clone());
            unsigned = true;
        }
    }
    Ok(changed || unsigned)
}

fn to_one_type(exprs: &mut [&mut Expr], meeting: Meeting, columns: &DFSchema) -> Result<bool> {
    let types = exprs.iter().map(|expr| expr.get_type(columns)).collect::<Result<Vec<_>, DataFusionError>>();
    // Expressions without a type are reported elsewhere.
    let Ok(types) = types else { return Ok(false) };
    let any = |is: &dyn Fn(&DataType) -> bool| types.iter().any(is);
    let is_timestamp = |ty: &DataType| matches!(ty, DataType::Timestamp(..));
    let is_interval = |ty: &DataType| matches!(ty, DataType::Interval(_));
    if any(&is_interval) && meeting == Meeting::Compared && types.iter().all(|ty| is_length(ty) || ty.is_null()) {
        exprs.iter_mut().for_each(|expr| **expr = span(expr.clone()));
        return Ok(true);
    }
    if any(&is_timestamp) {
        let in_micros = types.iter().all(|ty| !matches!(ty, DataType::Timestamp(unit, _) if *unit != TimeUnit::Microsecond));
        let zoned = any(&|ty| matches!(ty, DataType::Timestamp(_, Some(_))));
        let to = if zoned { instant() } else { local() };
        return if in_micros { as_times(exprs, &types, &to) } else { Ok(false) };
    }
    if any(&|ty| *ty == DataType::Date32) {
        if any(&DataType::is_numeric) {
            return plan_err!("a date and a number cannot be compared: date + days is a date");
        }
        return as_times(exprs, &types, &DataType::Date32);
    }
    if let Some(time) = types.iter().find(|ty| matches!(ty, DataType::Time32(_) | DataType::Time64(_)))
        && any(&is_text)
    {
        return as_times_of_day(exprs, &types, time);
    }
    let is_mixed =
        any(&DataType::is_decimal) || any(&|ty| ty.is_integer() || *ty == DataType::Float64) && any(&|ty| *ty == DataType::Float32);
    if any(&is_float) && is_mixed {
        // Values that are chosen from get the type of the widest float; values that are compared become 64-bit floats.
        let narrow = meeting == Meeting::Chosen && !any(&|ty| *ty == DataType::Float64);
        let to = if narrow { DataType::Float32 } else { DataType::Float64 };
        return Ok(cast_where(exprs, &types, &to, &|ty| ty.is_numeric() && *ty != to));
    }
    if any(&DataType::is_decimal) && any(&is_text) {
        return as_decimals(exprs, &types);
    }
    Ok(false)
}

fn cast_where(exprs: &mut [&mut Expr], types: &[DataType], to: &DataType, is: &dyn Fn(&DataType) -> bool) -> bool {
    let mut changed = false;
    for (expr, ty) in exprs.iter_mut().zip(types) {
        if is(ty) {
            **expr = Expr::Cast(Cast::new(Box::new(expr.clone()), to.clone()));
            changed = true;
        }
    }
    changed
}

/// A time or a double as text, as PostgreSQL writes it.
fn as_text(expr: &Expr, from: &DataType) -> Option<Expr> {
    to_text(expr, from).or_else(|| double_text::to_text(expr, from))
}

/// Converts operands of a concatenation to text, in the form that a cast would give.
fn as_texts<'a>(exprs: impl IntoIterator<Item = &'a mut Expr>, columns: &DFSchema) -> bool {
    let mut changed = false;
    for expr in exprs {
        if let Some(text) = expr.get_type(columns).ok().and_then(|ty| as_text(expr, &ty)) {
            *expr = text;
            changed = true;
        }
    }
    changed
}

/// Casts the left operand to the type of a subquery's column. Fails if that would change values.
fn align_with(expr: &mut Expr, of: &DataType, columns: &DFSchema) -> Result<bool> {
    let Ok(ty) = expr.get_type(columns) else { return Ok(false) };
    let is_instant = |ty: &DataType| matches!(ty, DataType::Timestamp(_, Some(_)));
    let to = match (&ty, of) {
        (from, DataType::Timestamp(TimeUnit::Microsecond, _)) if is_time(from) && from != of && !is_instant(from) => of,
        (DataType::Timestamp(..), of) if is_time(of) && ty != *of => {
            return plan_err!("cannot compare {ty} and {of}: cast the subquery's column");
        }
        (from, of) if from.is_decimal() && is_float(of) => &DataType::Float64,
        (from, of) if is_float(from) && of.is_decimal() => return plan_err!("cannot compare {ty} and {of}: cast the subquery's column"),
        _ => return Ok(false),
    };
    *expr = Expr::Cast(Cast::new(Box::new(expr.clone()), to.clone()));
    Ok(true)
}

fn constant_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Alias(alias) => constant_text(&alias.expr),
        _ => expr.as_literal()?.try_as_str().flatten(),
    }
}

fn as_times(exprs: &mut [&mut Expr], types: &[DataType], to: &DataType) -> Result<bool> {
    let mut changed = false;
    for (expr, ty) in exprs.iter_mut().zip(types).filter(|(_, ty)| is_text(ty)) {
        let Some(text) = constant_text(expr) else {
            return plan_err!("a text and a date or time cannot be compared: cast the text, which is {ty}");
        };
        let text = Expr::Literal(ScalarValue::Utf8(Some(text.to_string())), None);
        if let Some(read) = of_text(&text, to)? {
            **expr = read;
            changed = true;
        }
    }
    Ok(cast_where(exprs, types, to, &|ty| is_time(ty) && ty != to) | changed)
}

fn as_times_of_day(exprs: &mut [&mut Expr], types: &[DataType], to: &DataType) -> Result<bool> {
    for expr in exprs.iter_mut().zip(types).filter(|(_, ty)| is_text(ty)).map(|(expr, _)| expr) {
        let Some(text) = constant_text(expr) else {
            return plan_err!("a text and a time of day cannot be compared: cast the text");
        };
        check_digits(text)?;
        **expr = Expr::Cast(Cast::new(Box::new(expr.clone()), to.clone()));
    }
    Ok(true)
}

/// Fails if a constant has more than six digits after the second's point.
fn check_digits(text: &str) -> Result<()> {
    match text.rsplit_once('.') {
        Some((_, fraction)) if fraction.trim_end().len() > 6 => plan_err!("`{text}` has more than six digits of a second"),
        _ => Ok(()),
    }
}

fn as_decimals(exprs: &mut [&mut Expr], types: &[DataType]) -> Result<bool> {
    let mut changed = false;
    for expr in exprs.iter_mut().zip(types).filter(|(_, ty)| is_text(ty)).map(|(expr, _)| expr) {
        let Some(text) = constant_text(expr) else {
            return plan_err!("a text and a decimal cannot be compared: cast the text to decimal(precision, scale)");
        };
        let digits = text.trim().split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let scale = u8::try_from(digits).unwrap_or(u8::MAX);
        match decimal::parse(text.trim().as_bytes(), 38, scale) {
            Ok(Datum::Decimal(value)) if scale <= 38 => {
                **expr = Expr::Literal(ScalarValue::Decimal128(Some(value), 38, scale as i8), None);
                changed = true;
            }
            _ => return plan_err!("`{text}` is not a decimal number of up to 38 digits"),
        }
    }
    Ok(changed)
}
