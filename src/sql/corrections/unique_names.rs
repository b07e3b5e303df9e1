//! Keeps columns of the same name apart in correlated subqueries.
//!
//! DataFusion moves correlated conditions out of the subquery. To do so it adds the columns that they name to the subquery's output, all
//! qualified with one new name. Two columns of the same name then become one: in `EXISTS (SELECT 1 FROM d JOIN e ON ... WHERE d.x = o.x AND
//! e.x = o.a)` both conditions read the same `x`. Here such columns get unique names below the condition:
//! ```text
//! Filter: d.x = outer(o.x) AND e.x = outer(o.a)
//!   Join
//!
//! Filter: "related 1" = outer(o.x) AND "related 2" = outer(o.a)
//!   Projection: *, d.x AS "related 1", e.x AS "related 2"
//!     Join
//! ```
//! If a condition compares an expression of inner columns with an outer one, the expression also becomes such a column. An aggregate above
//! can then be made a join, which DataFusion does for columns only.
//!
//! In: an unoptimized plan. Out: the same plan, in which columns of correlated conditions have names that are unique in their subquery. Can
//! be removed when `SELECT 1 FROM t o WHERE o.x IN (SELECT d.x FROM d JOIN e ON d.id = e.id WHERE e.x = o.y)` compares `e.x` with `o.y`.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, SubqueryAlias};

pub(in crate::sql) fn keep_names_apart(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let mut numbered = 0;
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let node = node.map_expressions(|expr| {
            expr.transform_up(|part| match part {
                Expr::ScalarSubquery(subquery) => Ok(apart(subquery, &mut numbered)?.update_data(Expr::ScalarSubquery)),
                Expr::Exists(Exists { subquery, negated }) => {
                    Ok(apart(subquery, &mut numbered)?.update_data(|subquery| Expr::Exists(Exists { subquery, negated })))
                }
                Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                    let of = |subquery| Expr::InSubquery(InSubquery { expr, subquery, negated });
                    Ok(apart(subquery, &mut numbered)?.update_data(of))
                }
                other => Ok(Transformed::no(other)),
            })
        })?;
        // Subqueries of LATERAL.
        node.transform_data(|node| match node {
            LogicalPlan::Subquery(subquery) => Ok(apart(subquery, &mut numbered)?.update_data(LogicalPlan::Subquery)),
            other => Ok(Transformed::no(other)),
        })
    });
    rewritten.data()
}

fn apart(subquery: Subquery, numbered: &mut usize) -> Result<Transformed<Subquery>, DataFusionError> {
    let crowded = crowded_names(&subquery.subquery);
    let rewritten = Arc::unwrap_or_clone(Arc::clone(&subquery.subquery)).transform_up(|node| match node {
        LogicalPlan::Filter(filter) if is_to_be_renamed(&filter, &crowded) => renamed(filter, numbered).map(Transformed::yes),
        LogicalPlan::SubqueryAlias(alias) => lifted(alias),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.update_data(|plan| Subquery { subquery: Arc::new(plan), ..subquery }))
}

/// Moves correlated conditions with renamed columns from inside a query in FROM to above it, and makes the query show these columns.
///
/// DataFusion does not add such columns to the query's schema. Only projections and filters are crossed. An aggregate without GROUP BY has
/// one row for each outer row, and is made a join in `decorrelated`.
fn lifted(alias: SubqueryAlias) -> Result<Transformed<LogicalPlan>, DataFusionError> {
    let mut above = Vec::new();
    let mut node = alias.input.as_ref();
    let (conditions, mut plan) = loop {
        match node {
            LogicalPlan::Projection(projection) => above.push(projection),
            LogicalPlan::Filter(filter) if is_renamed(filter) => {
                let (related, own): (Vec<_>, Vec<_>) = split_conjunction(&filter.predicate).into_iter().cloned().partition(is_related);
                let input = LogicalPlanBuilder::from(filter.input.as_ref().clone());
                break (related, if let Some(own) = conjunction(own) { input.filter(own)?.build()? } else { input.build()? });
            }
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
                return Ok(Transformed::no(LogicalPlan::SubqueryAlias(alias)));
            }
            other if holds_renamed(other) => {
                return plan_err!(
                    "columns of the same name inside a query in FROM of a correlated subquery cannot be told apart here: give them other names"
                );
            }
            _ => return Ok(Transformed::no(LogicalPlan::SubqueryAlias(alias))),
        }
        node = node.inputs()[0];
    };
    let carried: Vec<Column> = conditions.iter().flat_map(Expr::column_refs).cloned().collect::<BTreeSet<_>>().into_iter().collect();
    for projection in above.into_iter().rev() {
        let shown = projection.expr.iter().cloned().chain(carried.iter().cloned().map(Expr::Column));
        plan = LogicalPlanBuilder::from(plan).project(shown)?.build()?;
    }
    let relation = alias.alias.clone();
    let conditions = conditions.into_iter().map(|condition| {
        let moved = condition.transform_up(|part| match part {
            Expr::Column(column) => Ok(Transformed::yes(Expr::Column(Column::new(Some(relation.clone()), column.name)))),
            other => Ok(Transformed::no(other)),
        });
        moved.data()
    });
    let conditions = conditions.collect::<Result<Vec<Expr>, DataFusionError>>()?;
    let plan = LogicalPlanBuilder::from(plan).alias(alias.alias)?.filter(conjunction(conditions).expect("there is one"))?;
    plan.build().map(Transformed::yes)
}

