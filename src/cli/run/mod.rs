//! `tidemill run`: maintains the views of a spec.

mod engines;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use self::engines::{Engines, order_of_file};
use super::connect::{Connected, KINDS, connect, default_state};
use super::failure::CommandError;
use super::memory::{in_memory, process_bytes};
use super::{runtime, show};
use crate::run::{Engine, Report, RunError, Setup};
use crate::serve::local::Applier;
use crate::serve::{SourceStatus, local};
use crate::spec::Spec;
use crate::store::{Retention, Store, StoreError, Sync};

/// Maintain the views of a spec until stopped
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The spec file
    spec: PathBuf,
    /// The number of threads that maintain the views
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// The state folder [default: the path of the spec file, with the extension .state]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// How long to wait while another process uses the state folder
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    wait_seconds: u32,
    /// How many hours of changelog to keep for each view, for `tail` and for new sinks
    #[arg(long, default_value_t = 24, value_name = "HOURS")]
    retain_hours: u32,
    /// The maximum size of all changelogs together, such as 500MB or 2GiB. Beyond it the oldest changes are dropped; a sink that still needs
    /// them compares its target with the whole view and writes the differences
    #[arg(long, default_value = "10GiB", value_name = "BYTES", value_parser = super::bytes::parse)]
    retain_bytes: u64,
    /// About how much memory a single transaction of a database server may use until it is durable: 900 bytes plus four times the row size for
    /// each inserted or deleted row. After a larger one the tables of its source are captured again; views keep their old rows until then
    #[arg(long, default_value = "1GiB", value_name = "BYTES", value_parser = super::bytes::parse)]
    max_transaction_bytes: u64,
    /// Stop once everything that the sources have now is durable and written to every sink
    #[arg(long)]
    until_caught_up: bool,
    /// Print one JSON event per line to stdout
    #[arg(long)]
    json: bool,
}

impl RunArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
        let ansi = std::io::stderr().is_terminal();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).try_init();
        let spec = Spec::load(&self.spec, KINDS)?;
        // Two are enough for a worker and what is around it.
        tidemill_allocator::share_arenas(self.workers.max(2));
        let runtime = runtime()?;
        let done = runtime.block_on(self.maintain(spec));
        // Do not wait for sources that still work in blocking threads.
        runtime.shutdown_background();
        done
    }

    async fn maintain(self, spec: Spec) -> Result<(), CommandError> {
        let (applier, orders) = mpsc::channel(4);
        let mut stop = self.signals(applier.clone())?;
        let connected = tokio::select! {
            connected = connect(&spec) => connected?,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let setup = self.setup(connected);
        let patience = Duration::from_secs(u64::from(self.wait_seconds));
        let Some(store) = take_state(&setup.state, setup.sync, patience, self.json, &mut stop).await? else { return Ok(()) };
        let engine = Engine::over(setup, store.clone())?;
        let (current, report) = watch::channel(engine.report().clone());
        let server = local::serve(store.clone(), amend(report.clone()), applier);
        let server = server.map_err(|error| CommandError::running(error.to_string(), error.help()))?;
        let (end_show, shown) = watch::channel(false);
        let of_lag = store.clone();
        let lag_ms = move |tick| of_lag.behind_ms(tick).unwrap_or_default();
        let show = tokio::spawn(show::show(report, lag_ms, self.json, shown));
        let engines = Engines { args: &self, store: &store, current, stop, orders };
        let done = engines.run(spec, engine).await;
        let _ = end_show.send(true);
        let _ = show.await;
        server.stop().await;
        done
    }

    /// The receiver becomes true with the first Ctrl-C or SIGTERM. The second one ends the process at once. SIGHUP applies the spec file as it
    /// is then; but a terminal sends it when it is closed, and then it is a stop.
    fn signals(&self, applier: Applier) -> Result<watch::Receiver<bool>, CommandError> {
        let no_signals = |error| CommandError::running(format!("cannot listen for signals: {error}"), None);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
        let mut hang_up = signal(SignalKind::hangup()).map_err(no_signals)?;
        let has_terminal = std::io::stdin().is_terminal() || std::io::stderr().is_terminal();
        let (stop, stopped) = watch::channel(false);
        let (spec, json) = (self.spec.clone(), self.json);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => if !has_terminal {
                        let (applier, of_say) = (applier.clone(), spec.clone());
                        let order = order_of_file(spec.clone(), move |text| say(&of_say, json, "not_applied", &text));
                        // Other orders may wait, and a stop must not wait for them.
                        tokio::spawn(async move { applier.send(order).await });
                        continue;
                    }
                }
                if stop.send_replace(true) {
                    std::process::exit(1);
                }
            }
        });
        Ok(stopped)
    }

    /// Tells what happened to the spec.
    fn say(&self, event: &str, text: &str) {
        say(&self.spec, self.json, event, text);
    }

    fn setup(&self, connected: Connected) -> Setup {
        Setup {
            plan: connected.plan,
            sources: connected.sources,
            sinks: connected.sinks,
            state: self.state.clone().unwrap_or_else(|| default_state(&self.spec)),
            sync: Sync::EachCommit,
            retention: Retention { ticks: None, age_ms: Some(u64::from(self.retain_hours) * 3_600_000), bytes: Some(self.retain_bytes) },
            workers: self.workers as usize,
            max_transaction_bytes: self.max_transaction_bytes,
            until_caught_up: self.until_caught_up,
        }
    }
}

