//! The outputs of a view's operators.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use super::changes::{FailureChange, Outcome, RowChange};
use super::time::{Clock, Moment, START};
use crate::value::{Row, Tick};

/// Changes of a view that have not been taken yet.
pub(crate) type ViewChanges = Rc<RefCell<Vec<RowChange>>>;

/// Failing rows of a view that have not been taken yet.
pub(crate) type ErrorOutput = Rc<RefCell<Vec<FailureChange>>>;

/// The end of a view's dataflow.
pub(crate) struct ViewOutput {
    pub(crate) changes: ViewChanges,
    pub(crate) clock: Clock,
    /// Whether the rows of the first moment are output. If false, only later changes are.
    pub(crate) hydrate: bool,
}

impl ViewOutput {
    /// The output of changes at this moment. Drops them if the view is not hydrated and this is the first moment.
    pub(crate) fn at(&self, moment: Moment) -> AtMoment<'_> {
        let comes_out = moment > START || self.hydrate;
        AtMoment { changes: comes_out.then(|| self.changes.borrow_mut()), tick: self.clock.tick_of(moment) }
    }
}

/// Collects the view's changes of one moment.
pub(crate) struct AtMoment<'a> {
    changes: Option<RefMut<'a, Vec<RowChange>>>,
    tick: Tick,
}

impl AtMoment<'_> {
    pub(crate) fn give(&mut self, key: Row, outcome: Outcome) {
        if let Some(changes) = &mut self.changes {
            changes.push(RowChange { tick: self.tick, key, outcome });
        }
    }
}
