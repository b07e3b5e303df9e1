//! A fresh database on the MongoDB-compatible test server.

use ::bson::Document;
use ::mongodb::{Client, Collection, Database};

use super::{finally, server_url, unique_name};

/// A database of a test's own, dropped with this.
#[derive(Debug)]
pub(crate) struct MongoDatabase {
    pub(crate) name: String,
    /// What a spec's sink takes as `uri`.
    pub(crate) uri: String,
    pub(crate) client: Client,
}

impl MongoDatabase {
    /// The server makes it with the first write.
    pub(crate) async fn create() -> MongoDatabase {
        let uri = server_url("MONGODB");
        let client = Client::with_uri_str(&uri).await.expect("a mongodb:// URL");
        MongoDatabase { name: unique_name(), uri, client }
    }

    pub(crate) fn database(&self) -> Database {
        self.client.database(&self.name)
    }

    pub(crate) fn collection(&self, name: &str) -> Collection<Document> {
        self.database().collection(name)
    }
}

impl Drop for MongoDatabase {
    fn drop(&mut self) {
        finally(&format!("dropping the database {}", self.name), async {
            Ok(Client::with_uri_str(&self.uri).await?.database(&self.name).drop().await?)
        });
    }
}
