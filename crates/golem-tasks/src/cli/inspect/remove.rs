//! `runs rm` and `runs prune`: runs are deleted with everything that was kept of them.

use std::time::Duration;

use golem_core::event::StopReason;
use golem_sdk::SystemClock;
use yagna_api::time::between;
use yagna_api::{Clock, Timestamp};

use super::args::{PruneFlags, RmFlags};
use super::{Environment, choose, nothing_yet, told, within_to_write};
use crate::exit::{Exit, Failure};
use crate::store::{RunRow, RunStatus, Store, StoreError};
use crate::view::Output;
use crate::view::kept::{self, KeptRun, Removed};

/// Deleting a run would lose sight of what it still owes.
#[derive(Debug, thiserror::Error)]
#[error("run `{0}` may still owe something: its agreements or bills aren't settled")]
struct Owes(String);

/// `runs rm`: these runs, all of them or none.
pub(super) async fn rm(flags: &RmFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    within_to_write(&flags.place, environment, async |store| {
        let mut runs = Vec::with_capacity(flags.runs.len());
        for named in &flags.runs {
            let run_id = choose(store, Some(named), &flags.place, environment).await?;
            if !flags.force && store.owes(&run_id).await? {
                let advice =
                    format!("`golem-tasks settle {run_id}` settles it; --force removes it all the same");
                return Err(Failure::new(Exit::Unsettled, Owes(run_id)).advise(advice));
            }
            if !runs.contains(&run_id) {
                runs.push(run_id);
            }
        }
        store.delete_runs(&runs).await?;
        crate::job::forget_inputs(&flags.place.dsn(environment)?.input_folder()?, &runs);
        tell(&Removed { runs, kept: Vec::new(), dry_run: false }, flags.json)
    })
    .await
}

/// `runs prune`: all runs that ended long ago.
pub(super) async fn prune(flags: &PruneFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    let pruned = within_to_write(&flags.place, environment, async |store| {
        let now = SystemClock.now();
        let mut removed = Removed { runs: Vec::new(), kept: Vec::new(), dry_run: flags.dry_run };
        for run in store.runs(u32::MAX).await? {
            if !is_old(&run, flags.older_than, now) || (flags.failed && has_succeeded(&run)) {
                continue;
            }
            match kept_because(store, &run, flags).await? {
                None => removed.runs.push(run.run_id),
                Some(why) => removed.kept.push(KeptRun { run: run.run_id, why }),
            }
        }
        if !flags.dry_run {
            crate::job::forget_inputs(&flags.place.dsn(environment)?.input_folder()?, &removed.runs);
        }
        tell(&removed, flags.json)
    })
    .await;
    let nothing = || Removed { runs: Vec::new(), kept: Vec::new(), dry_run: flags.dry_run }.json();
    pruned.or_else(|failure| nothing_yet(failure, flags.json, nothing))
}

/// Removes a run that is old enough, unless there is a reason to keep it.
async fn kept_because(
    store: &Store,
    run: &RunRow,
    flags: &PruneFlags,
) -> Result<Option<&'static str>, Failure> {
    const HELD: &str = "a process works on it";
    if run.status.holder().is_some() {
        return Ok(Some(HELD));
    }
    if !flags.force && store.owes(&run.run_id).await? {
        return Ok(Some(
            "its agreements or bills aren't settled: `golem-tasks settle` settles them, --force removes it",
        ));
    }
    if flags.dry_run {
        return Ok(None);
    }
    match store.delete_runs(&[&run.run_id]).await {
        Ok(()) => Ok(None),
        Err(StoreError::Held { .. }) => Ok(Some(HELD)),
        // Somebody else has removed it meanwhile.
        Err(StoreError::NoSuchRun { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// True if the run ended so long ago, or began then where it never ended.
fn is_old(run: &RunRow, older_than: Duration, now: Timestamp) -> bool {
    let at = run.ended.unwrap_or(run.began);
    at <= now && between(at, now) >= older_than
}

/// True if every task got its result, or as many as were wanted.
fn has_succeeded(run: &RunRow) -> bool {
    match run.status {
        RunStatus::Ended(StopReason::ResultsReached) => true,
        RunStatus::Ended(StopReason::AllDone | StopReason::Closed) => run.failed == 0 && run.left == 0,
        _ => false,
    }
}

fn tell(removed: &Removed, json: bool) -> Result<Exit, Failure> {
    if json {
        return told(&removed.json());
    }
    Output::stderr().write(&kept::kept_runs_text(removed));
    told(&removed.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Settled;

    fn run(status: RunStatus, failed: u64, left: u64) -> RunRow {
        let ended = matches!(status, RunStatus::Ended(_));
        RunRow {
            run_id: "r".to_owned(),
            status,
            paused_until: None,
            done: 1,
            failed,
            left,
            settled: Settled { cost: yagna_api::Glm::ZERO, unsettled: 0 },
            began: "2026-11-01T00:00:00Z".parse().unwrap(),
            ended: ended.then(|| "2026-11-02T00:00:00Z".parse().unwrap()),
        }
    }

    #[test]
    fn the_age_of_a_run_counts_from_its_end_or_else_from_its_beginning() {
        let day = Duration::from_secs(24 * 3600);
        let now = "2026-11-03T00:00:00Z".parse().unwrap();
        assert!(is_old(&run(RunStatus::Ended(StopReason::AllDone), 0, 0), day, now));
        assert!(!is_old(&run(RunStatus::Ended(StopReason::AllDone), 0, 0), day * 2, now));
        assert!(is_old(&run(RunStatus::Interrupted(None), 0, 1), day * 2, now));
    }

    #[test]
    fn a_run_has_failed_unless_it_came_to_its_end_with_what_was_wanted() {
        for (status, failed, left, succeeded) in [
            (RunStatus::Ended(StopReason::AllDone), 0, 0, true),
            (RunStatus::Ended(StopReason::AllDone), 1, 0, false),
            (RunStatus::Ended(StopReason::ResultsReached), 1, 3, true),
            (RunStatus::Ended(StopReason::Cancelled), 0, 3, false),
            (RunStatus::Ended(StopReason::BudgetReached), 0, 3, false),
            (RunStatus::Interrupted(None), 0, 3, false),
        ] {
            assert_eq!(has_succeeded(&run(status.clone(), failed, left)), succeeded, "{status:?}");
        }
    }
}
