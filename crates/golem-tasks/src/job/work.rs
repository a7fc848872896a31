//! A job file as a job: the machine it names, its tasks, and their steps done on a provider.
//!
//! Short tasks travel several in one script: a request costs the daemon milliseconds, and a task that takes less
//! would spend most of its time on the way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use golem_core::event::{AttemptFailure, FailureKind, Printed, TaskOutput};
use golem_sdk::image::ImageName;
use golem_sdk::payload::{Image, PayloadSpec, WantedImage};
use golem_sdk::{Arrivals, Execution, ExecutionEnd, ScriptError, WorkContext, WorkerError};
use serde_json::{Value, json};
use tokio::time::Instant;
use yagna_api::activity::{CommandResult, Deploy};
use yagna_api::time::short;

use super::numbers::first_inexact;
use super::script::{script, segments};
use super::steps::with_modes;
use super::verdicts::Verdict;
use super::{Job, Limits, RenderError, RenderedAction, RenderedStep, TaskData, TaskSource};
use crate::exit::Failure;
use crate::work::{self, Pile, Task, TaskError, Tasks};

pub(super) mod mark;
mod pace;
mod pack;
mod told;

use self::mark::Shell;
use self::pace::{Lesson, Pace};

/// Tasks that are looked at before anything is bought; later ones are when it is their turn.
const LOOKED_THROUGH: usize = 1_000_000;
/// So much of the end of a failed task's standard error is kept.
const STDERR_KEPT: usize = 4096;

impl work::Job for Job {
    type Task = Value;
    type Output = TaskOutput;

    fn payload(&self) -> PayloadSpec {
        self.payload.spec()
    }

    fn deployment(&self) -> Deploy {
        self.payload.deployment()
    }

    fn tasks(&self) -> Pile<Value> {
        // Another run begins, or this one is resumed: nothing is known of what its tasks write.
        self.host().forget_tasks();
        match self.tasks.open() {
            Ok(tasks) => {
                let pile = Pile::fallible(tasks.map(|task| task.map(|task| task.value)));
                pile.of(self.tasks.len_hint()).again(self.tasks.again())
            }
            Err(error) => Pile::broken(error),
        }
    }

    async fn run(&self, ctx: &mut WorkContext, task: &Task<Self>) -> Result<TaskOutput, TaskError> {
        let steps = self.render(task).map_err(TaskError::Failed)?;
        self.do_one(ctx, &mut Shell::default(), &steps, task.time_limit()).await
    }

    async fn set_up(&self, ctx: &mut WorkContext) -> Result<(), WorkerError> {
        self.prepare(ctx, self.limits.task_timeout).await
    }

    async fn work(&self, ctx: &mut WorkContext, tasks: &mut Tasks<'_, Self>) -> Result<(), WorkerError> {
        self.prepare(ctx, tasks.time_limit()).await?;
        // A step with a time-out of its own needs a script of its own, and a transfer takes long enough anyway.
        // So has a task that is to find its machine as the set-up left it.
        let packs = self.payload.keep_files
            && self.steps.iter().all(|step| step.kind() == "run" && step.timeout().is_none())
            && !self.verdicts.may_be_done_by_failing();
        let mut pace = Pace::new(packs);
        let mut shell = Shell::default();
        while let Some(pack) = tasks.next_pack(pace.room()).await {
            let n = pack.len();
            let started = Instant::now();
            let bytes = self.do_pack(ctx, &mut shell, tasks, pack).await?;
            pace.did(Lesson { n, took: started.elapsed(), bytes });
            if !self.payload.keep_files {
                // The next task gets an activity of its own, under the same agreement.
                return Ok(());
            }
        }
        Ok(())
    }

    fn results(&self) -> Option<u64> {
        self.limits.results
    }

    fn limits(&self) -> Limits {
        Limits {
            providers: self.payload.providers.clone(),
            exclude_providers: self.payload.exclude_providers.clone(),
            ..self.limits.clone()
        }
    }

