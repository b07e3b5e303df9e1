//! Copies a whole view to a sink's target by difference, or reports how the target differs.

use tokio::task::block_in_place;

use super::RunError;
use crate::sinks::{self, Sink, SinkError, SinkPosition, ViewShape};
use crate::store::{RefusedDocument, Store, StoreError, ViewReader};
use crate::value::{Row, Tick};

/// The number of rows that are written or compared in one call.
const ROWS: usize = 2000;

/// Why a copy failed.
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

/// Makes an open target equal to the view. Returns the tick of the copied view, or `None` if `goes_on` returned false; it is called with the
/// number of rows written so far. The changelog after that tick is kept for the sink from the start of the copy.
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

/// The position of a target that has the view as of `tick`.
pub(super) fn position(store: &Store, tick: Tick) -> SinkPosition {
    SinkPosition { store_id: store.id().into(), life: store.life_of(tick), tick }
}

/// How a target differs from its view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The tick of the view.
    pub tick: Tick,
    /// The tick that the target has recorded; `None` if it has none of this store.
    pub target_at: Option<Tick>,
    /// The number of rows of the view.
    pub rows: u64,
    /// The number of rows that are missing or different in the target, without refused documents.
    pub different: u64,
    /// The keys of the first of these, at most 100.
    pub first: Vec<Row>,
    /// The number of documents in the target that are not in the view.
    pub beyond: u64,
}

impl Comparison {
    pub fn is_same(&self) -> bool {
        self.different == 0 && self.beyond == 0
    }
}

/// The maximum number of keys in [`Comparison::first`].
const TOLD: usize = 100;

/// Compares a target with its view, while no engine runs. Writes nothing. Must be called on a multi-threaded tokio runtime.
pub async fn compare(store: &Store, name: &str, sink: &mut dyn Sink, shape: &ViewShape) -> Result<Comparison, RunError> {
    let failed = |error| RunError::Sink { sink_name: name.into(), error };
    let view = whole_view(store, name, shape)?;
    let at = sink.begin_compare(shape).await.map_err(failed)?;
    let at = at.filter(|at| at.store_id == store.id() && store.has_lived(&at.life, at.tick));
    let refused: Vec<Row> = block_in_place(|| store.refused(name).map(|r| r.map(|r| r.key)).collect::<Result<_, StoreError>>())?;
    let mut scan = block_in_place(|| view.scan())?;
    let mut found = Comparison { tick: scan.tick, target_at: at.map(|at| at.tick), ..Comparison::default() };
    loop {
        let rows: Vec<(Row, Row)> = block_in_place(|| scan.by_ref().take(ROWS).collect::<Result<_, _>>())?;
        if rows.is_empty() {
            break;
        }
        found.rows += rows.len() as u64;
        let different = sink.compare(&rows).await.map_err(failed)?;
        // `refused` is in key order.
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

/// Writes the differences to the target, while no engine runs. The target then has the view's tick.
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
