//! What the first run of a plan takes: rows, time, memory and disk.
//!
//! In: a plan, and for each of its tables how many rows it has, and some of them. Out: an [`Estimate`]. The rows of the views and of what
//! is held follow from samples of the tables (`sampled`) by rules (`shape`); their bytes follow from the forms of rows in memory (`held`)
//! and on disk; the time from constants that were measured (`pace`). Elsewhere: what the machine has (`cli`).

mod documents;
mod held;
mod pace;
mod sampled;
mod shape;
mod widths;

use crate::plan::{ArrangedSize, Arrangements, Plan};
use crate::sources::TableExtent;

use self::documents::ViewRows;
use self::pace::{FirstRunWork, peak_bytes, process_bytes, seconds, stored_bytes};
use self::sampled::Samples;
use self::shape::NodeEstimates;
use self::widths::{key_bytes, row_bytes};

/// A table of a plan.
#[derive(Debug, Clone, Default)]
pub struct KnownTable {
    pub extent: TableExtent,
    /// Whether its rows come from a server, not from a file.
    pub served: bool,
}

/// What a first run takes until it has caught up with the rows that its sources have now.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The rows that are captured, and their bytes: those of the files, or those of the values that a server sends.
    pub rows: f64,
    pub read_bytes: f64,
    pub seconds: f64,
    /// The memory of the process when it has caught up, and the most during the capture.
    pub memory_bytes: f64,
    pub peak_bytes: f64,
    /// The bytes of the state folder without its journal, and the most during the capture.
    pub disk_bytes: f64,
    pub peak_disk_bytes: f64,
    /// Like [`Arrangements::list`].
    pub arrangements: Vec<ArrangedSize>,
    /// The views whose number of rows is a guess.
    pub guessed: Vec<String>,
}

impl Estimate {
    /// `tables`: like [`Plan::tables`].
    pub fn new(plan: &Plan, arrangements: &Arrangements, tables: &[KnownTable]) -> Estimate {
        let shapes = NodeEstimates { plan, samples: Samples::new(plan, tables) };
        let mut work = FirstRunWork::default();
        for (index, (planned, known)) in plan.tables.iter().zip(tables).enumerate() {
            let table = shapes.samples.table(index);
            let row = row_bytes(&planned.schema, &table.widths);
            let read = known.extent.read_bytes.map_or(table.rows * row, |bytes| bytes as f64);
            work.capture(known.served, table.rows, read);
            let key = key_bytes(&planned.schema, &table.widths, &planned.key);
            work.store(table.rows, row + key);
        }
        let views: Vec<ViewRows> = plan.views.iter().map(|view| shapes.of_view(view)).collect();
        for view in &views {
            work.publish(view.rows, view.children);
            work.store(view.rows, view.row_bytes + view.key_bytes);
        }
        let list: Vec<ArrangedSize> = arrangements.list.iter().map(|arrangement| shapes.arrangement(arrangement)).collect();
        list.iter().for_each(|arranged| work.hold(arranged.rows, arranged.bytes));
        let ArrangedSize { rows, bytes } = shapes.operators(arrangements);
        work.compute(rows, bytes);
        let guessed = plan.views.iter().zip(&views).filter(|(_, rows)| rows.guessed).map(|(view, _)| view.name.clone());
        let (disk_bytes, peak_disk_bytes) = stored_bytes(&work);
        Estimate {
            rows: work.rows,
            read_bytes: work.read_bytes,
            seconds: seconds(&work),
            memory_bytes: process_bytes(&work),
            peak_bytes: peak_bytes(&work),
            disk_bytes,
            peak_disk_bytes,
            arrangements: list,
            guessed: guessed.collect(),
        }
    }
}
