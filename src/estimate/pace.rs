//! How much time, memory and disk a unit of work takes, as measured (`docs/performance.md`).

/// The work of a first run.
#[derive(Debug, Default)]
pub(super) struct FirstRunWork {
    /// The captured rows, and the bytes that are read for them.
    pub(super) rows: f64,
    pub(super) read_bytes: f64,
    served_rows: f64,
    served_bytes: f64,
    file_bytes: f64,
    /// The rows of views, and the rows that are embedded into them.
    documents: f64,
    children: f64,
    /// The entries of the store, and their bytes.
    stored_rows: f64,
    stored_bytes: f64,
    /// The rows in arrangements, those in operators of queries, and the bytes of both.
    held_rows: f64,
    computed_rows: f64,
    held_bytes: f64,
}

impl FirstRunWork {
    pub(super) fn capture(&mut self, served: bool, rows: f64, bytes: f64) {
        self.rows += rows;
        self.read_bytes += bytes;
        if served {
            self.served_rows += rows;
            self.served_bytes += bytes;
        } else {
            self.file_bytes += bytes;
        }
    }

    pub(super) fn publish(&mut self, rows: f64, children_each: f64) {
        self.documents += rows;
        self.children += rows * children_each;
    }

    pub(super) fn store(&mut self, rows: f64, bytes_each: f64) {
        self.stored_rows += rows;
        self.stored_bytes += rows * bytes_each;
    }

    pub(super) fn hold(&mut self, rows: f64, bytes: f64) {
        self.held_rows += rows;
        self.held_bytes += bytes;
    }

    pub(super) fn compute(&mut self, rows: f64, bytes: f64) {
        self.computed_rows += rows;
        self.held_bytes += bytes;
    }
}

const MB: f64 = 1e6;
const MICROSECOND: f64 = 1e-6;

/// The time of a first run with one worker. The constants are fitted to runs of the `dev` profile with opt-level 3 on the reference machine,
/// which had other work; the release profile was not measured. With opt-level 1 the order document took a quarter more, in one run.
pub(super) fn seconds(work: &FirstRunWork) -> f64 {
    let starting = 0.15;
    let reading = work.file_bytes / (250.0 * MB) + work.served_rows * MICROSECOND + work.served_bytes / (200.0 * MB);
    let holding = work.held_rows * 0.3 * MICROSECOND + work.computed_rows * 1.5 * MICROSECOND;
    let making = work.documents * 2.0 * MICROSECOND + work.children * 0.5 * MICROSECOND;
    let storing = work.stored_bytes / (400.0 * MB) + work.stored_rows * 0.2 * MICROSECOND;
    // What does not come in the order of its key is written again.
    let merging = (work.stored_bytes - 200.0 * MB).max(0.0) / (250.0 * MB);
    starting + reading + holding + making + storing + merging
}

/// The memory of the process when it has caught up: the program, what is held, and what the allocator keeps of buffers for reading.
pub(super) fn process_bytes(work: &FirstRunWork) -> f64 {
    6.0 * MB + (2.0 * work.read_bytes).min(16.0 * MB) + 1.02 * work.held_bytes
}

/// The most memory of the process: while an arrangement is sealed, its rows exist twice.
pub(super) fn peak_bytes(work: &FirstRunWork) -> f64 {
    6.0 * MB + (8.0 * work.read_bytes).min(50.0 * MB) + 1.77 * work.held_bytes
}

/// The bytes of the state folder without its journal, and the most of it while it is written and merged.
pub(super) fn stored_bytes(work: &FirstRunWork) -> (f64, f64) {
    let stored = 0.1 * MB + 1.02 * work.stored_bytes;
    (stored, 1.8 * stored)
}
