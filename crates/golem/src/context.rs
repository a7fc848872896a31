//! A worker's view of its activity.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use golem_core::event::Provider;
use tokio::time::{Instant, sleep};
use yagna_api::activity::{
    Command, CommandResult, Exec, GetResults, GetState, Outcome, State, StatePair, Transfer,
};
use yagna_api::{ActivityId, AgreementId, ApiError, BatchId, NodeId};
use yagna_client::{Client, ClientError};

use crate::script::{Script, Step};
use crate::transfer::{Served, TransferError, Transfers};

/// Runs scripts on one activity.
#[derive(Debug, Clone)]
pub struct WorkContext {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    transfers: Transfers,
    provider: Provider,
    agreement: AgreementId,
    activity: ActivityId,
    /// Set once a script finds the activity gone.
    lost: Arc<AtomicBool>,
}

/// What came of a script.
#[derive(Debug)]
pub struct Execution {
    /// The results of its commands, in order, as far as it got.
    pub results: Vec<CommandResult>,
    /// How it ended.
    pub end: ExecutionEnd,
    downloads: Vec<Option<Bytes>>,
}

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionEnd {
    /// Every command succeeded.
    Done,
    /// This command failed, and nothing after it was run.
    Failed {
        /// Its place in the script.
        index: usize,
    },
    /// Time ran out while a command was being run; it may still be running.
    Expired,
}

impl Execution {
    /// The bytes that the command at this place brought, if it is a finished download into memory.
    pub fn download(&self, index: usize) -> Option<&Bytes> {
        self.downloads.get(index)?.as_ref()
    }
}

