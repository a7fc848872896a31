//! The exe-unit: carries out the scripts of one activity.
//!
//! It speaks with its daemon through [`Port`] alone: serves scripts and results on the bus, reports states and usage.
//! What runs a command is the [`Runtime`]'s business; when to make an exe-unit and when to end it is the provider's.

mod batch;
mod capture;
mod commands;
mod deployment;
mod progress;
mod transfer;
mod vpn;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use yagna_api::activity::{
    ActivityState, ActivityUsage, CommandResult, RuntimeEvent, Script, State, StatePair,
};
use yagna_api::properties::name;
use yagna_api::{ActivityId, ApiError, BatchId, Clock};

use self::batch::Batch;
use self::vpn::Vpn;
use crate::port::{ExeUnitService, Port, PortResult};
use crate::runtime::{Instance, Runtime, RuntimeError};
use crate::vpn::Place;

const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
/// So long after a call's own time even its caller's daemon waits no more.
const GIVEN_UP: Duration = Duration::from_secs(5);
/// Batches whose results are kept whatever their size.
const ALWAYS_KEPT: usize = 2;

/// The settings of an exe-unit.
#[derive(Debug, Clone)]
pub struct ExeUnitConfig {
    /// The agreement's usage counters, in its order. Counters we don't know stay 0.
    pub usage_vector: Vec<String>,
    /// The interval between reports of usage.
    pub usage_interval: Duration,
    /// Streams of events begin with what happened before they were asked for. Golem's own exe-unit doesn't do that:
    /// it loses what a requestor is too late for.
    pub replay_streams: bool,
    /// The most that is kept of each output stream of a command, in bytes; a command that writes more, into a capture
    /// without a limit, fails.
    pub max_captured: u64,
    /// So many bytes a second of captured output travel to whoever asks for results; at once unless this says so.
    pub bandwidth: Option<u64>,
    /// So many batches can still be asked for their results; older ones that have ended are forgotten.
    pub kept_batches: usize,
    /// The most captured output, in bytes, that ended batches may keep together. The last two batches are always kept.
    pub kept_output: u64,
}

impl Default for ExeUnitConfig {
    fn default() -> Self {
        Self {
            usage_vector: vec![name::USAGE_DURATION.to_owned(), name::USAGE_CPU.to_owned()],
            usage_interval: Duration::from_secs(1),
            replay_streams: true,
            max_captured: 16 * 1024 * 1024,
            bandwidth: None,
            kept_batches: 256,
            kept_output: 64 * 1024 * 1024,
        }
    }
}

/// The ways in which an exe-unit ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExeUnitEnd {
    /// By [`ExeUnit::stop`].
    Stopped,
    /// By itself: its machine vanished under it.
    Died,
}

/// The reasons why there is no exe-unit.
#[derive(Debug, thiserror::Error)]
pub enum ExeUnitError {
    /// The runtime could not make a machine for it.
    #[error("no machine for activity {activity}")]
    Runtime {
        /// The activity.
        activity: ActivityId,
        /// The runtime's error.
        #[source]
        source: RuntimeError,
    },
    /// The daemon refused it.
    #[error("the daemon refused the exe-unit of activity {activity}")]
    Daemon {
        /// The activity.
        activity: ActivityId,
        /// Its words.
        #[source]
        source: ApiError,
    },
}

/// The exe-unit of one activity, from `Initialized` to `Terminated`.
///
/// Dropping it ends everything that runs, without a word to the daemon; [`ExeUnit::stop`] is the orderly end.
#[derive(Debug)]
pub struct ExeUnit {
    unit: Arc<Unit>,
    _guard: DropGuard,
}

pub(in crate::exe_unit) struct Unit {
    activity: ActivityId,
    port: Arc<dyn Port>,
    clock: Arc<dyn Clock>,
    config: ExeUnitConfig,
    instance: Arc<dyn Instance>,
    begun: Instant,
    state: Mutex<UnitState>,
    tasks: TaskTracker,
    /// Ends every batch, the usage reports, everything.
    cancel: CancellationToken,
    /// It ended as a process does that is killed: what its requestor waits for just now never comes.
    lost: CancellationToken,
    end: watch::Sender<Option<ExeUnitEnd>>,
}

#[derive(Debug)]
struct UnitState {
    pair: StatePair,
    ending: bool,
    batches: HashMap<BatchId, Arc<Batch>>,
    order: VecDeque<BatchId>,
    /// The output that the ended ones of them hold, in bytes.
    output: u64,
    /// The virtual networks that `deploy` named.
    networks: Vec<Place>,
    /// The places in them, from `start` on.
    vpn: Option<Vpn>,
}

