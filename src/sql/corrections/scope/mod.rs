//! Resolves unqualified column names where DataFusion differs from the SQL standard.
//!
//! - A column merged by USING or NATURAL is the left column for inner and left joins, the right one for right joins, and the one that is
//!   not NULL for full joins, both by name and in `*`. DataFusion takes the column of the relation that is first in alphabetical order.
//! - In HAVING, QUALIFY and in expressions of ORDER BY, a name is that of a column of FROM if there is one. DataFusion takes a selected
//!   column with that alias.
//! - `t.*` also means a table `source.t`.
//!
//! In: a parsed query. Out: the same query with USING and NATURAL as ON, with such names qualified, and with `*` over such joins as a list.
//! A name in a subquery is a column of the subquery if there is one, otherwise of the query around it. Other queries are not changed.
//!
//! Can be removed when `SELECT * FROM t LEFT JOIN d USING (x)` and `SELECT x FROM t FULL JOIN d USING (x)` have an `x` for rows of either
//! side alone, and `SELECT -v AS v FROM t GROUP BY v HAVING v > 0` compares `t.v`.

mod joins;
mod names;
mod wildcard;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::common::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    Cte, Distinct, Expr, Ident, OrderBy, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, Statement, TableWithJoins, VisitMut,
    With,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use self::names::InFull;
use super::ambiguous_names::plan_alone;
use super::ignored_clauses::{name_of_item, order_by_places};
use crate::sql::SqlError;
use crate::sql::error::planned_wrong;

/// Qualifies the names of a query where that makes a difference. `plan` plans a query over the known relations.
pub(in crate::sql) fn write_out<P>(text: &str, statement: &mut Statement, plan: P) -> Result<(), SqlError>
where
    P: Fn(Statement) -> Result<LogicalPlan, DataFusionError>,
{
    let Statement::Query(query) = statement else { return Ok(()) };
    let mut resolver = Resolver { text, plan: &plan, with: Vec::new(), around: Vec::new() };
    resolver.query(query)
}

/// What names in a SELECT can refer to: the contents of its FROM.
#[derive(Clone, Default)]
struct Scope {
    columns: Vec<ShownColumn>,
    /// The names that can qualify columns.
    relations: Vec<String>,
    /// The place of a relation in FROM whose columns have no known names.
    unnamed: Option<Span>,
}

/// A column that `*` expands to.
#[derive(Clone)]
struct ShownColumn {
    name: Ident,
    /// The qualified column, or the expression that merges two columns.
    expr: Expr,
    is_merged: bool,
    /// Whether the name must be replaced by `expr`, because DataFusion would resolve it to something else.
    in_full: bool,
}

impl Scope {
    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a ShownColumn> {
        self.columns.iter().filter(move |column| column.name.value == name)
    }

    fn has_merged(&self) -> bool {
        self.columns.iter().any(|column| column.is_merged)
    }

    /// The same scope, in which these names are replaced by `expr` too.
    fn with_in_full(&self, names: &BTreeSet<String>) -> Scope {
        let mut scope = self.clone();
        for column in scope.columns.iter_mut().filter(|column| names.contains(&column.name.value)) {
            column.in_full = true;
        }
        scope
    }

    fn beside(&mut self, other: Scope) {
        self.columns.extend(other.columns);
        self.relations.extend(other.relations);
        self.unnamed = self.unnamed.or(other.unnamed);
    }
}

struct Resolver<'a> {
    text: &'a str,
    plan: &'a dyn Fn(Statement) -> Result<LogicalPlan, DataFusionError>,
    /// The visible CTEs of WITH, the innermost last.
    with: Vec<Cte>,
    /// The scopes of the enclosing queries, the innermost last.
    around: Vec<Scope>,
}

