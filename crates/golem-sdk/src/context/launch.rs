//! A batch on its way: the activity's one place for it, its files, its commands, its results.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use golem_core::run::Input;
use tokio::time::{Instant, sleep, timeout_at};
use yagna_api::activity::{
    Command as WireCommand, CommandResult, Exec, GetResults, GetState, PollResults, ProgressArgs, State,
    StatePair, Transfer,
};
use yagna_api::market::{AgreementEventKind, AgreementState, GetAgreement, GetTerminationReason, Terminator};
use yagna_api::{ApiError, BatchId};
use yagna_client::ClientError;

use super::batch::{Batch, Brought, Finished};
use super::error::{CommandName, Expiry, Failure, ScriptError, stderr_end};
use super::handle::QueueId;
use super::outcome::{ExecutionEnd, ended, judge, rest_of, take_ours};
use super::plan::{Moved, Planned};
use super::replay::{self, Again};
use super::watch::Watch;
use super::{DEFAULT_LIMIT, Inner, Queue, WorkContext};
use crate::script::{LARGEST_SCRIPT, Script, Step, Target, container, size};
use crate::transfer::{Arrivals, Brought as Carried, Name, Rest, Served};

/// The longest that one poll for results waits.
pub(super) const LONGEST_POLL: Duration = Duration::from_secs(10);
/// The first poll's wait: later ones wait longer, so that a batch that failed early is noticed early.
pub(super) const FIRST_POLL: Duration = Duration::from_secs(2);
/// The longest time that a poll waits once results have been found to take longer on their way than the daemon waits.
pub(super) const LONGEST_JOURNEY: Duration = Duration::from_secs(5 * 60);
/// By how much a poll's wait grows each time that results didn't come in time: each poll lets them travel anew.
pub(super) const JOURNEY_GROWTH: u32 = 4;
/// The pause before results are asked for again after an error, or after an answer that came at once and brought nothing.
const POLL_PAUSE: Duration = Duration::from_secs(1);
/// The time that the exe-unit may take to accept a script.
const EXEC_WAIT: Duration = Duration::from_secs(30);
/// Time that it is given in any case.
const SHORTEST_EXEC: Duration = Duration::from_secs(1);
/// "No limit", where a longer time would overflow the clock.
const LONGEST_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);
/// The interval at which a followed transfer reports its progress.
const PROGRESS_INTERVAL: &str = "1s";

/// An activity's one place for a running batch.
#[derive(Debug, Clone)]
pub(super) enum Slot {
    /// Free.
    Idle,
    /// Somebody waits for a batch.
    Taken,
    /// Nobody waits any more for a batch that may still run: this one, or one whose id was never learnt.
    Left(Option<(BatchId, usize)>),
}

/// The place, held. Dropping it says what has become of the batch.
#[derive(Debug)]
pub(super) struct Claim {
    inner: Arc<Inner>,
    then: Slot,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let then = std::mem::replace(&mut self.then, Slot::Idle);
        *self.inner.slot() = then;
    }
}

/// The part of a step that is kept to speak about it.
#[derive(Debug)]
struct Told {
    name: CommandName,
    is_transfer: bool,
    target: Option<Target>,
}

/// A batch that was sent.
#[derive(Debug)]
pub(super) struct Launched {
    claim: Claim,
    served: Served,
    queue: QueueId,
    told: Vec<Told>,
    limit: Duration,
    pub(super) batch: BatchId,
    pub(super) deadline: Instant,
    /// The batch to attach to, set when an earlier process submitted it.
    again: Option<Again>,
}

impl WorkContext {
    /// Sends what is queued as one batch and waits for all its results; `None` gives it [`DEFAULT_LIMIT`].
    ///
    /// The queue is empty afterwards, whatever came of it. With nothing queued nothing is sent. The limit holds for all
    /// of it: offering the files, the commands, their results.
    ///
    /// **Errors**: a failed command or transfer, time that ran out, the end of the activity or of its agreement: a
    /// variant of [`ScriptError`] for each, with what had been done by then. Files that it brings have their names only when
    /// all of it has succeeded. After a failure the activity can be used
    /// on. After [`ScriptError::Expired`] it is busy until the provider is through with the batch, and a commit before
    /// that is [`ScriptError::Busy`], unless it begins with [`WorkContext::terminate`].
    ///
    /// **Cancel safety**: dropping the future leaves the batch running on the provider, as if its time had run out.
    /// Files that were offered for it are withdrawn in any case.
    pub async fn commit(&mut self, limit: impl Into<Option<Duration>>) -> Result<Batch, ScriptError> {
        let queue = std::mem::replace(&mut self.queue, Queue::new());
        let limit = limit.into().unwrap_or(DEFAULT_LIMIT);
        if queue.script.is_empty() {
            return Ok(Batch { queue: queue.id, results: Vec::new(), downloads: Vec::new() });
        }
        let mut launched = Box::pin(self.inner.launch(queue, limit, false)).await?;
        if let Some(again) = launched.again.take() {
            let replayed = Box::pin(self.inner.replay(again, launched.deadline)).await;
            let (carried, followed) = replayed.into_parts();
            return launched.conclude_with(carried, followed).await;
        }
        let followed = {
            let mut watch = Watch::until(launched.deadline);
            self.inner.follow(&launched.batch, launched.n_commands(), &mut watch).await
        };
        launched.conclude(followed).await
    }
}

