//! Which column an unqualified name means, where DataFusion gives it another meaning than the standard does.
//!
//! - The column that USING or NATURAL merges is the left one's for an inner and a left join, the right one's for a right join, and whichever is
//!   there for a full join, wherever it is named and in `*`. DataFusion takes the column of the relation that is first in the alphabet.
//! - In HAVING, in QUALIFY and in what ORDER BY computes, a name is that of a column of FROM, if there is one. DataFusion takes a column that
//!   is selected under that name.
//! - `t.*` is of a table `source.t` too.
//!
//! In: a parsed query. Out: the same with USING and NATURAL as ON, with such names in full, and with `*` over such joins as a list. A name in a
//! subquery is one of its own columns, if it has one, else one of the query around it. Queries with none of this are left as they are.
//!
//! Can go once `SELECT * FROM t LEFT JOIN d USING (x)` and `SELECT x FROM t FULL JOIN d USING (x)` have an `x` for rows of either side alone, and
//! `SELECT -v AS v FROM t GROUP BY v HAVING v > 0` compares `t.v`.

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
use super::SqlError;
use super::ambiguous::plan_alone;
use super::error::planned_wrong;
use super::read_over::{name_of_item, order_by_places};

/// Writes the names of a query in full where that makes a difference. `plan` plans a query over the relations that there are.
pub(super) fn write_out<P>(text: &str, statement: &mut Statement, plan: P) -> Result<(), SqlError>
where
    P: Fn(Statement) -> Result<LogicalPlan, DataFusionError>,
{
    let Statement::Query(query) = statement else { return Ok(()) };
    let mut resolver = Resolver { text, plan: &plan, with: Vec::new(), around: Vec::new() };
    resolver.query(query)
}

/// What the names in a SELECT can mean: what stands in its FROM.
#[derive(Clone, Default)]
struct Scope {
    columns: Vec<Shown>,
    /// The names by which columns are qualified.
    relations: Vec<String>,
    /// Where a relation stands whose columns have no names.
    unnamed: Option<Span>,
}

/// A column that `*` shows.
#[derive(Clone)]
struct Shown {
    name: Ident,
    /// The column in full, or the columns that it is merged from.
    expr: Expr,
    is_merged: bool,
    /// Whether its name alone would be taken for something else.
    in_full: bool,
}

impl Scope {
    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Shown> {
        self.columns.iter().filter(move |column| column.name.value == name)
    }

    fn has_merged(&self) -> bool {
        self.columns.iter().any(|column| column.is_merged)
    }

    /// The same, with these names in full too.
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
    /// What WITH names here, the innermost last.
    with: Vec<Cte>,
    /// Of the queries around, the innermost last.
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

    /// Goes into what WITH names, and knows it from there on.
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
                    // Within the recursion its name has the columns that it begins with.
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

    /// `select` is without its FROM.
    fn select_from(&mut self, select: &mut Select, from: &mut [TableWithJoins], order: &mut [OrderByExpr]) -> Result<(), SqlError> {
        wildcard::qualify(select, from);
        let hidden = names::hidden(select, order);
        let is_asked = joins::merges(from) || self.around.iter().any(Scope::has_merged) || !hidden.is_empty();
        let scope = self.from(from, is_asked)?;
        if scope.has_merged() {
            wildcard::spell_out(select, &scope).map_err(|error| error.at_of(self.text))?;
        }
        // What is selected keeps its name.
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
            // A name alone is that of a column that is selected, if there is one.
            match &by.expr {
                Expr::Identifier(name) if shown.contains(&name.value) && !is_first_of_each => {}
                _ => self.in_full(&mut by.expr, &scope)?,
            }
        }
        Ok(())
    }

    /// Writes the names in `part`, which stands in the scope, in full where the scope says so, and goes into its subqueries.
    fn in_full(&mut self, part: &mut impl VisitMut, scope: &Scope) -> Result<(), SqlError> {
        self.around.push(scope.clone());
        let done = part.visit(&mut InFull::new(self));
        self.around.pop();
        match done {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// The names of the columns of a query that stands here, in their order.
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

/// A query that is this and nothing else.
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

/// What is wrong at a place of the text.
struct Misnamed {
    message: String,
    help: &'static str,
    place: Span,
}

impl Misnamed {
    fn at_of(self, text: &str) -> SqlError {
        SqlError::new(self.message).at(super::error::bytes_of(text, self.place)).help(self.help)
    }
}
