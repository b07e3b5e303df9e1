//! Tidemill as a user runs it, with its durable store, from nothing until caught up.

use std::path::Path;

use tidemill::run::{Engine, NamedSource, Setup};
use tidemill::store::{Retention, Sync};
use tokio::sync::watch;

use crate::measure::{Measured, Shape};
use crate::opened::Opened;
use crate::process::{Begin, cpu_seconds, peak_bytes};
use crate::reference::VIEW;

/// `state`: a folder that is not there yet.
pub(crate) fn run(spec: &Path, state: &Path, workers: usize) -> Measured {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let begin = Begin::now();
    runtime.block_on(async {
        let Opened { plan, source, tables } = Opened::of(spec).await;
        let sources = vec![NamedSource { name: "shop".into(), source, tables }];
        let setup = Setup {
            plan,
            sources,
            sinks: Vec::new(),
            state: state.into(),
            sync: Sync::EachCommit,
            retention: Retention::default(),
            workers,
            max_transaction_bytes: 1 << 30,
            until_caught_up: true,
        };
        let engine = Engine::open(setup).expect("the folder is ours");
        let (store, status) = (engine.store().clone(), engine.report().clone());
        let (_stop, stopping) = watch::channel(false);
        engine.run(stopping).await.expect("the run ends well");
        let seconds = begin.seconds();
        let (held_bytes, peak_bytes, cpu_seconds) = (begin.grown(), peak_bytes(), cpu_seconds());
        let view = store.view(VIEW).expect("the view is there");
        let rows = status.sources().iter().flat_map(|s| &s.snapshot).map(|t| t.rows).sum();
        Measured {
            seconds,
            rows,
            shape: Shape { documents: view.len().expect("the store answers"), ..Shape::default() },
            held_bytes,
            peak_bytes,
            cpu_seconds,
            disk_bytes: Some(store.disk_bytes().expect("the store answers")),
            ..Measured::default()
        }
    })
}
