//! A spec's one source and its plan, and how their rows get to the workers: as in the engine, without its store.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tidemill::plan::Plan;
use tidemill::run::plan_table;
use tidemill::sources::{self, Capture, Event, MemoryRows, Source, Table};
use tidemill::spec::{Kinds, Spec};
use tidemill::value::{Row, Rows};

/// Batches of rows that may wait for a worker, as in the engine.
const WAITING_BATCHES: usize = 12;
/// Events that may wait for whoever gives them to the workers, as in the engine.
const WAITING_EVENTS: usize = 8;

/// Rows of a table of the plan.
pub(crate) type Batch = (usize, Rows);
/// Where a worker takes its batches from.
pub(crate) type Feed = Mutex<Option<Receiver<Batch>>>;

pub(crate) struct Opened {
    pub(crate) plan: Plan,
    pub(crate) source: Arc<dyn Source>,
    /// The plan's, as the source describes them.
    pub(crate) tables: Vec<Table>,
}

impl Opened {
    pub(crate) async fn of(spec: &Path) -> Opened {
        let spec = Spec::load(spec, Kinds { sources: sources::KINDS, sinks: tidemill::sinks::KINDS }).expect("the spec is right");
        let [written] = &spec.sources[..] else { panic!("one source") };
        let source: Arc<dyn Source> = sources::open(&written.kind, &written.options).expect("the options are right").into();
        let [(name, needed)] = &spec.tables()[..] else { panic!("one source") };
        let tables = source.discover(needed).await.expect("the tables are there");
        let plan = spec.lower(&tables.iter().map(|table| plan_table(name, table)).collect::<Vec<_>>()).expect("the view is right");
        Opened { plan, source, tables }
    }

    /// Gives what the source reads to so many workers in turn, each by a feed that it takes, from a thread that answers how many rows there
    /// were.
    pub(crate) fn feed(&self, runtime: &tokio::runtime::Runtime, workers: usize) -> (Vec<Feed>, JoinHandle<u64>) {
        let (feeds, batches): (Vec<_>, Vec<_>) = (0..workers).map(|_| sync_channel::<Batch>(WAITING_BATCHES)).unzip();
        let (sender, mut events) = tokio::sync::mpsc::channel(WAITING_EVENTS);
        let (source, tables) = (self.source.clone(), self.tables.clone());
        let capture = Capture { tables, from: None, until_caught_up: true, held: Arc::new(MemoryRows::default()) };
        runtime.spawn(async move { source.run(capture, sender).await.expect("generated CSV is right") });
        let reading = std::thread::spawn(move || {
            let (mut total, mut turn) = (0, 0);
            while let Some(event) = events.blocking_recv() {
                if let Event::Rows { table, rows } = event {
                    total += rows.len() as u64;
                    turn = (turn + 1) % feeds.len();
                    feeds[turn].send((table, rows)).expect("the workers are there");
                }
            }
            total
        });
        (batches.into_iter().map(|b| Mutex::new(Some(b))).collect(), reading)
    }

    /// The first rows of one table, in the file's order.
    pub(crate) async fn rows_of(&self, name: &str, at_most: usize) -> Vec<Row> {
        let (sender, mut events) = tokio::sync::mpsc::channel(WAITING_EVENTS);
        let table = self.tables.iter().find(|t| t.name == name).expect("a table of the view").clone();
        let capture = Capture { tables: vec![table], from: None, until_caught_up: true, held: Arc::new(MemoryRows::default()) };
        let collect = async {
            let mut all = Vec::new();
            while let Some(event) = events.recv().await {
                if let Event::Rows { rows, .. } = event {
                    all.extend(rows.iter().map(Row::from_bytes));
                    if all.len() >= at_most {
                        break;
                    }
                }
            }
            events.close();
            all.truncate(at_most);
            all
        };
        let (ran, rows) = tokio::join!(self.source.run(capture, sender), collect);
        ran.expect("generated CSV is right");
        rows
    }
}
