//! Where what becomes of a view comes out.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use super::changes::{DocumentChange, FailureChange, Outcome};
use super::time::{Clock, Moment, START};
use crate::value::{Row, Tick};

/// What came out of a view, until it is taken.
pub(crate) type ViewChanges = Rc<RefCell<Vec<DocumentChange>>>;

/// Failing rows of a view, until they are taken.
pub(crate) type ErrorOutput = Rc<RefCell<Vec<FailureChange>>>;

/// The end of a view's operators.
pub(crate) struct ViewOutput {
    pub(crate) changes: ViewChanges,
    pub(crate) clock: Clock,
    /// Whether what there is at the first moment comes out: else only what changes later.
    pub(crate) hydrate: bool,
}

impl ViewOutput {
    pub(crate) fn at(&self, moment: Moment) -> AtMoment<'_> {
        let comes_out = moment > START || self.hydrate;
        AtMoment { changes: comes_out.then(|| self.changes.borrow_mut()), tick: self.clock.tick_of(moment) }
    }
}

pub(crate) struct AtMoment<'a> {
    changes: Option<RefMut<'a, Vec<DocumentChange>>>,
    tick: Tick,
}

impl AtMoment<'_> {
    pub(crate) fn give(&mut self, key: Row, outcome: Outcome) {
        if let Some(changes) = &mut self.changes {
            changes.push(DocumentChange { tick: self.tick, key, outcome });
        }
    }
}
