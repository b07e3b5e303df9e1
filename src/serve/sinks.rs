//! The status of sinks, and orders about them.

use crate::store::{ReaderInfo, Store, StoreSnapshot};
use crate::value::Tick;

use super::question::{SinkAction, SinkOrder};
use super::{AccessError, SinkStatus};

/// The status of every sink in the store.
pub(super) fn status(snapshot: &StoreSnapshot) -> Result<Vec<SinkStatus>, AccessError> {
    let mut sinks = Vec::new();
    for ReaderInfo { name, view, tick, released, .. } in snapshot.readers()? {
        let position = snapshot.positions_of(tick)?.into_iter().next().map(|mark| mark.position.to_string());
        let (lag_ms, refused) = (snapshot.behind_ms(tick)?, snapshot.refused_count(&name)?);
        sinks.push(SinkStatus { name, view, tick, position, waiting: None, lag_ms, refused, left: released, note: None });
    }
    Ok(sinks)
}

/// Carries out an order. Returns the last committed tick. `running`: whether an engine is running.
pub(super) fn carry_out(store: &Store, SinkOrder { name, order }: &SinkOrder, running: bool) -> Result<Tick, AccessError> {
    let Some(sink) = store.reader(name)? else {
        let names: Vec<String> = store.readers()?.into_iter().map(|sink| format!("`{}`", sink.name)).collect();
        let help = if names.is_empty() { "no sink has begun yet".to_string() } else { format!("there is {}", names.join(", ")) };
        return Err(AccessError::not_found(format!("there is no sink `{name}`"), Some(help)));
    };
    let in_use = running && !sink.released;
    match order {
        SinkAction::Forget if in_use => {
            let help = Some(
                "remove it from the spec and run the spec first; `tidemill sink resync` compares its target with the view".to_string(),
            );
            return Err(AccessError { help, ..AccessError::invalid(format!("the running engine writes to the sink `{name}`")) });
        }
        SinkAction::Forget => drop(store.remove_reader(name)?),
        SinkAction::Resync if sink.released && running => {
            let help = Some("add it to the spec and run the spec".to_string());
            return Err(AccessError { help, ..AccessError::invalid(format!("the sink `{name}` is not in the running spec")) });
        }
        SinkAction::Resync => drop(store.ask_resync(name, true)?),
    }
    Ok(*store.committed().borrow())
}