    fn output_folders(&self, task: &Value) -> Vec<PathBuf> {
        let data = TaskData { index: 0, value: task.clone() };
        let rendered = self.steps.iter().filter_map(|step| step.render(&data).ok());
        let targets = rendered.filter_map(|step| match step.action {
            RenderedAction::Download { to, .. } | RenderedAction::DownloadJson { to: Some(to), .. } => {
                Some(to)
            }
            _ => None,
        });
        let folders: BTreeSet<_> = targets.filter_map(|to| to.parent().map(Path::to_owned)).collect();
        folders.into_iter().collect()
    }

    fn look_through(&self, kept_in: &[PathBuf], is_new: bool) -> Result<(), Failure> {
        self.protect(kept_in);
        if is_new { self.look_at_tasks(LOOKED_THROUGH) } else { Ok(()) }
    }

    fn begin_input(&self, folder: &Path, run_id: &str, is_new: bool) -> Result<(), Failure> {
        match self.tasks.source() {
            TaskSource::Input(_) => self.tasks.input.begin(folder, run_id, is_new),
            _ => Ok(()),
        }
    }

    fn reads_input(&self) -> bool {
        matches!(self.tasks.source(), TaskSource::Input(_))
    }

    fn is_input_cut(&self) -> bool {
        self.tasks.input.is_cut()
    }

    fn note_done(&self, index: u64, task: &Value) {
        let data = TaskData { index, value: task.clone() };
        let files: Result<Vec<_>, _> = self.steps.iter().map(|step| step.file(&data)).collect();
        // With a changed job it may have been done otherwise: what it wrote then isn't known.
        if let Err(error) = files.map_err(Box::new).and_then(|files| self.note_files(&data, &files)) {
            tracing::debug!(%error, index, "the files of a task that is done aren't known");
        }
    }

    fn describe(&self) -> Value {
        let image = self.payload.image.as_ref().map(|image| match image {
            WantedImage::Known(Image { url, hash }) => json!({ "url": url, "hash": hash }),
            WantedImage::Named(ImageName::Hash(hash)) => json!({ "hash": hash }),
            WantedImage::Named(ImageName::Tag(tag)) => json!({ "tag": tag }),
            WantedImage::File(path) => json!({ "file": path }),
            _ => json!({ "manifest": self.payload.manifest }),
        });
        let mut payload = json!(self.payload.machine);
        payload["image"] = image.into();
        json!({ "job": self.path, "digest": self.digest, "payload": payload })
    }
}

/// A task and what is to be done for it.
struct Planned {
    task: Task<Job>,
    steps: Vec<RenderedStep>,
    /// The bytes of its script in a request.
    bytes: usize,
}

impl Job {
    async fn prepare(&self, ctx: &WorkContext, limit: Duration) -> Result<(), WorkerError> {
        let modes = &self.setup_modes;
        let steps = &with_modes(self.setup.clone(), |place, _| modes.get(place).copied().flatten());
        let mut done = 0;
        for segment in segments(steps, limit) {
            let n = segment.steps.len();
            let execution = ctx.execute(script(segment.steps), segment.limit).await?;
            match execution.end {
                ExecutionEnd::Done => done += n,
                ExecutionEnd::Expired => {
                    let message = expired(steps, done + execution.results.len(), segment.limit);
                    return Err(WorkerError::Setup { message });
                }
                ExecutionEnd::Failed { index } => {
                    let failure = failure(self, &steps[done + index], &execution.results[index]);
                    let stderr = failure.stderr.to_text();
                    let message = match stderr.lines().next_back().unwrap_or_default() {
                        "" => failure.message.clone(),
                        stderr => format!("{}: {stderr}", failure.message),
                    };
                    return Err(WorkerError::Setup { message: message.trim_end().to_owned() });
                }
            }
        }
        Ok(())
    }

