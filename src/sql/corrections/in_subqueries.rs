//! Rewrites `IN` over a subquery to EXISTS where NULL may be on either side.
//!
//! DataFusion makes a join of `x IN (SELECT y ...)` that yields only true and false. That is correct for a filter `x IN ...`, which keeps
//! only true. It is also correct for a filter `x NOT IN ...` over a subquery that is not correlated, because DataFusion then uses a
//! NULL-aware join.
//! Inside a larger expression `IN` becomes
//! ```text
//! CASE WHEN EXISTS (... y = x) THEN true WHEN x IS NULL AND EXISTS (...) OR EXISTS (... y IS NULL) THEN NULL ELSE false END
//! ```
//! and any other filter `x NOT IN ...` becomes `NOT EXISTS (... y = x OR y IS NULL OR x IS NULL)`.
//!
//! In: an unoptimized plan. Out: the same plan with these `IN` rewritten.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, ExprSchema, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Case, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Subquery, lit, not};

use crate::sql::plan_expressions::has_subquery;

pub(in crate::sql) fn spell_out_membership(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let spelled = plan.transform_down_with_subqueries(|node| {
        let filter = match node {
            LogicalPlan::Filter(filter) => filter,
            LogicalPlan::Projection(_) => return shown(node),
            other => return Ok(Transformed::no(other)),
        };
        let schema = filter.input.schema().clone();
        let mut changed = false;
        let mut predicates = Vec::new();
        for predicate in split_conjunction_owned(filter.predicate) {
            let spelled = predicate_of(predicate, &schema)?;
            changed |= spelled.transformed;
            predicates.push(spelled.data);
        }
        let predicate = conjunction(predicates).unwrap_or_else(|| lit(true));
        Ok(Transformed::new_transformed(LogicalPlan::Filter(Filter::new(predicate, filter.input)), changed))
    })?;
    Ok(spelled.data)
}

/// Rewrites the expressions of a projection.
fn shown(projection: LogicalPlan) -> Result<Transformed<LogicalPlan>, DataFusionError> {
    let (names, schema) = (NamePreserver::new(&projection), projection.inputs()[0].schema().clone());
    projection.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(embedded(expr, &schema)?.update_data(|expr| name.restore(expr)))
    })
}

/// Rewrites one conjunct of a filter, which keeps the rows for which it is true.
fn predicate_of(predicate: Expr, schema: &DFSchema) -> Result<Transformed<Expr>, DataFusionError> {
    let (membership, negated) = match &predicate {
        Expr::InSubquery(membership) => (membership, membership.negated),
        Expr::Not(inner) => match inner.as_ref() {
            Expr::InSubquery(membership) => (membership, !membership.negated),
            _ => return embedded(predicate, schema),
        },
        _ => return embedded(predicate, schema),
    };
    let parts = InSubqueryParts::split(membership, schema)?;
    match (negated, parts.is_left_to_a_join(negated)) {
        (_, true) => Ok(Transformed::no(predicate)),
        (true, false) => Ok(Transformed::yes(parts.not_in()?)),
        (false, false) => Ok(Transformed::yes(parts.equal()?)),
    }
}

/// Rewrites each `IN` inside an expression, where it may be NULL.
fn embedded(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>, DataFusionError> {
    expr.transform_down(|expr| {
        let Expr::InSubquery(membership) = &expr else { return Ok(Transformed::no(expr)) };
        let is_in = InSubqueryParts::split(membership, schema)?.is_in()?;
        Ok(Transformed::yes(if membership.negated { not(is_in) } else { is_in }))
    })
}

/// `value IN (subquery)`.
struct InSubqueryParts<'a> {
    value: &'a Expr,
    /// The schema of the value's columns.
    schema: &'a DFSchema,
    subquery: &'a Subquery,
    /// The rows from which the subquery selects `found`.
    rows: LogicalPlan,
    value_may_be_null: bool,
    /// Whether a column that the value reads may be NULL.
    column_may_be_null: bool,
    /// The value that the subquery returns, over `rows`.
    found: Expr,
    found_may_be_null: bool,
    /// Whether both sides have one type. Otherwise the cast gives the join two columns of the same name, if it has other conditions.
    is_of_one_type: bool,
}

