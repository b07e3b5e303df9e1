//! EXISTS and IN of a subquery that has one row whatever it reads: an aggregate of all rows.
//!
//! DataFusion takes the condition on the row around it out of such a subquery and joins with what is left, so that nothing is there where the
//! aggregate is one of no rows. Here the one row is looked at as the value that it is, which DataFusion knows:
//! ```text
//! EXISTS (SELECT count(*) ...)                  true
//! EXISTS (SELECT ... HAVING condition)          (SELECT condition ...) IS TRUE
//! x IN (SELECT max(y) ... HAVING condition)     (SELECT condition ...) IS TRUE AND x = (SELECT max(y) ...)
//! ```
//! In: a plan before it is optimized. Out: the same without those. Can go once DataFusion keeps the row: `EXISTS (SELECT count(*) FROM i WHERE
//! i.k = o.k)` then has every row of `o`.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Distinct, Expr, FetchType, LogicalPlan, LogicalPlanBuilder, SkipType, Subquery, lit, not};

pub(super) fn look_at_only_rows(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
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
    let (subquery, negated) = match &part {
        Expr::Exists(Exists { subquery, negated }) | Expr::InSubquery(InSubquery { subquery, negated, .. }) => (subquery, *negated),
        _ => return Ok(Transformed::no(part)),
    };
    if subquery.outer_ref_columns.is_empty() {
        return Ok(Transformed::no(part));
    }
    let Some(row) = OnlyRow::of(&subquery.subquery)? else { return Ok(Transformed::no(part)) };
    let mut is = match row.conditions.into_iter().map(|condition| value(condition, subquery).is_true()).reduce(Expr::and) {
        Some(conditions) => conditions,
        None => lit(true),
    };
    if let Expr::InSubquery(membership) = &part {
        is = is.and(membership.expr.as_ref().clone().eq(value(row.plan, subquery)));
    }
    Ok(Transformed::yes(if negated { not(is) } else { is }))
}

fn value(plan: LogicalPlan, of: &Subquery) -> Expr {
    let outer_ref_columns = of.outer_ref_columns.clone();
    Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: of.spans.clone() })
}

/// What a subquery comes to that aggregates all it reads.
struct OnlyRow {
    /// Gives the row, whether or not the conditions hold for it.
    plan: LogicalPlan,
    /// The row is there if all of these give true.
    conditions: Vec<LogicalPlan>,
}

impl OnlyRow {
    fn of(plan: &LogicalPlan) -> Result<Option<OnlyRow>, DataFusionError> {
        let below = match plan {
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
                return Ok(Some(OnlyRow { plan: plan.clone(), conditions: Vec::new() }));
            }
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Distinct(Distinct::All(_)) => OnlyRow::of(plan.inputs()[0])?,
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
