//! Does a job file's tasks on a provider: set-up once, then the steps of each task.
//!
//! Short tasks travel several in one script: a request costs the daemon milliseconds, and a task that takes less
//! would spend most of its time on the way.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use golem::core::event::{AttemptFailure, FailureKind, TaskOutput};
use golem::{
    Execution, ExecutionEnd, Script, ScriptError, Source, Target, Task, Tasks, WorkContext, Worker,
    WorkerError,
};
use serde_json::Value;
use tokio::time::Instant;
use yagna_api::activity::{CommandResult, Outcome};

use crate::job::{Job, RenderedAction, RenderedStep, TaskData};

mod pace;

use self::pace::Pace;

/// A JSON document that a task brings home may be so large; larger ones belong into files.
const MOST_JSON: u64 = 16 << 20;
/// So many characters of a command are told when it failed.
const QUOTED: usize = 80;
/// So much of the end of a failed task's standard error is kept.
const STDERR_KEPT: usize = 4096;

/// Does the tasks of one job file.
#[derive(Debug)]
pub struct JobWorker {
    job: Arc<Job>,
    /// May several tasks share a script?
    packs: bool,
}

impl JobWorker {
    /// A worker for this job.
    pub fn new(job: Arc<Job>) -> Self {
        // A step with a time-out of its own needs a script of its own, and a transfer takes long enough anyway.
        let packs = job.steps.iter().all(|step| step.kind() == "run" && step.timeout().is_none());
        Self { job, packs }
    }
}

impl Worker for JobWorker {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            self.set_up(ctx).await?;
            let mut pace = Pace::new(self.packs);
            while let Some(pack) = tasks.next_pack(pace.room()).await {
                let n = pack.len();
                let started = Instant::now();
                self.do_pack(ctx, pack).await?;
                pace.did(n, started.elapsed());
            }
            Ok(())
        })
    }
}

/// A task and what is to be done for it.
struct Planned {
    task: Task,
    steps: Vec<RenderedStep>,
}

impl JobWorker {
    async fn set_up(&self, ctx: &WorkContext) -> Result<(), WorkerError> {
        let limit = self.job.limits.task_timeout;
        let steps = &self.job.setup;
        let mut done = 0;
        for segment in segments(steps, limit) {
            let n = segment.steps.len();
            let execution = ctx.execute(script(segment.steps), segment.limit).await?;
            match execution.end {
                ExecutionEnd::Done => done += n,
                ExecutionEnd::Expired => {
                    let message = format!(
                        "step {} took longer than {:?}",
                        done + execution.results.len() + 1,
                        segment.limit
                    );
                    return Err(WorkerError::Setup { message });
                }
                ExecutionEnd::Failed { index } => {
                    let failure = failure(&steps[done + index], &execution.results[index]);
                    let stderr = failure.stderr.lines().next_back().unwrap_or_default();
                    let message = format!("step {}: {} {stderr}", done + index + 1, failure.message);
                    return Err(WorkerError::Setup { message: message.trim_end().to_owned() });
                }
            }
        }
        Ok(())
    }

    async fn do_pack(&self, ctx: &WorkContext, pack: Vec<Task>) -> Result<(), WorkerError> {
        let mut planned = Vec::with_capacity(pack.len());
        for task in pack {
            let data = TaskData { index: task.index(), value: task.data().clone() };
            match self.job.steps.iter().map(|step| step.render(&data)).collect::<Result<Vec<_>, _>>() {
                Ok(steps) => planned.push(Planned { task, steps }),
                Err(error) => {
                    task.failed(problem(FailureKind::Invalid, error.to_string())).await;
                }
            }
        }
        if planned.len() == 1 {
            for Planned { task, steps } in planned {
                self.do_one(ctx, task, &steps).await?;
            }
            Ok(())
        } else {
            self.do_several(ctx, planned).await
        }
    }

