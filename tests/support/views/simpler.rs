//! Queries with one part less: a condition, a column, a join, a side of a UNION.
//!
//! Nothing is left out that an answer needs to be the only one (parts of an order) or to end (parts of a recursion). What comes out may be
//! refused: a column may be gone that is named elsewhere.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Distinct, Expr, GroupByExpr, JoinOperator, Query, Select, SetExpr, Statement, UnaryOperator, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// The query without its `n`th part; `None` behind the last one.
pub(crate) fn simpler(sql: &str, n: usize) -> Option<String> {
    let mut statements = Parser::parse_sql(&GenericDialect, sql).ok()?;
    let [Statement::Query(query)] = statements.as_mut_slice() else { return None };
    let mut leaving_out = LeavingOut { before: n };
    let found = match query.with.as_ref().is_some_and(|with| with.recursive) {
        true => query.body.visit(&mut leaving_out),
        false => query.visit(&mut leaving_out),
    };
    found.is_break().then(|| query.to_string())
}

/// Leaves out one part, and breaks.
struct LeavingOut {
    /// So many parts stand before it.
    before: usize,
}

impl LeavingOut {
    /// Whether it is this one.
    fn this(&mut self) -> bool {
        let this = self.before == 0;
        self.before = self.before.wrapping_sub(1);
        this
    }

    fn one_of<T>(&mut self, items: &mut Vec<T>, least: usize) -> bool {
        let place = if items.len() > least { (0..items.len()).rev().find(|_| self.this()) } else { None };
        place.map(|place| items.remove(place)).is_some()
    }

    fn of_select(&mut self, select: &mut Select) -> bool {
        for condition in [&mut select.selection, &mut select.having, &mut select.qualify] {
            if condition.is_some() && self.this() {
                *condition = None;
                return true;
            }
        }
        if matches!(select.distinct, Some(Distinct::Distinct)) && self.this() {
            select.distinct = None;
            return true;
        }
        for from in &mut select.from {
            if self.one_of(&mut from.joins, 0) {
                return true;
            }
            for join in &mut from.joins {
                if let JoinOperator::Left(on) | JoinOperator::Right(on) | JoinOperator::FullOuter(on) = &join.join_operator
                    && self.this()
                {
                    join.join_operator = JoinOperator::Join(on.clone());
                    return true;
                }
            }
        }
        let of_groups = match &mut select.group_by {
            GroupByExpr::Expressions(groups, _) => self.one_of(groups, 0),
            GroupByExpr::All(_) => false,
        };
        of_groups || self.one_of(&mut select.projection, 1)
    }

    fn of_expression(&mut self, expression: &mut Expr) -> bool {
        let parts: Vec<&Expr> = match &*expression {
            Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Plus, right } => vec![left, right],
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => vec![expr],
            Expr::Case { conditions, .. } => conditions.iter().map(|when| &when.result).collect(),
            _ => Vec::new(),
        };
        let part = parts.into_iter().find(|_| self.this()).cloned();
        if let Some(part) = part {
            *expression = part;
            return true;
        }
        match expression {
            Expr::Function(call) if call.filter.is_some() && self.this() => call.filter.take().is_some(),
            _ => false,
        }
    }

    fn of_query(&mut self, query: &mut Query) -> bool {
        if let SetExpr::SetOperation { left, right, .. } = &*query.body {
            let side = [left, right].into_iter().find(|_| self.this()).cloned();
            if let Some(side) = side {
                query.body = side;
                return true;
            }
        }
        if let Some(with) = &mut query.with
            && self.one_of(&mut with.cte_tables, 0)
        {
            query.with = query.with.take().filter(|with| !with.cte_tables.is_empty());
            return true;
        }
        // Without its order a LIMIT has no right answer.
        if query.limit_clause.is_some() && self.this() {
            (query.limit_clause, query.order_by) = (None, None);
            return true;
        }
        false
    }
}

fn stop_if(done: bool) -> ControlFlow<()> {
    if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

impl VisitorMut for LeavingOut {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        stop_if(self.of_query(query))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        stop_if(self.of_select(select))
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        stop_if(self.of_expression(expression))
    }
}