impl Launched {
    pub(super) fn n_commands(&self) -> usize {
        self.told.len()
    }

    pub(super) fn queue(&self) -> QueueId {
        self.queue
    }

    /// Withdraws the files, frees the place, and makes a batch or an error of the end.
    pub(super) async fn conclude(
        self,
        followed: Result<(Vec<CommandResult>, ExecutionEnd), ScriptError>,
    ) -> Result<Batch, ScriptError> {
        let (inner, batch) = (Arc::clone(&self.claim.inner), self.batch.clone());
        let ended = self.settle(followed).await;
        inner.tell_concluded(&batch, &ended);
        ended
    }

    async fn settle(
        mut self,
        followed: Result<(Vec<CommandResult>, ExecutionEnd), ScriptError>,
    ) -> Result<Batch, ScriptError> {
        let served = std::mem::replace(&mut self.served, Served::none(0));
        let rest = rest_of(&followed, |index| self.told[index].is_transfer);
        let brought = served.finish(rest).await;
        self.conclude_with(brought, followed).await
    }

    /// Frees the place, and makes a batch or an error of the end.
    async fn conclude_with(
        mut self,
        mut brought: Carried,
        followed: Result<(Vec<CommandResult>, ExecutionEnd), ScriptError>,
    ) -> Result<Batch, ScriptError> {
        let over = match &followed {
            Ok((_, end)) => *end != ExecutionEnd::Expired,
            Err(error) => {
                matches!(error, ScriptError::ActivityLost { .. } | ScriptError::AgreementEnded { .. })
            }
        };
        if over {
            self.claim.then = Slot::Idle;
        }
        let provider = self.claim.inner.provider.clone();
        let inner = Arc::clone(&self.claim.inner);
        drop(self.claim);
        let (mut results, end) = followed?;
        let is_download: Vec<_> = self.told.iter().map(|told| told.target.is_some()).collect();
        let end = judge(&is_download, &mut results, end, &mut brought);
        if let Some((error, bytes)) = take_ours(end, &mut brought) {
            return Err(inner.tell_ours(error.into(), bytes).await);
        }
        let files = std::mem::take(&mut brought.files);
        let named: BTreeSet<_> = files.keys().copied().collect();
        if let Err(error) = Arrivals::new(files.into_values()).name().await {
            return Err(inner.tell_ours(error.into(), 0).await);
        }
        let failure = match end {
            ExecutionEnd::Failed { index } => {
                let result = &results[index];
                let message = result.reason().to_owned();
                Some((index, result.exit_code(), message, stderr_end(result)))
            }
            ExecutionEnd::Done | ExecutionEnd::Expired => None,
        };
        let downloads = self.told.iter().zip(brought.bytes).map(|(told, bytes)| match &told.target {
            Some(Target::File(path)) if named.contains(&told.name.place) => Some(Brought::File(path.clone())),
            _ => bytes.map(Brought::Bytes),
        });
        let finished =
            self.told.iter().zip(results).map(|(told, result)| Finished::new(told.name.clone(), result));
        let batch = Batch { queue: self.queue, results: finished.collect(), downloads: downloads.collect() };
        if let Some((index, exit_code, message, stderr)) = failure {
            let told = &self.told[index];
            let command = told.name.clone();
            let failure = Box::new(Failure { command, provider, exit_code, message, stderr, so_far: batch });
            return Err(if told.is_transfer {
                ScriptError::TransferFailed(failure)
            } else {
                ScriptError::CommandFailed(failure)
            });
        }
        if end == ExecutionEnd::Expired {
            // Without results for all of them there is one that has none.
            let place = batch.len().min(self.told.len().saturating_sub(1));
            let command = self.told[place].name.clone();
            let expiry = Expiry { command, limit: self.limit, provider, so_far: batch };
            return Err(ScriptError::Expired(Box::new(expiry)));
        }
        Ok(batch)
    }
}

