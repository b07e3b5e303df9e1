//! Set operations that keep equal rows apart.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Query, SetExpr, SetOperator, SetQuantifier, Spanned, Visit, Visitor};

use super::SqlError;
use super::error::bytes_of;

/// EXCEPT ALL and INTERSECT ALL take as many of equal rows as both sides have of them. DataFusion plans them as if it did not matter how many
/// the right side has, so they are refused.
pub(super) fn refuse_all_but_union(text: &str, statement: &Statement) -> Result<(), SqlError> {
    struct Operations<'a>(&'a str);
    impl Visitor for Operations<'_> {
        type Break = SqlError;
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
            refuse(self.0, &query.body)
        }
    }
    let Statement::Statement(inner) = statement else { return Ok(()) };
    match inner.visit(&mut Operations(text)) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn refuse(text: &str, body: &SetExpr) -> ControlFlow<SqlError> {
    let SetExpr::SetOperation { op, set_quantifier, left, right } = body else { return ControlFlow::Continue(()) };
    let keeps_copies = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
    match op {
        SetOperator::Except | SetOperator::Intersect | SetOperator::Minus if keeps_copies => {
            let error = SqlError::new(format!("{op} ALL, which counts equal rows, is not maintained")).at(bytes_of(text, body.span()));
            ControlFlow::Break(error.help(format!(
                "number equal rows on both sides, row_number() OVER (PARTITION BY their columns), and write {op} without ALL"
            )))
        }
        _ => {
            refuse(text, left)?;
            refuse(text, right)
        }
    }
}
