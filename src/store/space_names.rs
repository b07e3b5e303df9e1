//! The names of the storage engine's key spaces: two of the whole store, the others by the id of an input or a view.

pub(super) const META: &str = "meta";
pub(super) const TICKS: &str = "ticks";

/// The prefix of the names of temporary key spaces, which have rows to compare with those of a view. They exist only during a bulk load.
pub(super) const BESIDE: &str = "beside-";

pub(super) fn rows_name(id: u32) -> String {
    format!("rows-{id}")
}

pub(super) fn touched_name(id: u32) -> String {
    format!("touched-{id}")
}

pub(super) fn parts_name(id: u32) -> String {
    format!("parts-{id}")
}

pub(super) fn log_name(id: u32) -> String {
    format!("log-{id}")
}