    /// One task: a script, or several where steps have time-outs of their own.
    async fn do_one(&self, ctx: &WorkContext, task: Task, steps: &[RenderedStep]) -> Result<(), WorkerError> {
        let deadline = Instant::now() + self.job.limits.task_timeout;
        let mut gathered = Gathered::default();
        let mut done = 0;
        for segment in segments(steps, self.job.limits.task_timeout) {
            let limit = segment.limit.min(deadline.saturating_duration_since(Instant::now()));
            let execution = match ctx.execute(script(segment.steps), limit).await {
                Ok(execution) => execution,
                Err(error) => return give_up(vec![task], error).await,
            };
            let end = execution.end;
            if let Err(failure) = gathered.take(segment.steps, &execution).await {
                task.failed(failure).await;
                return Ok(());
            }
            match end {
                ExecutionEnd::Done => done += segment.steps.len(),
                ExecutionEnd::Failed { index } => {
                    task.failed(failure(&steps[done + index], &execution.results[index])).await;
                    return Ok(());
                }
                ExecutionEnd::Expired => {
                    let message =
                        format!("step {} took longer than {limit:?}", done + execution.results.len() + 1);
                    task.failed(problem(FailureKind::Expired, message.clone())).await;
                    // The provider is still at it: nothing else can be run there.
                    return Err(WorkerError::Other(message));
                }
            }
        }
        task.done(gathered.output()).await;
        Ok(())
    }

    /// Several tasks in one script; what comes after a failure wasn't run and is given back.
    async fn do_several(&self, ctx: &WorkContext, planned: Vec<Planned>) -> Result<(), WorkerError> {
        let n = u32::try_from(planned.len()).unwrap_or(u32::MAX);
        let limit = self.job.limits.task_timeout.saturating_mul(n);
        let all = planned.iter().fold(Script::new(), |all, planned| all.then(script(&planned.steps)));
        let started = Instant::now();
        let execution = match ctx.execute(all, limit).await {
            Ok(execution) => execution,
            Err(error) => {
                return give_up(planned.into_iter().map(|planned| planned.task).collect(), error).await;
            }
        };
        let share = started.elapsed() / n.max(1);
        let mut results = execution.results.as_slice();
        let mut over = None;
        for Planned { task, steps } in planned {
            let own = &results[..steps.len().min(results.len())];
            results = &results[own.len()..];
            let failed = own.iter().position(|result| result.result == Outcome::Error);
            if over.is_some() {
                task.give_back().await;
            } else if let Some(place) = failed {
                task.failed(failure(&steps[place], &own[place])).await;
                over = Some(ExecutionEnd::Failed { index: place });
            } else if own.len() == steps.len() {
                let mut gathered = Gathered::default();
                gathered.outputs(own);
                task.done_after(gathered.output(), share).await;
            } else {
                over = Some(execution.end);
                let message = format!("took longer than {:?}", self.job.limits.task_timeout);
                task.failed(problem(FailureKind::Expired, message)).await;
            }
        }
        match over {
            Some(ExecutionEnd::Expired) => {
                Err(WorkerError::Other(format!("{n} tasks took longer than {limit:?}")))
            }
            _ => Ok(()),
        }
    }
}

/// A run of steps that share one script.
struct Segment<'a> {
    steps: &'a [RenderedStep],
    limit: Duration,
}

/// Cuts steps where one has a time-out of its own.
fn segments(steps: &[RenderedStep], limit: Duration) -> Vec<Segment<'_>> {
    let mut segments = Vec::new();
    let mut rest = steps;
    while !rest.is_empty() {
        let (n, limit) = match rest[0].timeout {
            Some(timeout) => (1, timeout),
            None => (rest.iter().take_while(|step| step.timeout.is_none()).count(), limit),
        };
        let (steps, after) = rest.split_at(n);
        segments.push(Segment { steps, limit });
        rest = after;
    }
    segments
}

fn script(steps: &[RenderedStep]) -> Script {
    steps.iter().fold(Script::new(), |script, step| match &step.action {
        RenderedAction::Run { program, args } => script.run(program, args),
        RenderedAction::Upload { from, to } => script.upload(Source::File(from.clone()), to),
        RenderedAction::UploadJson { data, to } => script.upload_json(data, to),
        RenderedAction::UploadText { text, to } => script.upload_text(text, to),
        RenderedAction::Download { from, to } => script.download(from, Target::File(to.clone())),
        RenderedAction::DownloadJson { from, .. } => {
            script.download(from, Target::Memory { limit: MOST_JSON })
        }
    })
}

/// What the steps of a task have brought so far.
#[derive(Default)]
struct Gathered {
    stdout: String,
    stderr: String,
    documents: Vec<Value>,
}

