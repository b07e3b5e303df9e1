//! The asking side: a running engine or the folder itself, whichever there is.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::store::{Store, StoreError, Sync};
use crate::value::Tick;

use super::answer::{self, Ended};
use super::{AccessError, Errors, From, Get, Out, Question, SinkOrder, Status, Tail, errors, sinks, socket};

/// How long somebody else may have the folder without answering, such as an engine that starts.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(50);
/// How often a follower looks for an engine while none runs.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
const CHUNK_BYTES: usize = 64 << 10;

/// A state folder that can be asked. One value asks one thing. Whoever asks for lines takes them from the channel meanwhile, and
/// drops the receiver to end the answer.
#[derive(Debug)]
pub enum Access {
    /// No engine ran: what there was then, whatever one does that starts meanwhile.
    AtRest(Store),
    Running(UnixStream),
}

impl Access {
    /// Finds out who has the folder. Fails with [`AccessErrorKind::NotFound`](super::AccessErrorKind::NotFound) where there is no state.
    pub async fn open(dir: &Path) -> Result<Access, AccessError> {
        let since = Instant::now();
        loop {
            // The socket of an engine that died may be one that we may not use.
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
                (Err(_), _) => return Err(AccessError::failed("opening the state folder was given up".into())),
            }
        }
    }

    /// Sends rows as JSON lines in key order; returns the tick that they are of.
    pub async fn get(self, get: Get, out: Out) -> Result<Tick, AccessError> {
        match self {
            Access::AtRest(store) => said(answer::blocking(move || answer::get(&store, &get, &out)).await),
            Access::Running(stream) => ask(stream, Question::Get(get), &out).await,
        }
    }

    /// Sends what is wrong as JSON lines; returns the tick that they are of.
    pub async fn errors(self, errors: Errors, out: Out) -> Result<Tick, AccessError> {
        match self {
            Access::AtRest(store) => said(answer::blocking(move || errors::errors(&store, &errors, &out)).await),
            Access::Running(stream) => ask(stream, Question::Errors(errors), &out).await,
        }
    }

    pub async fn status(self) -> Result<Status, AccessError> {
        match self {
            Access::AtRest(store) => said(answer::blocking(move || Ok(answer::status(&store)?)).await),
            Access::Running(stream) => {
                let (out, mut lines) = tokio::sync::mpsc::channel(4);
                ask(stream, Question::Status {}, &out).await?;
                let line = lines.recv().await.ok_or_else(AccessError::cut_off)?;
                serde_json::from_slice(&line).map_err(|e| AccessError::failed(format!("the engine's status cannot be read: {e}")))
            }
        }
    }

    /// Has something done about a sink; the tick as of which it is. Where no engine runs, in the folder.
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

    /// Sends changes as JSON lines: up to what is committed now, or for as long as somebody reads. Where no engine runs, a follower
    /// gets what is there and waits for one. When its engine stops, it ends with
    /// [`AccessErrorKind::CutOff`](super::AccessErrorKind::CutOff).
    pub async fn tail(self, dir: &Path, mut tail: Tail, out: Out) -> Result<Tick, AccessError> {
        match self {
            Access::Running(stream) => ask(stream, Question::Tail(tail), &out).await,
            Access::AtRest(store) => {
                let until_now = Tail { until_caught_up: true, ..tail.clone() };
                let tick = said(answer::tail(store, until_now, &out).await)?;
                if tail.until_caught_up {
                    return Ok(tick);
                }
                tail.from = From::After(tick);
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

/// A line of the engine's answer that is no data.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Last {
    End { tick: Tick },
    Error(AccessError),
}

const DATA: &[u8] = b"{\"data\":";

/// Asks the engine and hands its data on; the tick that all of it is of.
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
                Err(_) => Err(AccessError::failed("the engine's answer cannot be read: is it another version?".into())),
            };
        }
    }
}

fn said<T>(answer: Result<T, Ended>) -> Result<T, AccessError> {
    answer.map_err(|ended| match ended {
        Ended::Error(error) => error,
        Ended::Unread => unread(),
    })
}

fn unread() -> AccessError {
    AccessError::failed("nobody reads the answer".into())
}

fn unreachable_engine(dir: &Path, error: std::io::Error) -> AccessError {
    let message = format!("cannot ask the engine that has the state folder `{}`: {error}", dir.display());
    AccessError { help: Some("its socket can be used by the user who started it".into()), ..AccessError::failed(message) }
}
