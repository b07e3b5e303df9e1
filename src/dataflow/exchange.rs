//! Determines which worker owns a key: one hash function for every exchange.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, ExchangeCore};
use xxhash_rust::xxh3::xxh3_64;

use super::held::updates::{Update, Updates};
use crate::value::Row;

/// The hash of a key. Its owner is the worker with the number `hash % workers`.
pub(crate) fn hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// Sends updates to the owners of their keys.
pub(crate) fn by_key() -> ExchangeCore<CapacityContainerBuilder<Updates>, impl for<'a> FnMut(&Update<'a>) -> u64 + 'static> {
    ExchangeCore::new(|update: &Update<'_>| hash(update.key))
}

/// Sends updates to the owners of their rows.
pub(crate) fn by_row() -> ExchangeCore<CapacityContainerBuilder<Updates>, impl for<'a> FnMut(&Update<'a>) -> u64 + 'static> {
    ExchangeCore::new(|update: &Update<'_>| hash(update.row))
}

/// Sends keys to their owners.
pub(crate) fn to_owner() -> Exchange<Row, impl for<'a> FnMut(&Row) -> u64 + 'static> {
    Exchange::new(|key: &Row| hash(key))
}
