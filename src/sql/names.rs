//! Parses an expression and checks every name in it, so that errors point to the name.

use std::ops::{ControlFlow, Range};

use datafusion::common::DataFusionError;
use datafusion::config::Dialect;
use datafusion::logical_expr::Volatility;
use datafusion::sql::sqlparser::ast::{Expr, ExprWithAlias, Function, Ident, Query, Spanned, Visit, Visitor};
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use super::SqlError;
use super::constant_arguments::misleading;
use super::error::{byte_of, bytes_of, nearest};
use super::session::state;
use crate::value::Schema;

/// Where an expression is used, which decides whether it may call an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpressionRole {
    /// An expression over one row: no aggregates.
    Scalar,
    /// The outermost call must be an aggregate, and no other call may be one.
    Aggregate,
}

/// The syntax tree of an expression, after checking that all names exist and are allowed there.
pub(super) fn parse(text: &str, input: &Schema, place: ExpressionRole) -> Result<Expr, SqlError> {
    let ExprWithAlias { expr, alias } = state().sql_to_expr_with_alias(text, &Dialect::Generic).map_err(|e| syntax_error(text, &e))?;
    if let Some(alias) = alias {
        let error = SqlError::new("an expression cannot have an alias").at(bytes_of(text, alias.span));
        return Err(error.help("the spec gives the name, next to the expression"));
    }
    let mut names = NameChecker { text, input, place, first: true };
    match expr.visit(&mut names) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(expr),
    }
}

/// The smallest part of the expression that does not compile on its own. Used to locate errors without a place.
pub(super) fn culprit(text: &str, expr: &Expr, compiles: impl Fn(&Expr) -> bool) -> Option<Range<usize>> {
    struct SmallestCulprit<C>(C);
    impl<C: Fn(&Expr) -> bool> Visitor for SmallestCulprit<C> {
        type Break = Span;
        fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Span> {
            match (self.0)(expr) {
                false => ControlFlow::Break(expr.span()),
                true => ControlFlow::Continue(()),
            }
        }
    }
    match expr.visit(&mut SmallestCulprit(compiles)) {
        ControlFlow::Break(span) => bytes_of(text, span),
        ControlFlow::Continue(()) => None,
    }
}

pub(super) fn syntax_error(text: &str, error: &DataFusionError) -> SqlError {
    let described = SqlError::of_definition(error);
    let DataFusionError::SQL(parser, _) = error.find_root() else { return described };
    if let ParserError::RecursionLimitExceeded = parser.as_ref() {
        return SqlError::new("the expression is nested too deeply");
    }
    // "..., found: x at Line: 1, Column: 5"
    let Some((message, place)) = described.message.rsplit_once(" at Line: ") else { return described };
    let location = place.split_once(", Column: ").and_then(|(line, column)| {
        let number = |text: &str| text.trim().parse().ok();
        Some(Location { line: number(line)?, column: number(column)? })
    });
    let at = location.and_then(|location| byte_of(text, location));
    let span = at.map(|at| at..at + text[at..].chars().next().map_or(0, char::len_utf8));
    SqlError::new(message).at(span)
}

struct NameChecker<'a> {
    text: &'a str,
    input: &'a Schema,
    place: ExpressionRole,
    /// True until the first expression is visited.
    first: bool,
}

impl Visitor for NameChecker<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        let error = SqlError::new("a subquery is not allowed here").at(bytes_of(self.text, query.span()));
        ControlFlow::Break(error.help("an expression sees one row; use a lookup for rows of other tables"))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        let outermost = matches!(expr, Expr::Nested(_)) || std::mem::take(&mut self.first);
        let checked = match expr {
            Expr::Identifier(name) => self.column(name),
            Expr::CompoundIdentifier(names) => self.path(names),
            Expr::Function(function) => self.function(function, outermost),
            _ => Ok(()),
        };
        match checked {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl NameChecker<'_> {
    /// Checks a path into a struct column: its first name must be a column.
    fn path(&self, names: &[Ident]) -> Result<(), SqlError> {
        let [first, rest @ ..] = names else { return Ok(()) };
        self.column(first).map_err(|error| match rest {
            [column] if self.input.index_of(&column.value).is_some() => error.help(format!("write columns without their table: {column}")),
            _ => error,
        })
    }

    fn column(&self, name: &Ident) -> Result<(), SqlError> {
        if self.input.index_of(&name.value).is_some() {
            return Ok(());
        }
        let error = SqlError::new(format!("there is no column `{}`", name.value)).at(bytes_of(self.text, name.span));
        let columns = || self.input.columns().iter().map(|column| column.name.as_str());
        Err(match (nearest(&name.value, columns()), name.quote_style) {
            (Some(near), _) => error.help(format!("did you mean `{near}`?")),
            (None, Some('"')) => error.help("double quotes are for names; write text in single quotes"),
            (None, _) => error.help(format!("columns: {}", columns().collect::<Vec<_>>().join(", "))),
        })
    }

    fn function(&self, function: &Function, outermost: bool) -> Result<(), SqlError> {
        let name = function.name.to_string().to_lowercase();
        let error = |message: String| SqlError::new(message).at(bytes_of(self.text, function.name.span()));
        if let Some(help) = misleading(&name) {
            return Err(error(format!("there is no function `{name}`")).help(help));
        }
        if function.over.is_some() {
            let error = error(format!("`{name}` over a window is not allowed here"));
            return Err(error.help("an expression sees one row, not its neighbours"));
        }
        if state().aggregate_functions().contains_key(&name) && !state().scalar_functions().contains_key(&name) {
            return match self.place {
                ExpressionRole::Aggregate if outermost => Ok(()),
                ExpressionRole::Aggregate => Err(error(format!("the aggregate `{name}` is inside another expression"))
                    .help("an aggregate is one call over columns, such as sum(price * quantity)")),
                ExpressionRole::Scalar => Err(error(format!("the aggregate `{name}` is not allowed in an expression over one row"))
                    .help("write aggregates under `aggregates:` of a lookup")),
            };
        }
        if let Some(found) = state().scalar_functions().get(&name) {
            return match found.signature().volatility {
                Volatility::Immutable => Ok(()),
                Volatility::Stable => Err(error(format!("`{name}` depends on when it is called"))
                    .help("a view's rows depend on their sources only: compare with a fixed time, or filter when reading the view")),
                Volatility::Volatile => Err(error(format!("`{name}` gives another value at every call"))
                    .help("a view's rows depend on their sources only: use a column of the row")),
            };
        }
        if state().window_functions().contains_key(&name) {
            return Err(
                error(format!("the window function `{name}` is not allowed here")).help("an expression sees one row, not its neighbours")
            );
        }
        let error = error(format!("there is no function `{name}`"));
        let known = state().scalar_functions().keys().chain(state().aggregate_functions().keys());
        Err(match nearest(&name, known.map(String::as_str)) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        })
    }
}