impl Resolver<'_> {
    fn query(&mut self, query: &mut Query) -> Result<(), SqlError> {
        let outside = self.with.len();
        let done = self.query_inside(query);
        self.with.truncate(outside);
        done
    }

    fn query_inside(&mut self, query: &mut Query) -> Result<(), SqlError> {
        self.names_of_with(query.with.as_mut())?;
        let selected_all = matches!(&*query.body, SetExpr::Select(select) if select.projection.iter().any(wildcard::is_all));
        self.body(&mut query.body, query.order_by.as_mut())?;
        if selected_all {
            order_by_places(query);
        }
        Ok(())
    }

    /// Resolves the queries of WITH and makes each of them visible to those that follow.
    fn names_of_with(&mut self, with: Option<&mut With>) -> Result<(), SqlError> {
        let Some(With { recursive, cte_tables, .. }) = with else { return Ok(()) };
        for cte in cte_tables {
            let alias = cte.alias.clone();
            let of = |query: Query| Cte {
                alias,
                query: Box::new(query),
                from: None,
                materialized: None,
                closing_paren_token: AttachedToken::empty(),
            };
            match &mut *cte.query.body {
                SetExpr::SetOperation { left, right, .. } if *recursive => {
                    let outside = self.with.len();
                    self.names_of_with(cte.query.with.as_mut())?;
                    self.body(left, None)?;
                    // Inside the recursion the name has the columns of the non-recursive branch.
                    self.with.push(of(query_of((**left).clone())));
                    self.body(right, None)?;
                    self.with.truncate(outside);
                }
                _ => self.query(&mut cte.query)?,
            }
            self.with.push(cte.clone());
        }
        Ok(())
    }

    fn body(&mut self, body: &mut SetExpr, order: Option<&mut OrderBy>) -> Result<(), SqlError> {
        match body {
            SetExpr::Select(select) => self.select(select, order),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, None)?;
                self.body(right, None)
            }
            SetExpr::Values(values) => self.in_full(values, &Scope::default()),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) | SetExpr::Table(_) => Ok(()),
        }
    }

    fn select(&mut self, select: &mut Select, order: Option<&mut OrderBy>) -> Result<(), SqlError> {
        let order = match order.map(|order| &mut order.kind) {
            Some(OrderByKind::Expressions(order)) => order.as_mut_slice(),
            _ => &mut [],
        };
        let mut from = std::mem::take(&mut select.from);
        let done = self.select_from(select, &mut from, order);
        select.from = from;
        done
    }

    /// Resolves a SELECT whose FROM was moved out of `select` into `from`.
    fn select_from(&mut self, select: &mut Select, from: &mut [TableWithJoins], order: &mut [OrderByExpr]) -> Result<(), SqlError> {
        wildcard::qualify(select, from);
        let hidden = names::hidden(select, order);
        let is_asked = joins::merges(from) || self.around.iter().any(Scope::has_merged) || !hidden.is_empty();
        let scope = self.from(from, is_asked)?;
        if scope.has_merged() {
            wildcard::spell_out(select, &scope).map_err(|error| error.at_of(self.text))?;
        }
        // A selected column keeps its name after the rewrite.
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item
                && self.around.iter().chain([&scope]).any(|scope| scope.named(&name.value).any(|column| column.is_merged))
            {
                *item = SelectItem::ExprWithAlias { expr: Expr::Identifier(name.clone()), alias: name.clone() };
            }
        }
        if !hidden.is_empty() {
            let in_full = scope.with_in_full(&hidden);
            self.in_full(&mut select.having, &in_full)?;
            self.in_full(&mut select.qualify, &in_full)?;
            for by in order.iter_mut().filter(|by| !matches!(by.expr, Expr::Identifier(_))) {
                self.in_full(&mut by.expr, &in_full)?;
            }
        }
        let is_first_of_each = matches!(select.distinct, Some(Distinct::On(_)));
        let shown: Vec<String> = select.projection.iter().filter_map(name_of_item).map(str::to_string).collect();
        self.in_full(select, &scope)?;
        for by in order {
            // A plain name in ORDER BY is that of a selected column if there is one.
            match &by.expr {
                Expr::Identifier(name) if shown.contains(&name.value) && !is_first_of_each => {}
                _ => self.in_full(&mut by.expr, &scope)?,
            }
        }
        Ok(())
    }

    /// Qualifies the names in `part` by the rules of `scope`, and resolves its subqueries.
    fn in_full(&mut self, part: &mut impl VisitMut, scope: &Scope) -> Result<(), SqlError> {
        self.around.push(scope.clone());
        let done = part.visit(&mut InFull::new(self));
        self.around.pop();
        match done {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// The column names of a query at this place, in order.
    fn columns_of(&self, query: Query) -> Result<Vec<String>, SqlError> {
        let mut with: Vec<Cte> = Vec::new();
        for cte in &self.with {
            with.retain(|other| other.alias.name.value != cte.alias.name.value);
            with.push(cte.clone());
        }
        let with = With { with_token: AttachedToken::empty(), recursive: true, cte_tables: with };
        let query = Query { with: Some(with).filter(|with| !with.cte_tables.is_empty()), ..query };
        let plan = plan_alone(query, self.plan).map_err(|error| planned_wrong(self.text, &error))?;
        Ok(plan.schema().fields().iter().map(|field| field.name().clone()).collect())
    }
}

/// A query that consists of this body only.
fn query_of(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// An error at a place of the text.
struct Misnamed {
    message: String,
    help: &'static str,
    place: Span,
}

impl Misnamed {
    fn at_of(self, text: &str) -> SqlError {
        SqlError::new(self.message).at(crate::sql::error::bytes_of(text, self.place)).help(self.help)
    }
}
