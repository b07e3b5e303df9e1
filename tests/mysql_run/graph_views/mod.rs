//! Random views over the tables of a graph, each with a judge of its own: for a query the server's SQL, for a document the server's rows, put
//! together here.

mod documents;
mod queries;
mod related;

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use serde_json::{Map, Value, json};

use self::documents::Level;
use self::queries::Query;
use self::related::Related;
use crate::graphs::Graph;
use crate::random::Random;
use crate::values::{Fields, of_row, text};

/// For each view its rows as text, in the order of the texts.
pub(crate) type Answer = BTreeMap<String, Vec<String>>;

pub(crate) struct GraphViews {
    related: Related,
    queries: Vec<Query>,
    documents: Vec<Level>,
}

impl GraphViews {
    /// Over all tables of a graph or over some.
    pub(crate) fn random(graph: &Graph, random: &mut Random) -> GraphViews {
        let related = Related::random(graph, random);
        let queries = queries::some(&related, random);
        let documents = (0..1 + random.below(2)).map(|_| documents::one(&related, random)).collect();
        GraphViews { related, queries, documents }
    }

    /// The `views` of a spec whose source is `s`.
    pub(crate) fn spec(&self) -> Map<String, Value> {
        let mut views = Map::new();
        for (n, query) in self.queries.iter().enumerate() {
            views.insert(format!("q{n}"), json!({"sql": query.ours}));
        }
        for (n, root) in self.documents.iter().enumerate() {
            views.insert(format!("d{n}"), documents::spec(&self.related, root));
        }
        views
    }

    /// What the server says that the views are now.
    pub(crate) async fn of_server(&self, server: &mut Conn) -> Answer {
        let mut answer = Answer::new();
        for (n, query) in self.queries.iter().enumerate() {
            answer.insert(format!("q{n}"), sorted(select(server, &query.servers).await));
        }
        let mut rows = Vec::new();
        for table in &self.related.tables {
            rows.push(select(server, &format!("SELECT * FROM {}", table.name)).await);
        }
        for (n, root) in self.documents.iter().enumerate() {
            answer.insert(format!("d{n}"), sorted(documents::all(&self.related, root, &rows)));
        }
        answer
    }
}

pub(crate) fn sorted(rows: impl IntoIterator<Item = Fields>) -> Vec<String> {
    let mut texts: Vec<String> = rows.into_iter().map(text).collect();
    texts.sort_unstable();
    texts
}

async fn select(server: &mut Conn, query: &str) -> Vec<Fields> {
    let rows: Vec<Row> = server.exec(query, ()).await.unwrap_or_else(|error| panic!("{query}: {error}"));
    rows.iter().map(of_row).collect()
}
