//! The connection to the target: commands, limits, indexes, the stored position. Elsewhere: the identity of the collection (`collection`).

use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::ErrorKind;
use mongodb::options::ClientOptions;
use mongodb::{Client, ClientSession, Collection, Database};
use tokio::time::timeout;

use super::errors::{ANSWER_SECONDS, TargetName, code_of};
use super::options::{MongoOptions, refuse};
use crate::sinks::{SinkError, SinkPosition, ViewShape};
use crate::value::Tick;

/// The collection of positions, in the database of the data.
pub(super) const POSITIONS: &str = "tidemill_positions";

/// The time limit for finding a server, unless the connection string has one.
const SELECTION: Duration = Duration::from_secs(5);

/// The limits of one command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) documents: usize,
    pub(super) document_bytes: usize,
    pub(super) command_bytes: usize,
}

/// A collection on a server.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) database: Database,
    pub(super) collection: String,
    pub(super) place: TargetName,
    pub(super) limits: Limits,
    pub(super) transactions: Transactions,
}

/// Whether the server has transactions, which make writes to several documents atomic for readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transactions {
    None,
    /// Transactions of at most this many bytes.
    Bytes(usize),
}

/// The position stored in the target, with the state of the collection when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) position: SinkPosition,
    /// [`DocumentShape::fingerprint`](super::document::DocumentShape::fingerprint) of its documents.
    pub(super) shape: String,
    /// The uuid of the collection, if the server reports it.
    pub(super) uuid: Option<String>,
}

impl Target {
    /// Connects and asks the server for its limits.
    pub(super) async fn connect(options: &MongoOptions) -> Result<Target, SinkError> {
        let mut client_options = ClientOptions::parse(&options.uri).await.map_err(bad_uri)?;
        client_options.server_selection_timeout.get_or_insert(SELECTION);
        client_options.app_name.get_or_insert_with(|| "tidemill".into());
        let hosts: Vec<String> = client_options.hosts.iter().map(ToString::to_string).collect();
        let place = TargetName { hosts: hosts.join(","), collection: format!("{}.{}", options.database, options.collection) };
        let client = Client::with_options(client_options).map_err(|e| place.error(e))?;
        let database = client.database(&options.database);
        let limits = Limits { documents: options.batch_documents, document_bytes: 16 << 20, command_bytes: 16 << 20 };
        let transactions = Transactions::None;
        let mut target = Target { database, collection: options.collection.clone(), place, limits, transactions };
        let hello = target.hello().await?;
        target.limits = limits_of(&hello, options);
        target.transactions = transactions_of(&hello);
        Ok(target)
    }

    async fn hello(&self) -> Result<Document, SinkError> {
        match self.command(doc! {"hello": 1}).await {
            Err(SinkError::Stopped { .. }) => self.command(doc! {"isMaster": 1}).await,
            answer => answer,
        }
    }

    /// The collection, for reading.
    pub(super) fn documents(&self) -> Collection<RawDocumentBuf> {
        self.database.collection(&self.collection)
    }

    /// Sends a command to the collection's database. Returns the server's answer if it is `ok`.
    pub(super) async fn command(&self, command: Document) -> Result<Document, SinkError> {
        self.raw_command(RawDocumentBuf::try_from(&command).expect("a command of ours has no NUL in a name")).await
    }

    pub(super) async fn raw_command(&self, command: RawDocumentBuf) -> Result<Document, SinkError> {
        self.run(command, None).await.map_err(|e| self.place.failed(e))
    }

    /// As [`command`](Target::command), but fails with the driver's own error, or `None` if there was no answer in time.
    pub(super) async fn run(
        &self,
        command: RawDocumentBuf,
        session: Option<&mut ClientSession>,
    ) -> Result<Document, Option<mongodb::error::Error>> {
        let command = self.database.run_raw_command(command);
        let answer = async {
            match session {
                Some(session) => command.session(session).await,
                None => command.await,
            }
        };
        timeout(Duration::from_secs(ANSWER_SECONDS), answer).await.map_err(|_| None)?.map_err(Some)
    }

