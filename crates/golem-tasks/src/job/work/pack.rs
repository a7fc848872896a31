//! Several short tasks in one script: how many bytes fit, and what the end of the script means for each of its tasks.
//!
//! Results that are known stay known. A task that fails, or takes too long, has its attempt charged, and those behind it are
//! given back. Of a lost machine nobody knows which task cost it: none is answered, and the run tries each of them alone.

use std::collections::VecDeque;

use golem_core::event::{AttemptFailure, FailureKind};
use golem_sdk::{ExecutionEnd, Script, ScriptError, Together, WorkContext, WorkerError};
use yagna_api::activity::{CommandResult, Outcome};
use yagna_api::time::short;

use super::mark::{Marks, Shell, take_marks};
use super::pace::MOST_BYTES;
use super::{Gathered, Job, Planned, incomplete, no_script, problem, script};
use crate::work::{TaskError, Tasks};

/// Divides tasks into scripts that are small enough; one that is larger by itself stays alone.
pub(super) fn divide(planned: Vec<Planned>) -> VecDeque<Vec<Planned>> {
    let mut packs = VecDeque::new();
    let mut pack = Vec::new();
    let mut bytes: usize = 0;
    for next in planned {
        let more = next.bytes;
        if !pack.is_empty() && bytes.saturating_add(more) > MOST_BYTES {
            packs.push_back(std::mem::take(&mut pack));
            bytes = 0;
        }
        bytes = bytes.saturating_add(more);
        pack.push(next);
    }
    if !pack.is_empty() {
        packs.push_back(pack);
    }
    packs
}

/// The outcome of one task of a script.
enum Fate {
    Done,
    /// One of its steps failed, or the output of one is incomplete.
    Failed(TaskError),
}

impl Job {
    /// Does several tasks in one script.
    pub(super) async fn do_several(
        &self,
        ctx: &WorkContext,
        shell: &mut Shell,
        tasks: &Tasks<'_, Self>,
        planned: Vec<Planned>,
    ) -> Result<(), WorkerError> {
        let each = tasks.time_limit();
        let scripts: Vec<Script> = planned.iter().map(|planned| script(&planned.steps)).collect();
        let Together { mut results, end, known_after, took } = ctx.execute_together(scripts, each).await;
        let mut marks = Vec::with_capacity(planned.len());
        let mut rest = results.as_mut_slice();
        for Planned { steps, .. } in &planned {
            let n_own = steps.len().min(rest.len());
            let (own, others) = std::mem::take(&mut rest).split_at_mut(n_own);
            rest = others;
            let its = take_marks(steps, own);
            shell.saw(its);
            marks.push(its);
        }
        let has_ended = matches!(end, Ok(ExecutionEnd::Done | ExecutionEnd::Failed { .. }));
        if marks.iter().any(|marks| marks.incomplete.is_some()) {
            // While something runs there, or the machine is lost, the shell can't be tried out.
            let is_held_to =
                if has_ended { shell.marks(ctx).await.unwrap_or(true) } else { shell.is_known() };
            if !is_held_to {
                marks.fill(Marks::default());
            }
        }
        let mut rest = results.as_slice();
        let mut ran = Vec::new();
        let mut left: VecDeque<_> = planned.into();
        for marks in marks {
            let Some(next) = left.front() else { break };
            let (own, others) = rest.split_at(next.steps.len().min(rest.len()));
            rest = others;
            let Some(fate) = fate(self, next, own, marks) else { break };
            ran.extend(left.pop_front().map(|next| (next, own, fate)));
        }
        let n_ran = u32::try_from(ran.len()).unwrap_or(u32::MAX).max(1);
        let share = if has_ended { took } else { known_after } / n_ran;
        for (Planned { task, .. }, own, fate) in ran {
            match fate {
                Fate::Done => {
                    let mut gathered = Gathered::default();
                    gathered.outputs(own);
                    let output = self.verdicts.judged(gathered.output());
                    tasks.hand_in(task, output, Some(share)).await;
                }
                Fate::Failed(error) => task.fail(error.taking(share)).await?,
            }
        }
        match end {
            Ok(ExecutionEnd::Failed { .. }) => {
                // Nothing after the failure was run.
                give_back(left).await;
                Ok(())
            }
            Ok(ExecutionEnd::Done) => {
                let message = "the provider says that the script has ended, and has no result of this task";
                for Planned { task, .. } in left {
                    task.fail(TaskError::Failed(problem(FailureKind::Rejected, message.to_owned()))).await?;
                }
                Ok(())
            }
            Ok(ExecutionEnd::Expired) => {
                let message = format!("it ran into its limit of {}", short(each));
                let took = Some(took.saturating_sub(known_after));
                let failure = AttemptFailure { took, ..problem(FailureKind::Expired, message.clone()) };
                if let Some(first) = left.pop_front() {
                    first.task.fail(TaskError::Failed(failure)).await?;
                }
                give_back(left).await;
                // The provider is still at it: nothing else can be run there.
                Err(WorkerError::other(format!("a task: {message}")))
            }
            Err(error) => self.without_script(ctx, shell, tasks, left, error).await,
        }
    }

    /// The script of these tasks couldn't be carried out.
    async fn without_script(
        &self,
        ctx: &WorkContext,
        shell: &mut Shell,
        tasks: &Tasks<'_, Self>,
        left: VecDeque<Planned>,
        error: ScriptError,
    ) -> Result<(), WorkerError> {
        let (failure, is_lost) = no_script(&error);
        if is_lost {
            // None of them is answered: so the run knows that they were in its hands together.
            return Err(error.into());
        }
        if failure.kind == FailureKind::OwnTrouble {
            for Planned { task, .. } in left {
                task.fail(TaskError::Failed(failure.clone())).await?;
            }
            return Ok(());
        }
        // Nothing of it ran. Whichever of them is the reason fails by itself.
        for next in left {
            self.do_alone(ctx, shell, tasks, next).await?;
        }
        Ok(())
    }
}

/// The fate of a task, or `None` where its results aren't complete.
fn fate(job: &Job, planned: &Planned, own: &[CommandResult], marks: Marks) -> Option<Fate> {
    let failed = own.iter().position(|result| result.result == Outcome::Error);
    match (failed, marks.incomplete) {
        (Some(failed), cut) if cut.is_none_or(|cut| cut > failed) => {
            Some(Fate::Failed(job.judged_failure(&planned.steps[failed], &own[failed])))
        }
        (_, Some(cut)) => Some(Fate::Failed(TaskError::Failed(incomplete(&planned.steps[cut])))),
        _ => (own.len() == planned.steps.len()).then_some(Fate::Done),
    }
}

pub(super) async fn give_back(left: impl IntoIterator<Item = Planned>) {
    for Planned { task, .. } in left {
        task.give_back().await;
    }
}
