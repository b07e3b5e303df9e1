//! Many writes in few commands: `update` and `delete`, unordered, within what the server takes in one.

use mongodb::bson::{Document, RawArrayBuf, RawBson, RawDocumentBuf};

use super::cstr;
use super::target::{Target, majority, number};
use crate::sinks::SinkError;

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
}

/// What surrounds the writes of a command, and the name of an item in an array.
const COMMAND_BYTES: usize = 4096;
const ITEM_BYTES: usize = 12;

/// Collects writes to one collection and sends them whenever a command is full.
pub(super) struct Bulk<'a> {
    target: &'a Target,
    updates: Batch,
    deletes: Batch,
    inserts: Batch,
    /// Documents that a [`Write::Patch`] did not find.
    missed: u64,
}

/// The items of one command.
#[derive(Default)]
struct Batch {
    items: RawArrayBuf,
    count: usize,
    bytes: usize,
}

impl<'a> Bulk<'a> {
    pub(super) fn new(target: &'a Target) -> Bulk<'a> {
        Bulk { target, updates: Batch::default(), deletes: Batch::default(), inserts: Batch::default(), missed: 0 }
    }

    /// Takes one more write, and first sends those before it if they fill a command.
    pub(super) async fn push(&mut self, write: Write) -> Result<(), SinkError> {
        let mut item = RawDocumentBuf::new();
        let (id, kind) = match &write {
            Write::Replace { id, .. } | Write::Patch { id, .. } => (id, Kind::Update),
            Write::Delete { id } => (id, Kind::Delete),
        };
        let mut query = RawDocumentBuf::new();
        query.append(cstr!("_id"), id);
        item.append(cstr!("q"), query);
        match write {
            Write::Replace { document, .. } => {
                item.append(cstr!("u"), document);
                item.append(cstr!("upsert"), true);
            }
            Write::Patch { update, .. } => item.append(cstr!("u"), update),
            Write::Delete { .. } => item.append(cstr!("limit"), 1),
        }
        self.push_item(kind, item).await
    }

    /// Takes a document of which it is known that it is not there.
    pub(super) async fn push_new(&mut self, document: RawDocumentBuf) -> Result<(), SinkError> {
        self.push_item(Kind::Insert, document).await
    }

    /// Sends what is left. Answers whether every patch found its document.
    pub(super) async fn finish(mut self) -> Result<bool, SinkError> {
        for kind in [Kind::Update, Kind::Delete, Kind::Insert] {
            self.send(kind).await?;
        }
        Ok(self.missed == 0)
    }

    async fn push_item(&mut self, kind: Kind, item: RawDocumentBuf) -> Result<(), SinkError> {
        let limits = self.target.limits;
        let bytes = item.as_bytes().len() + ITEM_BYTES;
        let batch = self.batch(kind);
        if batch.count == limits.documents || batch.count > 0 && batch.bytes + bytes + COMMAND_BYTES > limits.command_bytes {
            self.send(kind).await?;
        }
        let batch = self.batch(kind);
        batch.items.push(item);
        batch.count += 1;
        batch.bytes += bytes;
        Ok(())
    }

    fn batch(&mut self, kind: Kind) -> &mut Batch {
        match kind {
            Kind::Update => &mut self.updates,
            Kind::Delete => &mut self.deletes,
            Kind::Insert => &mut self.inserts,
        }
    }

    async fn send(&mut self, kind: Kind) -> Result<(), SinkError> {
        let batch = std::mem::take(self.batch(kind));
        if batch.count == 0 {
            return Ok(());
        }
        let (name, items) = match kind {
            Kind::Update => (cstr!("update"), cstr!("updates")),
            Kind::Delete => (cstr!("delete"), cstr!("deletes")),
            Kind::Insert => (cstr!("insert"), cstr!("documents")),
        };
        let mut command = RawDocumentBuf::new();
        command.append(name, self.target.collection.as_str());
        command.append(items, batch.items);
        command.append(cstr!("ordered"), false);
        let concern = RawDocumentBuf::try_from(&majority()).expect("it has no NUL in a name");
        command.append(cstr!("writeConcern"), concern);
        let answer: Document = self.target.raw_command(command).await?;
        self.target.check(&answer)?;
        if let Kind::Update = kind {
            self.missed += (batch.count as u64).saturating_sub(number(&answer, "n").unwrap_or(0));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Update,
    Delete,
    Insert,
}
