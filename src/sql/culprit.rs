//! The part of a query that is wrong, for errors that do not say where they are.

use std::ops::{ControlFlow, Range};

use datafusion::sql::sqlparser::ast::{Expr, Spanned, Statement, Value, Visit, VisitMut, Visitor, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::error::bytes_of;

/// How often the query is planned again at most.
const MOST_TRIES: usize = 200;

/// The smallest expression of a wrong query without which, with NULL in its place, the query is right.
pub(super) fn culprit(text: &str, query: &Statement, is_right: impl Fn(Statement) -> bool) -> Option<Range<usize>> {
    let mut parts = Parts::default();
    let _ = query.visit(&mut parts);
    let (mut place, mut end, mut found) = (0, parts.found.len(), None);
    for _ in 0..MOST_TRIES {
        if place >= end {
            break;
        }
        let part = &parts.found[place];
        let mut without = query.clone();
        let _ = VisitMut::visit(&mut without, &mut Without { next: 0, place });
        if is_right(without) {
            found = bytes_of(text, part.span).or(found);
            (place, end) = (place + 1, part.end);
        } else {
            place = part.end;
        }
    }
    found
}

/// All expressions, each before those inside it.
#[derive(Default)]
struct Parts {
    found: Vec<Part>,
    open: Vec<usize>,
}

struct Part {
    span: Span,
    /// The place behind the last expression inside it.
    end: usize,
}

impl Visitor for Parts {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.open.push(self.found.len());
        self.found.push(Part { span: expr.span(), end: 0 });
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        let place = self.open.pop().expect("it was begun");
        self.found[place].end = self.found.len();
        ControlFlow::Continue(())
    }
}

/// Puts NULL in the place of one of them.
struct Without {
    next: usize,
    place: usize,
}

impl VisitorMut for Without {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.next += 1;
        if self.next <= self.place {
            return ControlFlow::Continue(());
        }
        *expr = Expr::value(Value::Null);
        ControlFlow::Break(())
    }
}
