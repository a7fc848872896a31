//! Scripts of an earlier process, gone on with: a worker that is run again from its beginning sends the same scripts
//! again, and those that are recorded are followed instead.
//!
//! A script is known by the fingerprint of its commands. The first that differs from its record, or has none, is a new
//! one. What a batch brought while nobody was there to take it is asked for again.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use golem_core::event::{ActivityNo, RentalId, SentScript};
use golem_core::run::{Input, Replay};
use sha3::{Digest, Sha3_256};
use tokio::sync::mpsc;
use tokio::time::Instant;
use yagna_api::BatchId;
use yagna_api::activity::{Command, CommandResult, Outcome};

use super::Inner;
use super::error::ScriptError;
use super::outcome::{ExecutionEnd, ended};
use super::plan::Planned;
use super::watch::Watch;
use crate::script::Step;
use crate::transfer::{Brought, Rest, Served};

/// So many bytes of a fingerprint tell scripts of one activity apart.
const DIGEST: usize = 16;

/// The scripts of one activity: tells the run of each that is sent, and knows those that an earlier process sent.
#[derive(Debug)]
pub(crate) struct Scripts {
    rental: RentalId,
    no: ActivityNo,
    inputs: mpsc::Sender<Input>,
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    phase: Phase,
    setup: VecDeque<SentScript>,
    tasks: VecDeque<SentScript>,
}

/// The progress of a worker that is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// It sets itself up.
    #[default]
    Setup,
    /// It has the tasks in its hands that it had before.
    Tasks,
    /// From here on all is new.
    Live,
}

/// A script that an earlier process sent, and that has been found again.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) steps: Vec<Step>,
    pub(super) planned: Planned,
    pub(super) sent: SentScript,
}

/// The outcome of a script that was found again.
pub(super) struct Replayed {
    brought: Brought,
    followed: Result<(Vec<CommandResult>, ExecutionEnd), ScriptError>,
}

impl Scripts {
    /// The scripts of an activity that is new, or that an earlier process left.
    pub(crate) fn new(
        rental: RentalId,
        no: ActivityNo,
        inputs: mpsc::Sender<Input>,
        replay: Option<&Replay>,
    ) -> Self {
        let recorded = replay.map(|replay| Recorded {
            phase: Phase::Setup,
            setup: replay.setup.iter().cloned().collect(),
            tasks: replay.scripts.iter().cloned().collect(),
        });
        Self { rental, no, inputs, recorded: Mutex::new(recorded.unwrap_or_default()) }
    }

    /// The worker has the tasks in its hands that it had before.
    pub(crate) fn in_hands(&self) {
        let mut recorded = self.lock();
        if recorded.phase == Phase::Setup {
            recorded.phase = Phase::Tasks;
        }
    }

    /// The worker asks for new tasks.
    pub(crate) fn live(&self) {
        *self.lock() = Recorded { phase: Phase::Live, ..Recorded::default() };
    }

    /// The record of the script that is to be sent next, if there is one; then it must not be sent again.
    ///
    /// **Errors**: [`ScriptError::Interrupted`] when something else was begun that can't be gone on with; the run has
    /// been told.
    pub(super) async fn next(&self, inner: &Inner, digest: &str) -> Result<Option<SentScript>, ScriptError> {
        let (phase, next, last) = {
            let mut recorded = self.lock();
            let Recorded { phase, setup, tasks } = &mut *recorded;
            let next = match phase {
                Phase::Setup => setup.pop_front(),
                Phase::Tasks => tasks.pop_front(),
                Phase::Live => None,
            };
            (*phase, next, tasks.back().map(|last| last.batch.clone()))
        };
        let Some(sent) = next else {
            return Ok(None);
        };
        if sent.digest == digest {
            tracing::debug!(batch = %sent.batch, "going on with a batch of an earlier process");
            return Ok(Some(sent));
        }
        // It does something else this time. What it did then must be over, and must not be what this rests on.
        if phase == Phase::Setup || !inner.is_over(last.as_ref().unwrap_or(&sent.batch)).await {
            return Err(self.give_up(inner).await);
        }
        self.live();
        Ok(None)
    }

