//! Joins.

use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::Expr;

use super::{Readable, compiled, extended, select, unique_names};
use crate::plan::{InputColumn, Join, JoinKind, Node, Side};
use crate::sql::SqlError;
use crate::value::{Column, Schema, Type};

impl Readable<'_> {
    pub(super) fn join(&self, join: &datafusion::logical_expr::Join) -> Result<Node, SqlError> {
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
        if join.null_aware && (nullable(&left) || nullable(&right)) {
            return Err(SqlError::new("NOT IN over columns that may be NULL is not maintained yet").help("write NOT EXISTS"));
        }
        let (left_shown, right_shown) = (left_plan.schema().fields().len(), right_plan.schema().fields().len());
        let left_len = left.node.schema().len();
        let both = pair_schema(left.node.schema(), right.node.schema());
        let condition = match &join.filter {
            Some(filter) => Some(compiled(filter, &joined_names(&left_names, &right_names)?, &both)?),
            None => None,
        };
        let schema = join_schema(kind, left.node.schema(), right.node.schema());
        let null_equals_null = join.null_equality == NullEquality::NullEqualsNull;
        let node = Node::Join(Box::new(Join { left, right, kind, condition, null_equals_null, schema }));
        let shown: Vec<usize> = match kind {
            JoinKind::Semi | JoinKind::Anti => (0..left_shown).collect(),
            JoinKind::Mark => (0..left_shown).chain([left_len]).collect(),
            JoinKind::Inner | JoinKind::Left | JoinKind::Full if swapped => {
                (left_len..left_len + right_shown).chain(0..left_shown).collect()
            }
            JoinKind::Inner | JoinKind::Left | JoinKind::Full => (0..left_shown).chain(left_len..left_len + right_shown).collect(),
        };
        let all = shown.len() == node.schema().len() && shown.iter().enumerate().all(|(i, &s)| i == s);
        Ok(if all { node } else { select(node, None, shown.into_iter().map(InputColumn::Column).collect()) })
    }
}

fn joined_names(left: &DFSchema, right: &DFSchema) -> Result<DFSchema, SqlError> {
    left.join(right).map_err(|error| SqlError::of_definition(&error))
}

/// A left row's columns, then a right one's.
pub(super) fn pair_schema(left: &Schema, right: &Schema) -> Schema {
    unique_names(left.columns().iter().chain(right.columns()).cloned().collect())
}

fn join_schema(kind: JoinKind, left: &Schema, right: &Schema) -> Schema {
    let nullable = |schema: &Schema, all: bool| -> Vec<Column> {
        schema.columns().iter().map(|c| Column { nullable: c.nullable || all, ..c.clone() }).collect()
    };
    let columns = match kind {
        JoinKind::Inner => [nullable(left, false), nullable(right, false)].concat(),
        JoinKind::Left => [nullable(left, false), nullable(right, true)].concat(),
        JoinKind::Full => [nullable(left, true), nullable(right, true)].concat(),
        JoinKind::Semi | JoinKind::Anti => nullable(left, false),
        JoinKind::Mark => [nullable(left, false), vec![Column::new("mark", Type::Bool, false)]].concat(),
    };
    unique_names(columns)
}
