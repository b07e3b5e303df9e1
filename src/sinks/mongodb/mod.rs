//! A view as a collection of MongoDB or of a server that speaks its protocol.
//!
//! In: the view's changes, whole ticks at a time. Out: one document per row with the view's key as `_id`, indexes on the fields that
//! relations use, and in the same database, in `tidemill_positions`, how far the collection is. Where the server has transactions a step and its
//! position are one. Elsewhere the position is written after the data, both by a majority of the members, so that a collection is never behind
//! its position. It may be ahead of it, by a call that was cut short; what is repeated then is written whole and comes to the same.
//!
//! A document is changed by paths ([`patch`]) only where the target is known to hold what it is changed from: not in the first
//! step after a start, and not after a failure. A collection that was dropped or made anew is known by its uuid, which is kept with the position.

mod bulk;
mod collection;
mod copy;
mod document;
mod errors;
mod id;
mod options;
mod patch;
mod preflight;
mod step;
mod target;

use async_trait::async_trait;
use mongodb::ClientSession;
use mongodb::bson::raw::cstr;

use self::collection::Found;
use self::copy::Copy;
use self::document::DocumentShape;
pub(crate) use self::options::KIND;
use self::options::MongoOptions;
use self::target::{POSITIONS, Stored, Target, Transactions};
use crate::finding::Finding;
use crate::options::OptionError;
use crate::sinks::{self, Change, Refused, Sink, SinkError, SinkPosition, ViewShape};
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
    /// The collection's, where the server tells it.
    uuid: Option<String>,
    /// The target holds exactly the state of the last position, in every document.
    exact: bool,
    /// Something was not there that should have been: the collection is looked at before the next position is written.
    doubtful: bool,
    /// What the target's position is, as far as it was written or read here.
    position: Option<SinkPosition>,
    copy: Option<Copy>,
    session: Option<ClientSession>,
    in_transaction: bool,
    note: Option<String>,
}

impl MongoSink {
    /// `options` must have passed the check against [`KIND`].
    pub fn new(options: &serde_json::Value) -> Result<MongoSink, OptionError> {
        Ok(MongoSink { options: MongoOptions::read(options)?, open: None })
    }

    /// `make`: the collection and its indexes, where they are missing.
    async fn connect(&mut self, view: &ViewShape, make: bool) -> Result<Option<SinkPosition>, SinkError> {
        self.open = None;
        let shape = DocumentShape::new(view)?;
        let target = Target::connect(&self.options).await?;
        let there = target.find_collection().await?;
        let Found { uuid } = match &there {
            // In a transaction there must be the collection of positions too.
            None if make => target.make_collection().await?,
            Some(_) if make && target.transactions != Transactions::None => target.make_collection().await?,
            Some(found) => found.clone(),
            None => Found { uuid: None },
        };
        if make {
            target.create_indexes(view).await?;
        }
        let stored = target.stored(&view.name).await?.filter(|_| there.is_some());
        let same = |stored: &Stored| stored.shape == shape.fingerprint && (stored.uuid == uuid || stored.uuid.is_none() || uuid.is_none());
        let position = stored.filter(same).map(|stored| stored.position);
        self.open = Some(OpenSink {
            view: view.name.clone(),
            shape,
            target,
            uuid,
            exact: false,
            doubtful: false,
            position: position.clone(),
            copy: None,
            session: None,
            in_transaction: false,
            note: None,
        });
        Ok(position)
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
        self.connect(view, true).await
    }

    async fn write(&mut self, changes: &[Change]) -> Result<Vec<Refused>, SinkError> {
        let open = self.opened();
        open.copy = None;
        let exact = std::mem::replace(&mut open.exact, false);
        open.write_step(changes, exact).await
    }

    async fn reach(&mut self, position: &SinkPosition) -> Result<(), SinkError> {
        let open = self.opened();
        if std::mem::replace(&mut open.doubtful, false) {
            open.look_at_collection().await?;
        }
        open.reach(position).await?;
        open.position = Some(position.clone());
        open.exact = true;
        Ok(())
    }

