//! Where the program of the baselines is.

use std::path::{Path, PathBuf};

/// The newest program of that name beside this one.
pub(crate) fn newest(this: &Path, name: &str) -> PathBuf {
    let beside = std::fs::read_dir(this.parent().expect("it is in a folder")).expect("the folder can be read");
    let named = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.strip_prefix(name).is_some_and(|rest| rest.starts_with('-')) && path.extension().is_none()
    };
    let found = beside.map(|entry| entry.expect("the folder can be read").path()).filter(named);
    let newest = found.max_by_key(|path| path.metadata().and_then(|m| m.modified()).expect("Linux tells when a file was written"));
    newest.unwrap_or_else(|| panic!("`{name}` is built as well where --bench names both, with a star behind the first part"))
}
