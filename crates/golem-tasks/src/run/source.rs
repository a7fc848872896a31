//! The source of a run's tasks when the run is resumed: it must be what it was, or the user wants to go on with another one.

use golem_core::event::{Event, EventKind, JobId};
use golem_core::source::{KnownTasks, SourceDigest, SourceMark};
use golem_core::state::RunState;
use golem_sdk::reading::{Matching, OpenSource, Reading, ReadingError};
use serde_json::Value;
use yagna_api::Timestamp;

use crate::exit::{Exit, Failure};
use crate::options::RunOptions;
use crate::store::RunStore;
use crate::view::text::quoted;
use crate::work::{AnyJob, Opened};

/// The source has other tasks than those that the run has read of it.
#[derive(Debug, thiserror::Error)]
enum Differs {
    #[error("run `{run_id}` has read other tasks: {place} was {before} and is {now} now")]
    Other { run_id: String, place: String, before: String, now: String },
    #[error("run `{run_id}` has read more tasks: {before} stood at {place}, where nothing is now")]
    Fewer { run_id: String, place: String, before: String },
    #[error("run `{run_id}` has read other tasks: {now} at {place} is new")]
    New { run_id: String, place: String, now: String },
    #[error("run `{run_id}` has read {read} tasks of another source")]
    Somewhere { run_id: String, read: u64 },
}

/// The first difference between what a run has read and what there is now.
enum Difference {
    /// Something else stands there.
    At { index: u64, before: Value, now: Value },
    /// Nothing stands there.
    End { index: u64, before: Value },
    /// The run doesn't have it.
    New { index: u64, now: Value },
    /// It can't be told.
    Unknown,
}

/// A source that is ready to be read.
pub(super) struct Ready {
    /// The source.
    pub(super) reading: Reading,
    /// The error by which it couldn't be read on, once there is one.
    pub(super) broken: std::sync::Arc<std::sync::OnceLock<String>>,
}

/// The source of a new run.
pub(super) fn fresh(opened: Opened) -> Ready {
    let broken = std::sync::Arc::clone(&opened.broken);
    Ready { reading: Reading::new(source(opened)), broken }
}

/// The source of a run that is resumed, behind what was read of it.
pub(super) async fn compared(
    options: &RunOptions,
    opened: Opened,
    run: &RunStore,
    state: &RunState,
) -> Result<Ready, Failure> {
    let broken = std::sync::Arc::clone(&opened.broken);
    let source = source(opened);
    if state.next_job == 0 {
        return Ok(Ready { reading: Reading::new(source), broken });
    }
    if options.changed_job || options.job.may_change() {
        let mut matching = Matching::new(source);
        run.source_tasks(|data| matching.task(SourceDigest::of(&data))).await?;
        return Ok(Ready { reading: matching.reading(), broken });
    }
    let mark = state.source;
    let known = if mark.has_others() { known_tasks(run).await? } else { KnownTasks::default() };
    match Reading::behind(source, mark, known) {
        Ok(reading) => Ok(Ready { reading, broken }),
        Err(ReadingError::Changed(_)) => Err(differs(options, run, mark).await?),
        Err(error) => {
            let mend = "mend the source of the tasks; what is done is kept, and nothing was bought";
            Err(Failure::new(Exit::Usage, error).advise(mend))
        }
    }
}

/// Writes down how far the source of a run has been read that has nothing left to do: there may be fewer tasks in it than before.
pub(super) async fn note(
    run: &RunStore,
    state: &RunState,
    ready: &Ready,
    at: Timestamp,
) -> Result<(), Failure> {
    let mark = ready.reading.mark();
    if mark != state.source {
        run.apply(&[Event { at, kind: EventKind::SourceRead { job: JobId::FIRST, mark } }]).await?;
    }
    Ok(())
}

fn source(opened: Opened) -> OpenSource {
    let source = OpenSource::from(opened.tasks);
    match opened.again {
        Some(again) => {
            let source = match again.coming {
                Some(coming) => source.coming(coming),
                None => source,
            };
            match again.reopen {
                Some(reopen) => source.growing(reopen, again.ordered),
                None => source,
            }
        }
        None => source,
    }
}

async fn known_tasks(run: &RunStore) -> Result<KnownTasks, Failure> {
    let mut known = KnownTasks::default();
    run.source_tasks(|data| known.add(SourceDigest::of(&data))).await?;
    Ok(known)
}

async fn differs(options: &RunOptions, run: &RunStore, mark: SourceMark) -> Result<Failure, Failure> {
    let run_id = options.run_id.clone();
    // It was read for the comparison, so it is opened once more.
    let Opened { mut tasks, again, .. } = reopened(&*options.job, run).await?;
    let difference = if mark.has_others() {
        let mut known = known_tasks(run).await?;
        let new = (0..mark.read).zip(&mut tasks).find_map(|(index, now)| {
            let now = now.ok()?;
            (!known.take(SourceDigest::of(&now))).then_some(Difference::New { index, now })
        });
        new.unwrap_or(Difference::Unknown)
    } else {
        let (mut found, mut index) = (None, 0);
        run.source_tasks(|before| {
            if found.is_none() {
                found = match tasks.next() {
                    Some(Ok(now)) if SourceDigest::of(&now) == SourceDigest::of(&before) => None,
                    Some(Ok(now)) => Some(Difference::At { index, before, now }),
                    Some(Err(_)) => Some(Difference::Unknown),
                    None => Some(Difference::End { index, before }),
                };
                index += 1;
            }
        })
        .await?;
        found.unwrap_or(Difference::Unknown)
    };
    let place = |index: u64| match &again {
        Some(again) => (again.place)(index),
        None => format!("task {index}"),
    };
    let error = match difference {
        Difference::At { index, before, now } => {
            Differs::Other { run_id, place: place(index), before: quoted(&before), now: quoted(&now) }
        }
        Difference::End { index, before } => {
            Differs::Fewer { run_id, place: place(index), before: quoted(&before) }
        }
        Difference::New { index, now } => Differs::New { run_id, place: place(index), now: quoted(&now) },
        Difference::Unknown => Differs::Somewhere { run_id, read: mark.read },
    };
    Ok(Failure::new(Exit::Usage, error).advise(
        "nothing was bought; put the tasks back as they were, or add --changed-job to do what is new in them, once \
         (the tasks that the run has stay as they are), or choose another --run-id to begin a new run",
    ))
}

async fn reopened(job: &dyn AnyJob, run: &RunStore) -> Result<Opened, Failure> {
    let opened = job.open()?;
    run.added_tasks(|data| job.note_added(data)).await?;
    Ok(opened)
}
