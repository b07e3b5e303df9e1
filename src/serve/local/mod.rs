//! `get`, `tail`, `errors`, `status` and orders from another process, with or without a running engine.
//!
//! In: a state folder and a question. Out: JSON lines, the same ones in both cases. [`Access::open`] asks the running engine over a Unix socket
//! in the folder (`tidemill.sock`). If no engine is running, it reads the folder itself, without changing it or keeping it locked. `run` starts
//! the other side, [`serve`]. Elsewhere: the output for people (`cli`).
//!
//! # Protocol
//! One connection has one question. The client sends one line, a JSON object with one field:
//! ```text
//! {"get":{"view":"orders","key":["7"]}}       the rows whose key starts with these values, as text; [] for all
//! {"tail":{"view":"orders","from":"start","until_caught_up":true}}
//!                                             from: "start", "now", {"after":TICK} or {"position":TEXT}
//! {"errors":{"of":["orders"]}}                the errors of these views, sources and sinks; [] for all
//! {"status":{}}
//! {"sink":{"name":"mongo","order":"forget"}}  order: "forget" or "resync"; see [`SinkOrder`]
//! {"apply":{"spec":"/etc/shop.yaml","dry_run":false,"drop":false}}
//!                                             see [`Apply`]
//! ```
//! The engine answers with lines, each of which is one of
//! ```text
//! {"data":ANSWER}                             get: a row; tail: {"tick","position","key","before","after"};
//!                                             errors: see [`Errors`]; status: a [`Status`];
//!                                             apply: a text, what was done or would be done
//! {"end":{"tick":TICK}}                       the end: the answer is complete up to and including this tick
//! {"error":{"kind":KIND,"message":TEXT,"help":TEXT or null}}
//! ```
//! and closes the connection after an end or an error. A connection that closes without either was cut off. A client that stops reading only
//! delays its own answer; a client that follows keeps its side open for as long as it wants more.
//!
//! The path of a Unix socket has at most 107 bytes. If the folder's path is too long, the socket is in a temporary folder, and
//! `tidemill.sock.path` in the state folder has its path.

mod access;
mod answer;
mod server;
mod socket;

use serde::{Deserialize, Serialize};

use super::json_lines::Lines;
use super::question::{Apply, Errors, Get, SinkOrder, Tail};

pub use access::Access;
pub use server::{Amend, Applier, ApplyOrder, LocalServer, serve};

/// What a client sends.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Question {
    Get(Get),
    Tail(Tail),
    Errors(Errors),
    Status {},
    Sink(SinkOrder),
    Apply(Apply),
}

/// Where an answer goes. One whose other end is gone ends the answer.
pub type Out = tokio::sync::mpsc::Sender<Lines>;