    /// True if an earlier process sent further scripts.
    fn has_more(&self) -> bool {
        let recorded = self.lock();
        !recorded.setup.is_empty() || !recorded.tasks.is_empty()
    }

    /// Tells the run something.
    pub(super) async fn tell(&self, input: Input) {
        // The engine only stops listening when the run is over.
        self.inputs.send(input).await.ok();
    }

    /// Tells the run that a script was taken.
    pub(super) async fn sent(&self, digest: String, batch: &BatchId, served: Vec<(u32, String)>) {
        let script = SentScript { digest, batch: batch.clone(), served };
        // The engine only stops listening when the run is over.
        self.inputs.send(Input::BatchSent { rental: self.rental, no: self.no, script }).await.ok();
    }

    /// Tells the run that the activity can't be gone on with.
    async fn give_up(&self, inner: &Inner) -> ScriptError {
        self.live();
        self.inputs.send(Input::ActivityUnfit { rental: self.rental, no: self.no }).await.ok();
        ScriptError::Interrupted { provider: inner.provider.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().expect("nothing panics while it holds this lock")
    }
}

impl Replayed {
    pub(super) fn into_parts(self) -> (Brought, Result<(Vec<CommandResult>, ExecutionEnd), ScriptError>) {
        (self.brought, self.followed)
    }

    fn failed(error: ScriptError) -> Self {
        Self { brought: Brought::default(), followed: Err(error) }
    }
}

/// The fingerprint of commands, without the addresses of the files that they move.
pub(super) fn digest(commands: &[Command]) -> String {
    let text = serde_json::to_vec(commands).expect("commands have string keys and plain values");
    hex::encode(&Sha3_256::digest(text)[..DIGEST])
}

impl Inner {
    /// True if a batch has ended. Where that can't be learnt, it may go on.
    async fn is_over(&self, batch: &BatchId) -> bool {
        let looked = self.client.call(&self.look(batch, Duration::ZERO)).await;
        looked.is_ok_and(|results| ended(&results, usize::MAX).is_some())
    }

    /// Serves the files of a batch that goes on, for whoever follows it as it happens.
    ///
    /// **Errors**: [`ScriptError::Interrupted`] when something was brought while nobody was there.
    pub(super) async fn follow_again(&self, again: Again) -> Result<Served, ScriptError> {
        let moves_files = !again.planned.files.is_empty();
        let results = self.client.call(&self.look(&again.sent.batch, Duration::ZERO)).await?;
        let missed = results.iter().zip(&again.steps).any(|(_, step)| matches!(step, Step::Download { .. }));
        if missed || (moves_files && ended(&results, again.steps.len()).is_some()) {
            return Err(self.scripts.give_up(self).await);
        }
        Ok(self.serve(again.planned, &again.sent.served).await?.1)
    }

    /// Follows a batch that an earlier process sent, and asks again for what it brought while nobody was there.
    pub(super) async fn replay(&self, again: Again, deadline: Instant) -> Replayed {
        match self.try_replay(again, deadline).await {
            Ok(replayed) => replayed,
            Err(error) => Replayed::failed(error),
        }
    }

