//! Sends many writes in few commands: `update`, `delete` and `insert`, unordered, within the limits of the server, several commands at a time.
//!
//! In: writes, at most one per document, so that their order does not matter. Out: the writes that the server refused because of their
//! document. A command that fails as a whole because of one document is sent again in halves until that document is alone.

use std::future::Future;
use std::pin::Pin;

use bson::{Bson, Document, RawArrayBuf, RawBson, RawDocumentBuf};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use mongodb::ClientSession;

use super::cstr;
use super::errors::{Retry, Verdict, WriteFailed, code_of};
use super::target::{Target, majority, number};

/// One write to one document.
#[derive(Debug, Clone)]
pub(super) enum Write {
    /// Inserts or replaces the document.
    Replace {
        id: RawBson,
        document: RawDocumentBuf,
    },
    /// Updates paths of an existing document.
    Patch {
        id: RawBson,
        update: RawDocumentBuf,
    },
    Delete {
        id: RawBson,
    },
    /// Inserts a document that does not exist.
    New {
        document: RawDocumentBuf,
    },
}

/// The results of the writes. A write is identified by the tag that it was pushed with.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// The number of [`Write::Patch`]es whose document does not exist.
    pub(super) missed: u64,
    /// The tags of [`Write::Replace`]s that inserted a new document.
    pub(super) made: Vec<usize>,
    pub(super) refused: Vec<RefusedWrite>,
}

#[derive(Debug)]
pub(super) struct RefusedWrite {
    pub(super) tag: usize,
    pub(super) reason: String,
    /// The server may accept it after other writes.
    pub(super) later: bool,
}

/// The bytes of a command beside its writes, and of the name of an item in an array.
const COMMAND_BYTES: usize = 4096;
const ITEM_BYTES: usize = 12;

/// The number of commands sent at a time. More than the cores of a small server is not faster, and the driver's pool has 10 connections.
const SIDE_BY_SIDE: usize = 4;
/// The least number of writes in a command. Smaller commands would cost more than sending them in parallel saves.
const FEWEST: usize = 50;

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Sent, WriteFailed>> + Send + 'a>>;

/// Collects writes to one collection and sends them whenever a command is full.
pub(super) struct Bulk<'a> {
    target: &'a Target,
    /// The session of the transaction of the writes, if there is one. Its commands are sent one after the other.
    session: Option<&'a mut ClientSession>,
    documents: usize,
    updates: Batch,
    deletes: Batch,
    inserts: Batch,
    sending: FuturesUnordered<Sending<'a>>,
    sent: Sent,
}

/// The items of one command.
#[derive(Default)]
struct Batch {
    items: Vec<(usize, RawDocumentBuf)>,
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum WriteKind {
    Update,
    Delete,
    Insert,
}

impl<'a> Bulk<'a> {
    /// `writes`: about how many writes will be pushed.
    pub(super) fn new(target: &'a Target, writes: usize, session: Option<&'a mut ClientSession>) -> Bulk<'a> {
        let share = if session.is_some() { writes } else { writes.div_ceil(SIDE_BY_SIDE) };
        Bulk {
            target,
            session,
            documents: share.max(FEWEST).min(target.limits.documents),
            updates: Batch::default(),
            deletes: Batch::default(),
            inserts: Batch::default(),
            sending: FuturesUnordered::new(),
            sent: Sent::default(),
        }
    }

    /// Adds a write. First sends the writes before it if they fill a command.
    pub(super) async fn push(&mut self, tag: usize, write: Write) -> Result<(), WriteFailed> {
        let (kind, item) = item_of(write);
        let (limits, documents) = (self.target.limits, self.documents);
        let bytes = item.as_bytes().len() + ITEM_BYTES;
        let batch = self.batch(kind);
        if batch.items.len() == documents || !batch.items.is_empty() && batch.bytes + bytes + COMMAND_BYTES > limits.command_bytes {
            self.send(kind).await?;
        }
        let batch = self.batch(kind);
        batch.items.push((tag, item));
        batch.bytes += bytes;
        Ok(())
    }

    /// Sends the remaining writes and waits for all answers.
    pub(super) async fn finish(mut self) -> Result<Sent, WriteFailed> {
        for kind in [WriteKind::Delete, WriteKind::Update, WriteKind::Insert] {
            self.send(kind).await?;
        }
        while let Some(sent) = self.sending.next().await {
            self.sent.add(sent?);
        }
        Ok(self.sent)
    }

    fn batch(&mut self, kind: WriteKind) -> &mut Batch {
        match kind {
            WriteKind::Update => &mut self.updates,
            WriteKind::Delete => &mut self.deletes,
            WriteKind::Insert => &mut self.inserts,
        }
    }

    async fn send(&mut self, kind: WriteKind) -> Result<(), WriteFailed> {
        let items = std::mem::take(self.batch(kind)).items;
        if items.is_empty() {
            return Ok(());
        }
        if let Some(session) = self.session.as_deref_mut() {
            let sent = send_in_transaction(self.target, session, kind, items).await?;
            self.sent.add(sent);
            return Ok(());
        }
        while self.sending.len() >= SIDE_BY_SIDE {
            let Some(sent) = self.sending.next().await else { break };
            self.sent.add(sent?);
        }
        self.sending.push(Box::pin(send(self.target, kind, items)));
        Ok(())
    }
}

impl Sent {
    fn add(&mut self, other: Sent) {
        self.missed += other.missed;
        self.made.extend(other.made);
        self.refused.extend(other.refused);
    }
}

