//! What `tidemill check` estimates of first runs, beside what they take: `cargo bench --profile dev --bench estimates -- SPEC...`.
//!
//! Each spec is checked, run from nothing until it has caught up, and run once more to measure the memory when nothing happens any more.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often the memory and the disk are looked at.
const EVERY: Duration = Duration::from_millis(10);
/// How long the memory must stay the same.
const QUIET: Duration = Duration::from_secs(4);

fn main() {
    let specs: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if specs.is_empty() {
        println!("estimates: give the paths of specs: cargo bench --profile dev --bench estimates -- SPEC...");
    }
    for spec in specs {
        let check = tidemill(&["check", &spec]).output().expect("the program is there");
        let lines = String::from_utf8_lossy(&check.stdout).into_owned();
        let is_estimate = |line: &&str| ["first capture", "memory", "on disk"].iter().any(|name| line.starts_with(name));
        println!("{spec}");
        lines.lines().filter(is_estimate).for_each(|line| println!("  {line}"));
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let run = ["run", &spec, "--state", state.to_str().expect("a path of text")];
        let begin = Instant::now();
        let (mut most, mut most_disk) = (0, 0);
        let mut running = start(&[&run[..], &["--until-caught-up"]].concat());
        while running.try_wait().expect("it can be waited for").is_none() {
            most = most.max(memory_of(&running));
            most_disk = most_disk.max(disk_of(&state));
            std::thread::sleep(EVERY);
        }
        let seconds = begin.elapsed().as_secs_f64();
        let disk = disk_of(&state);
        let mb = |bytes: u64| bytes as f64 / 1e6;
        println!("  actual: {seconds:.2} s; memory at most {:.0} MB; disk {:.0} MB (at most {:.0} MB)", mb(most), mb(disk), mb(most_disk));
        std::fs::remove_dir_all(&state).expect("it can be removed");
        println!("  actual: {:.0} MB when caught up", mb(memory_at_rest(&run)));
    }
}

fn tidemill(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.args(arguments);
    command
}

fn start(arguments: &[&str]) -> Child {
    tidemill(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program is there")
}

/// Runs it until its memory no longer changes by a hundredth.
fn memory_at_rest(arguments: &[&str]) -> u64 {
    let mut running = start(arguments);
    let (mut last, mut since) = (0u64, Instant::now());
    while since.elapsed() < QUIET {
        std::thread::sleep(EVERY);
        let now = memory_of(&running);
        if now.abs_diff(last) > last / 100 {
            (last, since) = (now, Instant::now());
        }
    }
    let _ = running.kill();
    let _ = running.wait();
    last
}

/// The memory of a process without files that are mapped into it.
fn memory_of(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
}

/// The blocks of all files of a folder. The journal is longer than its blocks.
fn disk_of(folder: &Path) -> u64 {
    let du = Command::new("du").args(["-s", "-B1"]).arg(folder).stderr(Stdio::null()).output().expect("there is a `du`");
    String::from_utf8_lossy(&du.stdout).split_whitespace().next().and_then(|bytes| bytes.parse().ok()).unwrap_or_default()
}
