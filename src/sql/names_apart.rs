//! Columns of one name in a subquery that depends on the row around it.
//!
//! DataFusion takes the conditions that name the row around out of the subquery, and beside what the subquery shows it shows the columns that
//! they name, all qualified with one new name. Two columns of one name are then one: in `EXISTS (SELECT 1 FROM d JOIN e ON ... WHERE d.x = o.x
//! AND e.x = o.a)` both conditions look at the same `x`. Here such columns get a name of their own below the condition:
//! ```text
//! Filter: d.x = outer(o.x) AND e.x = outer(o.a)
//!   Join
//!
//! Filter: "related 1" = outer(o.x) AND "related 2" = outer(o.a)
//!   Projection: *, d.x AS "related 1", e.x AS "related 2"
//!     Join
//! ```
//! What an expression of the subquery's own equals is computed there too: an aggregate above it can then be made a join, which DataFusion knows of
//! columns alone.
//!
//! In: a plan before it is optimized. Out: the same, in which such conditions name columns whose names are not there again in their subquery. Can
//! go once `SELECT 1 FROM t o WHERE o.x IN (SELECT d.x FROM d JOIN e ON d.id = e.id WHERE e.x = o.y)` compares `e.x` with `o.y`.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, SubqueryAlias};

pub(super) fn keep_names_apart(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
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
        // LATERAL.
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

/// A query in FROM with the conditions above it that name its columns by their new names, which it shows.
///
/// DataFusion does not see the columns in its schema that it would have to show. Only what filters and shows is gone through; an aggregate
/// without GROUP BY has one row for each row around, and is made a join elsewhere (`decorrelated`).
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
                    "columns of one name, of which a query in FROM relates one to the row around its subquery, are not told apart here: give them other names"
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

/// The names that a node of the subquery has twice, or gives to something that had another, those of several columns that are related to the
/// row around, and of such ones that a query in FROM does not show.
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

/// The subquery's own columns in the conditions that name the row around.
fn related_columns(filter: &Filter) -> Vec<&Column> {
    let related = split_conjunction(&filter.predicate).into_iter().filter(|condition| is_related(condition));
    related.flat_map(Expr::column_refs).collect()
}

/// The names of what is related to the row around in a query in FROM.
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

/// Whether these name one of the crowded names, or an expression of columns equals something of the row around.
fn is_to_be_renamed(filter: &Filter, crowded: &BTreeSet<String>) -> bool {
    let computes = |condition: &Expr| equality(condition).is_some_and(|(own, _)| !matches!(own, Expr::Column(_)));
    related_columns(filter).iter().any(|column| crowded.contains(&column.name))
        || split_conjunction(&filter.predicate).into_iter().any(computes)
}

/// What is the subquery's own and what is of the row around, where the condition is that they are equal.
fn equality(condition: &Expr) -> Option<(&Expr, &Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return None };
    let is_around = |expr: &Expr| is_related(expr) && !expr.any_column_refs();
    match () {
        () if is_own(left) && is_around(right) => Some((left, right)),
        () if is_own(right) && is_around(left) => Some((right, left)),
        () => None,
    }
}

/// Whether the conditions that name the row around name new columns.
fn is_renamed(filter: &Filter) -> bool {
    related_columns(filter).iter().any(|column| column.name.starts_with(RELATED))
}

fn holds_renamed(plan: &LogicalPlan) -> bool {
    let is_one = |node: &LogicalPlan| matches!(node, LogicalPlan::Filter(filter) if is_renamed(filter));
    plan.exists(|node| Ok(is_one(node))).expect("nothing here fails")
}

/// What the new names begin with.
const RELATED: &str = "related ";

/// The filter over columns that its conditions alone name.
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

/// An expression of columns of the subquery, and of nothing else.
fn is_own(expr: &Expr) -> bool {
    let holds_subquery = |part: &Expr| {
        matches!(
            part,
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) | Expr::OuterReferenceColumn(..)
        )
    };
    expr.any_column_refs() && !expr.exists(|part| Ok(holds_subquery(part))).expect("nothing here fails")
}
