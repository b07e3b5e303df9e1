//! A simulated disk under a process, from the calls that it made.
//!
//! What it models. Bytes of a file are safe from when `fsync` or `fdatasync` of it began, once that has returned; of what was
//! written since, each sector of 512 bytes is there or not, and the new length is or is not. What was made, renamed and removed in a
//! folder is safe with an `fsync` of that folder, and of what came since the first so many are there, folder by folder. So it is harsher
//! than a file system that orders changes of several folders.
//!
//! What it does not model: sectors that are torn in themselves, disks that lie about what is synced, and reads that fail.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::folder::Random;

const SECTOR: usize = 512;

/// The calls of a process, as `strace` wrote them down.
pub(crate) struct Recording {
    log: PathBuf,
    /// Where its state folder was.
    dir: PathBuf,
}

#[derive(Default)]
struct FileData {
    bytes: Vec<u8>,
    synced_len: usize,
    /// Sectors that changed since they were synced, as they were.
    before: BTreeMap<usize, Vec<u8>>,
    /// The same of a sync under way.
    syncing: BTreeMap<usize, Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    /// By number.
    File(usize),
}

#[derive(Clone)]
enum Entry {
    Made(PathBuf, Node),
    Removed(PathBuf),
    Renamed(PathBuf, PathBuf),
}

#[derive(Clone)]
struct Handle {
    path: PathBuf,
    node: Node,
    at: Rc<Cell<u64>>,
    append: bool,
}

/// Paths are below the state folder, which is `""`.
#[derive(Default)]
pub(crate) struct Disk {
    files: Vec<FileData>,
    names: BTreeMap<PathBuf, Node>,
    safe_names: BTreeMap<PathBuf, Node>,
    /// Not safe yet, by the folder.
    entries: BTreeMap<PathBuf, Vec<Entry>>,
    handles: HashMap<i64, Handle>,
    said: u64,
}

impl Recording {
    pub(crate) fn of(log: PathBuf, dir: PathBuf) -> Recording {
        Recording { log, dir }
    }

    fn lines(&self) -> impl Iterator<Item = String> + use<> {
        BufReader::with_capacity(1 << 20, File::open(&self.log).unwrap()).lines().map(Result::unwrap)
    }

    pub(crate) fn count(&self) -> u64 {
        self.lines().count() as u64
    }

    /// Carries out the calls; at each point, in ascending order, shows the disk and the last tick that the process had said.
    pub(crate) fn replay(&self, points: &[(u64, u64)], mut at_point: impl FnMut(&Disk, u64, u64)) {
        let mut disk = Disk::default();
        disk.names.insert(PathBuf::new(), Node::Folder);
        disk.safe_names.insert(PathBuf::new(), Node::Folder);
        let mut begun: HashMap<String, String> = HashMap::new();
        let mut points = points.iter().peekable();
        for (number, line) in self.lines().enumerate() {
            while let Some((_, seed)) = points.next_if(|(at, _)| *at <= number as u64) {
                at_point(&disk, disk.said, *seed);
            }
            let (pid, call) = line.trim_start().split_once(' ').unwrap();
            let call = call.trim_start();
            if let Some(first) = call.strip_suffix(" <unfinished ...>") {
                disk.begin(first);
                begun.insert(pid.into(), first.into());
            } else if let Some(rest) = call.strip_prefix("<... ") {
                let (_, rest) = rest.split_once(" resumed>").unwrap();
                if let Some(first) = begun.remove(pid) {
                    disk.carry_out(&format!("{first}{rest}"), &self.dir);
                }
            } else {
                disk.begin(call);
                disk.carry_out(call, &self.dir);
            }
        }
        points.for_each(|(_, seed)| at_point(&disk, disk.said, *seed));
    }
}

/// The bytes of the strings of a call, and its other arguments, in their order.
fn arguments(call: &str) -> Option<(&str, Vec<String>, i64)> {
    let (name, rest) = call.split_once('(')?;
    let (inside, result) = rest.rsplit_once(" = ")?;
    let inside = inside.trim_end().strip_suffix(')')?;
    let result = result.split_whitespace().next()?.parse().ok()?;
    Some((name, inside.split(", ").map(str::to_string).collect(), result))
}

/// `"\x61\x62"` as bytes.
fn bytes(text: &str) -> Vec<u8> {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.trim_matches('"').as_bytes().chunks_exact(4).map(|escaped| digits(&escaped[2..])).collect()
}

fn number(text: &str) -> i64 {
    text.split('<').next().unwrap().parse().unwrap_or(-100)
}

