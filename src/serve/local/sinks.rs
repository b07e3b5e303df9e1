//! What is known of sinks, and orders about them.

use crate::store::{ReaderInfo, Store};
use crate::value::Tick;

use super::{AccessError, Order, SinkOrder, SinkStatus};

/// Every sink that the state knows.
pub(super) fn status(store: &Store) -> Result<Vec<SinkStatus>, AccessError> {
    let mut sinks = Vec::new();
    for ReaderInfo { name, view, tick, released, .. } in store.readers()? {
        let position = store.positions_of(tick)?.into_iter().next().map(|mark| mark.position.to_string());
        let (lag_ms, refused) = (store.behind_ms(tick)?, store.refused_count(&name)?);
        sinks.push(SinkStatus { name, view, tick, position, waiting: None, lag_ms, refused, left: released, note: None });
    }
    Ok(sinks)
}

/// Carries an order out; the tick as of which it was. `running`: an engine follows the sinks of its spec.
pub(super) fn carry_out(store: &Store, SinkOrder { name, order }: &SinkOrder, running: bool) -> Result<Tick, AccessError> {
    let Some(sink) = store.reader(name)? else {
        let names: Vec<String> = store.readers()?.into_iter().map(|sink| format!("`{}`", sink.name)).collect();
        let help = if names.is_empty() { "no sink has begun yet".to_string() } else { format!("there is {}", names.join(", ")) };
        return Err(AccessError::not_found(format!("there is no sink `{name}`"), Some(help)));
    };
    let in_use = running && !sink.released;
    match order {
        Order::Forget if in_use => {
            let help =
                Some("remove it from the spec and run that first; `tidemill sink resync` compares its target with the view".to_string());
            return Err(AccessError { help, ..AccessError::invalid(format!("the running engine writes to the sink `{name}`")) });
        }
        Order::Forget => drop(store.remove_reader(name)?),
        Order::Resync if sink.released && running => {
            let help = Some("put it into the spec and run that".to_string());
            return Err(AccessError { help, ..AccessError::invalid(format!("the sink `{name}` is not in the spec that runs")) });
        }
        Order::Resync => drop(store.ask_resync(name, true)?),
    }
    Ok(*store.committed().borrow())
}
