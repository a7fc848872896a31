//! An exe-unit on the daemon's bus: the requestor's calls, as they come from its daemon, for an [`ExeUnitService`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::StreamExt as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use yagna_api::activity::{
    ActivityState, ActivityUsage, Command, CommandResult, RuntimeEvent, Script, State, StatePair,
};
use yagna_api::{ActivityId, ApiError, BatchId};

use super::bus::{Answer, Handler};
use super::message::{self, ServiceError};
use crate::port::{ExeUnitService, PortResult};

/// The last scripts are remembered, to say which command runs.
const REMEMBERED: usize = 4;
/// So many streams of events at the same time. A caller that goes away isn't told of on the bus, so that streams which
/// nobody reads live as long as their batch: a new one beyond this takes the place of the oldest.
const MAX_STREAMS: usize = 16;
/// No call waits longer, whatever it asks for: its caller is gone by then.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// One exe-unit, as the bus sees it.
#[derive(Debug)]
pub(crate) struct ServedUnit {
    activity: ActivityId,
    unit: Arc<dyn ExeUnitService>,
    seen: Mutex<Seen>,
}

/// The events that the exe-unit has reported to its daemon, and the requests that it got.
#[derive(Debug)]
struct Seen {
    state: ActivityState,
    usage: Option<ActivityUsage>,
    scripts: VecDeque<(BatchId, Script)>,
    /// The tokens that end each of the last streams.
    streams: VecDeque<CancellationToken>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exec {
    activity_id: ActivityId,
    batch_id: BatchId,
    exe_script: Script,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetExecBatchResults {
    activity_id: ActivityId,
    batch_id: BatchId,
    #[serde(default)]
    timeout: Option<f32>,
    #[serde(default)]
    command_index: Option<u32>,
}

/// The one message whose names have underscores on the wire.
#[derive(Deserialize)]
struct StreamExecBatchResults {
    activity_id: ActivityId,
    batch_id: BatchId,
}

/// The request of `GetActivityState`, `GetActivityUsage` and `GetRunningCommand`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ask {
    activity_id: ActivityId,
}

#[derive(Serialize)]
struct RunningCommand {
    command: &'static str,
    progress: Option<String>,
    params: Option<Vec<String>>,
}

impl ServedUnit {
    pub(crate) fn new(activity: ActivityId, unit: Arc<dyn ExeUnitService>) -> Self {
        let state = ActivityState { state: StatePair(State::New, None), reason: None, error_message: None };
        let seen = Seen { state, usage: None, scripts: VecDeque::new(), streams: VecDeque::new() };
        Self { activity, unit, seen: Mutex::new(seen) }
    }

    /// The address at which an activity's exe-unit is served.
    pub(crate) fn address(activity: &ActivityId) -> String {
        format!("/public/exeunit/{activity}")
    }

    /// The exe-unit reported this state.
    pub(crate) fn on_state(&self, state: &ActivityState) {
        self.seen().state = state.clone();
    }

    /// The exe-unit reported this usage.
    pub(crate) fn on_usage(&self, usage: &ActivityUsage) {
        self.seen().usage = Some(usage.clone());
    }

    async fn exec(&self, exec: Exec) -> PortResult<BatchId> {
        self.check(&exec.activity_id)?;
        let (batch, script) = (exec.batch_id, exec.exe_script);
        self.unit.exec(batch.clone(), script.clone()).await?;
        let mut seen = self.seen();
        if seen.scripts.len() == REMEMBERED {
            seen.scripts.pop_front();
        }
        seen.scripts.push_back((batch.clone(), script));
        Ok(batch)
    }

    async fn results(&self, ask: GetExecBatchResults) -> PortResult<Vec<CommandResult>> {
        self.check(&ask.activity_id)?;
        let wait = Duration::try_from_secs_f32(ask.timeout.unwrap_or_default()).unwrap_or_default();
        self.unit.results(&ask.batch_id, wait.min(LONGEST_WAIT), ask.command_index).await
    }

