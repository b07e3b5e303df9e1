//! UNNEST, and other LATERAL queries without a table, of what stands beside them in FROM.
//!
//! DataFusion plans them as a join with a subquery that names its other side, and can run them where the subquery reads a table. One that
//! reads nothing makes of each row of the other side what it makes of that row alone: it is moved onto these rows, and there is no join.
//!
//! In: a plan before it is optimized. Out: the same, with every such join moved out of the way.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, JoinType, NullHandling};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder, Projection, lit};
use datafusion::sql::utils::UNNEST_PLACEHOLDER;

pub(super) fn without_joins_beside(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
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

/// Whether it is a subquery in FROM that may name what stands beside it.
fn is_beside(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => is_beside(&alias.input),
        LogicalPlan::Subquery(_) => true,
        _ => false,
    }
}

/// Moves parts of a subquery onto the rows beside it.
struct Onto<'a> {
    left: &'a Arc<LogicalPlan>,
    /// Whether a row of these is there also where the subquery has none.
    keeps_left: bool,
}

/// The rows of the left side with what a part of the subquery makes of each.
struct Rows {
    plan: LogicalPlan,
    /// The part's columns, by their places in it. Their names are other ones, since the left side may have them too.
    own: Vec<Column>,
    unnested: bool,
}

impl Onto<'_> {
    /// `None` where it reads something, or does what cannot be done row by row.
    fn onto(&self, part: &LogicalPlan) -> Result<Option<Rows>, DataFusionError> {
        match part {
            LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => {
                Ok(Some(Rows { plan: self.left.as_ref().clone(), own: Vec::new(), unnested: false }))
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
                Ok(Some(Rows { plan, ..rows }))
            }
            LogicalPlan::Unnest(unnest) => {
                let Some(rows) = self.onto(&unnest.input)? else { return Ok(None) };
                let mut options = unnest.options.clone();
                options.null_handling = if self.keeps_left { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
                let plan = LogicalPlanBuilder::from(rows.plan).unnest_columns_with_options(unnest.exec_columns.clone(), options)?;
                let plan = plan.build()?;
                let own = plan.schema().columns().split_off(self.left.schema().fields().len());
                Ok(Some(Rows { plan, own, unnested: true }))
            }
            _ => Ok(None),
        }
    }

    fn project(&self, rows: Rows, projection: &Projection) -> Result<Option<Rows>, DataFusionError> {
        // Of a row without elements nothing may be computed but NULL.
        let as_it_is = |expr: &Expr| matches!(expr.clone().unalias_nested().data, Expr::Column(_));
        if rows.unnested && self.keeps_left && !projection.expr.iter().all(as_it_is) {
            return Ok(None);
        }
        let mut shown: Vec<Expr> = self.left.schema().columns().into_iter().map(Expr::Column).collect();
        let mut own = Vec::new();
        for (expr, column) in projection.expr.iter().zip(projection.schema.columns()) {
            // What UNNEST is made of is known by its name.
            let name = if column.name.starts_with(UNNEST_PLACEHOLDER) { column.name } else { format!("{} beside", column.name) };
            let inside = self.inside(expr.clone().unalias_nested().data, projection.input.schema(), &rows)?;
            shown.push(inside.alias(&name));
            own.push(Column::new_unqualified(name));
        }
        let plan = LogicalPlanBuilder::from(rows.plan).project(shown)?.build()?;
        Ok(Some(Rows { plan, own, unnested: rows.unnested }))
    }

    /// The expression over these rows. What names a column of the left side from outside names it from inside.
    fn inside(&self, expr: Expr, names: &DFSchema, rows: &Rows) -> Result<Expr, DataFusionError> {
        let inside = expr.transform_up(|part| match part {
            Expr::OuterReferenceColumn(_, column) if self.left.schema().has_column(&column) => Ok(Transformed::yes(Expr::Column(column))),
            Expr::Column(column) => Ok(Transformed::yes(Expr::Column(rows.own[names.index_of_column(&column)?].clone()))),
            other => Ok(Transformed::no(other)),
        });
        inside.data()
    }
}