impl Inner {
    /// Takes the place, offers the files, sends the commands.
    pub(super) async fn launch(
        self: &Arc<Self>,
        queue: Queue,
        limit: Duration,
        follow: bool,
    ) -> Result<Launched, ScriptError> {
        let deadline = Instant::now() + limit.min(LONGEST_LIMIT);
        let steps = queue.script.steps;
        let told: Vec<_> = steps.iter().enumerate().map(|(place, step)| Told::of(place, step)).collect();
        let ends_others = matches!(steps.first(), Some(Step::Command(WireCommand::Terminate(_))));
        let mut claim = self.claim(ends_others).await?;
        let expired = || {
            let so_far = Batch { queue: queue.id, results: Vec::new(), downloads: Vec::new() };
            let (command, provider) = (told[0].name.clone(), self.provider.clone());
            ScriptError::Expired(Box::new(Expiry { command, limit, provider, so_far }))
        };
        let planned = Self::plan(steps.clone(), follow)?;
        let digest = replay::digest(&planned.commands);
        if let Some(sent) = self.scripts.next(self, &digest).await? {
            claim.then = Slot::Left(Some((sent.batch.clone(), told.len())));
            let batch = sent.batch.clone();
            let again = Again { steps, planned, sent };
            let (served, again) =
                if follow { (self.follow_again(again).await?, None) } else { (Served::none(0), Some(again)) };
            return Ok(Launched { claim, served, queue: queue.id, told, limit, batch, deadline, again });
        }
        let Ok(prepared) = timeout_at(deadline, self.serve(planned, &[])).await else {
            // Nothing was sent: the activity is as it was.
            return Err(self.tell_ours(ScriptError::Stalled { limit }, 0).await);
        };
        let (commands, served) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Err(self.tell_ours(error, 0).await),
        };
        claim.then = Slot::Left(None);
        let batch = match self.send(commands, deadline).await {
            Ok(batch) => batch,
            Err(error) => {
                served.finish(Rest::Unknown).await;
                let unanswered = match &error {
                    ScriptError::Daemon(error) => error.api().is_none_or(ApiError::is_timeout),
                    _ => false,
                };
                if unanswered {
                    // Nobody knows whether it runs.
                    return Err(if Instant::now() >= deadline { expired() } else { error });
                }
                claim.then = Slot::Idle;
                return Err(error);
            }
        };
        claim.then = Slot::Left(Some((batch.clone(), told.len())));
        self.scripts.sent(digest, &batch, served.names()).await;
        self.tell_sent(&batch, told.iter().map(|told| told.name.words.clone()));
        Ok(Launched { claim, served, queue: queue.id, told, limit, batch, deadline, again: None })
    }

    /// Makes commands of steps; the addresses of their files are still to be put in.
    pub(super) fn plan(steps: Vec<Step>, follow: bool) -> Result<Planned, ScriptError> {
        let mut files = Vec::new();
        let progress = || {
            let every =
                || ProgressArgs { update_interval: Some(PROGRESS_INTERVAL.into()), update_step: None };
            follow.then(every)
        };
        let mut commands = Vec::with_capacity(steps.len());
        for (place, step) in steps.into_iter().enumerate() {
            let words = step.words();
            if let Err(source) = step.check() {
                return Err(ScriptError::Invalid { command: CommandName { place, words }, source });
            }
            commands.push(match step {
                Step::Command(WireCommand::Transfer(mut transfer)) => {
                    transfer.progress = transfer.progress.or_else(progress);
                    WireCommand::Transfer(transfer)
                }
                Step::Command(WireCommand::Deploy(mut deploy)) => {
                    deploy.progress = deploy.progress.or_else(progress);
                    WireCommand::Deploy(deploy)
                }
                Step::Command(command) => command,
                Step::Program(program) => WireCommand::Run(program.command(follow).map_err(|source| {
                    ScriptError::Invalid { command: CommandName { place, words }, source }
                })?),
                Step::Upload { source, to } => {
                    files.push((place, Moved::Offered(source)));
                    let to = container(&to);
                    WireCommand::Transfer(Transfer { to, progress: progress(), ..Transfer::default() })
                }
                Step::Download { from, target } => {
                    files.push((place, Moved::Received(target)));
                    let from = container(&from);
                    WireCommand::Transfer(Transfer { from, progress: progress(), ..Transfer::default() })
                }
            });
        }
        let bytes = size(&commands, files.len());
        if bytes > LARGEST_SCRIPT {
            return Err(ScriptError::TooLarge { bytes });
        }
        Ok(Planned { commands, files })
    }

    /// Serves the files of a script: under the names that an earlier process gave them, or under new ones.
    pub(super) async fn serve(
        &self,
        planned: Planned,
        known: &[(u32, String)],
    ) -> Result<(Vec<WireCommand>, Served), ScriptError> {
        let Planned { mut commands, files } = planned;
        let mut served = self.transfers.begin(commands.len());
        for (place, file) in files {
            let known = known.iter().find(|(at, _)| *at as usize == place);
            let name = known.map_or(Name::New, |(_, name)| Name::Known(name.clone()));
            // Only transfers move files.
            let WireCommand::Transfer(transfer) = &mut commands[place] else { continue };
            match file {
                Moved::Offered(source) => {
                    transfer.from = self.transfers.offer(&mut served, place, source, name).await?;
                }
                Moved::Received(target) => {
                    transfer.to = self.transfers.receive(&mut served, place, target, name).await?;
                }
            }
        }
        Ok((commands, served))
    }

    /// Tells the run where an error is our own trouble: for how many bytes there was no room.
    pub(super) async fn tell_ours(&self, error: ScriptError, bytes: u64) -> ScriptError {
        if let Some(fault) = error.own_fault(bytes) {
            self.scripts.tell(Input::OwnFault { fault }).await;
        }
        error
    }

    pub(super) async fn send(
        &self,
        script: Vec<WireCommand>,
        deadline: Instant,
    ) -> Result<BatchId, ScriptError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = EXEC_WAIT.min(left.max(SHORTEST_EXEC));
        let exec = Exec { activity: self.activity.clone(), script, wait };
        let mut pause = Duration::from_millis(200);
        loop {
            let error = match self.client.call(&exec).await {
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
            if error.api().is_some_and(is_refusal) {
                return Err(ScriptError::Refused(error));
            }
            if !refused_by_daemon || Instant::now() + pause >= deadline {
                return Err(error.into());
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    pub(super) async fn follow(
        &self,
        batch: &BatchId,
        n_commands: usize,
        watch: &mut Watch,
    ) -> Result<(Vec<CommandResult>, ExecutionEnd), ScriptError> {
        let mut wait = FIRST_POLL;
        // True if the last poll's answer didn't come in time. Then what it would have brought may be on its way.
        let mut is_late = false;
        loop {
            let begun = Instant::now();
            let left = watch.deadline().saturating_duration_since(begun);
            // Results in time count: the daemon gives a last look a second.
            let is_last = left.is_zero();
            let asked = wait.min(left).min(watch.longest_poll());
            let known = watch.seen.len();
            let was_late = std::mem::replace(&mut is_late, false);
            let is_trouble = match self.client.call(&PollResults(self.look(batch, asked))).await {
                Ok(Some(results)) => {
                    if let Some(end) = ended(&results, n_commands) {
                        return Ok((results, end));
                    }
                    watch.saw(results);
                    false
                }
                Ok(None) => {
                    is_late = true;
                    false
                }
                Err(error) if error.api().is_some_and(ApiError::is_activity_lost) => {
                    return Err(self.lost(&error).await);
                }
                Err(error) => {
                    if Instant::now() >= watch.deadline() {
                        return Err(error.into());
                    }
                    tracing::debug!(%error, %batch, "polling results again");
                    true
                }
            };
            if is_last && watch.seen.len() == known {
                return Ok((std::mem::take(&mut watch.seen), ExecutionEnd::Expired));
            }
            // A poll that brings nothing and doesn't wait either isn't repeated at once.
            let is_hasty = watch.seen.len() == known && begun.elapsed() < asked / 2;
            let left = watch.deadline().saturating_duration_since(Instant::now());
            if is_trouble || is_hasty {
                sleep(POLL_PAUSE.min(left)).await;
            }
            wait = next_wait(wait, is_late, was_late);
        }
    }

    pub(super) fn look(&self, batch: &BatchId, wait: Duration) -> GetResults {
        GetResults { activity: self.activity.clone(), batch: batch.clone(), wait, command: None }
    }

    /// Finds out why the activity is gone: by its agreement's end, or by itself.
    pub(super) async fn lost(&self, error: &ClientError) -> ScriptError {
        self.lost.store(true, Ordering::Relaxed);
        if let Some(ended) = self.agreement_ended().await {
            return ended;
        }
        let state = self.client.call_once(&GetState(self.activity.clone())).await;
        let told = state.ok().filter(|state| matches!(state.state, StatePair(State::Terminated, _)));
        let reason = told.and_then(|state| match (state.reason, state.error_message) {
            (Some(reason), Some(message)) => Some(format!("{reason}: {message}")),
            (reason, message) => reason.or(message),
        });
        let reason = reason
            .unwrap_or_else(|| error.api().map_or_else(|| error.to_string(), |api| api.message.clone()));
        ScriptError::ActivityLost { reason, provider: self.provider.clone() }
    }

    async fn agreement_ended(&self) -> Option<ScriptError> {
        let id = &self.agreement;
        let agreement = self.client.call_once(&GetAgreement(id.clone())).await.ok()?;
        if agreement.state != AgreementState::Terminated {
            return None;
        }
        let event = self.client.call_once(&GetTerminationReason(id.clone())).await.ok();
        let (by, reason) = match event.map(|event| event.kind) {
            Some(AgreementEventKind::Terminated(ended)) => (ended.terminator, ended.reason),
            // The party that did it isn't known; we would know it of ourselves.
            _ => (Terminator::Provider, None),
        };
        let reason = reason.map_or_else(|| "no reason given".to_owned(), |reason| reason.message);
        Some(ScriptError::AgreementEnded {
            agreement: id.clone(),
            by,
            reason,
            provider: self.provider.clone(),
        })
    }

    /// Takes the place for a batch, if it is free or what was left there is over by now.
    async fn claim(self: &Arc<Self>, ends_others: bool) -> Result<Claim, ScriptError> {
        let before = {
            let mut slot = self.slot();
            let before = slot.clone();
            if !matches!(before, Slot::Taken) {
                *slot = Slot::Taken;
            }
            before
        };
        let busy = || ScriptError::Busy { provider: self.provider.clone() };
        let left = match &before {
            Slot::Taken => return Err(busy()),
            Slot::Idle => None,
            Slot::Left(left) => Some(left.clone()),
        };
        let claim = Claim { inner: Arc::clone(self), then: before };
        if let Some(left) = left.filter(|_| !ends_others)
            && self.still_runs(left).await
        {
            return Err(busy());
        }
        Ok(claim)
    }

    /// True if a batch that nobody waits for still runs. Where that can't be learnt, the next script will tell.
    async fn still_runs(&self, left: Option<(BatchId, usize)>) -> bool {
        if let Some((batch, n_commands)) = left {
            return match self.client.call(&self.look(&batch, Duration::ZERO)).await {
                Ok(results) => ended(&results, n_commands).is_none(),
                Err(_) => false,
            };
        }
        let state = self.client.call(&GetState(self.activity.clone())).await;
        state.is_ok_and(|state| state.state.1.is_some())
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().expect("nothing panics while it holds this lock")
    }
}

impl Told {
    fn of(place: usize, step: &Step) -> Self {
        let target = match step {
            Step::Download { target, .. } => Some(target.clone()),
            _ => None,
        };
        let name = CommandName { place, words: step.words() };
        Self { name, is_transfer: step.is_transfer(), target }
    }
}

impl Script {
    /// Checks that it can be sent: that no argument or path is one that no machine could take, and that the daemon would
    /// read so much at once. Files aren't looked at.
    ///
    /// **Errors**: [`ScriptError::Invalid`],
    /// [`ScriptError::TooLarge`].
    pub fn check(&self) -> Result<(), ScriptError> {
        Inner::plan(self.steps.clone(), false).map(drop)
    }

    /// The number of bytes that it takes in a request to the daemon, the addresses of its files included. A script that can't be
    /// sent at all takes none, unless it is its size that forbids it.
    pub fn wire_len(&self) -> usize {
        match Inner::plan(self.steps.clone(), false) {
            Ok(planned) => size(&planned.commands, planned.files.len()),
            Err(ScriptError::TooLarge { bytes }) => bytes,
            Err(_) => 0,
        }
    }
}

/// True if an answer to a script means that the script is no good, or was taken for none, and says nothing of the activity:
/// the activity, or the right to it, is gone with 401, 403, 404 and 410, and 407, 408 and 429 are about the way there.
fn is_refusal(error: &ApiError) -> bool {
    matches!(error.status, 400..=499)
        && !matches!(error.status, 401 | 403 | 404 | 407 | 408 | 410 | 429)
        && !error.message.contains("endpoint address not found")
}

/// The time that the poll after this one waits. `was_late` is of the poll before it.
pub(super) fn next_wait(wait: Duration, is_late: bool, was_late: bool) -> Duration {
    match (is_late, was_late) {
        (true, _) => (wait * JOURNEY_GROWTH).min(LONGEST_JOURNEY),
        // It came once it was given enough time, so it is given as much again.
        (false, true) => wait,
        (false, false) => (wait * 2).min(LONGEST_POLL.max(wait)),
    }
}
