//! Writes a view to a collection of MongoDB or of a server that speaks its protocol.
//!
//! In: the view's changes, whole ticks at a time. Out: one document per row with the view's key as `_id`, indexes on the fields that relations
//! use, and the collection's position, which is in `tidemill_positions` in the same database. If the server has transactions, a step and its
//! position are one transaction. Otherwise the position is written after the data, both with write concern majority, so a collection is never
//! behind its position. It may be ahead after a failed call; the call is then repeated with whole documents, which gives the same result.
//!
//! A document is updated by paths ([`patch`]) only if the target is known to have the row before: not in the first step after a start, and not
//! after a failure. A collection that was dropped or created again is recognized by its uuid, which is stored with the position.

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
use bson::raw::cstr;
use mongodb::ClientSession;

use self::collection::ExistingCollection;
use self::copy::CopyUnderWay;
use self::document::DocumentShape;
pub(crate) use self::options::KIND;
use self::options::MongoOptions;
use self::target::{POSITIONS, Stored, Target, Transactions};
use crate::finding::Finding;
use crate::options::OptionError;
use crate::sinks::{self, Sink, SinkChange, SinkError, SinkPosition, TargetRefusal, ViewShape};
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
    /// The uuid of the collection, if the server reports it.
    uuid: Option<String>,
    /// Every document of the target is as of the last position.
    exact: bool,
    /// A document was missing unexpectedly: the collection is checked before the next position is written.
    doubtful: bool,
    /// The target's position as last read or written.
    position: Option<SinkPosition>,
    copy: Option<CopyUnderWay>,
    session: Option<ClientSession>,
    in_transaction: bool,
    note: Option<String>,
}

impl MongoSink {
    /// `options` must have passed the check against [`KIND`].
    pub fn new(options: &serde_json::Value) -> Result<MongoSink, OptionError> {
        Ok(MongoSink { options: MongoOptions::read(options)?, open: None })
    }

    /// `make`: whether to create the collection and its indexes if they are missing.
    async fn connect(&mut self, view: &ViewShape, make: bool) -> Result<Option<SinkPosition>, SinkError> {
        self.open = None;
        let shape = DocumentShape::new(view)?;
        let target = Target::connect(&self.options).await?;
        let there = target.find_collection().await?;
        let ExistingCollection { uuid } = match &there {
            // For transactions the collection of positions must exist too.
            None if make => target.make_collection().await?,
            Some(_) if make && target.transactions != Transactions::None => target.make_collection().await?,
            Some(found) => found.clone(),
            None => ExistingCollection { uuid: None },
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

    async fn write(&mut self, changes: &[SinkChange]) -> Result<Vec<TargetRefusal>, SinkError> {
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

    async fn copy(&mut self, rows: &[(Row, Row)]) -> Result<Vec<TargetRefusal>, SinkError> {
        let open = self.opened();
        open.exact = false;
        let (mut entries, mut refused) = (Vec::with_capacity(rows.len()), Vec::new());
        for (tag, (key, row)) in rows.iter().enumerate() {
            match open.shape.entry(key, row, open.target.limits) {
                Ok(entry) => entries.push((tag, entry)),
                Err(reason) => refused.push(TargetRefusal { key: key.clone(), reason }),
            }
        }
        let mut copy = open.copying().await?;
        let by_server = copy.write(&open.target, entries).await;
        open.copy = Some(copy);
        refused.extend(by_server?.into_iter().map(|r| TargetRefusal { key: rows[r.tag].0.clone(), reason: r.reason }));
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
        self.opened().copy = Some(CopyUnderWay::comparison());
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
                    "the position of {} is not the one that was written last: the collection is compared again",
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
    /// The running copy, or a new one.
    async fn copying(&mut self) -> Result<CopyUnderWay, SinkError> {
        self.abort().await;
        match self.copy.take() {
            Some(copy) => Ok(copy),
            None => {
                self.position = None;
                CopyUnderWay::begin(&self.target).await
            }
        }
    }

    /// Fails if the collection is not the one that was opened.
    async fn look_at_collection(&mut self) -> Result<(), SinkError> {
        let now = self.target.find_collection().await?;
        let uuid = now.as_ref().and_then(|found| found.uuid.clone());
        if now.is_none() || uuid.is_some() && self.uuid.is_some() && uuid != self.uuid {
            return Err(SinkError::Transient {
                message: format!("{} was dropped or created again by somebody: it is copied again", self.target.place.collection),
            });
        }
        self.uuid = uuid;
        Ok(())
    }
}