impl Gathered {
    async fn take(&mut self, steps: &[RenderedStep], execution: &Execution) -> Result<(), AttemptFailure> {
        self.outputs(&execution.results);
        for (place, step) in steps.iter().enumerate() {
            let RenderedAction::DownloadJson { from, to } = &step.action else {
                continue;
            };
            let Some(bytes) = execution.download(place) else {
                continue;
            };
            let document = serde_json::from_slice(bytes).map_err(|error| {
                problem(FailureKind::Rejected, format!("{from} is no JSON document: {error}"))
            })?;
            if let Some(to) = to {
                keep(to, bytes).await.map_err(|error| {
                    problem(
                        FailureKind::TransferFailed,
                        format!("{} can't be written: {error}", to.display()),
                    )
                })?;
            }
            self.documents.push(document);
        }
        Ok(())
    }

    fn outputs(&mut self, results: &[CommandResult]) {
        for result in results {
            for (all, own) in [(&mut self.stdout, &result.stdout), (&mut self.stderr, &result.stderr)] {
                if let Some(own) = own {
                    all.push_str(&own.to_text());
                }
            }
        }
    }

    /// One document is the result itself; of several the list is.
    fn output(mut self) -> TaskOutput {
        let result = match self.documents.len() {
            0 => Value::Null,
            1 => self.documents.remove(0),
            _ => Value::Array(self.documents),
        };
        TaskOutput { result, stdout: self.stdout, stderr: self.stderr }
    }
}

async fn keep(to: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = to.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    tokio::fs::write(to, bytes).await
}

/// No script could be carried out: the tasks are lost here, and the worker with them.
async fn give_up(tasks: Vec<Task>, error: ScriptError) -> Result<(), WorkerError> {
    let (kind, fatal) = match &error {
        // Our own file can't be read: no other provider could change that.
        ScriptError::Transfer(
            golem::TransferError::Unreadable { .. } | golem::TransferError::Unwritable { .. },
        ) => (FailureKind::Invalid, false),
        ScriptError::Transfer(_) => (FailureKind::TransferFailed, true),
        _ => (FailureKind::Lost, true),
    };
    let message = golem::text::chain(&error);
    for task in tasks {
        task.failed(problem(kind, message.clone())).await;
    }
    if fatal { Err(error.into()) } else { Ok(()) }
}

fn failure(step: &RenderedStep, result: &CommandResult) -> AttemptFailure {
    let stderr = result.stderr.as_ref().map(|stderr| stderr.to_text().into_owned()).unwrap_or_default();
    let said = result.message.clone().unwrap_or_else(|| "no reason given".to_owned());
    let (kind, message) = match &step.action {
        RenderedAction::Run { program, args } => {
            let line = match (program.as_str(), args.as_slice()) {
                ("/bin/sh", [flag, line]) if flag == "-c" => line.clone(),
                _ => format!("{program} {}", args.join(" ")),
            };
            (FailureKind::CommandFailed, format!("`{}`: {said}", quoted(&line)))
        }
        RenderedAction::Upload { to, .. }
        | RenderedAction::UploadJson { to, .. }
        | RenderedAction::UploadText { to, .. } => {
            (FailureKind::TransferFailed, format!("upload to {to}: {said}"))
        }
        RenderedAction::Download { from, .. } | RenderedAction::DownloadJson { from, .. } => {
            (FailureKind::TransferFailed, format!("download of {from}: {said}"))
        }
    };
    AttemptFailure { kind, message, stderr: tail(&stderr).to_owned() }
}

fn problem(kind: FailureKind, message: String) -> AttemptFailure {
    AttemptFailure { kind, message, stderr: String::new() }
}

/// The beginning of a command, enough to know it by.
fn quoted(line: &str) -> String {
    let line = line.trim_end();
    match line.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line.to_owned(),
    }
}

/// The last part of a text, cut at a character.
fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(STDERR_KEPT);
    let from = (from..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_is_cut_between_characters() {
        assert_eq!(quoted("echo ä\n"), "echo ä");
        assert_eq!(quoted(&"ä".repeat(QUOTED)), "ä".repeat(QUOTED));
        assert_eq!(quoted(&"ä".repeat(QUOTED + 1)), format!("{}…", "ä".repeat(QUOTED)));
    }
}