    /// Creates the missing indexes. Keeps an existing one that has another name or other options.
    pub(super) async fn create_indexes(&self, view: &ViewShape) -> Result<(), SinkError> {
        const OPTIONS_CONFLICT: i32 = 85;
        const KEY_CONFLICT: i32 = 86;
        for paths in &view.indexes {
            let key: Document = paths.iter().map(|path| (path.clone(), Bson::Int32(1))).collect();
            let name: Vec<String> = paths.iter().map(|path| format!("{path}_1")).collect();
            let command = doc! {"createIndexes": &self.collection, "indexes": [{"key": key, "name": name.join("_")}]};
            match self.database.run_command(command).await {
                Ok(_) => {}
                Err(error) if matches!(code_of(&error), Some(OPTIONS_CONFLICT | KEY_CONFLICT)) => {}
                Err(error) => return Err(self.place.error(error)),
            }
        }
        Ok(())
    }

    pub(super) async fn holds_documents(&self) -> Result<bool, SinkError> {
        let found = self.documents().find_one(doc! {}).projection(doc! {"_id": 1}).await;
        Ok(found.map_err(|e| self.place.error(e))?.is_some())
    }

    /// Closes the client. Without this the driver ends its sessions in the background, and fails if the runtime ends first.
    pub(super) async fn disconnect(&self) {
        self.database.client().clone().shutdown().immediate(true).await;
    }

    /// The stored position of this view; `None` if there is none or it has an older format.
    pub(super) async fn stored(&self, view: &str) -> Result<Option<Stored>, SinkError> {
        let positions: Collection<Document> = self.database.collection(POSITIONS);
        let found = positions.find_one(doc! {"_id": &self.collection}).await;
        let found = found.map_err(|e| self.place.error(e))?;
        Ok(found.filter(|position| position.get_str("view").is_ok_and(|of| of == view)).and_then(|position| {
            let text = |name: &str| position.get_str(name).ok().map(String::from);
            let at = SinkPosition { store_id: text("store_id")?, life: text("life")?, tick: Tick(number(&position, "tick")?) };
            Some(Stored { position: at, shape: text("shape")?, uuid: text("uuid") })
        }))
    }

    /// Stores the position, in the transaction of `session` if one is given. The writes before it are then as durable as the position.
    pub(super) async fn set_position(&self, view: &str, stored: &Stored, session: Option<&mut ClientSession>) -> Result<(), SinkError> {
        let Stored { position: SinkPosition { store_id, life, tick }, shape, uuid } = stored;
        let mut document = doc! {
            "_id": &self.collection, "view": view, "store_id": store_id, "life": life, "tick": tick.0 as i64, "shape": shape,
        };
        if let Some(uuid) = uuid {
            document.insert("uuid", uuid);
        }
        let update = doc! {"q": {"_id": &self.collection}, "u": document, "upsert": true};
        let mut command = doc! {"update": POSITIONS, "updates": [update]};
        let answer = match session {
            Some(session) => {
                let command = RawDocumentBuf::try_from(&command).expect("a command of ours has no NUL in a name");
                self.run(command, Some(session)).await.map_err(|e| self.place.failed(e))?
            }
            None => {
                command.insert("writeConcern", majority());
                self.command(command).await?
            }
        };
        self.check(&answer)
    }

    pub(super) async fn clear_position(&self) -> Result<(), SinkError> {
        let delete = doc! {"q": {"_id": &self.collection}, "limit": 1};
        let answer = self.command(doc! {"delete": POSITIONS, "deletes": [delete], "writeConcern": majority()}).await?;
        self.check(&answer)
    }

