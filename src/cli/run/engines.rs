//! The engines of a run: one follows the other over the same open store, when a table or the spec has changed.
//!
//! An engine ends at a tick, with everything before committed, and readers are answered while the next one begins. A spec that is wrong
//! changes nothing: the engine that runs goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::RunArgs;
use crate::cli::apply::lines;
use crate::cli::connect::{Connected, KINDS, NotConnected, connect};
use crate::cli::discover::Unreachable;
use crate::cli::failure::CommandError;
use crate::run::{Engine, Outlook, Report, RunError, outlook};
use crate::serve::local::ApplyOrder;
use crate::serve::question::Apply;
use crate::spec::Spec;
use crate::store::Store;

/// How long a source that did not answer is left alone before it is asked for its tables again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What the engines of a run share.
pub(super) struct Engines<'a> {
    pub(super) args: &'a RunArgs,
    pub(super) store: &'a Store,
    /// The report of the engine that runs.
    pub(super) current: watch::Sender<Arc<Report>>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) orders: mpsc::Receiver<ApplyOrder>,
}

/// A changed spec with its plan.
struct Next {
    spec: Spec,
    connected: Connected,
    outlook: Outlook,
    answer: oneshot::Sender<Result<String, String>>,
}

/// How an engine ended.
enum EngineEnd {
    /// For good, or with an error.
    Done(Result<(), CommandError>),
    /// A table is not as the plan has it.
    Redefined,
    /// A changed spec takes over.
    Applied(Box<Next>),
}

impl Engines<'_> {
    /// Runs the engine and those that follow it.
    pub(super) async fn run(mut self, mut spec: Spec, mut engine: Engine) -> Result<(), CommandError> {
        loop {
            let mut applied = None;
            let connected = match self.until_end(engine).await {
                EngineEnd::Done(done) => return done,
                EngineEnd::Redefined => {
                    tokio::select! {
                        connected = connect_again(&spec) => connected?,
                        _ = self.stop.wait_for(|stop| *stop) => return Ok(()),
                    }
                }
                EngineEnd::Applied(next) => {
                    spec = next.spec;
                    applied = Some((next.outlook, next.answer));
                    next.connected
                }
            };
            engine = Engine::over(self.args.setup(connected), self.store.clone())?;
            self.current.send_replace(engine.report().clone());
            if let Some((outlook, answer)) = applied {
                let text = lines(&outlook, false);
                self.args.say("applied", &format!("the spec is applied\n{text}"));
                let _ = answer.send(Ok(text));
            }
        }
    }

    /// Runs one engine, and plans changed specs meanwhile.
    async fn until_end(&mut self, engine: Engine) -> EngineEnd {
        let (end, ending) = watch::channel(false);
        let running = engine.run(ending);
        tokio::pin!(running);
        let mut planning: Option<JoinHandle<Option<Box<Next>>>> = None;
        let mut next = None;
        let done = loop {
            let is_ending = *end.borrow();
            tokio::select! {
                done = &mut running => break done,
                _ = self.stop.wait_for(|stop| *stop), if !is_ending => {
                    end.send_replace(true);
                }
                Some(order) = self.orders.recv(), if planning.is_none() && !is_ending => {
                    planning = Some(tokio::spawn(plan(order, self.store.clone())));
                }
                planned = finished(&mut planning) => {
                    planning = None;
                    if planned.is_some() {
                        next = planned;
                        end.send_replace(true);
                    }
                }
            }
        };
        let is_stopped = *self.stop.borrow();
        match (done, next) {
            (Ok(()) | Err(RunError::Redefined { .. }), Some(next)) if !is_stopped => EngineEnd::Applied(next),
            (Err(error @ RunError::Redefined { .. }), _) if !is_stopped => {
                tracing::warn!(reason = error.to_string(), "the views are planned again");
                EngineEnd::Redefined
            }
            (Ok(()) | Err(RunError::Redefined { .. }), _) => EngineEnd::Done(Ok(())),
            (Err(error), _) => EngineEnd::Done(Err(error.into())),
        }
    }
}

/// The result of the planning, once it is there; never without one.
async fn finished(planning: &mut Option<JoinHandle<Option<Box<Next>>>>) -> Option<Box<Next>> {
    match planning {
        // If it panicked, the order is answered as one that was cut off.
        Some(planning) => planning.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

/// Reads a spec file, connects to everything that it names, and plans it. Answers the order if nothing more is to be done.
async fn plan(ApplyOrder { apply, answer }: ApplyOrder, store: Store) -> Option<Box<Next>> {
    match plan_changed(&apply, &store).await {
        Err(error) => {
            let text = error.text();
            drop(answer.send(Err(text.strip_prefix("error: ").unwrap_or(text).to_string())));
        }
        Ok((_, _, outlook)) if apply.dry_run => drop(answer.send(Ok(lines(&outlook, true)))),
        Ok((spec, connected, outlook)) => return Some(Box::new(Next { spec, connected, outlook, answer })),
    }
    None
}

async fn plan_changed(Apply { spec, dry_run, drop }: &Apply, store: &Store) -> Result<(Spec, Connected, Outlook), CommandError> {
    let spec = Spec::load(spec, KINDS)?;
    let connected = connect(&spec).await?;
    let outlook = outlook(store, &connected.plan, &connected.sources).await?;
    if !outlook.dropped.is_empty() && !dry_run && !drop {
        let views = outlook.dropped.join(", ");
        let help = "`tidemill apply --drop` deletes them; else put them back into the spec";
        return Err(CommandError::wrong(
            format!("the spec no longer has these views, whose rows would be deleted: {views}"),
            Some(help.into()),
        ));
    }
    Ok((spec, connected, outlook))
}

/// Connects, as often as it takes while a source does not answer.
async fn connect_again(spec: &Spec) -> Result<Connected, CommandError> {
    loop {
        match connect(spec).await {
            Err(NotConnected::Unreachable(Unreachable { source, reason, .. })) => {
                tracing::warn!(source, reason, "a source does not tell its tables");
                tokio::time::sleep(ASK_AGAIN).await;
            }
            connected => return Ok(connected?),
        }
    }
}

/// An order to apply the run's own file, which tells on the run's output what came of it.
pub(super) fn order_of_file(spec: PathBuf, say: impl FnOnce(String) + Send + 'static) -> ApplyOrder {
    let (answer, answered) = oneshot::channel();
    tokio::spawn(async move {
        if let Ok(Err(why)) = answered.await {
            say(format!("the changed spec is not applied, the run goes on as before\nerror: {why}"));
        }
    });
    ApplyOrder { apply: Apply { spec, dry_run: false, drop: false }, answer }
}