fn item_of(write: Write) -> (WriteKind, RawDocumentBuf) {
    let mut item = RawDocumentBuf::new();
    let query = |item: &mut RawDocumentBuf, id: &RawBson| {
        let mut query = RawDocumentBuf::new();
        query.append(cstr!("_id"), id);
        item.append(cstr!("q"), query);
    };
    match write {
        Write::Replace { id, document } => {
            query(&mut item, &id);
            item.append(cstr!("u"), document);
            item.append(cstr!("upsert"), true);
            (WriteKind::Update, item)
        }
        Write::Patch { id, update } => {
            query(&mut item, &id);
            item.append(cstr!("u"), update);
            (WriteKind::Update, item)
        }
        Write::Delete { id } => {
            query(&mut item, &id);
            item.append(cstr!("limit"), 1);
            (WriteKind::Delete, item)
        }
        Write::New { document } => (WriteKind::Insert, document),
    }
}

/// Sends items. If the server refuses the whole command because of some documents, sends it again in halves.
async fn send(target: &Target, kind: WriteKind, items: Vec<(usize, RawDocumentBuf)>) -> Result<Sent, WriteFailed> {
    let mut sent = Sent::default();
    let mut waiting = vec![items];
    while let Some(mut items) = waiting.pop() {
        let answer = target.run(command(target, kind, &items, true), None).await;
        match (answer, items.len()) {
            (Ok(answer), _) => read_answer(target, kind, &items, &answer, &mut sent)?,
            (Err(error), count) => match refusal(target, error.as_ref()) {
                None => return Err(target.place.failed(error).into()),
                Some((reason, later)) if count == 1 => sent.refused.push(RefusedWrite { tag: items[0].0, reason, later }),
                Some(_) => {
                    let half = items.split_off(count / 2);
                    waiting.extend([half, items]);
                }
            },
        }
    }
    Ok(sent)
}

/// Sends items in a transaction. Nothing can be sent again, because the first failure ends the transaction.
async fn send_in_transaction(
    target: &Target,
    session: &mut ClientSession,
    kind: WriteKind,
    items: Vec<(usize, RawDocumentBuf)>,
) -> Result<Sent, WriteFailed> {
    let mut sent = Sent::default();
    match target.run(command(target, kind, &items, false), Some(session)).await {
        Ok(answer) => read_answer(target, kind, &items, &answer, &mut sent)?,
        Err(error) => match refusal(target, error.as_ref()) {
            Some((reason, later)) if items.len() == 1 => sent.refused.push(RefusedWrite { tag: items[0].0, reason, later }),
            refusal => {
                let mut failed = target.place.transaction_failed(error);
                if refusal.is_some() && failed.retry == Retry::No {
                    failed.retry = Retry::WithoutTransaction;
                }
                return Err(failed);
            }
        },
    }
    Ok(sent)
}

/// If the error of a command is about a document: the reason, and whether the document may be accepted later.
fn refusal(target: &Target, error: Option<&mongodb::error::Error>) -> Option<(String, bool)> {
    let error = error?;
    let name = match &*error.kind {
        mongodb::error::ErrorKind::Command(command) => command.code_name.as_str(),
        _ => return None,
    };
    match target.place.verdict(code_of(error)?, Some(name)) {
        Verdict::Document { reason, later } => Some((reason, later)),
        Verdict::Target(_) => None,
    }
}

fn command(target: &Target, kind: WriteKind, items: &[(usize, RawDocumentBuf)], alone: bool) -> RawDocumentBuf {
    let (name, field) = match kind {
        WriteKind::Update => (cstr!("update"), cstr!("updates")),
        WriteKind::Delete => (cstr!("delete"), cstr!("deletes")),
        WriteKind::Insert => (cstr!("insert"), cstr!("documents")),
    };
    let mut array = RawArrayBuf::new();
    for (_, item) in items {
        array.push(item);
    }
    let mut command = RawDocumentBuf::new();
    command.append(name, target.collection.as_str());
    command.append(field, array);
    command.append(cstr!("ordered"), false);
    // In a transaction only the commit has a write concern.
    if alone {
        command.append(cstr!("writeConcern"), RawDocumentBuf::try_from(&majority()).expect("it has no NUL in a name"));
    }
    command
}

/// Reads the result of each write from an answer. A command is `ok` even if single writes failed.
fn read_answer(
    target: &Target,
    kind: WriteKind,
    items: &[(usize, RawDocumentBuf)],
    answer: &Document,
    sent: &mut Sent,
) -> Result<(), WriteFailed> {
    let listed = |name: &str| answer.get_array(name).into_iter().flatten().filter_map(Bson::as_document);
    let tag = |entry: &Document| items.get(number(entry, "index")? as usize).map(|(tag, _)| *tag);
    let mut errors = 0;
    for error in listed("writeErrors") {
        let code = number(error, "code").unwrap_or(0) as i32;
        let (reason, later) = match target.place.verdict(code, error.get_str("codeName").ok()) {
            Verdict::Document { reason, later } => (reason, later),
            Verdict::Target(error) => return Err(error.into()),
        };
        let Some(tag) = tag(error) else { return Err(target.place.code(code, None).into()) };
        sent.refused.push(RefusedWrite { tag, reason, later });
        errors += 1;
    }
    if let Ok(concern) = answer.get_document("writeConcernError") {
        return Err(target.place.code(number(concern, "code").unwrap_or(0) as i32, concern.get_str("codeName").ok()).into());
    }
    if let WriteKind::Update = kind {
        sent.made.extend(listed("upserted").filter_map(tag));
        let taken = items.len() as u64 - errors;
        sent.missed += taken.saturating_sub(number(answer, "n").unwrap_or(0));
    }
    Ok(())
}
