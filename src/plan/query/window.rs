//! Lowers window functions.
//!
//! What a call computes of a row (arguments, partition, order, filter) becomes a column first. A plan's node may have calls over several
//! partitions and orders that sort alike; each combination becomes a node of its own.

use datafusion::common::{Column as Named, DFSchema};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::WindowFunction as Call;

use super::{Readable, extended, select, unique_names};
use crate::plan::{InputColumn, Node, Order, Window, WindowFunction};
use crate::sql::SqlError;

impl Readable<'_> {
    pub(super) fn window(&self, window: &datafusion::logical_expr::Window) -> Result<Node, SqlError> {
        let calls = window.window_expr.iter().map(call_of).collect::<Result<Vec<_>, _>>()?;
        let read: Vec<&Expr> = calls.iter().flat_map(|call| read_by(call)).collect();
        let shown = window.input.schema().fields().len();
        let (side, names) = extended(self.node(&window.input)?, window.input.schema(), &read)?;
        let place = |expr: &Expr| read.iter().position(|known| *known == expr).map(|i| side.key[i]);
        let mut groups: Vec<Over> = Vec::new();
        for (number, (call, expr)) in calls.iter().zip(&window.window_expr).enumerate() {
            let places = |exprs: &[Expr]| exprs.iter().filter_map(place).collect::<Vec<usize>>();
            let by = call.params.order_by.iter().filter_map(|by| Some((place(&by.expr)?, by)));
            let order = by.map(|(column, by)| Order { column, descending: !by.asc, nulls_first: by.nulls_first }).collect();
            let partition = places(&call.params.partition_by);
            let resolved = with_columns(call, place, &names);
            let function = WindowFunction::of_plan(expr.to_string(), &resolved, &names, side.node.schema())?;
            match groups.iter_mut().find(|group| group.partition == partition && group.order == order) {
                Some(group) => group.calls.push((number, function)),
                None => groups.push(Over { partition, order, calls: vec![(number, function)] }),
            }
        }
        let mut node = side.node;
        let mut results = vec![0; calls.len()];
        for Over { partition, order, calls } in groups {
            let width = node.schema().len();
            calls.iter().enumerate().for_each(|(i, (number, _))| results[*number] = width + i);
            node = window_of(node, partition, order, calls.into_iter().map(|(_, function)| function).collect());
        }
        let wanted: Vec<usize> = (0..shown).chain(results).collect();
        let all = wanted.len() == node.schema().len() && wanted.iter().enumerate().all(|(i, &column)| i == column);
        Ok(if all { node } else { select(node, None, wanted.into_iter().map(InputColumn::Column).collect()) })
    }
}

/// The calls over one partition and order, with their numbers in the plan's node.
struct Over {
    partition: Vec<usize>,
    order: Vec<Order>,
    calls: Vec<(usize, WindowFunction)>,
}

fn window_of(of: Node, partition: Vec<usize>, order: Vec<Order>, calls: Vec<WindowFunction>) -> Node {
    let results = calls.iter().map(|call| call.output().clone());
    let schema = unique_names(of.schema().columns().iter().cloned().chain(results).collect());
    Node::Window(Box::new(Window { of, partition, order, calls, schema }))
}

fn call_of(expr: &Expr) -> Result<&Call, SqlError> {
    match expr {
        Expr::Alias(alias) => call_of(&alias.expr),
        Expr::WindowFunction(call) => Ok(call),
        _ => Err(SqlError::new("this is not a window function")),
    }
}

/// The expressions that the call reads of a row. Constants stay in the call.
fn read_by(call: &Call) -> Vec<&Expr> {
    let params = &call.params;
    let order = params.order_by.iter().map(|by| &by.expr);
    let all = params.args.iter().chain(&params.partition_by).chain(order).chain(params.filter.as_deref());
    all.filter(|expr| params.filter.as_deref() == Some(*expr) || expr.any_column_refs()).collect()
}

/// The call, with the expressions it reads replaced by columns.
fn with_columns(call: &Call, place: impl Fn(&Expr) -> Option<usize>, names: &DFSchema) -> Call {
    let mut call = call.clone();
    let params = &mut call.params;
    let order = params.order_by.iter_mut().map(|by| &mut by.expr);
    for expr in params.args.iter_mut().chain(order).chain(params.filter.as_deref_mut()) {
        if let Some(place) = place(expr) {
            let (qualifier, field) = names.qualified_field(place);
            *expr = Expr::Column(Named::new(qualifier.cloned(), field.name()));
        }
    }
    call
}
