//! Refuses calls that depend on more than the row (`now()`, `random()`), and calls of unknown functions.

use std::ops::ControlFlow;

use datafusion::logical_expr::Volatility;
use datafusion::sql::sqlparser::ast::{Function, Statement as SqlStatement, Visit, Visitor};

use crate::sql::SqlError;
use crate::sql::constant_arguments::misleading;
use crate::sql::error::{bytes_of, nearest};
use crate::sql::session::state;
use crate::sql::stream_functions;

/// Refuses calls of functions that give another result at another time, and of functions that do not exist.
pub(super) fn refuse(text: &str, query: &SqlStatement) -> Result<(), SqlError> {
    struct VolatileCalls<'a>(&'a str);
    impl Visitor for VolatileCalls<'_> {
        type Break = SqlError;
        fn pre_visit_expr(&mut self, expr: &datafusion::sql::sqlparser::ast::Expr) -> ControlFlow<SqlError> {
            match expr {
                datafusion::sql::sqlparser::ast::Expr::Function(function) => changes_by_itself(self.0, function),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match query.visit(&mut VolatileCalls(text)) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn changes_by_itself(text: &str, function: &Function) -> ControlFlow<SqlError> {
    use datafusion::sql::sqlparser::ast::Spanned;
    let name = function.name.to_string().to_lowercase();
    let error = |message: String| SqlError::new(message).at(bytes_of(text, function.name.span()));
    if let Some(help) = misleading(&name) {
        return ControlFlow::Break(error(format!("there is no function `{name}`")).help(help));
    }
    let known = |name: &str| {
        name == "unnest"
            || state().scalar_functions().contains_key(name)
            || state().aggregate_functions().contains_key(name)
            || state().window_functions().contains_key(name)
    };
    let Some(found) = state().scalar_functions().get(&name) else {
        if known(&name) {
            return ControlFlow::Continue(());
        }
        let names = state().scalar_functions().keys().chain(state().aggregate_functions().keys()).chain(state().window_functions().keys());
        let names = names.map(String::as_str).chain(stream_functions::ALL.iter().map(|function| function.name));
        let error = error(format!("there is no function `{name}`"));
        return ControlFlow::Break(match nearest(&name, names) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        });
    };
    match found.signature().volatility {
        Volatility::Immutable => ControlFlow::Continue(()),
        Volatility::Stable => ControlFlow::Break(
            error(format!("`{name}` depends on when it is called"))
                .help("a view's rows depend on their sources only: compare with a fixed time, or filter when reading the view"),
        ),
        Volatility::Volatile => ControlFlow::Break(
            error(format!("`{name}` gives another value at every call"))
                .help("a view's rows depend on their sources only: use a column of the row"),
        ),
    }
}