impl Disk {
    /// A sync covers what was written when it began. A file that is being closed has given its number away already: to another thread's
    /// file, which may be told of earlier than that the close has ended.
    fn begin(&mut self, call: &str) {
        if let Some(rest) = call.strip_prefix("close(") {
            self.handles.remove(&number(rest.split([')', ' ']).next().unwrap()));
            return;
        }
        let Some(rest) = call.strip_prefix("fsync(").or_else(|| call.strip_prefix("fdatasync(")) else { return };
        let fd = number(rest.split([')', ' ', ',']).next().unwrap());
        if let Some(Handle { node: Node::File(file), .. }) = self.handles.get(&fd) {
            let file = &mut self.files[*file];
            for (sector, was) in std::mem::take(&mut file.before) {
                file.syncing.entry(sector).or_insert(was);
            }
        }
    }

    fn carry_out(&mut self, call: &str, dir: &Path) {
        let Some((name, args, result)) = arguments(call) else { return };
        if result < 0 {
            return;
        }
        let below = |disk: &Disk, folder: &str, text: &str| -> Option<PathBuf> {
            use std::os::unix::ffi::OsStringExt;
            let path = PathBuf::from(std::ffi::OsString::from_vec(bytes(text)));
            if path.is_absolute() {
                return path.strip_prefix(dir).ok().map(Path::to_path_buf);
            }
            Some(disk.handles.get(&number(folder))?.path.join(path))
        };
        match name {
            "openat" => {
                let Some(path) = below(self, &args[0], &args[1]) else { return };
                self.open(path, &args[2], result);
            }
            "open" | "creat" => panic!("`{name}` is not simulated"),
            "dup" | "fcntl" if name == "dup" || args[1].starts_with("F_DUPFD") => {
                if let Some(handle) = self.handles.get(&number(&args[0])).cloned() {
                    self.handles.insert(result, handle);
                }
            }
            "lseek" => {
                if let Some(handle) = self.handles.get(&number(&args[0])) {
                    handle.at.set(result as u64);
                }
            }
            "write" if number(&args[0]) == 1 => {
                let text = String::from_utf8_lossy(&bytes(&args[1])).into_owned();
                let tick = text.lines().filter_map(|line| line.strip_prefix("committed ")?.parse().ok()).max();
                self.said = tick.unwrap_or(0).max(self.said);
            }
            "write" => {
                let Some(handle) = self.handles.get(&number(&args[0])).cloned() else { return };
                let Node::File(file) = handle.node else { return };
                let at = if handle.append { self.files[file].bytes.len() as u64 } else { handle.at.get() };
                let data = bytes(&args[1]);
                assert!(data.len() as i64 >= result, "the recording has all bytes");
                self.files[file].write(at as usize, &data[..result as usize]);
                handle.at.set(at + result as u64);
            }
            "pwrite64" => {
                let Some(Handle { node: Node::File(file), .. }) = self.handles.get(&number(&args[0])) else { return };
                let data = bytes(&args[1]);
                self.files[*file].write(args[3].parse().unwrap(), &data[..result as usize]);
            }
            "ftruncate" => {
                let Some(Handle { node: Node::File(file), .. }) = self.handles.get(&number(&args[0])) else { return };
                self.files[*file].set_len(args[1].parse().unwrap());
            }
            "fsync" | "fdatasync" => match self.handles.get(&number(&args[0])).cloned() {
                Some(Handle { node: Node::File(file), .. }) => {
                    let file = &mut self.files[file];
                    file.syncing.clear();
                    file.synced_len = file.bytes.len();
                }
                Some(Handle { node: Node::Folder, path, .. }) => {
                    for entry in self.entries.remove(&path).unwrap_or_default() {
                        apply(&mut self.safe_names, &entry);
                    }
                }
                None => {}
            },
            "rename" => self.rename(below(self, "", &args[0]), below(self, "", &args[1])),
            "renameat" | "renameat2" => self.rename(below(self, &args[0], &args[1]), below(self, &args[2], &args[3])),
            "unlink" | "rmdir" => self.removed(below(self, "", &args[0])),
            "unlinkat" => self.removed(below(self, &args[0], &args[1])),
            "mkdir" => self.made(below(self, "", &args[0]), Node::Folder),
            "mkdirat" => self.made(below(self, &args[0], &args[1]), Node::Folder),
            _ => {}
        }
    }

    fn open(&mut self, path: PathBuf, flags: &str, fd: i64) {
        let node = match self.names.get(&path) {
            Some(node) => *node,
            None => {
                assert!(flags.contains("O_CREAT"), "{} is opened and was never made", path.display());
                self.files.push(FileData::default());
                let node = Node::File(self.files.len() - 1);
                self.made(Some(path.clone()), node);
                node
            }
        };
        if let Node::File(file) = node
            && flags.contains("O_TRUNC")
        {
            self.files[file].set_len(0);
        }
        let append = flags.contains("O_APPEND");
        self.handles.insert(fd, Handle { path, node, at: Rc::default(), append });
    }

    fn made(&mut self, path: Option<PathBuf>, node: Node) {
        let Some(path) = path.filter(|path| path != Path::new("")) else { return };
        self.changed(path.clone(), Entry::Made(path, node));
    }

