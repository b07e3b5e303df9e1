//! Rewrites correlated aggregate subqueries whose correlation is more than equal columns, and EXISTS in a select list (as a count that is
//! greater than 0).
//!
//! DataFusion makes joins of correlated aggregates only if the correlation consists of equal columns. All others are computed here for the
//! distinct combinations of the outer columns that they name: these combinations are joined with the rows that the subquery reads, by any
//! condition, and grouped. The outer rows then look up their value.
//! ```text
//! SELECT x.id, (SELECT count(*) FROM y WHERE y.b < x.b) FROM x
//! SELECT x.id, v.n FROM x JOIN (SELECT d.b, count(*) FILTER (WHERE y is there) AS n FROM (SELECT DISTINCT b FROM x) d LEFT JOIN y ON y.b < d.b
//!   GROUP BY d.b) v ON v.b IS NOT DISTINCT FROM x.b
//! ```
//! In: an unoptimized plan in which each scalar subquery has one row. Out: the same plan without such subqueries.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, JoinType};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::Exists;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit};

pub(in crate::sql) fn decorrelate(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let mut numbered = 0;
    let rewritten = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) => without_subqueries(node, &mut numbered),
        _ => Ok(Transformed::no(node)),
    });
    rewritten.data()
}

fn without_subqueries(node: LogicalPlan, numbered: &mut usize) -> Result<Transformed<LogicalPlan>, DataFusionError> {
    let around = node.inputs()[0].clone();
    let shown: Vec<Expr> = node.schema().columns().into_iter().map(Expr::Column).collect();
    let mut joined = around.clone();
    let names = NamePreserver::new(&node);
    let exists_too = matches!(node, LogicalPlan::Projection(_));
    let rewritten = node.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|part| {
            // DataFusion makes EXISTS in a filter a join by itself.
            let (scalar, negated) = match &part {
                Expr::ScalarSubquery(subquery) => (subquery.clone(), None),
                Expr::Exists(Exists { subquery, negated }) if exists_too => (counted(subquery)?, Some(*negated)),
                _ => return Ok(Transformed::no(part)),
            };
            let value = match Related::from_subquery(&scalar, around.schema()).filter(|_| !looks_around(&around)) {
                Some(related) => {
                    *numbered += 1;
                    let (plan, value) = related.joined_with(joined.clone(), &around, *numbered)?;
                    joined = plan;
                    value
                }
                None if negated.is_none() => return Ok(Transformed::no(part)),
                None => Expr::ScalarSubquery(scalar),
            };
            Ok(Transformed::yes(match negated {
                None => value,
                Some(true) => value.eq(lit(0i64)),
                Some(false) => value.gt(lit(0i64)),
            }))
        });
        Ok(rewritten?.update_data(|expr| name.restore(expr)))
    })?;
    if !rewritten.transformed {
        return Ok(rewritten);
    }
    let over = match rewritten.data {
        LogicalPlan::Projection(projection) => LogicalPlanBuilder::from(joined).project(projection.expr)?,
        LogicalPlan::Filter(filter) => LogicalPlanBuilder::from(joined).filter(filter.predicate)?.project(shown)?,
        _ => unreachable!("it is one of the two"),
    };
    over.build().map(Transformed::yes)
}

/// The number of rows of a subquery, to replace EXISTS.
fn counted(subquery: &Subquery) -> Result<Subquery, DataFusionError> {
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).aggregate(Vec::<Expr>::new(), [count(lit(1i64))])?;
    Ok(Subquery { subquery: Arc::new(plan.build()?), ..subquery.clone() })
}

/// The parts of a subquery of one row.
struct Related<'a> {
    /// The outer columns that the subquery names.
    outer: Vec<Column>,
    /// The nodes from the root of the subquery down to the aggregate.
    above: Vec<&'a LogicalPlan>,
    aggregate: &'a Aggregate,
    /// The nodes from the aggregate down to `read`.
    below: Vec<&'a LogicalPlan>,
    /// The rows that are read; names no outer columns.
    read: &'a LogicalPlan,
}