impl ExeUnit {
    /// Makes the machine, serves the activity on the bus and reports it `Initialized`.
    ///
    /// Not cancel safe: a future dropped midway may leave the activity bound.
    pub async fn start(
        activity: ActivityId,
        port: Arc<dyn Port>,
        clock: Arc<dyn Clock>,
        runtime: &dyn Runtime,
        config: ExeUnitConfig,
    ) -> Result<Self, ExeUnitError> {
        let instance = runtime
            .create(&activity)
            .map_err(|source| ExeUnitError::Runtime { activity: activity.clone(), source })?;
        let cancel = CancellationToken::new();
        let unit = Arc::new(Unit {
            activity: activity.clone(),
            port: Arc::clone(&port),
            clock,
            config,
            instance,
            begun: Instant::now(),
            state: Mutex::new(UnitState {
                pair: StatePair(State::Initialized, None),
                ending: false,
                batches: HashMap::new(),
                order: VecDeque::new(),
                output: 0,
                networks: Vec::new(),
                vpn: None,
            }),
            tasks: TaskTracker::new(),
            cancel: cancel.clone(),
            lost: CancellationToken::new(),
            end: watch::channel(None).0,
        });
        let refused = |source| ExeUnitError::Daemon { activity: activity.clone(), source };
        port.bind_exe_unit(&activity, Arc::new(Service(Arc::downgrade(&unit)))).await.map_err(refused)?;
        let initialized =
            ActivityState { state: StatePair(State::Initialized, None), reason: None, error_message: None };
        if let Err(source) = port.set_activity_state(&activity, initialized).await {
            port.unbind_exe_unit(&activity).await;
            return Err(refused(source));
        }
        unit.tasks.spawn(Arc::clone(&unit).report_usage());
        Ok(Self { unit, _guard: cancel.drop_guard() })
    }

    /// The activity it works for.
    pub fn activity(&self) -> &ActivityId {
        &self.unit.activity
    }

    /// The usage so far, in the order of the usage vector.
    pub fn usage(&self) -> Vec<f64> {
        self.unit.usage()
    }

    /// Waits for its end, whoever caused it.
    pub async fn ended(&self) -> ExeUnitEnd {
        match self.unit.end.subscribe().wait_for(Option::is_some).await {
            Ok(end) => end.unwrap_or(ExeUnitEnd::Stopped),
            Err(_) => ExeUnitEnd::Stopped,
        }
    }

    /// Ends all that runs, reports the last usage and `Terminated` with the reason. Again or after a death it does
    /// nothing more. Not cancel safe: poll it to its end.
    pub async fn stop(&self, reason: Option<String>) -> ExeUnitEnd {
        let unit = &self.unit;
        if !unit.begin_end() {
            return self.ended().await;
        }
        unit.cancel.cancel();
        unit.tasks.close();
        unit.tasks.wait().await;
        let pending = StatePair(unit.state().pair.0, Some(State::Terminated));
        unit.set_pair(pending).await;
        unit.finish(ExeUnitEnd::Stopped, reason).await;
        ExeUnitEnd::Stopped
    }

    /// Ends it as a process does that is killed: what its requestor waits for just now never comes.
    pub async fn kill(&self) {
        self.unit.die().await;
    }
}

impl Drop for ExeUnit {
    fn drop(&mut self) {
        if self.unit.begin_end() {
            self.unit.lost.cancel();
        }
    }
}

/// The time that the output of commands takes to travel.
fn travel(results: &[CommandResult], bandwidth: u64) -> Duration {
    let outputs = results.iter().flat_map(|result| [&result.stdout, &result.stderr]).flatten();
    let bytes: u64 = outputs.map(|output| output.as_bytes().len() as u64).sum();
    Duration::from_millis(bytes.saturating_mul(1000) / bandwidth.max(1))
}

/// The service as the bus holds it: it doesn't keep the unit and its machine alive.
#[derive(Debug)]
struct Service(Weak<Unit>);

impl Service {
    fn unit(&self) -> PortResult<Arc<Unit>> {
        self.0.upgrade().ok_or_else(gone)
    }
}

impl ExeUnitService for Service {
    fn exec(&self, batch: BatchId, script: Script) -> BoxFuture<'_, PortResult<()>> {
        Box::pin(async move { self.unit()?.exec(batch, script) })
    }

    fn results<'a>(
        &'a self,
        batch: &'a BatchId,
        wait: Duration,
        command: Option<u32>,
    ) -> BoxFuture<'a, PortResult<Vec<CommandResult>>> {
        Box::pin(async move {
            // Only the batch is held while we wait, not the unit.
            let (lost, bandwidth, found) = {
                let unit = self.unit()?;
                let found = unit.state().batches.get(batch).cloned();
                (unit.lost.clone(), unit.config.bandwidth, found)
            };
            let Some(found) = found else {
                return Err(refusal(404, format!("Not found: batch_id = {batch}")));
            };
            let travelled = async {
                let results = found.results(wait, command).await;
                if let (Some(bandwidth), Ok(results)) = (bandwidth, &results) {
                    tokio::time::sleep(travel(results, bandwidth)).await;
                }
                results
            };
            if let Some(results) = lost.run_until_cancelled(travelled).await {
                return results;
            }
            tokio::time::sleep(wait.saturating_add(GIVEN_UP)).await;
            Err(refusal(408, "Timeout".to_owned()))
        })
    }

    fn events(&self, batch: &BatchId) -> BoxStream<'static, RuntimeEvent> {
        let found = self.unit().ok().and_then(|unit| unit.state().batches.get(batch).cloned());
        found.map_or_else(|| stream::empty().boxed(), |batch| batch.events())
    }
}