    fn removed(&mut self, path: Option<PathBuf>) {
        let Some(path) = path else { return };
        self.changed(path.clone(), Entry::Removed(path));
    }

    fn rename(&mut self, from: Option<PathBuf>, to: Option<PathBuf>) {
        let (Some(from), Some(to)) = (from, to) else { return };
        assert_eq!(from.parent(), to.parent(), "a rename between folders is not simulated");
        self.changed(from.clone(), Entry::Renamed(from, to));
    }

    fn changed(&mut self, path: PathBuf, entry: Entry) {
        apply(&mut self.names, &entry);
        self.entries.entry(path.parent().unwrap().to_path_buf()).or_default().push(entry);
    }

    /// Writes to `to` what is there after a power cut now.
    pub(crate) fn after_a_cut(&self, to: &Path, random: &mut Random) {
        let mut names = self.safe_names.clone();
        for entries in self.entries.values() {
            let kept = random.below(entries.len() as u64 + 1) as usize;
            entries[..kept].iter().for_each(|entry| apply(&mut names, entry));
        }
        for (path, node) in &names {
            let has_folders = path.ancestors().skip(1).all(|folder| names.get(folder) == Some(&Node::Folder));
            match node {
                _ if !has_folders => {}
                Node::Folder => fs::create_dir_all(to.join(path)).unwrap(),
                Node::File(file) => write_sparse(&to.join(path), &self.files[*file].after_a_cut(random)),
            }
        }
        same_file(&to.join("witness"));
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Node>, entry: &Entry) {
    match entry {
        Entry::Made(path, node) => {
            names.insert(path.clone(), *node);
        }
        Entry::Removed(path) => {
            names.remove(path);
        }
        Entry::Renamed(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
    }
}

impl FileData {
    /// Keeps what these bytes were, if they are of another sync.
    fn keep(&mut self, from: usize, to: usize) {
        for sector in from / SECTOR..to.div_ceil(SECTOR) {
            let bytes = &self.bytes;
            self.before.entry(sector).or_insert_with(|| {
                let mut was = vec![0; SECTOR];
                let here = bytes.get(sector * SECTOR..).unwrap_or_default();
                let length = here.len().min(SECTOR);
                was[..length].copy_from_slice(&here[..length]);
                was
            });
        }
    }

    fn write(&mut self, at: usize, data: &[u8]) {
        self.keep(at, at + data.len());
        if self.bytes.len() < at + data.len() {
            self.bytes.resize(at + data.len(), 0);
        }
        self.bytes[at..at + data.len()].copy_from_slice(data);
    }

    fn set_len(&mut self, length: usize) {
        if length < self.bytes.len() {
            let used = self.bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
            self.keep(length, used.max(length));
        }
        self.bytes.resize(length, 0);
    }

    fn after_a_cut(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let length = if random.one_in(2) { self.synced_len } else { bytes.len() };
        bytes.resize(bytes.len().max(length), 0);
        // All, none, or some of them: whole runs are what disks lose.
        let odds = random.below(3);
        for older in [&self.before, &self.syncing] {
            for (sector, was) in older {
                let lost = odds == 0 || odds == 1 && random.one_in(2);
                let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(bytes.len()));
                if lost && from < to {
                    bytes[from..to].copy_from_slice(&was[..to - from]);
                }
            }
        }
        bytes.truncate(length);
        bytes
    }
}

fn write_sparse(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = File::create(path).unwrap();
    for (number, block) in bytes.chunks(64 << 10).enumerate() {
        if block.iter().any(|b| *b != 0) {
            file.write_all_at(block, number as u64 * (64 << 10)).unwrap();
        }
    }
    file.set_len(bytes.len() as u64).unwrap();
}

/// Power cuts do not make a file another one, writing it here does: puts the number and the time of birth of this file into the records
/// that are whole.
fn same_file(witness: &Path) {
    use xxhash_rust::xxh3::xxh3_128;
    let Ok(mut bytes) = fs::read(witness) else { return };
    let known = fs::metadata(witness).unwrap();
    let born = known.created().map_or(0, |at| at.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64);
    let place_bytes = bytes.len() / 4;
    for place in bytes.chunks_exact_mut(place_bytes.max(1)).take(4) {
        let count = u64::from_le_bytes(*place.first_chunk().unwrap_or(&[0; 8])) as usize;
        let Some(end) = count.checked_mul(8).and_then(|length| length.checked_add(8)).filter(|end| end + 16 <= place.len()) else {
            continue;
        };
        if count < 5 || xxh3_128(&place[..end]).to_le_bytes() != place[end..end + 16] {
            continue;
        }
        place[24..32].copy_from_slice(&known.ino().to_le_bytes());
        place[32..40].copy_from_slice(&born.to_le_bytes());
        let checksum = xxh3_128(&place[..end]).to_le_bytes();
        place[end..end + 16].copy_from_slice(&checksum);
    }
    // In place: it stays the same file.
    let file = File::options().write(true).open(witness).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
}
