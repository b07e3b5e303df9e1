//! The part of a query that is wrong, for errors that do not say where they are.

use std::ops::{ControlFlow, Range};

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, JoinConstraint, JoinOperator, Select, Spanned, Statement, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::error::bytes_of;

/// How often the query is planned again at most.
const MOST_TRIES: usize = 200;

/// The smallest expression of a wrong query without which, with NULL in its place or TRUE in a condition's, the query is right. Where that holds for several inside
/// one, what is wrong lies between them: it is the one around.
pub(super) fn culprit(text: &str, query: &Statement, is_right: impl Fn(Statement) -> bool) -> Option<Range<usize>> {
    let mut parts = Parts::default();
    let _ = query.visit(&mut parts);
    let mut left = MOST_TRIES;
    let mut blamed = |from: usize, end: usize| {
        let (mut place, mut blamed) = (from, Vec::new());
        while place < end && left > 0 {
            left -= 1;
            let mut without = query.clone();
            let _ = VisitMut::visit(&mut without, &mut Without { next: 0, place, by: parts.found[place].neutral() });
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

/// All expressions, each before those inside it.
#[derive(Default)]
struct Parts {
    found: Vec<Part>,
    open: Vec<usize>,
    /// What rows and pairs of rows must fulfil.
    conditions: Vec<Span>,
}

struct Part {
    span: Span,
    /// The place behind the last expression inside it.
    end: usize,
    is_condition: bool,
}

impl Part {
    /// Nothing is left where a condition is NULL, nor of what is wrong elsewhere.
    fn neutral(&self) -> Value {
        if self.is_condition { Value::Boolean(true) } else { Value::Null }
    }
}

impl Parts {
    fn add_condition(&mut self, condition: &Expr) {
        self.conditions.push(condition.span());
        if let Expr::BinaryOp { left, op: BinaryOperator::And, right } = condition {
            self.add_condition(left);
            self.add_condition(right);
        }
    }
}

impl Visitor for Parts {
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
        self.found.push(Part { span, end: 0, is_condition: self.conditions.contains(&span) });
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

/// Puts a value in the place of one of them.
struct Without {
    next: usize,
    place: usize,
    by: Value,
}

impl VisitorMut for Without {
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
