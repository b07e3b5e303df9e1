//! The memory and the disk that a run could use.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::group_limits;

/// What is free, and what it is that has no more.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Room {
    pub(super) bytes: f64,
    /// A sentence's subject: `this machine`.
    pub(super) of: String,
}

/// The memory that a process started here would get: the least of what the machine has available, what the control group and those above it
/// leave, and what `ulimit` allows. `root` is the folder `/`. `None` if the system does not tell.
pub(super) fn memory(root: &Path) -> Option<Room> {
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_default();
    // What this process uses will be free again.
    let own = number_after(&read("proc/self/status"), "RssAnon:").unwrap_or_default() * 1024.0;
    let available = number_after(&read("proc/meminfo"), "MemAvailable:");
    let available = available.map(|kb| Room { bytes: kb * 1024.0 + own, of: "this machine".into() });
    let limits = read("proc/self/limits");
    let of_process = [("Max address space", "ulimit -v"), ("Max data size", "ulimit -d")].into_iter().filter_map(|(name, command)| {
        let bytes = number_after(&limits, name)?;
        Some(Room { bytes, of: format!("the limit of the process (`{command}`)") })
    });
    let of_groups = group_limits(root).into_iter().map(|limit| {
        let left = limit.bytes as f64 - limit.reserve() as f64 - limit.used().unwrap_or_default() as f64;
        Room { bytes: (left + own).max(0.0), of: format!("the limit in {}", limit.file.display()) }
    });
    available.into_iter().chain(of_process).chain(of_groups).min_by(|a, b| a.bytes.total_cmp(&b.bytes))
}

/// The first number after a name at the beginning of a line.
fn number_after(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// What a state folder could grow to: the free space of the file system on which it is or would be made, and what it has already.
pub(super) fn disk(state: &Path) -> Option<Room> {
    let state = std::path::absolute(state).ok()?;
    let folder = state.ancestors().find(|folder| folder.is_dir())?;
    let found = rustix::fs::statvfs(folder).ok()?;
    let free = found.f_bavail as f64 * found.f_frsize as f64;
    Some(Room { bytes: free + bytes_in(&state), of: format!("the file system of `{}`", folder.display()) })
}

/// The bytes of all files in a folder; 0 if there is none.
fn bytes_in(folder: &Path) -> f64 {
    let mut folders: Vec<PathBuf> = vec![folder.into()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(entry.path()),
                Ok(found) => bytes += found.len(),
                Err(_) => {}
            }
        }
    }
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_memory_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |file: &str, text: &str| {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), text).unwrap();
        };
        let room = || memory(root).map(|room| (room.bytes, room.of));
        assert_eq!(room(), None);
        write("proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:    1000 kB\n");
        write("proc/self/limits", "Max data size             unlimited            unlimited            bytes\n");
        assert_eq!(room(), Some((1_024_000.0, "this machine".into())));
        write("proc/self/limits", "Max address space         500000               unlimited            bytes\n");
        assert_eq!(room(), Some((500_000.0, "the limit of the process (`ulimit -v`)".into())));
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/memory.max", "160000\n");
        write("sys/fs/cgroup/a/memory.stat", "anon 20000\nfile 90000\nshmem 0\n");
        let limit = root.join("sys/fs/cgroup/a/memory.max");
        let of = format!("the limit in {}", limit.display());
        assert_eq!(room(), Some((130_000.0, of.clone())));
        write("proc/self/status", "RssAnon:\t       1 kB\n");
        assert_eq!(room(), Some((131_024.0, of)));
    }

    #[test]
    fn a_state_folder_that_is_not_there_is_measured_where_it_would_be() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("none/state");
        let room = disk(&state).unwrap();
        assert_eq!(room.of, format!("the file system of `{}`", folder.path().display()));
        assert!(room.bytes > 0.0);
        fs::create_dir_all(&state).unwrap();
        fs::write(state.join("a"), [0; 100]).unwrap();
        assert_eq!(bytes_in(folder.path()), 100.0);
    }
}