    async fn copy(&mut self, rows: &[(Row, Row)]) -> Result<Vec<Refused>, SinkError> {
        let open = self.opened();
        open.exact = false;
        let (mut entries, mut refused) = (Vec::with_capacity(rows.len()), Vec::new());
        for (tag, (key, row)) in rows.iter().enumerate() {
            match open.shape.entry(key, row, open.target.limits) {
                Ok(entry) => entries.push((tag, entry)),
                Err(reason) => refused.push(Refused { key: key.clone(), reason }),
            }
        }
        let mut copy = open.copying().await?;
        let by_server = copy.write(&open.target, entries).await;
        open.copy = Some(copy);
        refused.extend(by_server?.into_iter().map(|r| Refused { key: rows[r.tag].0.clone(), reason: r.reason }));
        Ok(refused)
    }

    async fn finish_copy(&mut self, position: &SinkPosition) -> Result<(), SinkError> {
        let open = self.opened();
        let copy = open.copying().await?;
        copy.delete_others(&open.target).await?;
        sinks::break_at("sink.copy.before_position")?;
        open.look_at_collection().await?;
        open.reach(position).await?;
        open.position = Some(position.clone());
        open.exact = true;
        Ok(())
    }

    async fn begin_compare(&mut self, view: &ViewShape) -> Result<Option<SinkPosition>, SinkError> {
        let position = self.connect(view, false).await?;
        self.opened().copy = Some(Copy::comparison());
        Ok(position)
    }

    async fn compare(&mut self, rows: &[(Row, Row)]) -> Result<Vec<Row>, SinkError> {
        let open = self.opened();
        let mut copy = open.copying().await?;
        let (mut entries, mut different) = (Vec::with_capacity(rows.len()), Vec::new());
        for (tag, (key, row)) in rows.iter().enumerate() {
            match open.shape.entry(key, row, open.target.limits) {
                Ok(entry) => entries.push((tag, entry)),
                Err(_) => different.push(tag),
            }
        }
        different.extend(copy.compare(&open.target, &entries).await?);
        open.copy = Some(copy);
        different.sort_unstable();
        Ok(different.into_iter().map(|tag| rows[tag].0.clone()).collect())
    }

    async fn finish_compare(&mut self) -> Result<u64, SinkError> {
        let open = self.opened();
        let copy = open.copying().await?;
        Ok(copy.others(&open.target).await?.len() as u64)
    }

    async fn look(&mut self) -> Result<(), SinkError> {
        let open = self.opened();
        open.look_at_collection().await?;
        let stored = open.target.stored(&open.view).await?.map(|stored| stored.position);
        match stored == open.position {
            true => Ok(()),
            false => Err(SinkError::Transient {
                message: format!(
                    "the position of {} is not the one that was written last: it is compared anew",
                    open.target.place.collection
                ),
            }),
        }
    }

    fn note(&self) -> Option<String> {
        self.open.as_ref()?.note.clone()
    }

    async fn close(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.abort().await;
            drop(open.session.take());
            open.target.disconnect().await;
        }
    }
}

impl OpenSink {
    /// The copy under way, or a new one.
    async fn copying(&mut self) -> Result<Copy, SinkError> {
        self.abort().await;
        match self.copy.take() {
            Some(copy) => Ok(copy),
            None => {
                self.position = None;
                Copy::begin(&self.target).await
            }
        }
    }

    /// Fails where the collection is not the one that was opened.
    async fn look_at_collection(&mut self) -> Result<(), SinkError> {
        let now = self.target.find_collection().await?;
        let uuid = now.as_ref().and_then(|found| found.uuid.clone());
        if now.is_none() || uuid.is_some() && self.uuid.is_some() && uuid != self.uuid {
            return Err(SinkError::Transient {
                message: format!("{} was dropped or made anew by somebody: it is copied again", self.target.place.collection),
            });
        }
        self.uuid = uuid;
        Ok(())
    }
}
