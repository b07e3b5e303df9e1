//! The client side: asks the running engine, or reads the folder itself if none is running.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::store::{Store, StoreError, Sync};
use crate::value::Tick;

use super::answer::{self, AnswerEnd};
use super::{Out, Question, socket};
use crate::serve::question::{Apply, Errors, Get, SinkOrder, Tail, TailFrom};
use crate::serve::{AccessError, Status, sinks};

/// How long another process may have the folder open without a socket, such as an engine that is starting.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(50);
/// How often a follower looks for an engine while none is running.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
const CHUNK_BYTES: usize = 64 << 10;

/// Access to a state folder for one question. The caller must receive the lines of the answer concurrently, and can drop the receiver to end the
/// answer.
#[derive(Debug)]
pub enum Access {
    /// No engine was running: the state at that time, even if an engine starts meanwhile.
    AtRest(Store),
    /// A connection to the running engine.
    Running(UnixStream),
}

impl Access {
    /// Connects to the running engine, or opens the folder. Fails with [`AccessErrorKind::NotFound`](crate::serve::AccessErrorKind::NotFound) if there
    /// is no state.
    pub async fn open(dir: &Path) -> Result<Access, AccessError> {
        let since = Instant::now();
        loop {
            // An error may come from the socket of a dead engine of another user, so try the folder first.
            let refused = match socket::connect(dir).await {
                Ok(Some(stream)) => return Ok(Access::Running(stream)),
                Ok(None) => None,
                Err(error) => Some(error),
            };
            let path: PathBuf = dir.into();
            match (tokio::task::spawn_blocking(move || Store::open_existing(&path)).await, refused) {
                (Ok(Ok(store)), _) => return Ok(Access::AtRest(store)),
                (Ok(Err(StoreError::InUse { .. })), Some(error)) => return Err(unreachable_engine(dir, error)),
                (Ok(Err(StoreError::InUse { .. })), None) if since.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
                (Ok(Err(error)), _) => return Err(error.into()),
                (Err(_), _) => return Err(AccessError::failed("opening the state folder was aborted".into())),
            }
        }
    }

    /// Sends rows as JSON lines in key order. Returns their tick.
    pub async fn get(self, get: Get, out: Out) -> Result<Tick, AccessError> {
        match self {
            Access::AtRest(store) => said(answer::blocking(move || answer::get(&store, &get, &out)).await),
            Access::Running(stream) => ask(stream, Question::Get(get), &out).await,
        }
    }

    /// Sends errors as JSON lines. Returns their tick.
    pub async fn errors(self, errors: Errors, out: Out) -> Result<Tick, AccessError> {
        match self {
            Access::AtRest(store) => said(answer::blocking(move || answer::errors(&store, &errors, &out)).await),
            Access::Running(stream) => ask(stream, Question::Errors(errors), &out).await,
        }
    }

    pub async fn status(self) -> Result<Status, AccessError> {
        match self {
            Access::AtRest(store) => said(answer::blocking(move || Ok(Status::read(&store.snapshot())?)).await),
            Access::Running(stream) => {
                let (out, mut lines) = tokio::sync::mpsc::channel(4);
                ask(stream, Question::Status {}, &out).await?;
                let line = lines.recv().await.ok_or_else(AccessError::cut_off)?;
                serde_json::from_slice(&line).map_err(|e| AccessError::failed(format!("the engine's status cannot be read: {e}")))
            }
        }
    }

    /// Carries out an order about a sink, by the running engine or else in the folder itself. Returns the last committed tick.
    pub async fn order(self, order: SinkOrder) -> Result<Tick, AccessError> {
        match self {
            Access::AtRest(read) => {
                let dir = read.dir().to_path_buf();
                drop(read);
                said(answer::blocking(move || Ok(sinks::carry_out(&Store::open_held(&dir, Sync::EachCommit)?, &order, false)?)).await)
            }
            Access::Running(stream) => {
                let (out, _lines) = tokio::sync::mpsc::channel(1);
                ask(stream, Question::Sink(order), &out).await
            }
        }
    }