impl Unit {
    fn state(&self) -> MutexGuard<'_, UnitState> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }

    fn exec(self: &Arc<Self>, id: BatchId, script: Script) -> PortResult<()> {
        if self.cancel.is_cancelled() {
            return Err(gone());
        }
        let batch = Batch::new(id.clone(), script, self.config.replay_streams, self.cancel.child_token());
        let batch = Arc::new(batch);
        {
            let mut state = self.state();
            if state.batches.contains_key(&id) {
                return Err(refusal(400, format!("Bad request: batch_id = {id} exists already")));
            }
            state.batches.insert(id.clone(), Arc::clone(&batch));
            state.order.push_back(id);
            state.forget_old(&self.config);
        }
        self.tasks.spawn(commands::carry_out(Arc::clone(self), batch));
        Ok(())
    }

    /// Changes the state and reports it.
    async fn set_pair(&self, pair: StatePair) {
        self.state().pair = pair;
        self.report(pair, None).await;
    }

    async fn report(&self, pair: StatePair, reason: Option<String>) {
        let state = ActivityState { state: pair, reason, error_message: None };
        if let Err(error) = self.port.set_activity_state(&self.activity, state).await {
            tracing::debug!(activity = %self.activity, %error, "the daemon took no state");
        }
    }

    /// True for the first who wants to end it.
    fn begin_end(&self) -> bool {
        let mut state = self.state();
        !std::mem::replace(&mut state.ending, true)
    }

    /// The machine vanished: the bus address goes at once, as with a killed process, and results in flight never come.
    async fn die(&self) {
        if !self.begin_end() {
            return;
        }
        self.port.unbind_exe_unit(&self.activity).await;
        self.lost.cancel();
        self.cancel.cancel();
        self.finish(ExeUnitEnd::Died, Some("execution aborted".to_owned())).await;
    }

    /// Gives its places in virtual networks free.
    fn leave_networks(&self) {
        let vpn = self.state().vpn.take();
        drop(vpn);
    }

    async fn finish(&self, end: ExeUnitEnd, reason: Option<String>) {
        self.leave_networks();
        self.instance.stop().await;
        if end == ExeUnitEnd::Stopped {
            self.tell_usage().await;
            self.port.unbind_exe_unit(&self.activity).await;
        }
        let terminated = StatePair(State::Terminated, None);
        self.state().pair = terminated;
        self.report(terminated, reason).await;
        self.end.send_replace(Some(end));
    }

    async fn report_usage(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.config.usage_interval.max(SHORTEST_INTERVAL));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.cancel.run_until_cancelled(ticks.tick()).await.is_some() {
            self.tell_usage().await;
        }
    }

    async fn tell_usage(&self) {
        let usage =
            ActivityUsage { current_usage: Some(self.usage()), timestamp: self.clock.now().as_second() };
        if let Err(error) = self.port.set_activity_usage(&self.activity, usage).await {
            tracing::debug!(activity = %self.activity, %error, "the daemon took no usage");
        }
    }

    fn usage(&self) -> Vec<f64> {
        let counters = self.config.usage_vector.iter().map(|counter| match counter.as_str() {
            name::USAGE_DURATION => self.begun.elapsed().as_secs_f64(),
            name::USAGE_CPU => self.instance.cpu_time().as_secs_f64(),
            own => self.instance.counter(own),
        });
        counters.collect()
    }
}

impl UnitState {
    /// Counts what an ended batch holds.
    fn batch_ended(&mut self, batch: &Batch, config: &ExeUnitConfig) {
        self.output += batch.output_size();
        self.forget_old(config);
    }

    fn forget_old(&mut self, config: &ExeUnitConfig) {
        while self.order.len() > ALWAYS_KEPT
            && (self.order.len() > config.kept_batches || self.output > config.kept_output)
        {
            let oldest = self.order.front().and_then(|id| self.batches.get(id));
            if oldest.is_some_and(|batch| !batch.is_finished()) {
                return;
            }
            if let Some(batch) = self.order.pop_front().and_then(|id| self.batches.remove(&id)) {
                self.output = self.output.saturating_sub(batch.output_size());
            }
        }
    }
}

impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unit")
            .field("activity", &self.activity)
            .field("state", &self.state().pair)
            .finish_non_exhaustive()
    }
}

fn gone() -> ApiError {
    refusal(500, "GSB error: Bad request: endpoint address not found".to_owned())
}

fn refusal(status: u16, message: String) -> ApiError {
    ApiError { status, message, problem: None }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