/// How often opening a state folder in use is tried again, and when its user is reported. The first delay skips readers, which are done at once.
const AGAIN: Duration = Duration::from_millis(50);
const SAY_AFTER: Duration = Duration::from_millis(500);
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Opens the state folder once no other process uses it, and prints which process it waits for. Returns `None` if `stop` becomes true first.
async fn take_state(
    dir: &Path,
    sync: Sync,
    patience: Duration,
    json: bool,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Store>, RunError> {
    let since = Instant::now();
    let mut say_at = since + SAY_AFTER;
    loop {
        let path = dir.to_path_buf();
        let opened = tokio::task::spawn_blocking(move || Store::open(&path, sync)).await;
        let in_use = match opened.map_err(|_| RunError::Bug("opening the state folder panicked".into()))? {
            Err(error @ StoreError::InUse { .. }) if since.elapsed() < patience => error,
            opened => return Ok(opened.map(Some)?),
        };
        if Instant::now() >= say_at {
            let left = patience.saturating_sub(since.elapsed()).as_secs();
            let reason = format!("{in_use}; waiting up to {left} s more");
            // A closed output must not end the run.
            let _ = match json {
                true => writeln!(std::io::stdout(), "{}", serde_json::json!({"event": "waiting", "state": dir, "reason": reason})),
                false => writeln!(std::io::stderr(), "waiting: {reason}"),
            };
            say_at = Instant::now() + SAY_EVERY;
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// Tells what happened to the spec: lines on stderr, or an event on stdout. A closed output must not end the run.
fn say(spec: &Path, json: bool, event: &str, text: &str) {
    let _ = match json {
        true => writeln!(std::io::stdout(), "{}", serde_json::json!({"event": event, "spec": spec, "text": text.trim_end()})),
        false => writeln!(std::io::stderr(), "{}", text.trim_end()),
    };
}

/// Adds to `tidemill status` what only the running engine knows.
fn amend(report: watch::Receiver<Arc<Report>>) -> local::Amend {
    Arc::new(move |shown| {
        let report = report.borrow().clone();
        for source in report.sources() {
            let known = shown.sources.iter().position(|s| s.name == source.name);
            let known = known.unwrap_or_else(|| {
                // The store has no position of this source yet.
                shown.sources.push(SourceStatus { name: source.name, ..SourceStatus::default() });
                shown.sources.len() - 1
            });
            let place = &mut shown.sources[known];
            place.waiting = source.waiting;
            place.lag_ms = source.lag_ms;
            place.lag = Some(format!("{} transactions", report.behind()));
        }
        shown.memory = in_memory(&report);
        shown.process_bytes = process_bytes();
        for sink in report.sinks() {
            if let Some(place) = shown.sinks.iter_mut().find(|s| s.name == sink.name) {
                (place.waiting, place.note) = (sink.waiting, sink.note);
            }
        }
    })
}
