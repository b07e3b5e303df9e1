//! The options of a `mongodb` sink.

use serde::Deserialize;

use crate::options::{Kind, OptionError, OptionSpec, OptionType};

pub(crate) const KIND: Kind = Kind {
    name: "mongodb",
    help: "A collection of MongoDB, or of a server that speaks its protocol, with one document per row of the view",
    options: &[
        OptionSpec {
            name: "uri",
            value: OptionType::Text,
            required: true,
            secret: true,
            help: "The connection string, `mongodb://USER:PASSWORD@HOST:PORT/?...`",
        },
        OptionSpec {
            name: "collection",
            value: OptionType::Text,
            required: true,
            secret: false,
            help: "The collection as `database.collection`, or its name alone if `database` is given",
        },
        OptionSpec { name: "database", value: OptionType::Text, required: false, secret: false, help: "The collection's database" },
        OptionSpec {
            name: "batch_documents",
            value: OptionType::Integer,
            required: false,
            secret: false,
            help: "Maximum number of documents in one command; default 1000, and never more than the server allows",
        },
    ],
};

/// The checked options.
#[derive(Clone)]
pub(super) struct MongoOptions {
    pub(super) uri: String,
    pub(super) database: String,
    pub(super) collection: String,
    pub(super) batch_documents: usize,
}

/// Omits the connection string, which contains the password.
impl std::fmt::Debug for MongoOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MongoOptions({}.{})", self.database, self.collection)
    }
}

#[derive(Deserialize)]
struct WrittenMongodbOptions {
    uri: String,
    collection: String,
    database: Option<String>,
    #[serde(default = "batch_documents")]
    batch_documents: usize,
}

fn batch_documents() -> usize {
    1000
}

impl MongoOptions {
    /// Reads options that fit [`KIND`].
    pub(super) fn read(options: &serde_json::Value) -> Result<MongoOptions, OptionError> {
        let typed = WrittenMongodbOptions::deserialize(options).map_err(|_| refuse(&[], "they are not those of a `mongodb` sink", None))?;
        let (database, collection) = match (typed.database, typed.collection.split_once('.')) {
            (Some(database), _) => (database, typed.collection),
            (None, Some((database, collection))) => (database.to_string(), collection.to_string()),
            (None, None) => {
                let help = "write `database.collection`, or give `database` too";
                return Err(refuse(&["collection"], "it names no database", Some(help)));
            }
        };
        if database.is_empty() || database.contains(['/', '\\', '.', ' ', '"', '$', '\0']) {
            return Err(refuse(&["database"], "it is not a database name that MongoDB accepts", None));
        }
        if collection.is_empty() || collection.starts_with("system.") || collection.contains(['$', '\0']) || collection == super::POSITIONS
        {
            return Err(refuse(&["collection"], "it is not a collection name that MongoDB accepts", None));
        }
        if typed.batch_documents == 0 {
            return Err(refuse(&["batch_documents"], "it must be at least 1", None));
        }
        Ok(MongoOptions { uri: typed.uri, database, collection, batch_documents: typed.batch_documents })
    }
}

pub(super) fn refuse(path: &[&str], message: &str, help: Option<&str>) -> OptionError {
    OptionError { path: path.iter().map(|p| p.to_string()).collect(), message: message.into(), help: help.map(String::from) }
}