    /// Fails with the first error in the answer to a write. A command is `ok` even if single writes failed.
    pub(super) fn check(&self, answer: &Document) -> Result<(), SinkError> {
        let failed = answer.get_array("writeErrors").ok().and_then(|errors| errors.first()).and_then(Bson::as_document);
        let failed = failed.or_else(|| answer.get_document("writeConcernError").ok());
        match failed {
            None => Ok(()),
            Some(error) => Err(self.place.code(number(error, "code").unwrap_or(0) as i32, error.get_str("codeName").ok())),
        }
    }
}

fn limits_of(hello: &Document, options: &MongoOptions) -> Limits {
    let number = |name: &str, default: usize| number(hello, name).map_or(default, |n| n as usize);
    let document_bytes = number("maxBsonObjectSize", 16 << 20);
    Limits {
        documents: options.batch_documents.min(number("maxWriteBatchSize", 1000)),
        document_bytes,
        // A command is a document too. The server allows it 16 KiB more than a document, for the fields around the documents.
        command_bytes: document_bytes.min(number("maxMessageSizeBytes", 48_000_000)),
    }
}

/// Replica sets have transactions since 4.0 (wire version 7), sharded clusters since 4.2 (8). Before 4.2 a transaction is one entry of the log
/// of operations, of at most 16 MB; since then it is limited by its duration of at most a minute:
/// <https://www.mongodb.com/docs/manual/core/transactions-production-consideration/>.
fn transactions_of(hello: &Document) -> Transactions {
    let wire = number(hello, "maxWireVersion").unwrap_or(0);
    let sessions = number(hello, "logicalSessionTimeoutMinutes").is_some();
    let replicas = hello.contains_key("setName");
    let sharded = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    match sessions && (replicas && wire >= 7 || sharded && wire >= 8) {
        false => Transactions::None,
        true if wire < 8 => Transactions::Bytes(8 << 20),
        true => Transactions::Bytes(64 << 20),
    }
}

/// Omits the driver's message, which may quote the connection string and thus the password.
fn bad_uri(error: mongodb::error::Error) -> SinkError {
    match &*error.kind {
        ErrorKind::DnsResolve { .. } => {
            SinkError::Transient { message: "the hosts of the sink's `uri` (mongodb+srv) cannot be looked up".into() }
        }
        _ => {
            let help = "mongodb://USER:PASSWORD@HOST:PORT/?OPTIONS; write special characters in user and password as %XX";
            SinkError::Option(refuse(&["uri"], "it is not a connection string of MongoDB", Some(help)))
        }
    }
}

/// Write concern majority: neither the data nor its position may be rolled back, and no position may survive without its data.
pub(super) fn majority() -> Document {
    doc! {"w": "majority"}
}

/// A number of an answer, of any numeric type; `None` if it is missing or negative.
pub(super) fn number(document: &Document, name: &str) -> Option<u64> {
    match document.get(name)? {
        Bson::Int32(v) => u64::try_from(*v).ok(),
        Bson::Int64(v) => u64::try_from(*v).ok(),
        Bson::Double(v) if *v >= 0.0 => Some(*v as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_where_the_manual_says() {
        let server = |wire: i32, more: Document| {
            let mut hello = doc! {"maxWireVersion": wire, "logicalSessionTimeoutMinutes": 30};
            hello.extend(more);
            transactions_of(&hello)
        };
        let (replicas, sharded) = (doc! {"setName": "rs"}, doc! {"msg": "isdbgrid"});
        assert_eq!(server(21, doc! {}), Transactions::None, "a server alone");
        assert_eq!(server(6, replicas.clone()), Transactions::None);
        assert_eq!(server(7, replicas.clone()), Transactions::Bytes(8 << 20));
        assert_eq!(server(8, replicas.clone()), Transactions::Bytes(64 << 20));
        assert_eq!(server(7, sharded.clone()), Transactions::None);
        assert_eq!(server(8, sharded), Transactions::Bytes(64 << 20));
        assert_eq!(transactions_of(&doc! {"setName": "rs", "maxWireVersion": 21}), Transactions::None, "no sessions");
    }
}
