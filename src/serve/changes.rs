//! Where to start in a view's changelog.

use super::AccessError;
use super::question::TailFrom;
use super::rows::view;
use crate::store::{Store, ViewReader};
use crate::value::Tick;

/// The reader of a view's changelog.
pub(super) fn reader(store: &Store, name: &str) -> Result<ViewReader, AccessError> {
    Ok(view(&store.snapshot(), name)?.reader())
}

/// The tick after which to read; `None`: the whole changelog that is kept, after the rows of the view as of its start.
pub(super) fn begin_after(store: &Store, from: &TailFrom) -> Result<Option<Tick>, AccessError> {
    Ok(match from {
        TailFrom::Start => None,
        TailFrom::Now => Some(*store.committed().borrow()),
        TailFrom::After(tick) => Some(*tick),
        TailFrom::Position(position) => Some(store.tick_of(None, position)?.ok_or_else(|| {
            let help = "`tidemill tail --from start` shows the positions that are still known".to_string();
            AccessError::not_found(format!("no tick is known for position `{position}`"), Some(help))
        })?),
    })
}
