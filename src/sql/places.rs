//! Where in a query's text something stands, for what is found wrong with that which the text became.

use std::ops::{ControlFlow, Range};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, ObjectName, Query, Spanned, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::Expression;
use super::error::{bytes_of, bytes_of_plan};
use super::query::parse;
use crate::value::Schema;

/// What a part of a plan was made of, as far as the names of columns in it tell; of an expression with a subquery, the subquery.
pub fn place_of_plan(text: &str, plan: &LogicalPlan) -> Option<Range<usize>> {
    match plan {
        LogicalPlan::Limit(_) => return first(text, Wanted::Limit),
        LogicalPlan::RecursiveQuery(query) => return first(text, Wanted::With(&query.name)),
        _ => {}
    }
    let mut found = Spans::default();
    found.add_subqueries(plan);
    if found.0.is_empty() {
        found.add(plan);
    }
    match (found.bytes(text), plan.inputs().as_slice()) {
        // Filters and projections above a table are one with it.
        (None, [input]) => place_of_plan(text, input),
        (place, _) => place,
    }
}

/// Where a table or a view is named first.
pub fn place_of_relation(text: &str, source: Option<&str>, name: &str) -> Option<Range<usize>> {
    first(text, Wanted::Relation(source, name))
}

/// The smallest expression without columns that is wrong for this reason.
pub(super) fn place_of_constant(text: &str, reason: &str) -> Option<Range<usize>> {
    first(text, Wanted::Constant(reason))
}

/// Spans of columns.
#[derive(Default)]
struct Spans(Vec<datafusion::common::Span>);

impl Spans {
    fn add(&mut self, plan: &LogicalPlan) {
        plan.expressions().iter().for_each(|expr| self.add_columns(expr));
        if let LogicalPlan::Subquery(subquery) = plan {
            self.add_all(&subquery.subquery);
        }
    }

    fn add_all(&mut self, plan: &LogicalPlan) {
        let visited = plan.apply_with_subqueries(|part| {
            part.expressions().iter().for_each(|expr| self.add_columns(expr));
            Ok(TreeNodeRecursion::Continue)
        });
        visited.expect("nothing here fails");
    }

    fn add_subqueries(&mut self, plan: &LogicalPlan) {
        let visited = plan.apply_subqueries(|subquery| {
            self.add_all(subquery);
            Ok(TreeNodeRecursion::Continue)
        });
        visited.expect("nothing here fails");
    }

    fn add_columns(&mut self, expr: &Expr) {
        let visited = expr.apply(|part| {
            if let Expr::Column(column) | Expr::OuterReferenceColumn(_, column) = part {
                self.0.extend(column.spans.iter().copied());
            }
            Ok(TreeNodeRecursion::Continue)
        });
        visited.expect("nothing here fails");
    }

    /// From the first to the last.
    fn bytes(&self, text: &str) -> Option<Range<usize>> {
        datafusion::common::Span::union_iter(self.0.iter().copied()).and_then(|span| bytes_of_plan(text, span))
    }
}

#[derive(Clone, Copy)]
enum Wanted<'a> {
    Relation(Option<&'a str>, &'a str),
    /// Without ORDER BY.
    Limit,
    With(&'a str),
    Constant(&'a str),
}

impl Visitor for Wanted<'_> {
    type Break = Span;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Span> {
        match self {
            Wanted::Limit if query.order_by.is_none() => match (&query.limit_clause, &query.fetch) {
                (Some(limit), _) => ControlFlow::Break(limit.span()),
                (None, Some(fetch)) => ControlFlow::Break(fetch.span()),
                (None, None) => ControlFlow::Continue(()),
            },
            Wanted::With(name) => {
                let mut named = query.with.iter().flat_map(|with| &with.cte_tables).map(|table| &table.alias.name);
                named.find(|found| found.value == *name).map_or(ControlFlow::Continue(()), |found| ControlFlow::Break(found.span))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Span> {
        let Wanted::Relation(source, name) = *self else { return ControlFlow::Continue(()) };
        let mut parts = relation.0.iter().rev().map(|part| part.as_ident().map(|ident| ident.value.as_str()));
        match parts.next().flatten() == Some(name) && parts.next().flatten() == source {
            true => ControlFlow::Break(relation.span()),
            false => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<Span> {
        let Wanted::Constant(reason) = *self else { return ControlFlow::Continue(()) };
        match Expression::plan(expr, &Schema::new(Vec::new())) {
            Err(error) if error.message == reason => ControlFlow::Break(expr.span()),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn first(text: &str, mut wanted: Wanted) -> Option<Range<usize>> {
    match parse(text).ok()?.visit(&mut wanted) {
        ControlFlow::Break(span) => bytes_of(text, span),
        ControlFlow::Continue(()) => None,
    }
}