impl<'a> Related<'a> {
    /// `None` if the subquery is left to DataFusion: it can handle it, or nothing can.
    fn from_subquery(subquery: &'a Subquery, around: &DFSchema) -> Option<Related<'a>> {
        let mut above = Vec::new();
        let mut plan = subquery.subquery.as_ref();
        let aggregate = loop {
            match plan {
                LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => break aggregate,
                LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => above.push(plan),
                _ => return None,
            }
            plan = plan.inputs()[0];
        };
        let mut below = Vec::new();
        let mut read = aggregate.input.as_ref();
        while looks_around(read) {
            match read {
                LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) => below.push(read),
                _ => return None,
            }
            read = read.inputs()[0];
        }
        let mut outer: Vec<Column> = Vec::new();
        let exprs = above.iter().chain(&below).flat_map(|node| node.expressions()).chain(aggregate.aggr_expr.iter().cloned());
        for expr in exprs {
            if holds_subquery(&expr) {
                return None;
            }
            for column in named_outside(&expr) {
                if !around.has_column(&column) {
                    return None;
                }
                if !outer.contains(&column) {
                    outer.push(column);
                }
            }
        }
        let related = Related { outer, above, aggregate, below, read };
        // If the aggregate is inside a query in FROM, DataFusion does not notice outer rows without matches.
        let is_inside = related.above.iter().any(|node| matches!(node, LogicalPlan::SubqueryAlias(_)));
        (!related.outer.is_empty() && (is_inside || !related.is_by_equal_columns())).then_some(related)
    }

    fn is_by_equal_columns(&self) -> bool {
        let by_equal_columns = |node: &&LogicalPlan| match node {
            LogicalPlan::Filter(filter) => split_conjunction(&filter.predicate).into_iter().all(is_equality),
            _ => node.expressions().iter().all(|expr| named_outside(expr).is_empty()),
        };
        self.below.iter().all(by_equal_columns) && self.aggregate.aggr_expr.iter().all(|expr| named_outside(expr).is_empty())
    }

    /// The plan of `rows` with the subquery's value, and the column of the value.
    fn joined_with(&self, rows: LogicalPlan, around: &LogicalPlan, number: usize) -> Result<(LogicalPlan, Expr), DataFusionError> {
        let (domain, found, matched) = (format!("outer {number}"), format!("subquery {number}"), format!("matched {number}"));
        let name = |place: usize| format!("{place}");
        let of_domain: Vec<Column> = (0..self.outer.len()).map(|place| Column::new(Some(domain.as_str()), name(place))).collect();
        let inside = |expr: Expr| {
            let moved = expr.transform(|part| match part {
                Expr::OuterReferenceColumn(_, column) => {
                    let place = self.outer.iter().position(|outer| *outer == column).expect("it is one of them");
                    Ok(Transformed::yes(Expr::Column(of_domain[place].clone())))
                }
                other => Ok(Transformed::no(other)),
            });
            moved.data()
        };
        let mut conditions = Vec::new();
        for (depth, node) in self.below.iter().enumerate() {
            if let LogicalPlan::Filter(filter) = node {
                conditions.push(inside(over(filter.predicate.clone(), &self.below[depth + 1..])?)?);
            }
        }
        let outer = self.outer.iter().enumerate().map(|(place, column)| Expr::Column(column.clone()).alias(name(place)));
        let domain = LogicalPlanBuilder::from(around.clone()).project(outer)?.distinct()?.alias(domain)?;
        let all = self.read.schema().columns().into_iter().map(Expr::Column).chain([lit(true).alias(&matched)]);
        let read = LogicalPlanBuilder::from(self.read.clone()).project(all)?.build()?;
        let condition = conjunction(conditions).unwrap_or_else(|| lit(true));
        let pairs = domain.join_on(read, JoinType::Left, [condition])?;
        let matched = Expr::Column(Column::new_unqualified(matched));
        let mut calls = Vec::new();
        for call in &self.aggregate.aggr_expr {
            calls.push(where_matched(inside(over(call.clone().unalias_nested().data, &self.below)?)?, &matched)?);
        }
        let groups = pairs.aggregate(of_domain.iter().cloned().map(Expr::Column), calls)?.build()?;
        let aggregated = groups.schema().columns().split_off(of_domain.len());
        let value = Expr::Column(self.subquery_schema().columns().swap_remove(0));
        let value = over(value, &self.above)?.transform(|part| match part {
            Expr::Column(column) => {
                let place = self.aggregate.schema.index_of_column(&column)?;
                Ok(Transformed::yes(Expr::Column(aggregated[place].clone())))
            }
            other => Ok(Transformed::no(other)),
        });
        let value = inside(value.data()?)?.alias("value");
        let keys = of_domain.iter().map(|column| Expr::Column(column.clone()).alias(&column.name));
        let values = LogicalPlanBuilder::from(groups).project(keys.chain([value]))?.alias(found.as_str())?.build()?;
        let same = self.outer.iter().enumerate().map(|(place, outer)| {
            let (left, right) = (Expr::Column(outer.clone()), Expr::Column(Column::new(Some(found.as_str()), name(place))));
            Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op: Operator::IsNotDistinctFrom, right: Box::new(right) })
        });
        let joined = LogicalPlanBuilder::from(rows).join_on(values, JoinType::Inner, same)?;
        Ok((joined.build()?, Expr::Column(Column::new(Some(found.as_str()), "value"))))
    }

    fn subquery_schema(&self) -> &DFSchema {
        self.above.first().map_or(&self.aggregate.schema, |node| node.schema())
    }
}

