//! Ends a run with an error that names the memory limit, before the kernel kills the process.
//!
//! The kernel kills a control group (a container, a systemd unit) that exceeds its memory limit, without any message. So the memory that cannot
//! be reclaimed is compared with the limits of the group and of all groups above it: `memory.max` of version 2, `memory.limit_in_bytes` of
//! version 1.
//! Elsewhere: limits that make an allocation fail (`main`).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use super::{Fatal, RunError};

/// How often memory is measured. A process gets at most a few MB of new pages per millisecond.
const EVERY: Duration = Duration::from_millis(20);
/// The run ends when less than the reserve is left: this fraction of the limit, but at most [`RESERVE_BYTES`].
const RESERVE_PART: u64 = 16;
/// The largest reserve. Once less than twice the reserve is left, a warning is logged.
const RESERVE_BYTES: u64 = 256 << 20;

/// The memory limit of a control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLimit {
    pub file: PathBuf,
    pub bytes: u64,
    /// The file with the group's memory usage.
    stat: PathBuf,
    /// The fields of `stat` that count memory which cannot be reclaimed.
    fields: &'static [&'static str],
}

/// Watches the memory limits until the run ends, in a thread that may block. Returns at once if there is no limit. `root` is the folder `/`.
pub(super) fn guard(root: &Path, fatal: &Fatal, stopping: &watch::Receiver<bool>) {
    let limits = group_limits(root);
    let mut warned = vec![false; limits.len()];
    while !limits.is_empty() && !*stopping.borrow() {
        for (limit, warned) in limits.iter().zip(&mut warned) {
            let Some(used) = limit.used() else { continue };
            let left = limit.bytes.saturating_sub(used);
            let reserve = limit.reserve();
            let name = || limit.file.display().to_string();
            if left < reserve {
                let _ = fatal.blocking_send(RunError::Memory { used, limit: limit.bytes, name: name() });
                return;
            }
            if left < 2 * reserve && !std::mem::replace(warned, true) {
                tracing::warn!(
                    used,
                    limit = limit.bytes,
                    of = name(),
                    "memory is nearly used up: the run ends before the limit is reached"
                );
            }
        }
        std::thread::sleep(EVERY);
    }
}

/// The memory limits of the control group of this process and of all groups above it. `root` is the folder `/`.
pub fn group_limits(root: &Path) -> Vec<GroupLimit> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let of_groups = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        match (number, controllers) {
            ("0", "") => Some(("sys/fs/cgroup", "memory.max", &["anon", "shmem"], path)),
            (_, controllers) if controllers.split(',').any(|c| c == "memory") => {
                Some(("sys/fs/cgroup/memory", "memory.limit_in_bytes", &["total_rss", "total_shmem"], path))
            }
            _ => None,
        }
    });
    let of_groups = of_groups.flat_map(|(mount, limit, fields, path)| {
        let path = PathBuf::from(path.trim_start_matches('/'));
        let groups: Vec<PathBuf> = path.ancestors().map(|group| root.join(mount).join(group)).collect();
        groups.into_iter().filter_map(move |group| {
            let file = group.join(limit);
            // Without a limit the file has `max`, or in version 1 a number near the largest.
            let bytes = fs::read_to_string(&file).ok()?.trim().parse::<u64>().ok().filter(|bytes| *bytes < 1 << 60)?;
            Some(GroupLimit { file, bytes, stat: group.join("memory.stat"), fields })
        })
    });
    of_groups.collect()
}

impl GroupLimit {
    /// What must be left: a run that has less ends.
    pub fn reserve(&self) -> u64 {
        (self.bytes / RESERVE_PART).min(RESERVE_BYTES)
    }

    /// The used memory in bytes that cannot be reclaimed; `None` if it cannot be read.
    pub fn used(&self) -> Option<u64> {
        let stat = fs::read_to_string(&self.stat).ok()?;
        let of = |field: &&str| stat.lines().find_map(|line| line.strip_prefix(*field)?.strip_prefix(' ')?.parse::<u64>().ok());
        Some(self.fields.iter().filter_map(of).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let file = root.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[test]
    fn a_run_ends_where_its_control_group_or_one_above_has_little_left() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let (fatal, mut failed) = tokio::sync::mpsc::channel(1);
        let (stop, stopping) = watch::channel(false);
        // Without limits it returns at once.
        guard(root, &fatal, &stopping);
        write(root, "proc/self/cgroup", "4:cpu,memory:/a/b\n1:name=systemd:/\n0::/c\n");
        write(root, "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
        write(root, "sys/fs/cgroup/c/memory.max", "max\n");
        guard(root, &fatal, &stopping);
        assert!(failed.try_recv().is_err());

        for (limit, stat) in [
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "cache 900\nrss 1\ntotal_cache 900\ntotal_rss 50\ntotal_shmem 45\n"),
            ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "total_rss 95\n"),
            ("sys/fs/cgroup/memory.max", "anon 90\nfile 900\nshmem 5\n"),
        ] {
            let group = Path::new(limit).parent().unwrap().to_str().unwrap();
            write(root, limit, "100\n");
            write(root, &format!("{group}/memory.stat"), stat);
            guard(root, &fatal, &stopping);
            let error = failed.try_recv().expect("95 of 100 are too much");
            let RunError::Memory { used: 95, limit: 100, name } = error else { panic!("{error}") };
            assert_eq!(name, root.join(limit).display().to_string());
            // With 94 it runs until the stop.
            write(root, &format!("{group}/memory.stat"), &stat.replace("95", "94").replace("45", "44").replace(" 5\n", " 4\n"));
            std::thread::scope(|scope| {
                let looks = scope.spawn(|| guard(root, &fatal, &stopping));
                std::thread::sleep(3 * EVERY);
                stop.send_replace(true);
                looks.join().unwrap();
            });
            stop.send_replace(false);
            assert!(failed.try_recv().is_err(), "{limit}");
            fs::remove_file(root.join(limit)).unwrap();
        }
    }
}
