//! A source whose snapshot rows and whose changes within each transaction come in another order and in small parts, so that they
//! spread over all workers. What it says is the same.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use tidemill::sources::{Capture, Event, EventSender, Finding, Source, SourceError, SourceExtent, Table};
use tidemill::value::Row;
use tokio::sync::mpsc;

use super::random::Random;

pub(crate) struct Scattered {
    inner: Arc<dyn Source>,
    random: Mutex<Random>,
}

impl Scattered {
    pub(crate) fn new(inner: Arc<dyn Source>, seed: u64) -> Scattered {
        Scattered { inner, random: Mutex::new(Random::new(seed)) }
    }

    fn scatter(&self, event: Event) -> Vec<Event> {
        let mut random = self.random.lock().unwrap();
        match event {
            Event::Rows { table, rows } => {
                let rows = rows.iter().map(Row::from_bytes).collect();
                parts(rows, &mut random).iter().map(|rows| Event::Rows { table, rows: rows.iter().collect() }).collect()
            }
            Event::Changes(deltas) => parts(deltas, &mut random).into_iter().map(Event::Changes).collect(),
            other => vec![other],
        }
    }
}

fn parts<T>(mut items: Vec<T>, random: &mut Random) -> Vec<Vec<T>> {
    random.shuffle(&mut items);
    let mut out = Vec::new();
    while !items.is_empty() {
        let length = (1 + random.below(3)).min(items.len());
        out.push(items.split_off(items.len() - length));
    }
    out
}

#[async_trait]
impl Source for Scattered {
    async fn discover(&self, names: &[String]) -> Result<Vec<Table>, SourceError> {
        self.inner.discover(names).await
    }

    async fn table_names(&self) -> Result<Vec<String>, SourceError> {
        self.inner.table_names().await
    }

    async fn extents(&self, tables: &[Table], until: Instant) -> Result<SourceExtent, SourceError> {
        self.inner.extents(tables, until).await
    }

    async fn preflight(&self, tables: &[Table]) -> Result<Vec<Finding>, SourceError> {
        self.inner.preflight(tables).await
    }

    fn captures_the_present(&self) -> bool {
        self.inner.captures_the_present()
    }

    async fn run(&self, capture: Capture, out: EventSender) -> Result<(), SourceError> {
        let (sender, mut events) = mpsc::channel(4);
        let inner = self.inner.clone();
        let running = tokio::spawn(async move { inner.run(capture, sender).await });
        while let Some(event) = events.recv().await {
            for part in self.scatter(event) {
                if out.send(part).await.is_err() {
                    return Ok(());
                }
            }
        }
        running.await.expect("a source does not panic")
    }
}
