//! A view's changelog: from where it is followed.

use super::AccessError;
use super::question::TailFrom;
use super::rows::view;
use crate::store::{Store, ViewReader};
use crate::value::Tick;

/// Follows the changelog of a view.
pub(super) fn reader(store: &Store, name: &str) -> Result<ViewReader, AccessError> {
    if let Some(view) = store.view(name) {
        return Ok(view);
    }
    view(&store.snapshot(), name)?;
    Err(AccessError::failed(format!("the view `{name}` is defined anew just now")))
}

/// The tick after which the changes come; `None`: all that is known, with the rows that the first changes met.
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
