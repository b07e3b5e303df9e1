//! Lowers joins.

use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::{Expr, lit};

use super::{Readable, compiled, extended, unique_names};
use crate::plan::{Join, JoinKind, Node, PairCondition, Side};
use crate::sql::{SqlError, with_null_safe_keys};
use crate::value::{Column, Schema, Type};

impl Readable<'_> {
    pub(super) fn join(&self, join: &datafusion::logical_expr::Join) -> Result<Node, SqlError> {
        let join = with_null_safe_keys(join).map_err(|error| SqlError::of_definition(&error))?;
        let (left_plan, right_plan, kind) = match join.join_type {
            JoinType::Inner => (&join.left, &join.right, JoinKind::Inner),
            JoinType::Left => (&join.left, &join.right, JoinKind::Left),
            JoinType::Right => (&join.right, &join.left, JoinKind::Left),
            JoinType::Full => (&join.left, &join.right, JoinKind::Full),
            JoinType::LeftSemi => (&join.left, &join.right, JoinKind::Semi),
            JoinType::RightSemi => (&join.right, &join.left, JoinKind::Semi),
            JoinType::LeftAnti => (&join.left, &join.right, JoinKind::Anti),
            JoinType::RightAnti => (&join.right, &join.left, JoinKind::Anti),
            JoinType::LeftMark => (&join.left, &join.right, JoinKind::Mark),
            JoinType::RightMark => (&join.right, &join.left, JoinKind::Mark),
        };
        let swapped = matches!(join.join_type, JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark);
        let (mut lefts, mut rights): (Vec<&Expr>, Vec<&Expr>) = join.on.iter().map(|(l, r)| (l, r)).unzip();
        if swapped {
            std::mem::swap(&mut lefts, &mut rights);
        }
        let (left, left_names) = extended(self.node(left_plan)?, left_plan.schema(), &lefts)?;
        let (right, right_names) = extended(self.node(right_plan)?, right_plan.schema(), &rights)?;
        for (&l, &r) in left.key.iter().zip(&right.key) {
            let (one, other) = (&left.node.schema().columns()[l], &right.node.schema().columns()[r]);
            if one.ty.arrow() != other.ty.arrow() {
                let message = format!("a join compares `{}`, which is {}, with `{}`, which is {}", one.name, one.ty, other.name, other.ty);
                return Err(SqlError::new(message).help("cast one of them to the other's type"));
            }
        }
        let nullable = |side: &Side| side.key.iter().any(|&k| side.node.schema().columns()[k].nullable);
        let (mut kind, mut filter) = (kind, join.filter.clone().filter(|filter| *filter != lit(true)));
        if join.null_aware {
            match (join.on.as_slice(), filter.take()) {
                ([_], None) if nullable(&left) || nullable(&right) => kind = JoinKind::NotIn,
                ([_], None) => {}
                // One side has no compared column, so the comparison is a filter. If it is NULL for a pair, the pair may be equal.
                ([], Some(equal)) => filter = Some(equal.is_not_false()),
                _ => return Err(SqlError::not_a_join()),
            }
        }
        let (left_shown, right_shown) = (left_plan.schema().fields().len(), right_plan.schema().fields().len());
        let left_len = left.node.schema().len();
        let condition = match &filter {
            Some(filter) => Some(pair_condition(filter, [&left_names, &right_names], [left.node.schema(), right.node.schema()])?),
            None => None,
        };
        let all = join_schema(kind, left.node.schema(), right.node.schema());
        let (lefts, rights) = (0..left_shown, left_len..left_len + right_shown);
        let shown: Vec<usize> = match kind {
            JoinKind::Semi | JoinKind::Anti | JoinKind::NotIn => lefts.collect(),
            JoinKind::Mark => lefts.chain([left_len]).collect(),
            JoinKind::Inner | JoinKind::Left | JoinKind::Full if swapped => rights.chain(lefts).collect(),
            JoinKind::Inner | JoinKind::Left | JoinKind::Full => lefts.chain(rights).collect(),
        };
        let schema = unique_names(shown.iter().map(|&column| all[column].clone()).collect());
        let null_equals_null = join.null_equality == NullEquality::NullEqualsNull;
        Ok(Node::Join(Box::new(Join { left, right, kind, condition, null_equals_null, shown, schema })))
    }
}

/// The condition for a filter over the columns of both sides.
fn pair_condition(filter: &Expr, names: [&DFSchema; 2], schemas: [&Schema; 2]) -> Result<PairCondition, SqlError> {
    let names = names[0].join(names[1]).map_err(|error| SqlError::of_definition(&error))?;
    let both = unique_names(schemas[0].columns().iter().chain(schemas[1].columns()).cloned().collect());
    let whole = compiled(filter, &names, &both)?;
    let columns = whole.columns().to_vec();
    let place = |column: usize| columns.binary_search(&column).expect("it is one of those that are read");
    Ok(PairCondition { expression: whole.moved(&both.project(&columns), place), columns })
}

/// All columns that a join of this kind can show.
fn join_schema(kind: JoinKind, left: &Schema, right: &Schema) -> Vec<Column> {
    let nullable = |schema: &Schema, all: bool| -> Vec<Column> {
        schema.columns().iter().map(|c| Column { nullable: c.nullable || all, ..c.clone() }).collect()
    };
    match kind {
        JoinKind::Inner => [nullable(left, false), nullable(right, false)].concat(),
        JoinKind::Left => [nullable(left, false), nullable(right, true)].concat(),
        JoinKind::Full => [nullable(left, true), nullable(right, true)].concat(),
        JoinKind::Semi | JoinKind::Anti | JoinKind::NotIn => nullable(left, false),
        JoinKind::Mark => [nullable(left, false), vec![Column::new("mark", Type::Bool, false)]].concat(),
    }
}
