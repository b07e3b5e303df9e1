//! Many writes in few commands: `update`, `delete` and `insert`, unordered, within what the server takes in one, several of them side by side.
//!
//! In: writes, at most one to a document, so that their order means nothing. Out: which of them the server refused on account of their
//! document. A command that fails as a whole on account of one is sent again in halves until that one is alone.

use std::future::Future;
use std::pin::Pin;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, RawArrayBuf, RawBson, RawDocumentBuf};

use super::cstr;
use super::errors::{Retry, Verdict, WriteFailed, code_of};
use super::target::{Target, majority, number};

/// One write to one document.
#[derive(Debug, Clone)]
pub(super) enum Write {
    /// Puts the document there, whatever was there.
    Replace {
        id: RawBson,
        document: RawDocumentBuf,
    },
    /// Changes paths of a document that is there.
    Patch {
        id: RawBson,
        update: RawDocumentBuf,
    },
    Delete {
        id: RawBson,
    },
    /// Puts a document there of which it is known that it is not.
    New {
        document: RawDocumentBuf,
    },
}

/// What came of the writes; each is known by the tag that it was pushed with.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Documents that a [`Write::Patch`] did not find.
    pub(super) missed: u64,
    /// Those whose [`Write::Replace`] found nothing to replace.
    pub(super) made: Vec<usize>,
    pub(super) refused: Vec<RefusedWrite>,
}

#[derive(Debug)]
pub(super) struct RefusedWrite {
    pub(super) tag: usize,
    pub(super) reason: String,
    /// It may be taken once others are written.
    pub(super) later: bool,
}

/// What surrounds the writes of a command, and the name of an item in an array.
const COMMAND_BYTES: usize = 4096;
const ITEM_BYTES: usize = 12;

/// Commands on their way at a time. More than the cores of a small server bring nothing, and the driver's pool has 10 connections.
const SIDE_BY_SIDE: usize = 4;
/// Fewer writes than this in a command cost more in commands than they bring side by side.
const FEWEST: usize = 50;

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Sent, WriteFailed>> + Send + 'a>>;

/// Collects writes to one collection and sends them whenever a command is full.
pub(super) struct Bulk<'a> {
    target: &'a Target,
    /// Of the transaction that the writes are part of. Its commands go one after the other.
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
enum Kind {
    Update,
    Delete,
    Insert,
}

impl<'a> Bulk<'a> {
    /// For about so many writes.
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

    /// Takes one more write, and first sends those before it if they fill a command.
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

    /// Sends what is left and waits for all answers.
    pub(super) async fn finish(mut self) -> Result<Sent, WriteFailed> {
        for kind in [Kind::Delete, Kind::Update, Kind::Insert] {
            self.send(kind).await?;
        }
        while let Some(sent) = self.sending.next().await {
            self.sent.add(sent?);
        }
        Ok(self.sent)
    }

    fn batch(&mut self, kind: Kind) -> &mut Batch {
        match kind {
            Kind::Update => &mut self.updates,
            Kind::Delete => &mut self.deletes,
            Kind::Insert => &mut self.inserts,
        }
    }

    async fn send(&mut self, kind: Kind) -> Result<(), WriteFailed> {
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

fn item_of(write: Write) -> (Kind, RawDocumentBuf) {
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
            (Kind::Update, item)
        }
        Write::Patch { id, update } => {
            query(&mut item, &id);
            item.append(cstr!("u"), update);
            (Kind::Update, item)
        }
        Write::Delete { id } => {
            query(&mut item, &id);
            item.append(cstr!("limit"), 1);
            (Kind::Delete, item)
        }
        Write::New { document } => (Kind::Insert, document),
    }
}

/// Sends items, in halves where the server refuses all of them on account of some.
async fn send(target: &Target, kind: Kind, items: Vec<(usize, RawDocumentBuf)>) -> Result<Sent, WriteFailed> {
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

/// In a transaction nothing can be sent again: it is over with the first failure.
async fn send_in_transaction(
    target: &Target,
    session: &mut ClientSession,
    kind: Kind,
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

/// Why the server does not take one of the documents of a command, if that is what its error says.
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

fn command(target: &Target, kind: Kind, items: &[(usize, RawDocumentBuf)], alone: bool) -> RawDocumentBuf {
    let (name, field) = match kind {
        Kind::Update => (cstr!("update"), cstr!("updates")),
        Kind::Delete => (cstr!("delete"), cstr!("deletes")),
        Kind::Insert => (cstr!("insert"), cstr!("documents")),
    };
    let mut array = RawArrayBuf::new();
    for (_, item) in items {
        array.push(item);
    }
    let mut command = RawDocumentBuf::new();
    command.append(name, target.collection.as_str());
    command.append(field, array);
    command.append(cstr!("ordered"), false);
    // In a transaction only its end has a write concern.
    if alone {
        command.append(cstr!("writeConcern"), RawDocumentBuf::try_from(&majority()).expect("it has no NUL in a name"));
    }
    command
}

/// Takes from an answer what it says of each write. A command is `ok` also where single writes failed.
fn read_answer(
    target: &Target,
    kind: Kind,
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
    if let Kind::Update = kind {
        sent.made.extend(listed("upserted").filter_map(tag));
        let taken = items.len() as u64 - errors;
        sent.missed += taken.saturating_sub(number(answer, "n").unwrap_or(0));
    }
    Ok(())
}
