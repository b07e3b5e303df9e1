//! Refuses, with the definition, arguments that would make a call fail on every row.
//!
//! The field of `extract`, `date_part` and `date_trunc`, the zone of AT TIME ZONE and the separator of `string_agg` must be constants that
//! the function accepts. The pattern of `to_char` must be a strftime pattern (`%Y-%m-%d`); any other pattern would be printed as literal
//! text. A constant regular expression must be valid.

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, lit};

use super::SqlError;
use super::session::{coerce, state};

/// The help for a DataFusion function whose name users associate with another function.
pub(super) fn misleading(name: &str) -> Option<&'static str> {
    (name == "date_format").then_some("`to_char` takes the patterns of strftime: to_char(at, '%Y-%m-%d')")
}

/// Checks every call in `expr`. `columns` are the columns that it may name.
pub(super) fn check_arguments(expr: &Expr, columns: &DFSchema) -> Result<(), SqlError> {
    let mut found = Ok(());
    let visited = expr.apply(|part| {
        found = match part {
            Expr::ScalarFunction(call) => check_call(call, columns),
            Expr::AggregateFunction(call) if call.func.name() == "string_agg" => match call.params.args.get(1) {
                Some(separator) if text(separator).is_none() => Err(SqlError::new("the separator of `string_agg` must be a constant text")),
                _ => Ok(()),
            },
            _ => Ok(()),
        };
        Ok(if found.is_err() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    visited.expect("nothing here fails");
    found
}

fn check_call(call: &ScalarFunction, columns: &DFSchema) -> Result<(), SqlError> {
    let name = call.name();
    match (name, &call.args[..]) {
        ("date_part" | "extract" | "date_trunc", [field, _]) => match text(field) {
            Some(_) if is_answered(call, columns) => Ok(()),
            Some(field) => Err(SqlError::new(format!("`{name}` has no field `{field}` here"))),
            None => Err(SqlError::new(format!("the field of `{name}` must be a constant text"))),
        },
        ("timezone", [zone, _]) if text(zone).is_none() => {
            Err(SqlError::new("the zone of AT TIME ZONE must be a constant text such as 'Europe/Berlin'"))
        }
        ("to_char", [_, pattern]) => match text(pattern) {
            Some(pattern) if pattern.contains('%') && is_answered(call, columns) => Ok(()),
            _ => Err(SqlError::new("the pattern of `to_char` must be a constant text with the patterns of strftime")
                .help("for example to_char(at, '%Y-%m-%d %H:%M:%S')")),
        },
        (_, [_, pattern, ..]) if name.starts_with("regexp_") && text(pattern).is_some() && !is_answered(call, columns) => {
            Err(SqlError::new(format!("the pattern of `{name}` is invalid")))
        }
        _ => Ok(()),
    }
}

/// Whether the function succeeds for its constants, with zero or an empty text in place of other arguments. True if that cannot be tried.
fn is_answered(call: &ScalarFunction, columns: &DFSchema) -> bool {
    let of_constants = call.args.iter().map(|arg| match (arg, arg.get_type(columns)) {
        (Expr::Literal(..), _) => Some(arg.clone()),
        (_, Ok(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)) => Some(lit("")),
        (_, ty) => Some(Expr::Literal(ScalarValue::new_zero(&ty.ok()?).ok()?, None)),
    });
    let Some(of_constants) = of_constants.collect() else { return true };
    let nothing = DFSchema::empty();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one_row = RecordBatch::try_new_with_options(Schema::empty().into(), Vec::new(), &options).expect("no columns, one row");
    let physical = coerce(call.func.call(of_constants), &nothing).and_then(|expr| state().create_physical_expr(expr, &nothing));
    physical.and_then(|expr| expr.evaluate(&one_row)).is_ok()
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        Expr::Alias(alias) => text(&alias.expr),
        _ => None,
    }
}
