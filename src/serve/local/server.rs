//! The engine's side: answers every connection to the folder's socket until it is dropped.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::store::{Store, StoreError};
use crate::value::Tick;

use super::answer::{self, Ended};
use super::socket::{self, Place};
use super::{AccessError, Lines, Question, Status, Tail, errors, sinks};

/// Adds what only the running engine knows to what the store knows: lag, what is waited for.
pub type Amend = Arc<dyn Fn(&mut Status) + Send + Sync>;

/// A question is one line of a view's name and a key.
const MAX_QUESTION_BYTES: u64 = 1 << 20;

/// A running server. Dropped, it takes no more questions and breaks off the answers under way, in its own time.
#[derive(Debug)]
pub struct Server {
    task: tokio::task::JoinHandle<()>,
    _place: Place,
}

impl Server {
    /// As the drop, and waits until nobody listens any more. An answer that is being read from the disk may hold the store a moment longer.
    pub async fn stop(mut self) {
        self.task.abort();
        // An error is what `abort` makes of it.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers questions about `store` on the socket of its folder. Call on a tokio runtime.
pub fn serve(store: Store, amend: Amend) -> Result<Server, StoreError> {
    let bound = socket::bind(store.dir(), store.id());
    let (listener, place) = bound.map_err(|source| StoreError::Io { dir: store.dir().into(), source })?;
    Ok(Server { task: tokio::spawn(accept(listener, store, amend)), _place: place })
}

async fn accept(listener: UnixListener, store: Store, amend: Amend) {
    let mut answers = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                answers.spawn(converse(stream, store.clone(), amend.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a local connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
        while answers.try_join_next().is_some() {}
    }
}

async fn converse(stream: UnixStream, store: Store, amend: Amend) {
    let (read, mut write) = stream.into_split();
    let mut question = String::new();
    let mut read = BufReader::new(read.take(MAX_QUESTION_BYTES));
    if read.read_line(&mut question).await.is_err() {
        return;
    }
    let mut read = read.into_inner().into_inner();
    let end = match serde_json::from_str(&question) {
        Ok(question @ Question::Tail(Tail { until_caught_up: false, .. })) => tokio::select! {
            end = answer_to(question, store, amend, &mut write) => end,
            () = hung_up(&mut read) => return,
        },
        Ok(question) => answer_to(question, store, amend, &mut write).await,
        Err(e) => Err(AccessError::invalid(format!("the question cannot be read: {e}")).into()),
    };
    let line = match end {
        Ok(tick) => serde_json::json!({"end": {"tick": tick}}),
        Err(Ended::Error(error)) => serde_json::json!({ "error": error }),
        Err(Ended::Unread) => return,
    };
    // Whoever asked may have gone; then nobody misses it.
    let _ = write.write_all(format!("{line}\n").as_bytes()).await;
}

/// Until the other side closes; what it says meanwhile is passed over.
async fn hung_up(read: &mut OwnedReadHalf) {
    let mut passed_over = [0; 64];
    while read.read(&mut passed_over).await.is_ok_and(|bytes| bytes > 0) {}
}

/// Sends the answer while it is made; the tick that it is of.
async fn answer_to(question: Question, store: Store, amend: Amend, write: &mut OwnedWriteHalf) -> Result<Tick, Ended> {
    let (out, lines) = mpsc::channel(2);
    let made = async move {
        match question {
            Question::Get(get) => answer::blocking(move || answer::get(&store, &get, &out)).await,
            Question::Errors(errors) => answer::blocking(move || errors::errors(&store, &errors, &out)).await,
            Question::Tail(tail) => answer::tail(store, tail, &out).await,
            Question::Sink(order) => {
                let _open_until_done = out;
                answer::blocking(move || Ok(sinks::carry_out(&store, &order, true)?)).await
            }
            Question::Status {} => {
                let mut status = answer::blocking(move || Ok(answer::status(&store)?)).await?;
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

/// Sends lines as data until no more come or nobody reads them.
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
