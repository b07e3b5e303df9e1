//! The names of the storage engine's key spaces: two for the whole store, the others by the id of an input or a view.

pub(super) const META: &str = "meta";
pub(super) const TICKS: &str = "ticks";

/// What the names of key spaces begin with that hold rows to compare with a view's; there only while a load runs.
pub(super) const BESIDE: &str = "beside-";

pub(super) fn rows_name(id: u32) -> String {
    format!("rows-{id}")
}

pub(super) fn parts_name(id: u32) -> String {
    format!("parts-{id}")
}

pub(super) fn log_name(id: u32) -> String {
    format!("log-{id}")
}
