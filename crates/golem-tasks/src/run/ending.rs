//! The decision whether a run that has ended has done its work.

use golem_core::event::{RunEnd, StopReason};

use crate::exit::{Exit, Failure};
use crate::store::RunSummary;
use crate::work::AnyJob;

/// A run whose input broke off in an earlier process isn't done, though all is that had come.
pub(super) fn not_cut(
    job: &dyn AnyJob,
    ended: (RunEnd, RunSummary),
) -> Result<(RunEnd, RunSummary), Failure> {
    let (end, summary) = &ended;
    if Exit::of(end) != Exit::Done || end.why == StopReason::ResultsReached || !job.is_input_cut() {
        return Ok(ended);
    }
    let cut = format!(
        "the standard input of run `{}` broke off with an earlier process: {} tasks had come, and they are done",
        summary.run_id,
        summary.tasks.total()
    );
    Err(Failure::new(Exit::BrokeOff, cut)
        .advise("the same command with the whole input once more does what came behind them"))
}

/// There are more tasks than were done, and nothing says why: never the end of a run that went well.
#[derive(Debug, thiserror::Error)]
#[error("run `{run_id}` has done {done} of {total} tasks, and no task failed")]
struct NotAll {
    run_id: String,
    done: u64,
    total: u64,
}

/// A run that went well has done all its tasks, unless so many results were asked for or one ended it.
pub(super) fn all_done(
    end: RunEnd,
    summary: RunSummary,
    in_source: Option<u64>,
) -> Result<(RunEnd, RunSummary), Failure> {
    let total = summary.tasks.total().max(in_source.unwrap_or_default());
    let done = summary.tasks.done;
    if Exit::of(&end) != Exit::Done
        || matches!(end.why, StopReason::ResultsReached | StopReason::PartDone)
        || done >= total
    {
        return Ok((end, summary));
    }
    let run_id = summary.run_id;
    Err(Failure::new(Exit::BrokeOff, NotAll { run_id, done, total })
        .advise("the source of the tasks was changed while it was read; the same command does what is left"))
}

#[cfg(test)]
mod tests {
    use golem_core::event::RunEnd;
    use yagna_api::{Glm, Timestamp};

    use super::*;
    use crate::store::TaskCounts;

    fn end(why: StopReason, done: u64, failed: u64) -> RunEnd {
        RunEnd { why, done, failed, unfinished: 0, cost: Glm::ZERO, unsettled: 0 }
    }

    fn summary(done: u64, waiting: u64) -> RunSummary {
        let tasks = TaskCounts { done, waiting, ..TaskCounts::default() };
        RunSummary { tasks, ..RunSummary::new("r", Timestamp::UNIX_EPOCH) }
    }

    #[test]
    fn a_run_that_did_fewer_tasks_than_there_are_never_ends_well() {
        for why in [StopReason::AllDone, StopReason::Closed] {
            for (done, waiting, in_source) in
                [(3, 2, None), (3, 0, Some(5)), (0, 0, Some(1)), (3, 1, Some(2))]
            {
                let found = all_done(end(why, done, 0), summary(done, waiting), in_source);
                let failure = found.expect_err("tasks are missing");
                assert_eq!(failure.exit(), Exit::BrokeOff, "{done} done, {waiting} left, {in_source:?}");
                let total = (done + waiting).max(in_source.unwrap_or_default());
                assert!(
                    failure.error().to_string().contains(&format!("{done} of {total} tasks")),
                    "{}",
                    failure.error()
                );
            }
        }
    }

    #[test]
    fn a_run_that_did_all_or_as_many_as_were_wanted_or_says_itself_that_it_did_not_ends_as_it_says() {
        let fine = [
            (end(StopReason::AllDone, 5, 0), summary(5, 0), Some(5)),
            (end(StopReason::AllDone, 5, 0), summary(5, 0), None),
            (end(StopReason::ResultsReached, 3, 0), summary(3, 2), Some(9)),
            (end(StopReason::PartDone, 3, 0), summary(3, 2), Some(9)),
            (end(StopReason::AllDone, 3, 2), summary(3, 0), Some(5)),
            (end(StopReason::BudgetReached, 3, 0), summary(3, 2), Some(9)),
        ];
        for (end, summary, in_source) in fine {
            let ended = all_done(end.clone(), summary, in_source).expect("it says what it did");
            assert_eq!(ended.0, end);
        }
    }
}
