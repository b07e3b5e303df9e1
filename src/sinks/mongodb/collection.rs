//! Identifies the collection on the server, and checks that a view can be written to it.

use bson::{Bson, Document, doc};

use super::target::{POSITIONS, Target};
use crate::sinks::SinkError;

/// A collection that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExistingCollection {
    /// Unique for each collection that was ever created, also under the same name; `None` if the server does not report it.
    pub(super) uuid: Option<String>,
}

const UNAUTHORIZED: i32 = 13;
const NAMESPACE_EXISTS: i32 = 48;

impl Target {
    /// The collection as the server lists it; `None` if it does not exist. Fails if a view cannot be written to it.
    pub(super) async fn find_collection(&self) -> Result<Option<ExistingCollection>, SinkError> {
        let list = doc! {"listCollections": 1, "filter": {"name": &self.collection}};
        let answer = match self.database.run_command(list).await {
            Ok(answer) => answer,
            // A user with write permission may lack the one to list: then assume that the collection exists, with an unknown uuid.
            Err(error) if super::errors::code_of(&error) == Some(UNAUTHORIZED) => return Ok(Some(ExistingCollection { uuid: None })),
            Err(error) => return Err(self.place.error(error)),
        };
        let listed = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let found = listed.into_iter().flatten().filter_map(Bson::as_document);
        let Some(found) = found.into_iter().find(|c| c.get_str("name").is_ok_and(|name| name == self.collection)) else { return Ok(None) };
        self.refuse_kind(found)?;
        let uuid = found.get_document("info").ok().and_then(|info| info.get("uuid"));
        Ok(Some(ExistingCollection { uuid: uuid.and_then(hex) }))
    }

    /// Creates the collection and that of positions if they are missing, because some servers cannot create them in a transaction.
    pub(super) async fn make_collection(&self) -> Result<ExistingCollection, SinkError> {
        for name in [self.collection.as_str(), POSITIONS] {
            match self.database.run_command(doc! {"create": name}).await {
                Ok(_) => {}
                // Without the permission to create it, the first write creates it.
                Err(error) if matches!(super::errors::code_of(&error), Some(UNAUTHORIZED | NAMESPACE_EXISTS)) => {}
                Err(error) => return Err(self.place.error(error)),
            }
        }
        Ok(self.find_collection().await?.unwrap_or(ExistingCollection { uuid: None }))
    }

    fn refuse_kind(&self, listed: &Document) -> Result<(), SinkError> {
        let (hosts, name) = (&self.place.hosts, &self.place.collection);
        let options = listed.get_document("options").ok();
        let kind = listed.get_str("type").unwrap_or("collection");
        let locale = options.and_then(|o| o.get_document("collation").ok()).and_then(|c| c.get_str("locale").ok());
        let capped = options.is_some_and(|o| o.get_bool("capped").unwrap_or(false));
        let what = match (kind, locale) {
            ("collection", None | Some("simple")) if !capped => return Ok(()),
            ("collection", _) if capped => "is capped: it drops documents by itself".to_string(),
            ("collection", _) => "has a collation, which makes different texts equal as `_id`".to_string(),
            (kind, _) => format!("is a {kind}"),
        };
        Err(SinkError::Stopped {
            message: format!("{name} at {hosts} {what}; a view needs a plain collection"),
            help: Some("give another `collection`, or drop this one: a missing collection is created".into()),
        })
    }
}

fn hex(uuid: &Bson) -> Option<String> {
    match uuid {
        Bson::Binary(binary) => Some(binary.bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        _ => None,
    }
}