/// Rewrites an expression over the first node of `path` into one over the input of the last node. Each node is the input of the one before.
fn over(expr: Expr, path: &[&LogicalPlan]) -> Result<Expr, DataFusionError> {
    path.iter().try_fold(expr, |expr, node| {
        let spelled = expr.transform(|part| match (node, part) {
            (LogicalPlan::Projection(projection), Expr::Column(column)) => {
                let place = projection.schema.index_of_column(&column)?;
                Ok(Transformed::yes(projection.expr[place].clone().unalias_nested().data))
            }
            (LogicalPlan::SubqueryAlias(alias), Expr::Column(column)) => {
                let place = alias.schema.index_of_column(&column)?;
                let (qualifier, field) = alias.input.schema().qualified_field(place);
                Ok(Transformed::yes(Expr::Column(Column::from((qualifier, field)))))
            }
            (_, other) => Ok(Transformed::no(other)),
        });
        spelled.data()
    })
}

/// The aggregate call, restricted to rows that match the condition.
fn where_matched(call: Expr, matched: &Expr) -> Result<Expr, DataFusionError> {
    let filtered = call.transform_down(|part| match part {
        Expr::AggregateFunction(mut function) => {
            let filter = function.params.filter.take().map_or(matched.clone(), |filter| filter.and(matched.clone()));
            function.params.filter = Some(Box::new(filter));
            Ok(Transformed::new(Expr::AggregateFunction(function), true, TreeNodeRecursion::Jump))
        }
        other => Ok(Transformed::no(other)),
    });
    filtered.data()
}

/// Whether the plan names a column of an enclosing query.
fn looks_around(plan: &LogicalPlan) -> bool {
    plan.contains_outer_reference() || plan.inputs().into_iter().any(looks_around)
}

fn named_outside(expr: &Expr) -> Vec<Column> {
    let mut found = Vec::new();
    let visited = expr.apply(|part| {
        if let Expr::OuterReferenceColumn(_, column) = part {
            found.push(column.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.expect("nothing here fails");
    found
}

fn holds_subquery(expr: &Expr) -> bool {
    let is_one = |part: &Expr| matches!(part, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_));
    expr.exists(|part| Ok(is_one(part))).expect("nothing here fails")
}

/// Whether the condition names no outer column, or compares an expression of outer columns with an inner expression for equality.
fn is_equality(condition: &Expr) -> bool {
    if named_outside(condition).is_empty() {
        return true;
    }
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return false };
    let sides = [left, right].map(|side| (!named_outside(side).is_empty(), side.any_column_refs()));
    matches!(sides, [(true, false), (false, _)] | [(false, _), (true, false)])
}
