//! Replaces names in expressions by the qualified columns that they stand for.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Ident, OrderByExpr, Query, Select, SelectItem, SetExpr, Values, Visit, Visitor, VisitorMut};

use super::joins::at;
use super::{Misnamed, Resolver, ShownColumn, query_of};
use crate::sql::SqlError;

/// The aliases of selected columns that are also used in HAVING, QUALIFY or expressions of ORDER BY.
pub(super) fn hidden(select: &Select, order: &[OrderByExpr]) -> BTreeSet<String> {
    let mut shown = BTreeSet::new();
    for item in &select.projection {
        if let SelectItem::ExprWithAlias { expr, alias } = item
            && !matches!(expr, Expr::Identifier(name) if name.value == alias.value)
        {
            shown.insert(alias.value.clone());
        }
    }
    if shown.is_empty() {
        return shown;
    }
    let mut named = Named(BTreeSet::new());
    let _ = select.having.visit(&mut named);
    let _ = select.qualify.visit(&mut named);
    for by in order.iter().filter(|by| !matches!(by.expr, Expr::Identifier(_))) {
        let _ = by.expr.visit(&mut named);
    }
    shown.retain(|name| named.0.contains(name));
    shown
}

struct Named(BTreeSet<String>);

impl Visitor for Named {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr {
            self.0.insert(name.value.clone());
        }
        ControlFlow::Continue(())
    }
}

/// Qualifies names, and resolves subqueries in the scopes around them.
pub(super) struct InFull<'r, 'a> {
    resolver: &'r mut Resolver<'a>,
    /// Subqueries of the expressions that are being visited. They are taken out, because only the resolver may visit them.
    subqueries: Vec<Query>,
}

impl<'r, 'a> InFull<'r, 'a> {
    pub(super) fn new(resolver: &'r mut Resolver<'a>) -> Self {
        InFull { resolver, subqueries: Vec::new() }
    }

    /// The column that the name stands for, if the name must be replaced.
    fn meant<'s>(&'s self, name: &Ident) -> Result<Option<&'s ShownColumn>, SqlError> {
        let scopes = &self.resolver.around;
        for (depth, scope) in scopes.iter().rev().enumerate() {
            let found: Vec<&'s ShownColumn> = scope.columns.iter().filter(|column| column.name.value == name.value).collect();
            let column = match found[..] {
                [] => continue,
                [column] => column,
                _ => return Ok(None),
            };
            let is_hidden = |relation: &String| scopes[scopes.len() - depth..].iter().any(|inner| inner.relations.contains(relation));
            return match column.in_full && scope.relations.iter().any(is_hidden) {
                true => {
                    let message = format!("`{}` is a column of relations whose names mean other relations in this subquery", name.value);
                    let help = "give the relations of the subquery names of their own: FROM t AS other";
                    Err(Misnamed { message, help, place: name.span }.at_of(self.resolver.text))
                }
                false => Ok(Some(column).filter(|column| column.in_full)),
            };
        }
        Ok(None)
    }
}

impl VisitorMut for InFull<'_, '_> {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if let Some(subquery) = subquery_of(expr) {
            let nothing = query_of(SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows: Vec::new() }));
            self.subqueries.push(std::mem::replace(subquery, nothing));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if let Some(subquery) = subquery_of(expr) {
            *subquery = self.subqueries.pop().expect("it was put there");
            if let Err(error) = self.resolver.query(subquery) {
                return ControlFlow::Break(error);
            }
        }
        if let Expr::Identifier(name) = expr {
            match self.meant(name) {
                Ok(Some(column)) => *expr = at(&column.expr, name.span),
                Ok(None) => {}
                Err(error) => return ControlFlow::Break(error),
            }
        }
        ControlFlow::Continue(())
    }
}

fn subquery_of(expr: &mut Expr) -> Option<&mut Query> {
    match expr {
        Expr::Subquery(subquery) | Expr::Exists { subquery, .. } | Expr::InSubquery { subquery, .. } => Some(subquery),
        _ => None,
    }
}