    fn render(&self, task: &Task<Self>) -> Result<Vec<RenderedStep>, AttemptFailure> {
        let data = TaskData { index: task.index(), value: task.data().clone() };
        let invalid = |error: RenderError| problem(FailureKind::Invalid, error.with_way_out());
        let steps = self.plan(&data).map_err(|error| invalid(*error))?;
        let files: Vec<_> = steps.iter().map(|step| step.action.file()).collect();
        self.note_files(&data, &files).map_err(|error| invalid(*error))?;
        Ok(with_modes(steps, |place, step| self.steps[place].mode(step)))
    }

    async fn do_pack(
        &self,
        ctx: &WorkContext,
        shell: &mut Shell,
        tasks: &Tasks<'_, Self>,
        pack: Vec<Task<Self>>,
    ) -> Result<usize, WorkerError> {
        let mut planned = Vec::with_capacity(pack.len());
        for task in pack {
            match self.render(&task) {
                Ok(steps) => planned.push(Planned { bytes: script(&steps).wire_len(), task, steps }),
                Err(failure) => task.fail(TaskError::Failed(failure)).await?,
            }
        }
        let bytes = planned.iter().map(|planned| planned.bytes).sum();
        let mut packs = pack::divide(planned);
        while let Some(mut pack) = packs.pop_front() {
            let done = match pack.pop() {
                Some(only) if pack.is_empty() => self.do_alone(ctx, shell, tasks, only).await,
                Some(last) => {
                    pack.push(last);
                    self.do_several(ctx, shell, tasks, pack).await
                }
                None => Ok(()),
            };
            if let Err(error) = done {
                // Those of the other packs never ran.
                pack::give_back(packs.into_iter().flatten()).await;
                return Err(error);
            }
        }
        Ok(bytes)
    }

    async fn do_alone(
        &self,
        ctx: &WorkContext,
        shell: &mut Shell,
        tasks: &Tasks<'_, Self>,
        planned: Planned,
    ) -> Result<(), WorkerError> {
        let Planned { task, steps, .. } = planned;
        match self.do_one(ctx, shell, &steps, task.time_limit()).await {
            Ok(output) => tasks.hand_in(task, output, None).await,
            Err(error) => task.fail(error).await?,
        }
        Ok(())
    }

    /// One task: a script, or several where steps have time-outs of their own.
    async fn do_one(
        &self,
        ctx: &WorkContext,
        shell: &mut Shell,
        steps: &[RenderedStep],
        limit: Duration,
    ) -> Result<TaskOutput, TaskError> {
        let deadline = Instant::now() + limit;
        let mut gathered = Gathered::default();
        let mut done = 0;
        for segment in segments(steps, limit) {
            // The time that the job file gave it; the rest of it may be less.
            let given = segment.limit.min(limit);
            let limit = segment.limit.min(deadline.saturating_duration_since(Instant::now()));
            let (mut execution, arrivals) =
                ctx.execute_unnamed(script(segment.steps), limit).await.map_err(lost)?;
            let end = execution.end;
            gathered.arrivals.append(arrivals);
            let marks = mark::take_marks(segment.steps, &mut execution.results);
            shell.saw(marks);
            if let Some(cut) = marks.incomplete
                && shell.marks(ctx).await.map_err(lost)?
            {
                return Err(TaskError::Failed(incomplete(&segment.steps[cut])));
            }
            gathered.take(segment.steps, &execution).await.map_err(TaskError::Failed)?;
            match end {
                ExecutionEnd::Done => done += segment.steps.len(),
                ExecutionEnd::Failed { index } => {
                    let (step, result) = (&steps[done + index], &execution.results[index]);
                    match self.verdicts.of_failure(exit_code(step, result)) {
                        Verdict::NoResult => return Ok(TaskOutput { no_result: true, ..gathered.output() }),
                        Verdict::Stop => {
                            ctx.name_files(std::mem::take(&mut gathered.arrivals)).await.map_err(lost)?;
                            return Ok(TaskOutput { ends_run: true, ..gathered.output() });
                        }
                        Verdict::Retry | Verdict::GiveUp => {
                            return Err(self.judged_failure(step, result));
                        }
                    }
                }
                ExecutionEnd::Expired => {
                    let message = expired(steps, done + execution.results.len(), given);
                    let failure = problem(FailureKind::Expired, message.clone());
                    // The provider is still at it: nothing else can be run there.
                    return Err(TaskError::Lost { failure, worker: WorkerError::other(message) });
                }
            }
        }
        // All of a task's files get their names together, once the task has succeeded.
        ctx.name_files(std::mem::take(&mut gathered.arrivals)).await.map_err(lost)?;
        Ok(self.verdicts.judged(gathered.output()))
    }