    async fn try_replay(&self, again: Again, deadline: Instant) -> Result<Replayed, ScriptError> {
        let Again { steps, planned, sent } = again;
        let looked = self.follow(&sent.batch, steps.len(), &mut Watch::until(Instant::now())).await;
        let (mut brought, (mut results, mut end)) = match looked? {
            (results, ExecutionEnd::Expired) if results.len() < steps.len() => {
                let (_, served) = self.serve(planned, &sent.served).await?;
                let followed = self.follow(&sent.batch, steps.len(), &mut Watch::until(deadline)).await;
                (served.finish(Rest::Unknown).await, followed?)
            }
            over => (Brought { bytes: vec![None; steps.len()], ..Brought::default() }, over),
        };
        let Some(rest) = rest(&steps, &results, end, &brought) else {
            return Err(self.scripts.give_up(self).await);
        };
        if !rest.is_empty() && self.scripts.has_more() {
            // A script sent after this one may have changed the files that are to be fetched.
            return Err(self.scripts.give_up(self).await);
        }
        if !rest.is_empty() {
            let again: Vec<_> = rest.iter().map(|place| steps[*place].clone()).collect();
            let (commands, served) = self.serve(Self::plan(again, false)?, &[]).await?;
            let batch = self.send(commands, deadline).await;
            let followed = match batch {
                Ok(batch) => self.follow(&batch, rest.len(), &mut Watch::until(deadline)).await,
                Err(error) => Err(error),
            };
            let mut fetched = served.finish(Rest::Unknown).await;
            let (fresh, fresh_end) = followed?;
            results.truncate(first_missing(&results));
            for (result, place) in fresh.into_iter().zip(&rest) {
                put(&mut results, *place, result);
            }
            for (at, place) in rest.iter().enumerate() {
                brought.bytes[*place] = fetched.bytes.get_mut(at).and_then(Option::take);
                brought.seen.refused.remove(place);
                if let Some(file) = fetched.files.remove(&at) {
                    brought.files.insert(*place, file);
                }
                if fetched.seen.whole.contains(&at) {
                    brought.seen.whole.insert(*place);
                }
                if let Some(refused) = fetched.seen.refused.remove(&at) {
                    brought.seen.refused.insert(*place, refused);
                }
            }
            end = match fresh_end {
                ExecutionEnd::Failed { index } => {
                    let index = rest[index];
                    results.truncate(index + 1);
                    ExecutionEnd::Failed { index }
                }
                other => other,
            };
        }
        Ok(Replayed { brought, followed: Ok((results, end)) })
    }
}

/// The steps that must be sent once more: downloads whose bytes nobody took, and everything from a failed transfer on,
/// for nobody was there to serve it. `None` where that can't be made good: something ran after what is to be fetched,
/// and may have changed it.
fn rest(
    steps: &[Step],
    results: &[CommandResult],
    end: ExecutionEnd,
    brought: &Brought,
) -> Option<Vec<usize>> {
    let resumed = match end {
        ExecutionEnd::Expired => return Some(Vec::new()),
        ExecutionEnd::Failed { index } if is_ours(&steps[index]) => index,
        // It would have failed just so with somebody there.
        ExecutionEnd::Failed { .. } => return Some(Vec::new()),
        ExecutionEnd::Done => steps.len(),
    };
    let mut rest = Vec::new();
    for (place, step) in steps.iter().enumerate().take(resumed.min(results.len())) {
        if !matches!(step, Step::Download { .. }) || brought.seen.whole.contains(&place) {
            continue;
        }
        // A file that is there under its name may be an older one: nothing tells that this script brought it.
        rest.push(place);
    }
    let ran_after = |place: usize| steps[place + 1..resumed].iter().any(|step| !is_ours(step));
    if rest.iter().any(|place| ran_after(*place)) {
        return None;
    }
    rest.extend(resumed..steps.len());
    Some(rest)
}

/// True if it moves a file between the provider and us.
fn is_ours(step: &Step) -> bool {
    matches!(step, Step::Upload { .. } | Step::Download { .. })
}

/// The index of the first result of a batch that isn't one of success.
fn first_missing(results: &[CommandResult]) -> usize {
    results.iter().position(|result| result.result == Outcome::Error).unwrap_or(results.len())
}

fn put(results: &mut Vec<CommandResult>, place: usize, result: CommandResult) {
    let index = u32::try_from(place).unwrap_or(u32::MAX);
    let result = CommandResult { index, ..result };
    if place < results.len() {
        results[place] = result;
    } else {
        results.push(result);
    }
}
