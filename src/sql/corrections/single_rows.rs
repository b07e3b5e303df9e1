//! EXISTS, IN, ANY and ALL over a correlated subquery that always has one row: an aggregate without GROUP BY.
//!
//! DataFusion moves the correlated condition out of the subquery and joins with the rest, so the row is missing if the aggregate has no
//! input. Here the one row is read as a scalar subquery, which DataFusion computes correctly:
//! ```text
//! EXISTS (SELECT count(*) ...)                  true
//! EXISTS (SELECT ... HAVING condition)          (SELECT condition ...) IS TRUE
//! x IN (SELECT max(y) ... HAVING condition)     (SELECT condition ...) IS TRUE AND x = (SELECT max(y) ...)
//! x > ALL (SELECT max(y) ... HAVING condition)  (SELECT condition ...) IS NOT TRUE OR x > (SELECT max(y) ...)
//! ```
//! In: an unoptimized plan. Out: the same plan without such subqueries. Can be removed when DataFusion keeps the row: `EXISTS (SELECT
//! count(*) FROM i WHERE i.k = o.k)` then has every row of `o`.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Distinct, Expr, FetchType, LogicalPlan, LogicalPlanBuilder, Operator, SkipType, Subquery, binary_expr, lit, not,
};

pub(in crate::sql) fn look_at_only_rows(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(looked_at)?.update_data(|expr| name.restore(expr)))
        })
    });
    rewritten.data()
}

fn looked_at(part: Expr) -> Result<Transformed<Expr>, DataFusionError> {
    let subquery = match &part {
        Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. })
        | Expr::SetComparison(SetComparison { subquery, .. }) => subquery,
        _ => return Ok(Transformed::no(part)),
    };
    if subquery.outer_ref_columns.is_empty() {
        return Ok(Transformed::no(part));
    }
    let Some(row) = OnlyRow::in_plan(&subquery.subquery)? else { return Ok(Transformed::no(part)) };
    let conditions = row.conditions.into_iter().map(|condition| value(condition, subquery).is_true());
    let there = conditions.reduce(Expr::and).unwrap_or_else(|| lit(true));
    let compared = |expr: &Expr, op| binary_expr(expr.clone(), op, value(row.plan, subquery));
    let (is, negated) = match &part {
        Expr::InSubquery(membership) => (there.and(compared(&membership.expr, Operator::Eq)), membership.negated),
        Expr::SetComparison(SetComparison { expr, op, quantifier: SetQuantifier::Any, .. }) => (there.and(compared(expr, *op)), false),
        Expr::SetComparison(SetComparison { expr, op, quantifier: SetQuantifier::All, .. }) => (not(there).or(compared(expr, *op)), false),
        Expr::Exists(exists) => (there, exists.negated),
        _ => unreachable!("it is one of these"),
    };
    Ok(Transformed::yes(if negated { not(is) } else { is }))
}

fn value(plan: LogicalPlan, of: &Subquery) -> Expr {
    let outer_ref_columns = of.outer_ref_columns.clone();
    Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: of.spans.clone() })
}

/// A subquery that aggregates all the rows it reads.
struct OnlyRow {
    /// The plan of the row, without the conditions.
    plan: LogicalPlan,
    /// The row exists if all of these return true.
    conditions: Vec<LogicalPlan>,
}

impl OnlyRow {
    fn in_plan(plan: &LogicalPlan) -> Result<Option<OnlyRow>, DataFusionError> {
        let below = match plan {
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
                return Ok(Some(OnlyRow { plan: plan.clone(), conditions: Vec::new() }));
            }
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Distinct(Distinct::All(_)) => OnlyRow::in_plan(plan.inputs()[0])?,
            _ => None,
        };
        let Some(mut row) = below else { return Ok(None) };
        match plan {
            LogicalPlan::Filter(filter) => {
                row.conditions.push(LogicalPlanBuilder::from(row.plan.clone()).project([filter.predicate.clone()])?.build()?);
            }
            LogicalPlan::Limit(limit) => match (limit.get_skip_type()?, limit.get_fetch_type()?) {
                (SkipType::Literal(0), FetchType::Literal(None | Some(1..))) => {}
                _ => return plan_err!("LIMIT 0 or OFFSET over the only row of an aggregate, in a subquery, is not maintained"),
            },
            LogicalPlan::Sort(_) | LogicalPlan::Distinct(_) => {}
            _ => row.plan = plan.with_new_exprs(plan.expressions(), vec![row.plan])?,
        }
        Ok(Some(row))
    }
}
