//! Tidemill: an incremental view engine.
//!
//! A definition passes through `cli`, `spec`, `sql`, `plan` and `dataflow`. A change passes through `sources`, `run`, `dataflow` and `store` to
//! `sinks` and readers. The modules are listed in this order; `docs/architecture.md` has the whole picture.

// The program's commands, one file each.
pub mod cli;

// Spec file to checked definition; reports all problems at once, each with its line.
pub mod spec;

// Expressions and queries through DataFusion, corrected to PostgreSQL's answers.
pub mod sql;

// What a view is, with every name resolved: inputs and lookups, or the nodes of its query.
pub mod plan;

// Databases and files that rows and their changes are read from, behind one contract.
pub mod sources;

// Drafts a spec from what a source tells about its tables.
pub mod draft;

// What the first run of a plan takes: rows, time, memory, disk.
pub mod estimate;

// The worker loop: gives each source transaction a tick, commits finished ticks, shuts down.
pub mod run;

// Plans as timely and differential operators: computes what each view gains and loses.
pub mod dataflow;

// The local store: views, changelogs, inputs and positions advance in one atomic batch per commit.
pub mod store;

// Targets that follow a view's changelog, behind one contract.
pub mod sinks;

// Reads store snapshots and changelogs for readers outside the process.
pub mod serve;

// Values, packed rows, keys, ticks and positions; used by every module.
pub mod value;

// Declarations of the options that kinds of sources and sinks accept in a spec.
pub mod options;

// Findings of `tidemill check` about a server.
pub mod finding;

// Named points at which tests kill, stop or fail a process.
pub mod fault;
