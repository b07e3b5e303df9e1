//! A whole view and a sink's target: makes the target what the view is, or tells how it differs.

use tokio::task::block_in_place;

use super::RunError;
use crate::sinks::{self, Sink, SinkError, SinkPosition, ViewShape};
use crate::store::{RefusedDocument, Store, StoreError, ViewReader};
use crate::value::{Row, Tick};

/// Rows that are written or compared at a time.
const ROWS: usize = 2000;

/// Why a copy is not finished.
pub(super) enum CopyError {
    Sink(SinkError),
    Store(StoreError),
}

impl From<SinkError> for CopyError {
    fn from(error: SinkError) -> Self {
        CopyError::Sink(error)
    }
}

impl From<StoreError> for CopyError {
    fn from(error: StoreError) -> Self {
        CopyError::Store(error)
    }
}

/// Makes an open target what the view is and answers the tick of that; `None` where `goes_on`, which is told how many rows are written,
/// becomes false on the way. From the beginning on the changelog is kept for the sink.
pub(super) async fn copy(
    store: &Store,
    name: &str,
    sink: &mut dyn Sink,
    view: &ViewReader,
    mut goes_on: impl FnMut(u64) -> bool,
) -> Result<Option<Tick>, CopyError> {
    let mut scan = block_in_place(|| view.scan())?;
    let tick = scan.tick;
    block_in_place(|| store.set_reader(name, view.name(), tick).and_then(|()| store.forget_refused(name)))?;
    let mut written = 0;
    loop {
        let rows: Vec<(Row, Row)> = block_in_place(|| scan.by_ref().take(ROWS).collect::<Result<_, _>>())?;
        if rows.is_empty() {
            break;
        }
        if !goes_on(written) {
            return Ok(None);
        }
        written += rows.len() as u64;
        sinks::break_at("sink.copy.rows")?;
        let refused = sink.copy(&rows).await?;
        if !refused.is_empty() {
            let refused = refused.into_iter().map(|r| RefusedDocument { key: r.key, since: tick, reason: r.reason });
            block_in_place(|| store.note_refused(name, [], refused))?;
        }
    }
    sinks::break_at("sink.copy.before_end")?;
    sink.finish_copy(&position(store, tick)).await?;
    sinks::break_at("sink.copy.after")?;
    block_in_place(|| store.ask_resync(name, false))?;
    Ok(Some(tick))
}

/// What a target is at that holds a view as of this tick.
pub(super) fn position(store: &Store, tick: Tick) -> SinkPosition {
    SinkPosition { store_id: store.id().into(), life: store.life_of(tick), tick }
}

/// How a target differs from its view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The view is as of this tick.
    pub tick: Tick,
    /// What the target itself says; `None` where it is at no tick of this store.
    pub target_at: Option<Tick>,
    /// Rows of the view.
    pub rows: u64,
    /// How many of them the target does not have, or other than they are; those that it refuses are not among them.
    pub different: u64,
    /// The keys of the first of these.
    pub first: Vec<Row>,
    /// Documents of the target that are of no row.
    pub beyond: u64,
}

impl Comparison {
    pub fn is_same(&self) -> bool {
        self.different == 0 && self.beyond == 0
    }
}

/// So many keys are told.
const TOLD: usize = 100;

/// Compares a target with its view, while no engine runs; writes nothing. Must be called on a tokio runtime of several threads.
pub async fn compare(store: &Store, name: &str, sink: &mut dyn Sink, shape: &ViewShape) -> Result<Comparison, RunError> {
    let failed = |error| RunError::Sink { sink_name: name.into(), error };
    let view = whole_view(store, name, shape)?;
    let at = sink.begin_compare(shape).await.map_err(failed)?;
    let at = at.filter(|at| at.store_id == store.id() && store.has_lived(&at.life, at.tick));
    let refused: Vec<Row> = block_in_place(|| store.refused(name)?.map(|r| r.map(|r| r.key)).collect::<Result<_, StoreError>>())?;
    let mut scan = block_in_place(|| view.scan())?;
    let mut found = Comparison { tick: scan.tick, target_at: at.map(|at| at.tick), ..Comparison::default() };
    loop {
        let rows: Vec<(Row, Row)> = block_in_place(|| scan.by_ref().take(ROWS).collect::<Result<_, _>>())?;
        if rows.is_empty() {
            break;
        }
        found.rows += rows.len() as u64;
        let different = sink.compare(&rows).await.map_err(failed)?;
        // They are in key order.
        for key in different.into_iter().filter(|key| refused.binary_search(key).is_err()) {
            found.different += 1;
            if found.first.len() < TOLD {
                found.first.push(key);
            }
        }
    }
    found.beyond = sink.finish_compare().await.map_err(failed)?;
    Ok(found)
}

/// Writes what differs, while no engine runs; the target is then at the view's tick.
pub async fn repair(store: &Store, name: &str, sink: &mut dyn Sink, shape: &ViewShape) -> Result<(), RunError> {
    let failed = |error| RunError::Sink { sink_name: name.into(), error };
    let view = whole_view(store, name, shape)?;
    sink.open(shape).await.map_err(failed)?;
    match copy(store, name, sink, &view, |_| true).await {
        Ok(_) => Ok(()),
        Err(CopyError::Sink(error)) => Err(failed(error)),
        Err(CopyError::Store(error)) => Err(error.into()),
    }
}

fn whole_view(store: &Store, sink_name: &str, shape: &ViewShape) -> Result<ViewReader, RunError> {
    let view = store.view(&shape.name);
    let view = view.filter(|view| *view.schema() == shape.schema && view.key_columns() == shape.key);
    view.ok_or_else(|| RunError::Sink {
        sink_name: sink_name.into(),
        error: SinkError::Stopped {
            message: format!("the state folder does not hold the view `{}` as the spec defines it", shape.name),
            help: Some("run the spec first".into()),
        },
    })
}
