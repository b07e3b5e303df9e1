//! Lowers aggregates.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable};

use super::{Readable, extended, unique_names};
use crate::plan::{AggregateFunction, Group, Node};
use crate::sql::{SqlError, has_subquery, is_plain_cast};

impl Readable<'_> {
    pub(super) fn group(&self, aggregate: &Aggregate) -> Result<Node, SqlError> {
        if let [Expr::GroupingSet(sets)] = aggregate.group_expr.as_slice() {
            return self.grouping_sets(aggregate, sets);
        }
        let keys: Vec<&Expr> = aggregate.group_expr.iter().collect();
        let GroupInput { of, key, calls } = self.grouping(aggregate, &keys)?;
        Ok(group(of, key, calls))
    }

    /// The node to group, with columns for the values of `keys` and of everything that aggregates compute of a row.
    pub(super) fn grouping(&self, aggregate: &Aggregate, keys: &[&Expr]) -> Result<GroupInput, SqlError> {
        // What aggregates compute of a row becomes a column, so that most aggregates are functions of columns.
        let arguments: Vec<&Expr> = aggregate.aggr_expr.iter().flat_map(|call| computed_inputs(call, aggregate.input.schema())).collect();
        let exprs: Vec<&Expr> = keys.iter().chain(&arguments).copied().collect();
        let (side, names) = extended(self.node(&aggregate.input)?, aggregate.input.schema(), &exprs)?;
        let (key, places) = side.key.split_at(keys.len());
        let column = |expr: &Expr| {
            let place = arguments.iter().position(|a| *a == expr).map(|i| places[i])?;
            let (qualifier, field) = names.qualified_field(place);
            Some(Expr::Column(datafusion::common::Column::new(qualifier.cloned(), field.name())))
        };
        let call = |expr: &Expr| match has_subquery(expr) {
            true => Err(SqlError::not_a_join()),
            false => AggregateFunction::of_plan(&with_inputs(expr, column), &names, side.node.schema()),
        };
        let calls = aggregate.aggr_expr.iter().map(call).collect::<Result<Vec<_>, _>>()?;
        Ok(GroupInput { of: side.node, key: key.to_vec(), calls })
    }
}

/// The parts of a group node.
pub(super) struct GroupInput {
    pub(super) of: Node,
    pub(super) key: Vec<usize>,
    pub(super) calls: Vec<AggregateFunction>,
}

/// The group node with these key columns and calls.
pub(super) fn group(of: Node, key: Vec<usize>, calls: Vec<AggregateFunction>) -> Node {
    let keys = key.iter().map(|&k| of.schema().columns()[k].clone());
    let schema = unique_names(keys.chain(calls.iter().map(|call| call.output().clone())).collect());
    Node::Group(Box::new(Group { of, key, calls, schema }))
}

/// The computed expressions that a call reads of each row: arguments, filter and order.
fn computed_inputs<'a>(expr: &'a Expr, names: &DFSchema) -> Vec<&'a Expr> {
    match expr {
        Expr::Alias(alias) => computed_inputs(&alias.expr, names),
        Expr::AggregateFunction(call) => {
            let params = &call.params;
            let inputs = params.args.iter().chain(params.order_by.iter().map(|sort| &sort.expr));
            // Different numbers may become the same double.
            let is_plain = |from: &DataType, to: &DataType| !params.distinct && is_plain_cast(from, to);
            let inputs = inputs.filter(|input| is_computed(input, names, is_plain));
            // The filter may have been folded to a constant, which becomes a column too.
            inputs.chain(params.filter.as_deref().filter(|filter| !matches!(filter, Expr::Column(_)) && !is_there(filter))).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether the filter is `column IS NOT NULL`, which can be tested without a column of its own.
fn is_there(filter: &Expr) -> bool {
    matches!(filter, Expr::IsNotNull(of) if matches!(**of, Expr::Column(_)))
}

/// Whether it is neither a column nor a constant. A cast that aggregates can do themselves does not count.
fn is_computed(expr: &Expr, names: &DFSchema, is_plain: impl Fn(&DataType, &DataType) -> bool) -> bool {
    match expr {
        Expr::Cast(cast) if matches!(*cast.expr, Expr::Column(_)) => {
            let from = cast.expr.get_type(names);
            from.is_ok_and(|from| !is_plain(&from, cast.field.data_type()))
        }
        Expr::Column(_) | Expr::Literal(_, _) => false,
        _ => expr.any_column_refs(),
    }
}

/// The call, with computed inputs replaced by columns.
fn with_inputs(expr: &Expr, column: impl Fn(&Expr) -> Option<Expr>) -> Expr {
    match expr {
        Expr::Alias(alias) => with_inputs(&alias.expr, column),
        Expr::AggregateFunction(call) => {
            let mut call = call.clone();
            let params = &mut call.params;
            let filter = params.filter.iter_mut().map(|filter| &mut **filter);
            params.args.iter_mut().chain(filter).chain(params.order_by.iter_mut().map(|sort| &mut sort.expr)).for_each(|input| {
                if let Some(replaced) = column(input) {
                    *input = replaced;
                }
            });
            Expr::AggregateFunction(call)
        }
        other => other.clone(),
    }
}
