//! Finds the wrong part of a query, for errors without a place.

use std::ops::{ControlFlow, Range};

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, JoinConstraint, JoinOperator, Select, Spanned, Statement, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::error::bytes_of;

/// Maximum number of attempts to plan the query.
const MOST_TRIES: usize = 200;

/// The smallest expression such that the query is valid if NULL (or TRUE, for a condition) replaces the expression. If several expressions
/// inside one qualify, the error is between them, and the outer expression is returned.
pub(super) fn culprit(text: &str, query: &Statement, is_right: impl Fn(Statement) -> bool) -> Option<Range<usize>> {
    let mut parts = ExpressionSpans::default();
    let _ = query.visit(&mut parts);
    let mut left = MOST_TRIES;
    let mut blamed = |from: usize, end: usize| {
        let (mut place, mut blamed) = (from, Vec::new());
        while place < end && left > 0 {
            left -= 1;
            let mut without = query.clone();
            let _ = VisitMut::visit(&mut without, &mut ValueInPlace { next: 0, place, by: parts.found[place].neutral() });
            if is_right(without) {
                blamed.push(place);
            }
            place = parts.found[place].end;
        }
        blamed
    };
    let mut place = *blamed(0, parts.found.len()).first()?;
    let mut found = bytes_of(text, parts.found[place].span);
    while let [inner] = blamed(place + 1, parts.found[place].end)[..] {
        place = inner;
        found = bytes_of(text, parts.found[place].span).or(found);
    }
    found
}

/// All expressions of the query, each before those inside it.
#[derive(Default)]
struct ExpressionSpans {
    found: Vec<ExpressionSpan>,
    open: Vec<usize>,
    /// Conditions of WHERE, HAVING, QUALIFY and ON, with their conjuncts.
    conditions: Vec<Span>,
}

struct ExpressionSpan {
    span: Span,
    /// Index after the last expression inside this one.
    end: usize,
    is_condition: bool,
}

impl ExpressionSpan {
    /// The replacement. A NULL condition would remove all rows, and with them errors elsewhere.
    fn neutral(&self) -> Value {
        if self.is_condition { Value::Boolean(true) } else { Value::Null }
    }
}

impl ExpressionSpans {
    fn add_condition(&mut self, condition: &Expr) {
        self.conditions.push(condition.span());
        if let Expr::BinaryOp { left, op: BinaryOperator::And, right } = condition {
            self.add_condition(left);
            self.add_condition(right);
        }
    }
}

impl Visitor for ExpressionSpans {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        [&select.selection, &select.having, &select.qualify].into_iter().flatten().for_each(|condition| self.add_condition(condition));
        for join in select.from.iter().flat_map(|from| &from.joins) {
            if let Some(JoinConstraint::On(condition)) = constraint(&join.join_operator) {
                self.add_condition(condition);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.open.push(self.found.len());
        let span = expr.span();
        self.found.push(ExpressionSpan { span, end: 0, is_condition: self.conditions.contains(&span) });
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        let place = self.open.pop().expect("it was begun");
        self.found[place].end = self.found.len();
        ControlFlow::Continue(())
    }
}

fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => Some(constraint),
        _ => None,
    }
}

/// Replaces the expression at `place` with a value.
struct ValueInPlace {
    next: usize,
    place: usize,
    by: Value,
}

impl VisitorMut for ValueInPlace {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.next += 1;
        if self.next <= self.place {
            return ControlFlow::Continue(());
        }
        *expr = Expr::value(self.by.clone());
        ControlFlow::Break(())
    }
}
