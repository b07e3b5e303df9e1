//! The engine's side: answers every connection to the folder's socket until the server is dropped.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::store::{Store, StoreError};
use crate::value::Tick;

use super::Question;
use super::answer::{self, AnswerEnd};
use super::socket::{self, SocketPath};
use crate::serve::json_lines::Lines;
use crate::serve::question::{Apply, Tail};
use crate::serve::{AccessError, Status, sinks};

/// Adds to a status what only the running engine knows, such as lag and waits.
pub type Amend = Arc<dyn Fn(&mut Status) + Send + Sync>;

/// An order to apply a spec, for the run.
#[derive(Debug)]
pub struct ApplyOrder {
    pub apply: Apply,
    /// Takes what was done, or why nothing was.
    pub answer: oneshot::Sender<Result<String, String>>,
}

/// Takes orders to apply a spec.
pub type Applier = mpsc::Sender<ApplyOrder>;

/// The longest question that is read, which is one line.
const MAX_QUESTION_BYTES: u64 = 1 << 20;

/// A running server. When it is dropped, it accepts no more connections and aborts its running answers in the background.
#[derive(Debug)]
pub struct LocalServer {
    task: tokio::task::JoinHandle<()>,
    _place: SocketPath,
}

impl LocalServer {
    /// As the drop, but waits until the socket is closed. An answer that is reading from the disk may keep the store open a moment longer.
    pub async fn stop(mut self) {
        self.task.abort();
        // The aborted task always returns an error.
        let _ = (&mut self.task).await;
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers questions about `store` on the socket of its folder, and passes orders to apply a spec on. Must be called on a tokio runtime.
pub fn serve(store: Store, amend: Amend, applier: Applier) -> Result<LocalServer, StoreError> {
    let bound = socket::bind(store.dir(), store.id());
    let (listener, place) = bound.map_err(|source| StoreError::Io { dir: store.dir().into(), source })?;
    Ok(LocalServer { task: tokio::spawn(accept(listener, store, amend, applier)), _place: place })
}

async fn accept(listener: UnixListener, store: Store, amend: Amend, applier: Applier) {
    let mut answers = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                answers.spawn(converse(stream, store.clone(), amend.clone(), applier.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a local connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
        while answers.try_join_next().is_some() {}
    }
}

async fn converse(stream: UnixStream, store: Store, amend: Amend, applier: Applier) {
    let (read, mut write) = stream.into_split();
    let mut question = String::new();
    let mut read = BufReader::new(read.take(MAX_QUESTION_BYTES));
    if read.read_line(&mut question).await.is_err() {
        return;
    }
    let mut read = read.into_inner().into_inner();
    let end = match serde_json::from_str(&question) {
        Ok(question @ Question::Tail(Tail { until_caught_up: false, .. })) => tokio::select! {
            end = answer_to(question, store, amend, applier, &mut write) => end,
            () = hung_up(&mut read) => return,
        },
        Ok(question) => answer_to(question, store, amend, applier, &mut write).await,
        Err(e) => Err(AccessError::invalid(format!("the question cannot be read: {e}")).into()),
    };
    let line = match end {
        Ok(tick) => serde_json::json!({"end": {"tick": tick}}),
        Err(AnswerEnd::Error(error)) => serde_json::json!({ "error": error }),
        Err(AnswerEnd::Unread) => return,
    };
    // An error means that the client has closed the connection.
    let _ = write.write_all(format!("{line}\n").as_bytes()).await;
}

/// Returns when the client closes its side. Ignores what it sends.
async fn hung_up(read: &mut OwnedReadHalf) {
    let mut passed_over = [0; 64];
    while read.read(&mut passed_over).await.is_ok_and(|bytes| bytes > 0) {}
}

/// Sends the answer while it is produced. Returns its tick.
async fn answer_to(
    question: Question,
    store: Store,
    amend: Amend,
    applier: Applier,
    write: &mut OwnedWriteHalf,
) -> Result<Tick, AnswerEnd> {
    let (out, lines) = mpsc::channel(2);
    let made = async move {
        match question {
            Question::Get(get) => answer::blocking(move || answer::get(&store, &get, &out)).await,
            Question::Errors(errors) => answer::blocking(move || answer::errors(&store, &errors, &out)).await,
            Question::Tail(tail) => answer::tail(store, tail, &out).await,
            Question::Sink(order) => {
                let _open_until_done = out;
                answer::blocking(move || Ok(sinks::carry_out(&store, &order, true)?)).await
            }
            Question::Apply(apply) => {
                let (answer, answered) = oneshot::channel();
                let ended = || AccessError::cut_off();
                applier.send(ApplyOrder { apply, answer }).await.map_err(|_| ended())?;
                let text = answered.await.map_err(|_| ended())?.map_err(AccessError::invalid)?;
                out.send([serde_json::to_vec(&text).expect("a text is JSON"), b"\n".to_vec()].concat()).await?;
                Ok(*store.committed().borrow())
            }
            Question::Status {} => {
                let mut status = answer::blocking(move || Ok(Status::read(&store.snapshot())?)).await?;
                status.pid = Some(std::process::id());
                amend(&mut status);
                let tick = status.tick;
                out.send([serde_json::to_vec(&status).expect("a status is JSON"), b"\n".to_vec()].concat()).await?;
                Ok(tick)
            }
        }
    };
    let (made, _) = tokio::join!(made, send_all(lines, write));
    made
}

/// Sends lines as data until the answer ends or the client closes the connection.
async fn send_all(mut lines: mpsc::Receiver<Lines>, write: &mut OwnedWriteHalf) {
    let mut framed = Vec::new();
    while let Some(chunk) = lines.recv().await {
        framed.clear();
        for line in chunk.split_inclusive(|&b| b == b'\n') {
            framed.extend_from_slice(b"{\"data\":");
            framed.extend_from_slice(line.trim_ascii_end());
            framed.extend_from_slice(b"}\n");
        }
        if write.write_all(&framed).await.is_err() {
            return;
        }
    }
}