    fn stream(&self, ask: &StreamExecBatchResults) -> Answer {
        if let Err(error) = self.check(&ask.activity_id) {
            return Answer::Failure(error.message);
        }
        let displaced = CancellationToken::new();
        {
            let mut seen = self.seen();
            if seen.streams.len() == MAX_STREAMS
                && let Some(oldest) = seen.streams.pop_front()
            {
                oldest.cancel();
            }
            seen.streams.push_back(displaced.clone());
        }
        let events = self.unit.events(&ask.batch_id).take_until(displaced.cancelled_owned());
        Answer::Stream(events.map(|event| message::write(&Ok::<RuntimeEvent, ServiceError>(event))).boxed())
    }

    fn state(&self, ask: &Ask) -> PortResult<ActivityState> {
        self.check(&ask.activity_id)?;
        let pair = self.seen().state.state;
        Ok(ActivityState { state: pair, reason: None, error_message: None })
    }

    fn usage(&self, ask: &Ask) -> PortResult<ActivityUsage> {
        self.check(&ask.activity_id)?;
        let usage = self.seen().usage.clone();
        usage.ok_or_else(|| refusal(500, "Service error: no usage yet".to_owned()))
    }

    async fn running(&self, ask: Ask) -> PortResult<Vec<RunningCommand>> {
        self.check(&ask.activity_id)?;
        let scripts = self.seen().scripts.clone();
        let mut running = Vec::new();
        for (batch, script) in scripts {
            let Ok(done) = self.unit.results(&batch, Duration::ZERO, None).await else { continue };
            if done.last().is_some_and(|last| last.is_batch_finished) {
                continue;
            }
            running.extend(script.get(done.len()).map(RunningCommand::of));
        }
        if running.is_empty() {
            let message = format!("Not found: No running command within activity: {}", self.activity);
            return Err(refusal(404, message));
        }
        Ok(running)
    }

    fn check(&self, activity: &ActivityId) -> PortResult<()> {
        if *activity == self.activity {
            return Ok(());
        }
        Err(refusal(500, format!("Service error: Forbidden! Invalid activity id: {activity}")))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler for ServedUnit {
    fn call(self: Arc<Self>, _caller: String, method: String, data: Bytes) -> BoxFuture<'static, Answer> {
        Box::pin(async move {
            match method.as_str() {
                "Exec" => match read(&data) {
                    Ok(exec) => answer(self.exec(exec).await),
                    Err(failure) => failure,
                },
                "GetExecBatchResults" => match read(&data) {
                    Ok(ask) => answer(self.results(ask).await),
                    Err(failure) => failure,
                },
                "StreamExecBatchResults" => match read(&data) {
                    Ok(ask) => self.stream(&ask),
                    Err(failure) => failure,
                },
                "GetActivityState" => match read(&data) {
                    Ok(ask) => answer(self.state(&ask)),
                    Err(failure) => failure,
                },
                "GetActivityUsage" => match read(&data) {
                    Ok(ask) => answer(self.usage(&ask)),
                    Err(failure) => failure,
                },
                "GetRunningCommand" => match read(&data) {
                    Ok(ask) => answer(self.running(ask).await),
                    Err(failure) => failure,
                },
                _ => Answer::NoEndpoint,
            }
        })
    }
}

impl RunningCommand {
    fn of(command: &Command) -> Self {
        let params = match command {
            Command::Run(run) => Some(std::iter::once(&run.entry_point).chain(&run.args).cloned().collect()),
            Command::Start(start) => Some(start.args.clone()),
            Command::Transfer(transfer) => Some(vec![transfer.from.clone(), transfer.to.clone()]),
            Command::Deploy(_) | Command::Terminate(_) | Command::Sign(_) => None,
        };
        Self { command: command.name(), progress: None, params }
    }
}

fn read<T: DeserializeOwned>(data: &[u8]) -> Result<T, Answer> {
    message::read(data).map_err(|error| Answer::Failure(format!("Bad content: {error}")))
}

/// The answer's `Result`; an exe-unit that is gone answers as one that isn't there.
fn answer<T: Serialize>(result: PortResult<T>) -> Answer {
    match result {
        Ok(value) => Answer::Full(message::write(&Ok::<T, ServiceError>(value))),
        Err(error) if error.is_activity_lost() => Answer::NoEndpoint,
        Err(error) => Answer::Full(message::write(&Err::<(), _>(ServiceError::from(&error)))),
    }
}

fn refusal(status: u16, message: String) -> ApiError {
    ApiError { status, message, problem: None }
}

#[cfg(test)]
mod tests;
