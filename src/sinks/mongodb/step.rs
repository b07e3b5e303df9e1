//! One step: everything that happened in the view between two positions, in one transaction where the server has them.
//!
//! In: the changes of a step. Out: the documents that the server refuses, which are gone from it, however they were before: a document that
//! nobody corrects any more would be wrong without saying so. In a transaction nothing of the step is seen before [`OpenSink::reach`] commits it
//! together with its position.

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
use crate::sinks::{Change, Refused, SinkError, SinkPosition};
use crate::value::Row;

/// How often one step is tried in a transaction before it is written without.
const ATTEMPTS: usize = 5;
/// A transaction that failed after so long has met the server's limit of 60 s, and would meet it again.
const LONG: Duration = Duration::from_secs(30);
/// How long the outcome of a commit is asked for.
const COMMIT_PATIENCE: Duration = Duration::from_secs(20);

/// Changes by their index in the step, and why each is refused.
type Refusals = BTreeMap<usize, String>;

/// What is known of the documents of a step when it is tried again.
#[derive(Debug, Default)]
struct Known {
    /// Refused: not written, but deleted.
    refused: Refusals,
    /// Deleted before everything else and then written: their values may be in the way of each other.
    cleared: Refusals,
}

impl OpenSink {
    /// `exact`: the target holds every `before`.
    pub(super) async fn write_step(&mut self, changes: &[Change], exact: bool) -> Result<Vec<Refused>, SinkError> {
        self.note = None;
        let refusals = match self.target.transactions {
            Transactions::None => self.write_alone(changes, exact).await?,
            Transactions::Bytes(most) => {
                let bytes: usize = changes.iter().map(|c| c.key.len() + c.after.as_ref().map_or(0, |row| row.len())).sum();
                match bytes <= most {
                    true => self.write_in_transaction(changes, exact).await?,
                    false => self.write_without_transaction(changes, exact, "has more bytes than one transaction takes").await?,
                }
            }
        };
        Ok(refusals.into_iter().map(|(index, reason)| Refused { key: changes[index].key.clone(), reason }).collect())
    }

    async fn write_without_transaction(&mut self, changes: &[Change], exact: bool, why: &str) -> Result<Refusals, SinkError> {
        self.abort().await;
        let note = format!("a step of {} documents was written without a transaction: it {why}", changes.len());
        tracing::warn!(collection = self.target.place.collection, note, "no transaction");
        self.note = Some(note);
        self.write_alone(changes, exact).await
    }

    async fn write_alone(&mut self, changes: &[Change], exact: bool) -> Result<Refusals, SinkError> {
        let mut known = Known::default();
        let mut sent = self.send(changes, exact, &mut known, None).await.map_err(|failed| failed.error)?;
        if self.was_not_exact(changes, exact, &sent) {
            // Somebody else deleted documents: whatever the changed ones are, they are written whole.
            self.doubtful = true;
            sent = self.send(changes, false, &mut known, None).await.map_err(|failed| failed.error)?;
        }
        let (later, never): (Vec<_>, Vec<_>) = sent.refused.into_iter().partition(|refused| refused.later);
        known.refused.extend(never.into_iter().map(|refused| (refused.tag, refused.reason)));
        known.cleared.extend(later.into_iter().map(|refused| (refused.tag, refused.reason)));
        self.settle(changes, known).await
    }

    /// Deletes what was refused, and writes again what may be taken then; what is refused in the end.
    async fn settle(&self, changes: &[Change], Known { mut refused, cleared }: Known) -> Result<Refusals, SinkError> {
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

    async fn write_in_transaction(&mut self, changes: &[Change], exact: bool) -> Result<Refusals, SinkError> {
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
                    return self.write_without_transaction(changes, exact, "is more than the server takes in one").await;
                }
                Err(WriteFailed { retry: Retry::No, error }) => return Err(error),
            }
        }
        self.write_without_transaction(changes, exact, "did not come through in one").await
    }

    async fn send_all(&self, changes: &[Change], exact: bool, known: &mut Known, session: &mut ClientSession) -> Result<Sent, WriteFailed> {
        let cleared: Vec<usize> = known.cleared.keys().copied().collect();
        self.delete(changes, cleared.into_iter(), Some(&mut *session)).await?;
        self.send(changes, exact, known, Some(session)).await
    }

    async fn delete(
        &self,
        changes: &[Change],
        indexes: impl ExactSizeIterator<Item = usize>,
        session: Option<&mut ClientSession>,
    ) -> Result<(), WriteFailed> {
        let mut bulk = Bulk::new(&self.target, indexes.len(), session);
        for index in indexes {
            bulk.push(index, Write::Delete { id: self.shape.ids.id(&changes[index].key) }).await?;
        }
        bulk.finish().await.map(drop)
    }

    /// Sends the changes; what can be refused here is added to what is known.
    async fn send(
        &self,
        changes: &[Change],
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

    /// The write that makes a document of `after`, by its changed paths if `before` is given and that is cheaper. Otherwise why there is none.
    fn put(&self, change: &Change, before: Option<&Row>, after: &Row) -> Result<Write, String> {
        if let Some(before) = before
            && self.shape.patchable
            // A document that may be too large is always measured before it is sent.
            && after.len() < self.target.limits.document_bytes / 8
            && let Some(update) = patch::patch(&self.shape.layout, self.shape.id_columns, before, after)
        {
            return Ok(Write::Patch { id: self.shape.ids.id(&change.key), update });
        }
        let (id, document) = self.shape.entry(&change.key, after, self.target.limits)?;
        Ok(Write::Replace { id, document })
    }

    /// Whether documents were not there that a step changes.
    fn was_not_exact(&self, changes: &[Change], exact: bool, sent: &Sent) -> bool {
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

    /// Takes back whatever a transaction under way has written.
    pub(super) async fn abort(&mut self) {
        if std::mem::take(&mut self.in_transaction)
            && let Some(session) = &mut self.session
            && let Err(error) = session.abort_transaction().await
        {
            // The server does it by itself once the session has been silent for long enough; with another session nothing of it is in the way.
            tracing::debug!(%error, "a transaction was not aborted");
            self.session = None;
        }
    }

    /// Stores the position; in a transaction, together with the step.
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
                // Whether it came through or not: the step is written again, whole.
                self.session = None;
                let message = format!("MongoDB at {} did not commit a transaction", self.target.place.hosts);
                let passing = unknown || error.contains_label(TRANSIENT_TRANSACTION_ERROR);
                return Err(if passing { SinkError::Transient { message } } else { self.target.place.error(error) });
            }
        }
    }
}
