//! UNNEST and other LATERAL queries without a table, over the columns of preceding relations in FROM.
//!
//! DataFusion plans them as a join with a correlated subquery, and can execute it only if the subquery reads a table. A subquery that reads
//! no table depends on one row of the other side only: its operators are moved on top of the other side, and the join is removed.
//!
//! In: an unoptimized plan. Out: the same plan without such joins.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, JoinType, NullHandling};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder, Projection, lit};
use datafusion::sql::utils::UNNEST_PLACEHOLDER;

pub(in crate::sql) fn without_joins_beside(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) => {
            let moved = moved(&join)?;
            Ok(moved.map_or_else(|| Transformed::no(LogicalPlan::Join(join)), Transformed::yes))
        }
        other => Ok(Transformed::no(other)),
    });
    rewritten.data()
}

/// `None` for any other join.
fn moved(join: &Join) -> Result<Option<LogicalPlan>, DataFusionError> {
    let conditions: Vec<Expr> = join.filter.iter().filter(|filter| **filter != lit(true)).cloned().collect();
    let keeps_left = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left if conditions.is_empty() && join.on.is_empty() => true,
        _ => return Ok(None),
    };
    if !is_beside(&join.right) {
        return Ok(None);
    }
    let Some(rows) = (Onto { left: &join.left, keeps_left }).onto(&join.right)? else { return Ok(None) };
    let named = rows.own.iter().zip(join.right.schema().columns());
    let named = named.map(|(from, to)| Expr::Column(from.clone()).alias_qualified(to.relation, to.name));
    let left = join.left.schema().columns().into_iter().map(Expr::Column);
    let plan = LogicalPlanBuilder::from(rows.plan).project(left.chain(named))?;
    let equal = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    match conjunction(equal.chain(conditions)) {
        Some(condition) => plan.filter(condition)?.build().map(Some),
        None => plan.build().map(Some),
    }
}

/// Whether the plan is a subquery in FROM that may name columns of preceding relations.
fn is_beside(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => is_beside(&alias.input),
        LogicalPlan::Subquery(_) => true,
        _ => false,
    }
}

/// Moves the operators of a subquery on top of the rows of the left side.
struct Onto<'a> {
    left: &'a Arc<LogicalPlan>,
    /// Whether a left row is kept if the subquery has no rows for it.
    keeps_left: bool,
}

/// The left rows, combined with the result of a part of the subquery for each of them.
struct LateralPart {
    plan: LogicalPlan,
    /// The columns of the part, in order. They are renamed, because the left side may have columns of the same name.
    own: Vec<Column>,
    unnested: bool,
}

impl Onto<'_> {
    /// `None` if the part reads a table, or has an operator that does not work row by row.
    fn onto(&self, part: &LogicalPlan) -> Result<Option<LateralPart>, DataFusionError> {
        match part {
            LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => {
                Ok(Some(LateralPart { plan: self.left.as_ref().clone(), own: Vec::new(), unnested: false }))
            }
            LogicalPlan::Subquery(subquery) => self.onto(&subquery.subquery),
            LogicalPlan::SubqueryAlias(alias) => self.onto(&alias.input),
            LogicalPlan::Projection(projection) => match self.onto(&projection.input)? {
                Some(rows) => self.project(rows, projection),
                None => Ok(None),
            },
            LogicalPlan::Filter(filter) if !self.keeps_left => {
                let Some(rows) = self.onto(&filter.input)? else { return Ok(None) };
                let predicate = self.inside(filter.predicate.clone(), filter.input.schema(), &rows)?;
                let plan = LogicalPlanBuilder::from(rows.plan).filter(predicate)?.build()?;
                Ok(Some(LateralPart { plan, ..rows }))
            }
            LogicalPlan::Unnest(unnest) => {
                let Some(rows) = self.onto(&unnest.input)? else { return Ok(None) };
                let mut options = unnest.options.clone();
                options.null_handling = if self.keeps_left { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
                let plan = LogicalPlanBuilder::from(rows.plan).unnest_columns_with_options(unnest.exec_columns.clone(), options)?;
                let plan = plan.build()?;
                let own = plan.schema().columns().split_off(self.left.schema().fields().len());
                Ok(Some(LateralPart { plan, own, unnested: true }))
            }
            _ => Ok(None),
        }
    }

    fn project(&self, rows: LateralPart, projection: &Projection) -> Result<Option<LateralPart>, DataFusionError> {
        // For a row without elements, no expression may be computed but NULL.
        let as_it_is = |expr: &Expr| matches!(expr.clone().unalias_nested().data, Expr::Column(_));
        if rows.unnested && self.keeps_left && !projection.expr.iter().all(as_it_is) {
            return Ok(None);
        }
        let mut shown: Vec<Expr> = self.left.schema().columns().into_iter().map(Expr::Column).collect();
        let mut own = Vec::new();
        for (expr, column) in projection.expr.iter().zip(projection.schema.columns()) {
            // UNNEST recognizes its input by this name.
            let name = if column.name.starts_with(UNNEST_PLACEHOLDER) { column.name } else { format!("{} beside", column.name) };
            let inside = self.inside(expr.clone().unalias_nested().data, projection.input.schema(), &rows)?;
            shown.push(inside.alias(&name));
            own.push(Column::new_unqualified(name));
        }
        let plan = LogicalPlanBuilder::from(rows.plan).project(shown)?.build()?;
        Ok(Some(LateralPart { plan, own, unnested: rows.unnested }))
    }

    /// The expression over the combined rows. References to left columns become plain columns.
    fn inside(&self, expr: Expr, names: &DFSchema, rows: &LateralPart) -> Result<Expr, DataFusionError> {
        let inside = expr.transform_up(|part| match part {
            Expr::OuterReferenceColumn(_, column) if self.left.schema().has_column(&column) => Ok(Transformed::yes(Expr::Column(column))),
            Expr::Column(column) => Ok(Transformed::yes(Expr::Column(rows.own[names.index_of_column(&column)?].clone()))),
            other => Ok(Transformed::no(other)),
        });
        inside.data()
    }
}
