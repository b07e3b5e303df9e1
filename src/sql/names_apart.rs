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
use datafusion::common::{Column, DataFusionError};
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
    let rewritten = apart_where(Arc::unwrap_or_clone(Arc::clone(&subquery.subquery)), &crowded, numbered)?;
    Ok(rewritten.update_data(|plan| Subquery { subquery: Arc::new(plan), ..subquery }))
}

/// In a query in FROM, what stands beside it does not matter, but what is shown above it does.
fn apart_where(plan: LogicalPlan, crowded: &BTreeSet<String>, numbered: &mut usize) -> Result<Transformed<LogicalPlan>, DataFusionError> {
    let mut shown: Vec<Column> = Vec::new();
    plan.transform_down(|node| match node {
        LogicalPlan::Projection(projection) => {
            let columns = projection.expr.iter().zip(projection.schema.fields()).map(|(expr, field)| match expr {
                Expr::Column(column) => column.clone(),
                _ => Column::new_unqualified(field.name()),
            });
            shown.extend(columns);
            Ok(Transformed::no(LogicalPlan::Projection(projection)))
        }
        LogicalPlan::Filter(filter) if names(&filter, crowded) => renamed(filter, numbered).map(Transformed::yes),
        LogicalPlan::SubqueryAlias(alias) => {
            let mut inside = crowded_names(&alias.input);
            let others = shown.iter().filter(|column| column.relation.as_ref() != Some(&alias.alias));
            inside.extend(others.map(|column| column.name.clone()));
            let input = apart_where(alias.input.as_ref().clone(), &inside, numbered)?;
            let changed = input.transformed;
            let node = match changed {
                true => LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input.data), alias.alias)?),
                false => LogicalPlan::SubqueryAlias(alias),
            };
            Ok(Transformed::new(node, changed, TreeNodeRecursion::Jump))
        }
        other => Ok(Transformed::no(other)),
    })
}

/// The names that a node of the subquery has twice, or gives to something that had another.
fn crowded_names(plan: &LogicalPlan) -> BTreeSet<String> {
    let mut crowded = BTreeSet::new();
    let visited = plan.apply(|node| {
        let mut seen = BTreeSet::new();
        let names = node.schema().fields().iter().map(|field| field.name());
        crowded.extend(names.filter(|name| !seen.insert(name.as_str())).cloned());
        if let LogicalPlan::Projection(projection) = node {
            let shown = projection.expr.iter().zip(projection.schema.fields());
            let keeps = |expr: &Expr, name: &str| matches!(expr, Expr::Column(column) if column.name == name);
            crowded.extend(shown.filter(|(expr, field)| !keeps(expr, field.name())).map(|(_, field)| field.name().clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.expect("nothing here fails");
    crowded
}

fn is_related(condition: &Expr) -> bool {
    condition.exists(|part| Ok(matches!(part, Expr::OuterReferenceColumn(..)))).expect("nothing here fails")
}

/// Whether a condition of the filter that names the row around also names one of these.
fn names(filter: &Filter, crowded: &BTreeSet<String>) -> bool {
    let related = split_conjunction(&filter.predicate).into_iter().filter(|condition| is_related(condition));
    related.flat_map(Expr::column_refs).any(|column| crowded.contains(&column.name))
}

/// The filter over columns that its conditions alone name.
fn renamed(filter: Filter, numbered: &mut usize) -> Result<LogicalPlan, DataFusionError> {
    let own: Vec<Expr> = filter.input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut shown: Vec<Expr> = Vec::new();
    let mut by_name = |expr: Expr| {
        let position = shown.iter().position(|other| matches!(other, Expr::Alias(alias) if *alias.expr == expr));
        let place = position.unwrap_or_else(|| {
            *numbered += 1;
            shown.push(expr.alias(format!("related {numbered}")));
            shown.len() - 1
        });
        Expr::Column(Column::new_unqualified(shown[place].schema_name().to_string()))
    };
    let mut conditions = Vec::new();
    for condition in split_conjunction(&filter.predicate) {
        conditions.push(match condition {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })
                if is_own(left) && is_related(right) && !right.any_column_refs() =>
            {
                by_name(left.as_ref().clone()).eq(right.as_ref().clone())
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })
                if is_own(right) && is_related(left) && !left.any_column_refs() =>
            {
                left.as_ref().clone().eq(by_name(right.as_ref().clone()))
            }
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