/// Why a script couldn't be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The activity is gone; nothing more can be run in it.
    #[error("the activity is lost: {reason}")]
    ActivityLost {
        /// What the provider says of it.
        reason: String,
    },
    /// The daemon couldn't pass the script or its results on.
    #[error("the daemon couldn't carry out the script")]
    Daemon(#[from] ClientError),
    /// A file couldn't be offered or received.
    #[error("a file transfer couldn't be prepared")]
    Transfer(#[from] TransferError),
    /// A command that must succeed failed.
    #[error("{command} failed: {message}")]
    CommandFailed {
        /// The command's name.
        command: String,
        /// What the provider says of it.
        message: String,
    },
    /// A script that must end in time didn't.
    #[error("{what} took longer than {limit:?}")]
    Expired {
        /// What was being done.
        what: String,
        /// How long it may take.
        limit: Duration,
    },
}

/// The longest that one poll for results waits.
const LONGEST_POLL: Duration = Duration::from_secs(10);
/// The first poll's wait: later ones wait longer, so that a batch that failed early is noticed early.
const FIRST_POLL: Duration = Duration::from_secs(2);
/// How long the exe-unit may take to accept a script.
const EXEC_WAIT: Duration = Duration::from_secs(30);

impl WorkContext {
    pub(crate) fn new(
        client: Client,
        node: NodeId,
        provider: Provider,
        agreement: AgreementId,
        activity: ActivityId,
        lost: Arc<AtomicBool>,
    ) -> Self {
        let transfers = Transfers::new(client.clone(), node);
        Self { inner: Arc::new(Inner { client, transfers, provider, agreement, activity, lost }) }
    }

    /// The provider whose machine this is.
    pub fn provider(&self) -> &Provider {
        &self.inner.provider
    }

    /// The agreement that the activity belongs to.
    pub fn agreement(&self) -> &AgreementId {
        &self.inner.agreement
    }

    /// The activity.
    pub fn activity(&self) -> &ActivityId {
        &self.inner.activity
    }

    /// Runs a script and waits for it, `limit` at the most.
    ///
    /// A command that fails, or time that runs out, is an [`ExecutionEnd`], not an error: the results so far are
    /// there. After [`ExecutionEnd::Expired`] the activity is still busy with the script.
    ///
    /// **Cancel safety**: dropping the future leaves the script running on the provider.
    pub async fn execute(&self, script: Script, limit: Duration) -> Result<Execution, ScriptError> {
        let deadline = Instant::now() + limit;
        let n_commands = script.len();
        let (commands, served) = self.prepare(script).await?;
        let batch = self.send(commands, deadline).await?;
        let outcome = self.follow(&batch, n_commands, deadline).await;
        // Whatever came of it, nobody must be left asking for files that nobody offers.
        let downloads = served.finish().await;
        let (results, end) = outcome?;
        Ok(Execution { results, end, downloads })
    }

    /// Runs a script that must succeed: anything else is an error that names what failed.
    pub(crate) async fn must(&self, what: &str, script: Script, limit: Duration) -> Result<(), ScriptError> {
        let execution = self.execute(script, limit).await?;
        match execution.end {
            ExecutionEnd::Done => Ok(()),
            ExecutionEnd::Expired => Err(ScriptError::Expired { what: what.to_owned(), limit }),
            ExecutionEnd::Failed { index } => Err(ScriptError::CommandFailed {
                command: what.to_owned(),
                message: describe(&execution.results[index]),
            }),
        }
    }

    async fn prepare(&self, script: Script) -> Result<(Vec<Command>, Served), ScriptError> {
        let mut served = Served::new(script.len());
        let mut commands = Vec::with_capacity(script.len());
        for (index, step) in script.steps.into_iter().enumerate() {
            commands.push(match step {
                Step::Command(command) => command,
                Step::Upload { source, to } => {
                    let from = self.inner.transfers.offer(&mut served, source).await?;
                    Command::Transfer(Transfer { from, to: container(&to), ..Transfer::default() })
                }
                Step::Download { from, target } => {
                    let to = self.inner.transfers.receive(&mut served, index, target).await?;
                    Command::Transfer(Transfer { from: container(&from), to, ..Transfer::default() })
                }
            });
        }
        Ok((commands, served))
    }

    async fn send(&self, script: Vec<Command>, deadline: Instant) -> Result<BatchId, ScriptError> {
        let exec = Exec { activity: self.inner.activity.clone(), script, wait: EXEC_WAIT };
        let mut pause = Duration::from_millis(200);
        loop {
            let error = match self.inner.client.call(&exec).await {
                Ok(batch) => return Ok(batch),
                Err(error) => error,
            };
            let refused_by_daemon = error.api().is_some_and(|api| {
                // The daemon itself failed: the script never left it. What the bus says may have come after.
                api.status == 500 && api.is_passing() && !api.message.contains("GSB")
            });
            if error.api().is_some_and(ApiError::is_activity_lost) {
                return Err(self.lost(&error).await);
            }
            if !refused_by_daemon || Instant::now() + pause >= deadline {
                return Err(error.into());
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    async fn follow(
        &self,
        batch: &BatchId,
        n_commands: usize,
        deadline: Instant,
    ) -> Result<(Vec<CommandResult>, ExecutionEnd), ScriptError> {
        let mut wait = FIRST_POLL;
        let mut last = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let get = GetResults {
                activity: self.inner.activity.clone(),
                batch: batch.clone(),
                wait: wait.min(left),
                command: None,
            };
            match self.inner.client.call(&get).await {
                Ok(results) => {
                    if let Some(end) = ended(&results, n_commands) {
                        return Ok((results, end));
                    }
                    last = results;
                }
                Err(error) if error.api().is_some_and(ApiError::is_activity_lost) => {
                    return Err(self.lost(&error).await);
                }
                Err(error) if error.api().is_some_and(ApiError::is_timeout) => {}
                Err(error) => {
                    if Instant::now() >= deadline {
                        return Err(error.into());
                    }
                    tracing::debug!(%error, %batch, "polling results again");
                    sleep(Duration::from_secs(1).min(deadline.saturating_duration_since(Instant::now())))
                        .await;
                }
            }
            if Instant::now() >= deadline {
                return Ok((last, ExecutionEnd::Expired));
            }
            wait = (wait * 2).min(LONGEST_POLL);
        }
    }

    /// Asks the provider why the activity is gone.
    async fn lost(&self, error: &ClientError) -> ScriptError {
        self.inner.lost.store(true, Ordering::Relaxed);
        let state = self.inner.client.call_once(&GetState(self.inner.activity.clone())).await;
        let told = state.ok().filter(|state| matches!(state.state, StatePair(State::Terminated, _)));
        let reason = told.and_then(|state| match (state.reason, state.error_message) {
            (Some(reason), Some(message)) => Some(format!("{reason}: {message}")),
            (reason, message) => reason.or(message),
        });
        let reason = reason
            .unwrap_or_else(|| error.api().map_or_else(|| error.to_string(), |api| api.message.clone()));
        ScriptError::ActivityLost { reason }
    }
}

/// How the batch ended, if it has.
fn ended(results: &[CommandResult], n_commands: usize) -> Option<ExecutionEnd> {
    if let Some(index) = results.iter().position(|result| result.result == Outcome::Error) {
        return Some(ExecutionEnd::Failed { index });
    }
    let finished = results.last().is_some_and(|last| last.is_batch_finished);
    (finished || results.len() >= n_commands).then_some(ExecutionEnd::Done)
}

/// A failed command in the provider's words, with the end of its standard error.
pub(crate) fn describe(result: &CommandResult) -> String {
    let message = result.message.clone().unwrap_or_else(|| "no reason given".to_owned());
    match result.stderr.as_ref().map(|stderr| stderr.to_text().trim_end().to_owned()) {
        Some(stderr) if !stderr.is_empty() => {
            let last = stderr.lines().next_back().unwrap_or_default();
            format!("{message}: {last}")
        }
        _ => message,
    }
}

fn container(path: &str) -> String {
    if path.starts_with('/') { format!("container:{path}") } else { format!("container:/{path}") }
}
