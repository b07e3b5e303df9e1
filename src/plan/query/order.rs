//! Lowers ORDER BY with LIMIT: the first rows in an order.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, FetchType, Limit, LogicalPlan, Projection, SkipType, Sort};

use super::{Readable, extended, select};
use crate::plan::{Counted, InputColumn, Node, Order, Top};
use crate::sql::SqlError;

impl Readable<'_> {
    pub(super) fn limit(&self, limit: &Limit) -> Result<Node, SqlError> {
        let unknown = || SqlError::new("LIMIT takes a number").help("write the number itself");
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
            (limit.get_skip_type().map_err(|_| unknown())?, limit.get_fetch_type().map_err(|_| unknown())?)
        else {
            return Err(unknown());
        };
        // Between LIMIT and ORDER BY the optimizer may put a projection that drops columns which only the order needs.
        if let LogicalPlan::Projection(between) = limit.input.as_ref() {
            let first = LogicalPlan::Limit(Limit { input: between.input.clone(), ..limit.clone() });
            let swapped = Projection::try_new_with_schema(between.expr.clone(), Arc::new(first), between.schema.clone());
            return self.projection(&swapped.map_err(|error| SqlError::of_definition(&error))?);
        }
        let LogicalPlan::Sort(sort) = limit.input.as_ref() else {
            return Err(SqlError::new("LIMIT without ORDER BY is not maintained").help("say which rows come first: ORDER BY"));
        };
        self.top(sort, skip, fetch.unwrap_or(usize::MAX))
    }

    pub(super) fn top(&self, sort: &Sort, skip: usize, count: usize) -> Result<Node, SqlError> {
        let exprs: Vec<&Expr> = sort.expr.iter().map(|order| &order.expr).collect();
        let shown = sort.input.schema().fields().len();
        let (side, _) = extended(self.node(&sort.input)?, sort.input.schema(), &exprs)?;
        let order = sort.expr.iter().zip(&side.key);
        let order = order.map(|(by, &column)| Order { column, descending: !by.asc, nulls_first: by.nulls_first }).collect();
        let all = side.node.schema().len();
        let schema = side.node.schema().clone();
        let top = Top { of: side.node, partition: Vec::new(), order, counted: Counted::Rows, skip, count, numbered: false, schema };
        let top = Node::Top(Box::new(top));
        Ok(if all == shown { top } else { select(top, None, (0..shown).map(InputColumn::Column).collect()) })
    }
}
