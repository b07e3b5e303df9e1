//! A view as a collection of MongoDB or of a server that speaks its protocol; transactions are not needed.
//!
//! In: the view's changes, whole ticks at a time. Out: one document per row with the view's key as `_id`, indexes on the fields that
//! relations use, and in the same database, in `tidemill_positions`, how far the collection is. The position is written after the
//! data, both by a majority of the members, so that a collection is never behind its position. It may be ahead of it, by a call that
//! was cut short; what is repeated then is written whole and comes to the same.
//!
//! A document is changed by paths ([`patch`]) only where the target is known to hold what it is changed from: not in the first
//! [`apply`](Sink::apply) after a start, and not after a failure.

mod bulk;
mod copy;
mod document;
mod errors;
mod options;
mod patch;
mod preflight;
mod target;

use async_trait::async_trait;
use mongodb::bson::raw::cstr;

use self::bulk::{Bulk, Write};
use self::copy::Copy;
use self::document::DocumentShape;
pub(crate) use self::options::KIND;
use self::options::MongoOptions;
use self::target::{POSITIONS, Target};
use crate::finding::Finding;
use crate::options::OptionError;
use crate::sinks::{Change, Sink, SinkError, SinkPosition, ViewShape};
use crate::value::Row;

/// A sink of kind `mongodb`.
#[derive(Debug)]
pub struct MongoSink {
    options: MongoOptions,
    open: Option<OpenSink>,
}

#[derive(Debug)]
struct OpenSink {
    view: String,
    shape: DocumentShape,
    target: Target,
    /// The target holds exactly the state of the last position, in every document.
    exact: bool,
    copy: Option<Copy>,
}

impl MongoSink {
    /// `options` must have passed the check against [`KIND`].
    pub fn new(options: &serde_json::Value) -> Result<MongoSink, OptionError> {
        Ok(MongoSink { options: MongoOptions::read(options)?, open: None })
    }

    fn opened(&mut self) -> &mut OpenSink {
        self.open.as_mut().expect("`open` comes first")
    }
}

#[async_trait]
impl Sink for MongoSink {
    async fn preflight(&self, view: Option<&ViewShape>) -> Result<Vec<Finding>, SinkError> {
        let target = Target::connect(&self.options).await?;
        let findings = preflight::findings(&target, view).await;
        target.disconnect().await;
        findings
    }

    async fn open(&mut self, view: &ViewShape) -> Result<Option<SinkPosition>, SinkError> {
        self.open = None;
        let shape = DocumentShape::new(view)?;
        let target = Target::connect(&self.options).await?;
        target.create_indexes(view).await?;
        let position = target.position(&view.name).await?;
        self.open = Some(OpenSink { view: view.name.clone(), shape, target, exact: false, copy: None });
        Ok(position)
    }

    async fn apply(&mut self, changes: &[Change], position: &SinkPosition) -> Result<(), SinkError> {
        let open = self.opened();
        open.copy = None;
        let exact = std::mem::replace(&mut open.exact, false);
        if !open.write(changes, exact).await? {
            // Somebody else deleted documents: whatever the changed ones are, they are written whole.
            open.write(changes, false).await?;
        }
        open.target.set_position(&open.view, position).await?;
        open.exact = true;
        Ok(())
    }

    async fn copy(&mut self, rows: &[(Row, Row)]) -> Result<(), SinkError> {
        let open = self.opened();
        open.exact = false;
        let entries = rows.iter().map(|(key, row)| open.shape.entry(key, row, open.target.limits)).collect::<Result<_, _>>()?;
        let copy = match &mut open.copy {
            Some(copy) => copy,
            none => none.insert(Copy::begin(&open.target).await?),
        };
        copy.write(&open.target, entries).await
    }

    async fn finish_copy(&mut self, position: &SinkPosition) -> Result<(), SinkError> {
        let open = self.opened();
        if open.copy.is_none() {
            open.copy = Some(Copy::begin(&open.target).await?);
        }
        let copy = open.copy.as_ref().expect("begun above");
        copy.delete_others(&open.target).await?;
        open.target.set_position(&open.view, position).await?;
        open.copy = None;
        open.exact = true;
        Ok(())
    }

    async fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.target.disconnect().await;
        }
    }
}

impl OpenSink {
    /// Writes the changes. `exact`: the target holds every `before`. Answers false if it turned out not to.
    async fn write(&self, changes: &[Change], exact: bool) -> Result<bool, SinkError> {
        let mut bulk = Bulk::new(&self.target);
        for change in changes {
            let write = match (&change.before, &change.after) {
                (_, None) => Write::Delete { id: self.shape.id(&change.key) },
                (Some(before), Some(after)) if exact && before == after => continue,
                (before, Some(after)) => self.put(change, before.as_ref().filter(|_| exact), after)?,
            };
            bulk.push(write).await?;
        }
        bulk.finish().await
    }

    /// The write that makes a document of `after`, by its changed paths if `before` is given and that is cheaper.
    fn put(&self, change: &Change, before: Option<&Row>, after: &Row) -> Result<Write, SinkError> {
        if let Some(before) = before
            && self.shape.patchable
            // A document that may be too large is always measured before it is sent.
            && after.len() < self.target.limits.document_bytes / 8
            && let Some(update) = patch::patch(&self.shape.layout, before, after)
        {
            return Ok(Write::Patch { id: self.shape.id(&change.key), update });
        }
        let (id, document) = self.shape.entry(&change.key, after, self.target.limits)?;
        Ok(Write::Replace { id, document })
    }
}
