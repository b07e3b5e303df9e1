//! The connection to the target: commands, limits, indexes, the stored position.

use std::time::Duration;

use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::ErrorKind;
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection, Database};
use tokio::time::timeout;

use super::errors::Place;
use super::options::{MongoOptions, refuse};
use crate::sinks::{SinkError, SinkPosition, ViewShape};
use crate::value::Tick;

/// The collection of positions, in the database of the data.
pub(super) const POSITIONS: &str = "tidemill_positions";

/// How long a server may be looked for, where the connection string does not say.
const SELECTION: Duration = Duration::from_secs(5);
const ANSWER_SECONDS: u64 = 120;

/// What one command may hold.
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
    pub(super) place: Place,
    pub(super) limits: Limits,
}

impl Target {
    /// Connects and asks the server what it takes.
    pub(super) async fn connect(options: &MongoOptions) -> Result<Target, SinkError> {
        let mut client_options = ClientOptions::parse(&options.uri).await.map_err(bad_uri)?;
        client_options.server_selection_timeout.get_or_insert(SELECTION);
        client_options.app_name.get_or_insert_with(|| "tidemill".into());
        let hosts: Vec<String> = client_options.hosts.iter().map(ToString::to_string).collect();
        let place = Place { hosts: hosts.join(","), collection: format!("{}.{}", options.database, options.collection) };
        let client = Client::with_options(client_options).map_err(|e| place.error(e))?;
        let database = client.database(&options.database);
        let limits = Limits { documents: options.batch_documents, document_bytes: 16 << 20, command_bytes: 16 << 20 };
        let mut target = Target { database, collection: options.collection.clone(), place, limits };
        target.limits = target.ask_limits(options).await?;
        Ok(target)
    }

    async fn ask_limits(&self, options: &MongoOptions) -> Result<Limits, SinkError> {
        let hello = match self.command(doc! {"hello": 1}).await {
            Err(SinkError::Stopped { .. }) => self.command(doc! {"isMaster": 1}).await?,
            answer => answer?,
        };
        let number = |name: &str, default: usize| number(&hello, name).map_or(default, |n| n as usize);
        let document_bytes = number("maxBsonObjectSize", 16 << 20);
        Ok(Limits {
            documents: options.batch_documents.min(number("maxWriteBatchSize", 1000)),
            document_bytes,
            // A command is a document too; the server lets it be 16 KiB longer than one, which is for what surrounds the documents.
            command_bytes: document_bytes.min(number("maxMessageSizeBytes", 48_000_000)),
        })
    }

    /// The collection, for reading.
    pub(super) fn documents(&self) -> Collection<RawDocumentBuf> {
        self.database.collection(&self.collection)
    }

    /// Sends a command to the collection's database and answers what the server said, if it was `ok`.
    pub(super) async fn command(&self, command: Document) -> Result<Document, SinkError> {
        self.raw_command(RawDocumentBuf::try_from(&command).expect("a command of ours has no NUL in a name")).await
    }

    pub(super) async fn raw_command(&self, command: RawDocumentBuf) -> Result<Document, SinkError> {
        match timeout(Duration::from_secs(ANSWER_SECONDS), async { self.database.run_raw_command(command).await }).await {
            Ok(answer) => answer.map_err(|e| self.place.error(e)),
            Err(_) => Err(self.place.no_answer(ANSWER_SECONDS)),
        }
    }

    /// Makes the indexes that are not there yet. One that is there under another name or with other options will do.
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

    /// Without this the driver ends its sessions in the background, and is surprised when the runtime ends first.
    pub(super) async fn disconnect(&self) {
        self.database.client().clone().shutdown().immediate(true).await;
    }

    /// The stored position of this view.
    pub(super) async fn position(&self, view: &str) -> Result<Option<SinkPosition>, SinkError> {
        let positions: Collection<Document> = self.database.collection(POSITIONS);
        let found = positions.find_one(doc! {"_id": &self.collection}).await;
        let found = found.map_err(|e| self.place.error(e))?;
        Ok(found.filter(|position| position.get_str("view").is_ok_and(|of| of == view)).and_then(|position| {
            let store_id = position.get_str("store_id").ok()?.to_string();
            Some(SinkPosition { store_id, tick: Tick(number(&position, "tick")?) })
        }))
    }

    /// Stores the position. What was written before is as durable as it then.
    pub(super) async fn set_position(&self, view: &str, position: &SinkPosition) -> Result<(), SinkError> {
        let document = doc! {"_id": &self.collection, "view": view, "store_id": &position.store_id, "tick": position.tick.0 as i64};
        let update = doc! {"q": {"_id": &self.collection}, "u": document, "upsert": true};
        let answer = self.command(doc! {"update": POSITIONS, "updates": [update], "writeConcern": majority()}).await?;
        self.check(&answer)
    }

    pub(super) async fn clear_position(&self) -> Result<(), SinkError> {
        let delete = doc! {"q": {"_id": &self.collection}, "limit": 1};
        let answer = self.command(doc! {"delete": POSITIONS, "deletes": [delete], "writeConcern": majority()}).await?;
        self.check(&answer)
    }

    /// The first failure in the answer to a write. A command is `ok` also where single writes failed.
    pub(super) fn check(&self, answer: &Document) -> Result<(), SinkError> {
        let failed = answer.get_array("writeErrors").ok().and_then(|errors| errors.first()).and_then(Bson::as_document);
        let failed = failed.or_else(|| answer.get_document("writeConcernError").ok());
        match failed {
            None => Ok(()),
            Some(error) => Err(self.place.code(number(error, "code").unwrap_or(0) as i32, error.get_str("codeName").ok())),
        }
    }
}

/// The driver's own words may quote parts of the connection string, and with them the password.
fn bad_uri(error: mongodb::error::Error) -> SinkError {
    match &*error.kind {
        ErrorKind::DnsResolve { .. } => {
            SinkError::Transient { message: "the hosts of the sink's `uri` (mongodb+srv) cannot be looked up".into() }
        }
        _ => {
            let help = "mongodb://USER:PASSWORD@HOST:PORT/?OPTIONS; special characters in user and password are written %XX";
            SinkError::Option(refuse(&["uri"], "it is not a connection string of MongoDB", Some(help)))
        }
    }
}

/// Written by most of the members: a position must not outlive the data that it speaks of, nor the data be rolled back.
pub(super) fn majority() -> Document {
    doc! {"w": "majority"}
}

/// A number of an answer, whichever type the server gave it; `None` if it is not there or negative.
pub(super) fn number(document: &Document, name: &str) -> Option<u64> {
    match document.get(name)? {
        Bson::Int32(v) => u64::try_from(*v).ok(),
        Bson::Int64(v) => u64::try_from(*v).ok(),
        Bson::Double(v) if *v >= 0.0 => Some(*v as u64),
        _ => None,
    }
}

fn code_of(error: &mongodb::error::Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}