/// Names that cannot be used in correlated conditions without confusion: a node has two columns of the name; a projection gives the name to
/// something else; several correlated columns have the name; or a query in FROM does not show the correlated column.
fn crowded_names(plan: &LogicalPlan) -> BTreeSet<String> {
    let mut crowded = BTreeSet::new();
    let mut related: Vec<Column> = Vec::new();
    let visited = plan.apply(|node| {
        let mut seen = BTreeSet::new();
        let names = node.schema().fields().iter().map(|field| field.name());
        crowded.extend(names.filter(|name| !seen.insert(name.as_str())).cloned());
        match node {
            LogicalPlan::Projection(projection) => {
                let shown = projection.expr.iter().zip(projection.schema.fields());
                let keeps = |expr: &Expr, name: &str| matches!(expr, Expr::Column(column) if column.name == name);
                crowded.extend(shown.filter(|(expr, field)| !keeps(expr, field.name())).map(|(_, field)| field.name().clone()));
            }
            LogicalPlan::Filter(filter) => {
                for column in related_columns(filter) {
                    if related.iter().any(|other| other.name == column.name && other != column) {
                        crowded.insert(column.name.clone());
                    }
                    related.push(column.clone());
                }
            }
            LogicalPlan::SubqueryAlias(alias) => {
                crowded.extend(related_below(alias).filter(|name| !alias.schema.has_column_with_unqualified_name(name)))
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.expect("nothing here fails");
    crowded
}

fn is_related(condition: &Expr) -> bool {
    condition.exists(|part| Ok(matches!(part, Expr::OuterReferenceColumn(..)))).expect("nothing here fails")
}

/// The inner columns in the correlated conditions of a filter.
fn related_columns(filter: &Filter) -> Vec<&Column> {
    let related = split_conjunction(&filter.predicate).into_iter().filter(|condition| is_related(condition));
    related.flat_map(Expr::column_refs).collect()
}

/// The names of the correlated columns inside a query in FROM.
fn related_below(alias: &SubqueryAlias) -> impl Iterator<Item = String> {
    let mut names = Vec::new();
    let visited = alias.input.apply(|node| {
        if let LogicalPlan::Filter(filter) = node {
            names.extend(related_columns(filter).into_iter().map(|column| column.name.clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.expect("nothing here fails");
    names.into_iter()
}

/// Whether a correlated condition uses a crowded name, or compares an expression of inner columns with an outer expression.
fn is_to_be_renamed(filter: &Filter, crowded: &BTreeSet<String>) -> bool {
    let computes = |condition: &Expr| equality(condition).is_some_and(|(own, _)| !matches!(own, Expr::Column(_)));
    related_columns(filter).iter().any(|column| crowded.contains(&column.name))
        || split_conjunction(&filter.predicate).into_iter().any(computes)
}

/// The inner and the outer side of a condition that compares the two for equality.
fn equality(condition: &Expr) -> Option<(&Expr, &Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return None };
    let is_around = |expr: &Expr| is_related(expr) && !expr.any_column_refs();
    match () {
        () if is_own(left) && is_around(right) => Some((left, right)),
        () if is_own(right) && is_around(left) => Some((right, left)),
        () => None,
    }
}

/// Whether the correlated conditions use renamed columns.
fn is_renamed(filter: &Filter) -> bool {
    related_columns(filter).iter().any(|column| column.name.starts_with(RELATED))
}

fn holds_renamed(plan: &LogicalPlan) -> bool {
    let is_one = |node: &LogicalPlan| matches!(node, LogicalPlan::Filter(filter) if is_renamed(filter));
    plan.exists(|node| Ok(is_one(node))).expect("nothing here fails")
}

/// Prefix of the new names.
const RELATED: &str = "related ";

/// The filter with its correlated conditions over new, uniquely named columns.
fn renamed(filter: Filter, numbered: &mut usize) -> Result<LogicalPlan, DataFusionError> {
    let own: Vec<Expr> = filter.input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut shown: Vec<Expr> = Vec::new();
    let mut by_name = |expr: Expr| {
        let position = shown.iter().position(|other| matches!(other, Expr::Alias(alias) if *alias.expr == expr));
        let place = position.unwrap_or_else(|| {
            *numbered += 1;
            shown.push(expr.alias(format!("{RELATED}{numbered}")));
            shown.len() - 1
        });
        Expr::Column(Column::new_unqualified(shown[place].schema_name().to_string()))
    };
    let mut conditions = Vec::new();
    for condition in split_conjunction(&filter.predicate) {
        if let Some((own, around)) = equality(condition) {
            conditions.push(by_name(own.clone()).eq(around.clone()));
            continue;
        }
        conditions.push(match condition {
            related if is_related(related) => {
                let named = related.clone().transform_up(|part| match part {
                    Expr::Column(_) => Ok(Transformed::yes(by_name(part))),
                    other => Ok(Transformed::no(other)),
                });
                named.data()?
            }
            other => other.clone(),
        });
    }
    let input = LogicalPlanBuilder::from(Arc::unwrap_or_clone(filter.input)).project(own.into_iter().chain(shown))?;
    input.filter(conjunction(conditions).expect("a filter has conditions"))?.build()
}

/// Whether the expression reads inner columns only, and at least one.
fn is_own(expr: &Expr) -> bool {
    let holds_subquery = |part: &Expr| {
        matches!(
            part,
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) | Expr::OuterReferenceColumn(..)
        )
    };
    expr.any_column_refs() && !expr.exists(|part| Ok(holds_subquery(part))).expect("nothing here fails")
}
