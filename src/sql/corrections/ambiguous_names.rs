//! Reports ambiguous column names in subqueries.
//!
//! If the enclosing query has a column of the same name, DataFusion silently takes that one; only otherwise it reports the ambiguity. Here
//! it is always reported, as in other systems: each subquery is planned on its own, without the enclosing query and the names that refer to
//! it.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Expr, Query, Spanned, Statement, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut, With};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::sql::error::{parsed_span, schema_error};

/// Maximum number of names of enclosing queries that are removed from a subquery.
const MOST_NAMES: usize = 100;

/// The error of a subquery with an ambiguous name. `plan` plans a query.
pub(in crate::sql) fn ambiguous(
    query: &Statement,
    plan: impl Fn(Statement) -> Result<LogicalPlan, DataFusionError>,
) -> Option<DataFusionError> {
    let mut subqueries = Subqueries::default();
    let _ = query.visit(&mut subqueries);
    subqueries.found.into_iter().find_map(|subquery| {
        let error = plan_alone(subquery, &plan).err()?;
        let is_ambiguous = matches!(schema_error(&error), Some(SchemaError::AmbiguousReference { .. }));
        is_ambiguous.then_some(error)
    })
}

/// The plan of a query without its enclosing queries; names that refer to them are replaced by NULL.
pub(in crate::sql) fn plan_alone<P>(query: Query, plan: P) -> Result<LogicalPlan, DataFusionError>
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
        if VisitMut::visit(&mut alone, &mut NullInPlace(place)).is_continue() {
            return Err(error);
        }
    }
    plan(alone)
}

/// Collects all queries that may name columns of enclosing queries, each with the CTEs that are visible there.
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

/// Replaces the name at this place by NULL.
struct NullInPlace(Span);

impl VisitorMut for NullInPlace {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) || expr.span() != self.0 {
            return ControlFlow::Continue(());
        }
        *expr = Expr::value(Value::Null);
        ControlFlow::Break(())
    }
}
