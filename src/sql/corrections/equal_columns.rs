//! Finds the equalities between columns in the conditions of a join.
//!
//! Replaces DataFusion's rule `extract_equijoin_predicate`. That rule makes `IS NOT DISTINCT FROM` a join in which NULL equals NULL, and
//! then adds `=` conditions to the same join: rows with NULLs that `=` excludes appeared, and rows were lost when joins were reordered.
//! With this rule the optimizer sees `=` only; other lookup keys are found when the plan is lowered.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, NullEquality};
use datafusion::logical_expr::utils::{can_hash, conjunction, find_valid_equijoin_key_pair, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator};
use datafusion::optimizer::optimizer::{ApplyOrder, Optimizer};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// DataFusion's rules, with one of them replaced.
pub(in crate::sql) fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let own = EqualColumns;
    let rules = Optimizer::new().rules.into_iter();
    rules.map(|rule| if rule.name() == own.name() { Arc::new(EqualColumns) } else { rule }).collect()
}

#[derive(Debug)]
struct EqualColumns;

impl OptimizerRule for EqualColumns {
    fn name(&self) -> &str {
        "extract_equijoin_predicate"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        match plan {
            LogicalPlan::Join(mut join) if join.null_equality == NullEquality::NullEqualsNothing => {
                let (pairs, rest) = split(join.filter.take(), Operator::Eq, join.left.schema(), join.right.schema())?;
                join.filter = rest;
                let found = !pairs.is_empty();
                join.on.extend(pairs);
                Ok(Transformed::new_transformed(LogicalPlan::Join(join), found))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// Makes `IS NOT DISTINCT FROM` conditions lookup keys, like those of `=`. The `=` keys would then match NULLs too, so they are also kept
/// as conditions.
pub fn with_null_safe_keys(join: &Join) -> Result<Join, DataFusionError> {
    let mut join = join.clone();
    let (pairs, rest) = split(join.filter.take(), Operator::IsNotDistinctFrom, join.left.schema(), join.right.schema())?;
    if pairs.is_empty() || join.null_aware {
        join.filter = conjunction(rest.into_iter().chain(pairs.into_iter().map(|(l, r)| compared(l, Operator::IsNotDistinctFrom, r))));
        return Ok(join);
    }
    let strict = match join.null_equality {
        NullEquality::NullEqualsNull => Vec::new(),
        NullEquality::NullEqualsNothing => join.on.iter().map(|(l, r)| l.clone().eq(r.clone())).collect(),
    };
    join.filter = conjunction(rest.into_iter().chain(strict));
    join.on.extend(pairs);
    join.null_equality = NullEquality::NullEqualsNull;
    Ok(join)
}

type ColumnPairs = Vec<(Expr, Expr)>;

/// Splits a condition into pairs of expressions, one of each side, that are compared with this operator, and the rest.
fn split(filter: Option<Expr>, like: Operator, left: &DFSchema, right: &DFSchema) -> Result<(ColumnPairs, Option<Expr>), DataFusionError> {
    let (mut pairs, mut rest) = (Vec::new(), Vec::new());
    for condition in filter.map(split_conjunction_owned).unwrap_or_default() {
        let pair = match &condition {
            Expr::BinaryExpr(BinaryExpr { left: one, op, right: other }) if *op == like => {
                find_valid_equijoin_key_pair(one, other, left, right)?
            }
            _ => None,
        };
        match pair {
            Some((one, other)) if can_hash(&one.get_type(left)?) => pairs.push((one, other)),
            _ => rest.push(condition),
        }
    }
    Ok((pairs, conjunction(rest)))
}

fn compared(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) })
}