    /// Lets the running engine apply a spec. Returns what it did, as lines. Fails with
    /// [`AccessErrorKind::NotFound`](crate::serve::AccessErrorKind::NotFound) if none is running.
    pub async fn apply(self, apply: Apply) -> Result<String, AccessError> {
        let stream = match self {
            Access::Running(stream) => stream,
            Access::AtRest(store) => {
                let message = format!("no engine runs with the state folder `{}`", store.dir().display());
                return Err(AccessError::not_found(message, Some("`tidemill run` applies the spec when it starts".into())));
            }
        };
        let (out, mut lines) = tokio::sync::mpsc::channel(4);
        ask(stream, Question::Apply(apply), &out).await?;
        let line = lines.recv().await.ok_or_else(AccessError::cut_off)?;
        serde_json::from_slice(&line).map_err(|e| AccessError::failed(format!("the engine's answer cannot be read: {e}")))
    }

    /// Sends changes as JSON lines: up to the last commit, or as long as somebody reads. If no engine is running, a follower gets the changes in
    /// the folder and then waits for an engine. When the engine stops, it ends with [`AccessErrorKind::CutOff`](crate::serve::AccessErrorKind::CutOff).
    pub async fn tail(self, dir: &Path, mut tail: Tail, out: Out) -> Result<Tick, AccessError> {
        match self {
            Access::Running(stream) => ask(stream, Question::Tail(tail), &out).await,
            Access::AtRest(store) => {
                let until_now = Tail { until_caught_up: true, ..tail.clone() };
                let tick = said(answer::tail(store, until_now, &out).await)?;
                if tail.until_caught_up {
                    return Ok(tick);
                }
                tail.from = TailFrom::After(tick);
                ask(next_engine(dir, &out).await?, Question::Tail(tail), &out).await
            }
        }
    }
}

async fn next_engine(dir: &Path, out: &Out) -> Result<UnixStream, AccessError> {
    while !out.is_closed() {
        if let Some(stream) = socket::connect(dir).await.map_err(|e| unreachable_engine(dir, e))? {
            return Ok(stream);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Err(unread())
}

/// The last line of the engine's answer.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Last {
    End { tick: Tick },
    Error(AccessError),
}

const DATA: &[u8] = b"{\"data\":";

/// Asks the engine and sends its data to `out`. Returns the tick of the answer.
async fn ask(mut stream: UnixStream, question: Question, out: &Out) -> Result<Tick, AccessError> {
    let mut line = serde_json::to_vec(&question).expect("a question is JSON");
    line.push(b'\n');
    stream.write_all(&line).await.map_err(|_| AccessError::cut_off())?;
    let mut answer = BufReader::with_capacity(CHUNK_BYTES, stream);
    let mut lines = Vec::new();
    loop {
        line.clear();
        let read = tokio::select! {
            read = answer.read_until(b'\n', &mut line) => read,
            () = out.closed() => return Err(unread()),
        };
        read.map_err(|_| AccessError::cut_off())?;
        let Some(whole) = line.strip_suffix(b"\n") else { return Err(AccessError::cut_off()) };
        let data = whole.strip_prefix(DATA).and_then(|rest| rest.strip_suffix(b"}"));
        if let Some(data) = data {
            lines.extend_from_slice(data);
            lines.push(b'\n');
        }
        let nothing_more_yet = answer.buffer().is_empty();
        if !lines.is_empty() && (data.is_none() || nothing_more_yet || lines.len() >= CHUNK_BYTES) {
            out.send(std::mem::take(&mut lines)).await.map_err(|_| unread())?;
        }
        if data.is_none() {
            return match serde_json::from_slice(whole) {
                Ok(Last::End { tick }) => Ok(tick),
                Ok(Last::Error(error)) => Err(error),
                Err(_) => Err(AccessError::failed(
                    "the engine's answer cannot be read: check that it has the same version as this program".into(),
                )),
            };
        }
    }
}

fn said<T>(answer: Result<T, AnswerEnd>) -> Result<T, AccessError> {
    answer.map_err(|ended| match ended {
        AnswerEnd::Error(error) => error,
        AnswerEnd::Unread => unread(),
    })
}

fn unread() -> AccessError {
    AccessError::failed("nobody reads the answer".into())
}

fn unreachable_engine(dir: &Path, error: std::io::Error) -> AccessError {
    let message = format!("cannot connect to the engine that uses the state folder `{}`: {error}", dir.display());
    AccessError { help: Some("only the user who started the engine can use its socket".into()), ..AccessError::failed(message) }
}
