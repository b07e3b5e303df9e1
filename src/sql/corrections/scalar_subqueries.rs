//! Makes sure that scalar subqueries have at most one row.
//!
//! DataFusion makes joins of scalar subqueries and assumes that each has one row: it would join every row of a larger one, and it refuses
//! correlated ones that may have more. Here a subquery that may have several rows is aggregated to one: ORDER BY with LIMIT 1 by
//! `first_value`, any other by [`only_value`](crate::sql::functions::only_value), which fails if there is more than one row.
//!
//! In: an unoptimized plan. Out: the same plan, in which every scalar subquery has at most one row.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::functions_aggregate::first_last::first_value;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Distinct, Expr, FetchType, Limit, LogicalPlan, LogicalPlanBuilder, Projection, SkipType, Sort, Subquery};

use crate::sql::functions::only_value::only_value;

pub(in crate::sql) fn aggregate_scalar_subqueries(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|part| match part {
                Expr::ScalarSubquery(subquery) => aggregated(subquery),
                other => Ok(Transformed::no(other)),
            })?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })
    });
    rewritten.data()
}

fn aggregated(subquery: Subquery) -> Result<Transformed<Expr>, DataFusionError> {
    let looks_around = !subquery.outer_ref_columns.is_empty();
    let (of, value) = match first_row(&subquery.subquery).filter(|_| looks_around) {
        Some((sort, value)) => (sort.input.as_ref(), first_value(value, sort.expr.clone())),
        None if has_one_row(&subquery.subquery) => return Ok(Transformed::no(Expr::ScalarSubquery(subquery))),
        None => (subquery.subquery.as_ref(), only_value(Expr::Column(subquery.subquery.schema().columns().swap_remove(0)))),
    };
    let plan = LogicalPlanBuilder::from(of.clone()).aggregate(Vec::<Expr>::new(), [value])?.build()?;
    Ok(Transformed::yes(Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), ..subquery })))
}

/// Whether the plan has at most one row for any contents of the tables.
fn has_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Limit(limit) => matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(0 | 1)))) || has_one_row(&limit.input),
        LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Values(values) => values.values.len() == 1,
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => plan.inputs().into_iter().all(has_one_row),
        _ => false,
    }
}

/// For ORDER BY with LIMIT 1: the order, and the value over the ordered rows.
fn first_row(plan: &LogicalPlan) -> Option<(&Sort, Expr)> {
    let LogicalPlan::Limit(limit) = plan else { return None };
    if !takes_first(limit) {
        return None;
    }
    let (mut plan, mut value) = (limit.input.as_ref(), Expr::Column(limit.input.schema().columns().swap_remove(0)));
    loop {
        match plan {
            LogicalPlan::Projection(projection) => {
                value = below(value, projection)?;
                plan = &projection.input;
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => return Some((sort, value)),
            _ => return None,
        }
    }
}

fn takes_first(limit: &Limit) -> bool {
    let first = matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(1))));
    first && matches!(limit.get_skip_type(), Ok(SkipType::Literal(0)))
}

/// Rewrites an expression over a projection into one over the projection's input.
fn below(expr: Expr, projection: &Projection) -> Option<Expr> {
    let spelled = expr.transform(|part| match part {
        Expr::Column(column) => {
            let place = projection.schema.index_of_column(&column)?;
            Ok(Transformed::yes(projection.expr[place].clone().unalias_nested().data))
        }
        other => Ok(Transformed::no(other)),
    });
    spelled.data().ok()
}
