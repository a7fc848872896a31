//! The tasks of a run that failed for good and are tried afresh, and what is said of them.

use golem_core::state::RunState;
use golem_sdk::run::FailedTask;

use super::part::Part;
use crate::exit::{Exit, Failure};
use crate::options::RunOptions;
use crate::store::{RunStore, Store};
use crate::view::text::plural;

/// Nothing can have failed in a run that never was.
#[derive(Debug, thiserror::Error)]
#[error("there is no run `{run_id}` in {place}, so nothing of it has failed")]
struct NoRun {
    run_id: String,
    place: String,
}

/// The tasks that are to be tried afresh; none unless that was asked for and the run still wants results.
pub(super) async fn failed(
    options: &RunOptions,
    run: &RunStore,
    state: &RunState,
    part: Option<&Part>,
) -> Result<Vec<FailedTask>, Failure> {
    let mut failed = Vec::new();
    if (options.retry_failed || part.is_some()) && !has_enough(options, state) {
        run.failed_tasks(|task| {
            if part.is_some_and(|part| !part.has(task.task, &task.data)) {
                return;
            }
            failed.push(FailedTask { task: task.task, data: task.data, attempts: task.attempts });
        })
        .await?;
    }
    Ok(failed)
}

/// Refuses to begin a run where the tasks of one that is there are to be tried again: its id may be a slip.
pub(super) fn check_new(options: &RunOptions, store: &Store) -> Result<(), Failure> {
    if !options.retry_failed {
        return Ok(());
    }
    let (run_id, place) = (options.run_id.clone(), store.place().to_owned());
    Err(Failure::new(Exit::Usage, NoRun { run_id, place })
        .advise("`golem-tasks runs` lists the runs there; leave --retry-failed out to begin this one"))
}

/// The first words about it.
pub(super) fn note(options: &RunOptions, state: &RunState, retried: usize) -> Option<String> {
    if !options.retry_failed && retried == 0 {
        return None;
    }
    let n = u64::try_from(retried).unwrap_or(u64::MAX);
    Some(match n {
        0 if has_enough(options, state) => {
            "the run has the results it was for: what failed isn't tried again".to_owned()
        }
        0 => "no task of the run has failed: there is nothing to try again".to_owned(),
        n => format!("{} that failed: tried again with fresh attempts", plural(n, "task")),
    })
}

fn has_enough(options: &RunOptions, state: &RunState) -> bool {
    let results = state.done.saturating_sub(state.without_result);
    state.has_enough || options.limits.results.is_some_and(|wanted| results >= wanted)
}
