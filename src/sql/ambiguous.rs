//! Names in subqueries that could mean several columns there.
//!
//! DataFusion takes such a name for a column of the query around, where that has one of the name, and else says that it is ambiguous. Here it
//! is always said, as other systems do: each subquery is planned alone, without what is around it and what it names there.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Expr, Query, Spanned, Statement, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut, With};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::error::{parsed_span, schema_error};

/// How many names of the query around are left out of a subquery at most.
const MOST_NAMES: usize = 100;

/// The error of a subquery in which a name is ambiguous. `plan` plans a query.
pub(super) fn ambiguous(query: &Statement, plan: impl Fn(Statement) -> Result<LogicalPlan, DataFusionError>) -> Option<DataFusionError> {
    let mut subqueries = Subqueries::default();
    let _ = query.visit(&mut subqueries);
    subqueries.found.into_iter().find_map(|subquery| {
        let error = plan_alone(subquery, &plan).err()?;
        let is_ambiguous = matches!(schema_error(&error), Some(SchemaError::AmbiguousReference { .. }));
        is_ambiguous.then_some(error)
    })
}

/// The plan of a query without what is around it: what it names there is NULL.
pub(super) fn plan_alone<P>(query: Query, plan: P) -> Result<LogicalPlan, DataFusionError>
where
    P: Fn(Statement) -> Result<LogicalPlan, DataFusionError>,
{
    let mut alone = Statement::Query(Box::new(query));
    for _ in 0..MOST_NAMES {
        let error = match plan(alone.clone()) {
            Ok(plan) => return Ok(plan),
            Err(error) => error,
        };
        let place = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(parsed_span);
        let (Some(SchemaError::FieldNotFound { .. }), Some(place)) = (schema_error(&error), place) else { return Err(error) };
        if VisitMut::visit(&mut alone, &mut Without(place)).is_continue() {
            return Err(error);
        }
    }
    plan(alone)
}

/// All that may name columns of a query around them, with what WITH names there.
#[derive(Default)]
struct Subqueries {
    around: Vec<Option<With>>,
    found: Vec<Query>,
}

impl Subqueries {
    fn add(&mut self, query: &Query) {
        let mut named: Option<With> = None;
        for with in self.around.iter().chain([&query.with]).flatten() {
            match &mut named {
                Some(named) => {
                    named.recursive |= with.recursive;
                    named.cte_tables.extend(with.cte_tables.iter().cloned());
                }
                None => named = Some(with.clone()),
            }
        }
        self.found.push(Query { with: named, ..query.clone() });
    }
}

impl Visitor for Subqueries {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.around.push(query.with.clone());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.around.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Subquery(query) | Expr::Exists { subquery: query, .. } | Expr::InSubquery { subquery: query, .. } = expr {
            self.add(query);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived { lateral: true, subquery, .. } = table {
            self.add(subquery);
        }
        ControlFlow::Continue(())
    }
}

/// Puts NULL in the place of the name that stands there.
struct Without(Span);

impl VisitorMut for Without {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) || expr.span() != self.0 {
            return ControlFlow::Continue(());
        }
        *expr = Expr::value(Value::Null);
        ControlFlow::Break(())
    }
}
