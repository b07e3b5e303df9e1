//! The `tidemill` program in a temp folder: its arguments in, its output and exit code out.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long any wait here takes at most, unless [`Program::deadline`] was given another.
const DEADLINE: Duration = Duration::from_secs(60);

/// A fresh folder in which the program is run, any number of times.
#[derive(Debug)]
pub(crate) struct Program {
    folder: tempfile::TempDir,
    program: PathBuf,
    variables: Vec<(String, String)>,
    deadline: Duration,
}

/// What the program left when it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    /// `None`: a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A program that is running. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: Arc<Output>,
    stderr: Arc<Output>,
    deadline: Duration,
}

/// Lines of one output as they come.
#[derive(Debug, Default)]
struct Output {
    state: Mutex<OutputState>,
    grew: Condvar,
}

#[derive(Debug, Default)]
struct OutputState {
    lines: Vec<String>,
    ended: bool,
}

impl Program {
    pub(crate) fn new() -> Program {
        Program::of(env!("CARGO_BIN_EXE_tidemill"))
    }

    /// Another program in the place of `tidemill`.
    pub(crate) fn of(program: impl Into<PathBuf>) -> Program {
        let folder = tempfile::tempdir().expect("a temp folder");
        Program { folder, program: program.into(), variables: Vec::new(), deadline: DEADLINE }
    }

    pub(crate) fn deadline(mut self, deadline: Duration) -> Program {
        self.deadline = deadline;
        self
    }

    /// An environment variable for each run.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Program {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the folder, with the folders above it.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs it to its end. Panics with what it said so far if that takes longer than the deadline.
    pub(crate) fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Finished {
        self.start(arguments).finish()
    }

    /// Starts it with nothing on stdin.
    pub(crate) fn start(&self, arguments: &[impl AsRef<OsStr>]) -> Running {
        self.start_with(&[], arguments)
    }

    /// The same with more environment variables, for this run only.
    pub(crate) fn start_with(&self, variables: &[(&str, &str)], arguments: &[impl AsRef<OsStr>]) -> Running {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("RUST_LOG")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let stdout = Output::collect(child.stdout.take().unwrap());
        let stderr = Output::collect(child.stderr.take().unwrap());
        Running { child, stdout, stderr, deadline: self.deadline }
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first line of stdout, from the beginning, for which `wanted` is true.
    pub(crate) fn wait_for_stdout(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_for_line(&self.stdout, what, wanted)
    }

    /// The same for stderr.
    pub(crate) fn wait_for_stderr(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_for_line(&self.stderr, what, wanted)
    }

    fn wait_for_line(&self, output: &Output, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        output.first(self.deadline, wanted).unwrap_or_else(|why| panic!("no line with {what}: {why}\n{}", self.said()))
    }

    /// Sends `TERM`, `INT`, `STOP`, ...
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -s {name} {}", self.pid())).status();
        assert!(sent.is_ok_and(|status| status.success()), "the program is not there any more\n{}", self.said());
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends it with no warning, as a crash does.
    pub(crate) fn kill(mut self) -> Finished {
        self.child.kill().unwrap();
        self.finish()
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Finished {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if start.elapsed() > self.deadline => panic!("still running after {:?}\n{}", self.deadline, self.said()),
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        Finished { code: status.code(), stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }

    fn said(&self) -> String {
        format!("--- stdout\n{}--- stderr\n{}---", self.stdout.so_far(), self.stderr.so_far())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    fn collect(from: impl Read + Send + 'static) -> Arc<Output> {
        let output = Arc::new(Output::default());
        let writer = Arc::clone(&output);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(from);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                writer.state.lock().unwrap().lines.push(String::from_utf8_lossy(&line).into_owned());
                writer.grew.notify_all();
                line.clear();
            }
            writer.state.lock().unwrap().ended = true;
            writer.grew.notify_all();
        });
        output
    }

    fn first(&self, deadline: Duration, wanted: impl Fn(&str) -> bool) -> Result<String, String> {
        let start = Instant::now();
        let mut seen = 0;
        let mut state = self.state.lock().unwrap();
        loop {
            if let Some(line) = state.lines[seen..].iter().map(|line| line.trim_end()).find(|line| wanted(line)) {
                return Ok(line.to_owned());
            }
            seen = state.lines.len();
            let left = deadline.saturating_sub(start.elapsed());
            if state.ended || left.is_zero() {
                return Err(if state.ended { "the output has ended".to_owned() } else { format!("not within {deadline:?}") });
            }
            state = self.grew.wait_timeout(state, left).unwrap().0;
        }
    }

    fn so_far(&self) -> String {
        self.state.lock().unwrap().lines.concat()
    }

    /// Everything, once the program has ended. A child of it that holds the output open is not waited for longer than this.
    fn whole(&self) -> String {
        let state = self.state.lock().unwrap();
        let (state, _) = self.grew.wait_timeout_while(state, Duration::from_secs(5), |state| !state.ended).unwrap();
        state.lines.concat()
    }
}
