//! Writes a step: all changes of the view between two positions, in one transaction if the server has transactions.
//!
//! In: the changes of a step. Out: the documents that the server refuses. Older versions of them are deleted, because otherwise readers would
//! see stale documents without noticing. In a transaction nothing of the step is visible before [`OpenSink::reach`] commits it together with its
//! position.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mongodb::ClientSession;
use mongodb::error::{TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::{ReadConcern, WriteConcern};

use super::OpenSink;
use super::bulk::{Bulk, Sent, Write};
use super::errors::{Retry, WriteFailed};
use super::patch;
use super::target::{Stored, Transactions};
use crate::sinks::{SinkChange, SinkError, SinkPosition, TargetRefusal};
use crate::value::Row;

/// How often a step is tried in a transaction before it is written without one.
const ATTEMPTS: usize = 5;
/// A transaction that failed after this time probably exceeded the server's limit of 60 s, and would exceed it again.
const LONG: Duration = Duration::from_secs(30);
/// How long a commit with an unknown outcome is repeated.
const COMMIT_PATIENCE: Duration = Duration::from_secs(20);

/// The indexes of refused changes in the step, with the reasons.
type Refusals = BTreeMap<usize, String>;

/// What is known about the documents of a step from earlier attempts.
#[derive(Debug, Default)]
struct Known {
    /// Refused documents, which are deleted instead of written.
    refused: Refusals,
    /// Documents that are deleted before all others and then written, because their values may conflict with each other in a unique index.
    cleared: Refusals,
}

impl OpenSink {
    /// `exact`: the target has the `before` of every change.
    pub(super) async fn write_step(&mut self, changes: &[SinkChange], exact: bool) -> Result<Vec<TargetRefusal>, SinkError> {
        self.note = None;
        let refusals = match self.target.transactions {
            Transactions::None => self.write_alone(changes, exact).await?,
            Transactions::Bytes(most) => {
                let bytes: usize = changes.iter().map(|c| c.key.len() + c.after.as_ref().map_or(0, |row| row.len())).sum();
                match bytes <= most {
                    true => self.write_in_transaction(changes, exact).await?,
                    false => self.write_without_transaction(changes, exact, "has more bytes than one transaction can have").await?,
                }
            }
        };
        Ok(refusals.into_iter().map(|(index, reason)| TargetRefusal { key: changes[index].key.clone(), reason }).collect())
    }

    async fn write_without_transaction(&mut self, changes: &[SinkChange], exact: bool, why: &str) -> Result<Refusals, SinkError> {
        self.abort().await;
        let note = format!("a step of {} documents was written without a transaction: it {why}", changes.len());
        tracing::warn!(collection = self.target.place.collection, note, "no transaction");
        self.note = Some(note);
        self.write_alone(changes, exact).await
    }

    async fn write_alone(&mut self, changes: &[SinkChange], exact: bool) -> Result<Refusals, SinkError> {
        let mut known = Known::default();
        let mut sent = self.send(changes, exact, &mut known, None).await.map_err(|failed| failed.error)?;
        if self.was_not_exact(changes, exact, &sent) {
            // Somebody else has deleted documents: write all changed documents as a whole.
            self.doubtful = true;
            sent = self.send(changes, false, &mut known, None).await.map_err(|failed| failed.error)?;
        }
        let (later, never): (Vec<_>, Vec<_>) = sent.refused.into_iter().partition(|refused| refused.later);
        known.refused.extend(never.into_iter().map(|refused| (refused.tag, refused.reason)));
        known.cleared.extend(later.into_iter().map(|refused| (refused.tag, refused.reason)));
        self.settle(changes, known).await
    }

    /// Deletes refused documents, and then writes again those that may be accepted. Returns the refusals that remain.
    async fn settle(&self, changes: &[SinkChange], Known { mut refused, cleared }: Known) -> Result<Refusals, SinkError> {
        let gone: Vec<usize> = refused.keys().chain(cleared.keys()).copied().collect();
        self.delete(changes, gone.iter().copied(), None).await.map_err(|failed| failed.error)?;
        let mut bulk = Bulk::new(&self.target, cleared.len(), None);
        for &index in cleared.keys() {
            let Some(after) = &changes[index].after else { continue };
            match self.shape.entry(&changes[index].key, after, self.target.limits) {
                Ok((id, document)) => bulk.push(index, Write::Replace { id, document }).await.map_err(|failed| failed.error)?,
                Err(reason) => drop(refused.insert(index, reason)),
            }
        }
        let sent = bulk.finish().await.map_err(|failed| failed.error)?;
        refused.extend(sent.refused.into_iter().map(|refused| (refused.tag, refused.reason)));
        Ok(refused)
    }

    async fn write_in_transaction(&mut self, changes: &[SinkChange], exact: bool) -> Result<Refusals, SinkError> {
        let mut known = Known::default();
        let mut exact = exact;
        for _ in 0..ATTEMPTS {
            self.abort().await;
            let began = Instant::now();
            let mut session = self.begin().await?;
            let sent = self.send_all(changes, exact, &mut known, &mut session).await;
            self.session = Some(session);
            match sent {
                Ok(sent) if sent.refused.is_empty() && self.was_not_exact(changes, exact, &sent) => {
                    (self.doubtful, exact) = (true, false);
                }
                Ok(sent) if sent.refused.is_empty() => return Ok(known.refused),
                Ok(sent) => {
                    for refused in sent.refused {
                        let again = refused.later && !known.cleared.contains_key(&refused.tag);
                        let list = if again { &mut known.cleared } else { &mut known.refused };
                        list.insert(refused.tag, refused.reason);
                    }
                    known.cleared.retain(|index, _| !known.refused.contains_key(index));
                }
                Err(WriteFailed { retry: Retry::Transaction, .. }) if began.elapsed() < LONG => {}
                Err(WriteFailed { retry: Retry::Transaction, .. }) => {
                    return self.write_without_transaction(changes, exact, "takes longer than a transaction may").await;
                }
                Err(WriteFailed { retry: Retry::WithoutTransaction, .. }) => {
                    return self.write_without_transaction(changes, exact, "is more than the server accepts in one").await;
                }
                Err(WriteFailed { retry: Retry::No, error }) => return Err(error),
            }
        }
        self.write_without_transaction(changes, exact, "failed repeatedly in one").await
    }

    async fn send_all(
        &self,
        changes: &[SinkChange],
        exact: bool,
        known: &mut Known,
        session: &mut ClientSession,
    ) -> Result<Sent, WriteFailed> {
        let cleared: Vec<usize> = known.cleared.keys().copied().collect();
        self.delete(changes, cleared.into_iter(), Some(&mut *session)).await?;
        self.send(changes, exact, known, Some(session)).await
    }

    async fn delete(
        &self,
        changes: &[SinkChange],
        indexes: impl ExactSizeIterator<Item = usize>,
        session: Option<&mut ClientSession>,
    ) -> Result<(), WriteFailed> {
        let mut bulk = Bulk::new(&self.target, indexes.len(), session);
        for index in indexes {
            bulk.push(index, Write::Delete { id: self.shape.ids.id(&changes[index].key) }).await?;
        }
        bulk.finish().await.map(drop)
    }

    /// Sends the changes. Documents that are known to be refused without asking the server are added to `known`.
    async fn send(
        &self,
        changes: &[SinkChange],
        exact: bool,
        known: &mut Known,
        session: Option<&mut ClientSession>,
    ) -> Result<Sent, WriteFailed> {
        let mut bulk = Bulk::new(&self.target, changes.len(), session);
        for (index, change) in changes.iter().enumerate() {
            let delete = || Write::Delete { id: self.shape.ids.id(&change.key) };
            let exact = exact && !known.cleared.contains_key(&index);
            let write = match (&change.before, &change.after) {
                _ if known.refused.contains_key(&index) => delete(),
                (_, None) => delete(),
                (Some(before), Some(after)) if exact && before == after => continue,
                (before, Some(after)) => match self.put(change, before.as_ref().filter(|_| exact), after) {
                    Ok(write) => write,
                    Err(reason) => {
                        known.refused.insert(index, reason);
                        delete()
                    }
                },
            };
            bulk.push(index, write).await?;
        }
        bulk.finish().await
    }

    /// The write that sets a document to `after`: an update of the changed paths if `before` is given and that is cheaper. Fails with the reason
    /// if the server would refuse the document.
    fn put(&self, change: &SinkChange, before: Option<&Row>, after: &Row) -> Result<Write, String> {
        if let Some(before) = before
            && self.shape.patchable
            // A document that may be too large is encoded whole, so that its size is checked.
            && after.len() < self.target.limits.document_bytes / 8
            && let Some(update) = patch::patch(&self.shape.layout, self.shape.id_columns, before, after)
        {
            return Ok(Write::Patch { id: self.shape.ids.id(&change.key), update });
        }
        let (id, document) = self.shape.entry(&change.key, after, self.target.limits)?;
        Ok(Write::Replace { id, document })
    }

    /// Whether documents that a step changes were missing.
    fn was_not_exact(&self, changes: &[SinkChange], exact: bool, sent: &Sent) -> bool {
        exact && (sent.missed > 0 || sent.made.iter().any(|&index| changes[index].before.is_some()))
    }

    async fn begin(&mut self) -> Result<ClientSession, SinkError> {
        let place = &self.target.place;
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.target.database.client().start_session().await.map_err(|e| place.error(e))?,
        };
        let start = session.start_transaction().read_concern(ReadConcern::snapshot()).write_concern(WriteConcern::majority());
        start.await.map_err(|e| place.error(e))?;
        self.in_transaction = true;
        Ok(session)
    }

    /// Aborts the running transaction, if there is one.
    pub(super) async fn abort(&mut self) {
        if std::mem::take(&mut self.in_transaction)
            && let Some(session) = &mut self.session
            && let Err(error) = session.abort_transaction().await
        {
            // The server aborts it once the session times out; the next transaction uses another session.
            tracing::debug!(%error, "a transaction was not aborted");
            self.session = None;
        }
    }

    /// Stores the position. In a transaction, commits it together with the step.
    pub(super) async fn reach(&mut self, position: &SinkPosition) -> Result<(), SinkError> {
        let stored = Stored { position: position.clone(), shape: self.shape.fingerprint.clone(), uuid: self.uuid.clone() };
        if !self.in_transaction {
            return self.target.set_position(&self.view, &stored, None).await;
        }
        let session = self.session.as_mut().expect("a transaction has a session");
        self.target.set_position(&self.view, &stored, Some(session)).await?;
        self.in_transaction = false;
        let since = Instant::now();
        loop {
            let Err(error) = session.commit_transaction().await else { return Ok(()) };
            let unknown = error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT);
            if !unknown || since.elapsed() > COMMIT_PATIENCE {
                // The outcome may be unknown: the step is written again with whole documents.
                self.session = None;
                let message = format!("MongoDB at {} did not commit a transaction", self.target.place.hosts);
                let passing = unknown || error.contains_label(TRANSIENT_TRANSACTION_ERROR);
                return Err(if passing { SinkError::Transient { message } } else { self.target.place.error(error) });
            }
        }
    }
}