impl<'a> InSubqueryParts<'a> {
    fn split(membership: &'a InSubquery, schema: &'a DFSchema) -> Result<InSubqueryParts<'a>, DataFusionError> {
        let InSubquery { expr: value, subquery, .. } = membership;
        let gives = subquery.subquery.schema();
        if gives.fields().len() != 1 {
            return plan_err!("the subquery of IN gives {} columns instead of one", gives.fields().len());
        }
        let (rows, found) = match subquery.subquery.as_ref() {
            LogicalPlan::Projection(projection) => (projection.input.as_ref(), projection.expr[0].clone().unalias()),
            other => (other, Expr::Column(Column::from(gives.qualified_field(0)))),
        };
        let nullable = |column: &&Column| schema.field_from_column(column).map_or(true, |field| field.is_nullable());
        Ok(InSubqueryParts {
            value_may_be_null: value.nullable(schema).unwrap_or(true),
            column_may_be_null: value.column_refs().iter().any(nullable),
            value,
            schema,
            subquery,
            found,
            rows: rows.clone(),
            found_may_be_null: gives.field(0).is_nullable(),
            is_of_one_type: value.get_type(schema)? == *gives.field(0).data_type(),
        })
    }

    /// Whether DataFusion's join for a filter is correct about NULL. The value must read a column. If negated, DataFusion must see from the
    /// columns that NULL is possible, and the subquery must not be correlated, because a NULL-aware join has no other conditions.
    fn is_left_to_a_join(&self, negated: bool) -> bool {
        if !self.subquery.outer_ref_columns.is_empty() && !self.is_of_one_type {
            return false;
        }
        let may_be_null = self.value_may_be_null || self.found_may_be_null;
        let sees_null = self.column_may_be_null || self.found_may_be_null;
        let by_itself = self.subquery.outer_ref_columns.is_empty();
        self.value.any_column_refs() && (!negated || by_itself && (!may_be_null || sees_null))
    }

    fn is_in(&self) -> Result<Expr, DataFusionError> {
        let mut unknown = Vec::new();
        if self.value_may_be_null {
            unknown.push(self.value.clone().is_null().and(self.exists(None)?));
        }
        if self.found_may_be_null {
            unknown.push(self.exists(Some(self.found.clone().is_null()))?);
        }
        let equal = self.equal()?;
        let Some(unknown) = unknown.into_iter().reduce(Expr::or) else { return Ok(equal) };
        let null = lit(ScalarValue::Boolean(None));
        let cases = vec![(Box::new(equal), Box::new(lit(true))), (Box::new(unknown), Box::new(null))];
        Ok(Expr::Case(Case::new(None, cases, Some(Box::new(lit(false))))))
    }

    /// Whether a row of the subquery equals the value.
    fn equal(&self) -> Result<Expr, DataFusionError> {
        self.exists(Some(self.found.clone().eq(self.outer_value()?)))
    }

    /// Whether certainly no row of the subquery equals the value.
    fn not_in(&self) -> Result<Expr, DataFusionError> {
        let value = self.outer_value()?;
        let maybe = self.found.clone().eq(value.clone()).or(self.found.clone().is_null()).or(value.is_null());
        Ok(not(self.exists(Some(maybe))?))
    }

    fn exists(&self, filter: Option<Expr>) -> Result<Expr, DataFusionError> {
        // A single filter, because DataFusion does not find the columns of the lower one of two.
        let (rows, filters) = match &self.rows {
            LogicalPlan::Filter(below) => (below.input.as_ref(), vec![below.predicate.clone()]),
            other => (other, Vec::new()),
        };
        let mut rows = LogicalPlanBuilder::from(rows.clone());
        if let Some(filter) = conjunction(filters.into_iter().chain(filter)) {
            rows = rows.filter(filter)?;
        }
        let plan = rows.project([lit(1)])?.build()?;
        let outer_ref_columns = plan.all_out_ref_exprs();
        let subquery = Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: self.subquery.spans.clone() };
        Ok(Expr::Exists(Exists::new(subquery, false)))
    }

    /// The value with its columns as references to the outer query.
    fn outer_value(&self) -> Result<Expr, DataFusionError> {
        if has_subquery(self.value) {
            return plan_err!("the value before IN has a subquery of its own; join with it, or make it a view of its own");
        }
        let outer = self.value.clone().transform(|expr| match expr {
            Expr::Column(column) => {
                let field = Arc::clone(self.schema.field_from_column(&column)?);
                Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(outer.data)
    }
}
