//! What the collection is on the server: which one of its name, and of a kind that can hold a view.

use mongodb::bson::{Bson, Document, doc};

use super::target::{POSITIONS, Target};
use crate::sinks::SinkError;

/// A collection that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Another for each collection that was ever made, whatever its name; `None` where the server does not tell.
    pub(super) uuid: Option<String>,
}

const UNAUTHORIZED: i32 = 13;
const NAMESPACE_EXISTS: i32 = 48;

impl Target {
    /// The collection as the server lists it: `None` where it is not there. Fails where it is of a kind that cannot hold a view.
    pub(super) async fn find_collection(&self) -> Result<Option<Found>, SinkError> {
        let list = doc! {"listCollections": 1, "filter": {"name": &self.collection}};
        let answer = match self.database.run_command(list).await {
            Ok(answer) => answer,
            // Whoever may write may not always list: then it counts as there, and which one it is is not known.
            Err(error) if super::errors::code_of(&error) == Some(UNAUTHORIZED) => return Ok(Some(Found { uuid: None })),
            Err(error) => return Err(self.place.error(error)),
        };
        let listed = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let found = listed.into_iter().flatten().filter_map(Bson::as_document);
        let Some(found) = found.into_iter().find(|c| c.get_str("name").is_ok_and(|name| name == self.collection)) else { return Ok(None) };
        self.refuse_kind(found)?;
        let uuid = found.get_document("info").ok().and_then(|info| info.get("uuid"));
        Ok(Some(Found { uuid: uuid.and_then(hex) }))
    }

    /// Makes the collection where it is missing, and that of positions: some servers make none in a transaction.
    pub(super) async fn make_collection(&self) -> Result<Found, SinkError> {
        for name in [self.collection.as_str(), POSITIONS] {
            match self.database.run_command(doc! {"create": name}).await {
                Ok(_) => {}
                // Where it may not be made so, it comes with the first write.
                Err(error) if matches!(super::errors::code_of(&error), Some(UNAUTHORIZED | NAMESPACE_EXISTS)) => {}
                Err(error) => return Err(self.place.error(error)),
            }
        }
        Ok(self.find_collection().await?.unwrap_or(Found { uuid: None }))
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
            ("collection", _) => "has a collation, by which different texts are one `_id`".to_string(),
            (kind, _) => format!("is a {kind}"),
        };
        Err(SinkError::Stopped {
            message: format!("{name} at {hosts} {what}; a view needs a plain collection"),
            help: Some("give another `collection`, or drop this one: it is made when it is missing".into()),
        })
    }
}

fn hex(uuid: &Bson) -> Option<String> {
    match uuid {
        Bson::Binary(binary) => Some(binary.bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        _ => None,
    }
}