    /// A step failed: whether its task is tried again depends on its exit code.
    fn judged_failure(&self, step: &RenderedStep, result: &CommandResult) -> TaskError {
        let failure = failure(self, step, result);
        match self.verdicts.of_failure(exit_code(step, result)) {
            Verdict::GiveUp => TaskError::GivenUp(failure),
            Verdict::Retry | Verdict::NoResult | Verdict::Stop => TaskError::Failed(failure),
        }
    }
}

/// The results of a task's steps so far.
#[derive(Default)]
struct Gathered {
    stdout: Printed,
    stderr: Printed,
    documents: Vec<Value>,
    arrivals: Arrivals,
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
                problem(FailureKind::Rejected, format!("{from} is not a valid JSON document: {error}"))
            })?;
            if let Some((number, _)) = std::str::from_utf8(bytes).ok().and_then(first_inexact) {
                let message = format!(
                    "{from} holds the number {number}, which has too many digits to be kept exactly: let the program \
                     write it as a string"
                );
                return Err(problem(FailureKind::Rejected, message));
            }
            if let Some(to) = to {
                self.arrivals.add(to, bytes).await.map_err(|error| no_script(&error.into()).0)?;
            }
            self.documents.push(document);
        }
        Ok(())
    }

    fn outputs(&mut self, results: &[CommandResult]) {
        for result in results {
            for (all, own) in [(&mut self.stdout, &result.stdout), (&mut self.stderr, &result.stderr)] {
                if let Some(own) = own {
                    all.push(own.as_bytes());
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
        TaskOutput { result, stdout: self.stdout, stderr: self.stderr, ..TaskOutput::default() }
    }
}

/// No script could be carried out: what it means for the tasks in it, and whether the worker is lost with them.
fn no_script(error: &ScriptError) -> (AttemptFailure, bool) {
    (problem(error.kind(), golem_sdk::text::chain(error)), !error.leaves_activity_ready())
}

fn lost(error: ScriptError) -> TaskError {
    match no_script(&error) {
        (failure, true) => TaskError::Lost { failure, worker: error.into() },
        (failure, false) => TaskError::Failed(failure),
    }
}

/// The words for a step that took too long; a place without a step is that of the last one.
fn expired(steps: &[RenderedStep], place: usize, limit: Duration) -> String {
    let number = steps.get(place).or_else(|| steps.last()).map_or(place + 1, |step| step.number);
    format!("step {number} ran into its limit of {}", short(limit))
}

/// The exit code of a command that a step ran; transfers have none.
fn exit_code(step: &RenderedStep, result: &CommandResult) -> Option<i32> {
    matches!(step.action, RenderedAction::Run { .. }).then(|| result.exit_code()).flatten()
}

fn failure(job: &Job, step: &RenderedStep, result: &CommandResult) -> AttemptFailure {
    let stderr = result.stderr.as_ref().map(|stderr| stderr.as_bytes().to_vec()).unwrap_or_default();
    let (kind, message) = told::failed(job, step, result);
    AttemptFailure { stderr: Printed::from(stderr).tail(STDERR_KEPT), ..AttemptFailure::new(kind, message) }
}

/// The step succeeded, and the end of what it printed didn't arrive.
fn incomplete(step: &RenderedStep) -> AttemptFailure {
    problem(FailureKind::OutputIncomplete, told::incomplete(step))
}

fn problem(kind: FailureKind, message: String) -> AttemptFailure {
    AttemptFailure::new(kind, message)
}
