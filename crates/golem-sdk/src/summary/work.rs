//! Lines about jobs, tasks and activities.

use golem_core::event::{
    Attempt, AttemptFailure, Event, EventKind, JobEndReason, JobId, RentalId, StopReason, TaskId,
};
use golem_core::words::{duration, plural};
use serde_json::Value;
use tracing::Level;
use yagna_api::Timestamp;
use yagna_api::time::between;

use super::notes::{Job, OpenTask};
use super::words::part;
use super::{LogSummary, hour};
use crate::label;

impl LogSummary {
    /// Handles an event about work, and returns true if it was one.
    pub(super) fn on_work(&mut self, event: &Event) -> bool {
        let at = event.at;
        match &event.kind {
            EventKind::JobAdded { job, deadline, .. } => {
                self.job(*job, at).announced = true;
                let prefix = self.prefix(*job);
                let until = deadline.map_or_else(String::new, |until| format!(", until {}", hour(until)));
                self.info(format!("{prefix}Job started{until}"));
                if !self.cost.is_zero() {
                    self.info(format!("{prefix}The cost so far: {}", self.money()));
                }
            }
            EventKind::JobEnded { job, end } => {
                if let Some(mut ended) = self.jobs.remove(*job) {
                    (ended.done, ended.failed) = (end.done, end.failed);
                    let rest = end.cancelled.saturating_add(end.expired).saturating_add(end.unfinished);
                    self.job_ended(at, *job, &ended, end.why, rest);
                }
            }
            EventKind::ActivityIntended { rental, job } => {
                self.job(*job, at);
                if let Some(entry) = self.rentals.get_mut(*rental) {
                    entry.job = *job;
                    let provider = entry.provider.clone();
                    if let Some(job) = self.jobs.get_mut(*job) {
                        job.tally.agree(*rental, &provider);
                    }
                }
            }
            EventKind::ScriptSent { rental, batch, commands, .. } => {
                let (provider, commands) = (self.provider(*rental), part(&commands.join(", ")));
                self.debug(format!("Script '{batch}' sent to provider {provider}, cmds: {commands}"));
            }
            EventKind::CommandFinished { rental, command, failure: Some(failure), .. } => {
                let (provider, command) = (self.provider(*rental), part(command));
                self.debug(format!("Command `{command}` failed on provider {provider}: {}", part(failure)));
            }
            EventKind::CommandFinished { .. } => {}
            EventKind::ScriptFinished { rental, batch, failure } => {
                let provider = self.provider(*rental);
                self.debug(match failure {
                    None => format!("Script '{batch}' finished on provider {provider}"),
                    Some(failure) => {
                        format!("Script '{batch}' failed on provider {provider}: {}", part(failure))
                    }
                });
            }
            EventKind::ActivityCreated { rental, activity } => {
                if let Some(rental) = self.rentals.get_mut(*rental) {
                    rental.used = true;
                }
                self.debug(format!("Activity created on provider {} ({activity})", self.provider(*rental)));
            }
            EventKind::ActivityReady { .. } => {
                self.tell(Level::DEBUG, event);
            }
            EventKind::ActivityEnded { rental, failure: Some(_), .. } => {
                self.share(None, *rental, |share| share.activities_failed += 1);
                self.tell(Level::WARN, event);
            }
            EventKind::ActivityEnded { rental, .. } => {
                self.debug(format!("Worker finished for provider {}", self.provider(*rental)));
            }
            EventKind::TaskAdded { job, task, data, .. } => {
                self.job(*job, at);
                let data = if data.is_null() { String::new() } else { part(&shown(data)) };
                self.tasks.insert(*task, OpenTask { job: *job, data, running: false });
            }
            EventKind::TaskReopened { job, task, data, .. } => {
                self.job(*job, at);
                self.failed = self.failed.saturating_sub(1);
                let data = if data.is_null() { String::new() } else { part(&shown(data)) };
                self.tasks.insert(*task, OpenTask { job: *job, data, running: false });
            }
            EventKind::TaskStarted { attempt, rental } => {
                self.runs(attempt.task, true);
                let text = format!("Task started on provider {}", self.provider(*rental));
                self.task_line(Level::INFO, *attempt, &text, "");
            }
            EventKind::TaskDone { attempt, rental, took, .. } => {
                self.share(Some(attempt.task), *rental, |share| share.computed += 1);
                self.done += 1;
                let text = format!("Task finished by provider {}", self.provider(*rental));
                self.task_line(Level::INFO, *attempt, &text, &format!(" in {}", duration(*took)));
                self.over(attempt.task, Some(*rental), |job| job.done += 1);
            }
            EventKind::AttemptFailed { attempt, rental, failure } => {
                self.runs(attempt.task, false);
                self.share(Some(attempt.task), *rental, |share| share.attempts_failed += 1);
                self.tell_of_task(Level::WARN, attempt.task, event);
                self.stderr(failure);
            }
            EventKind::AttemptCancelled { attempt, rental, .. } => {
                self.runs(attempt.task, false);
                let text = format!("Task taken back from provider {}", self.provider(*rental));
                self.task_line(Level::INFO, *attempt, &text, ", it waits for another");
            }
            EventKind::TaskFailed { attempt, rental, failure } => {
                self.failed += 1;
                if let Some(rental) = *rental {
                    self.share(Some(attempt.task), rental, |share| share.attempts_failed += 1);
                }
                self.tell_of_task(Level::ERROR, attempt.task, event);
                self.stderr(failure);
                self.over(attempt.task, *rental, |job| job.failed += 1);
            }
            // A job's end counts them; there may be thousands at once.
            EventKind::TaskCancelled { task } => self.given_up(*task, "cancelled with its job"),
            EventKind::TaskExpired { task } => self.given_up(*task, "expired with its job"),
            _ => return false,
        }
        true
    }

    /// Says how a job ended and who did how much of it.
    pub(super) fn job_ended(&mut self, at: Timestamp, id: JobId, job: &Job, why: JobEndReason, rest: u64) {
        self.jobs_over += 1;
        let prefix = if job.announced { format!("[Job {}] ", id.0) } else { String::new() };
        let mut counts = format!("{} done", plural(job.done, "task"));
        if job.failed > 0 {
            counts = format!("{counts}, {} failed", job.failed);
        }
        if rest > 0 {
            counts = format!("{counts}, {rest} unfinished");
        }
        let took = duration(between(job.begun, at));
        let reason = match why {
            JobEndReason::Finished | JobEndReason::Cancelled => "",
            JobEndReason::Expired => "its deadline passed",
            JobEndReason::Broken => "its tasks couldn't be read",
            JobEndReason::NothingRuns => "nothing could run for it",
            _ => self.stopping.map_or("the run stopped", StopReason::words),
        };
        match why {
            JobEndReason::Finished => self.info(format!("{prefix}Job finished in {took}: {counts}")),
            JobEndReason::Cancelled => self.warn(format!("{prefix}Job cancelled after {took}: {counts}")),
            _ => self
                .say(Level::ERROR, format!("{prefix}Job failed, reason: {reason}; after {took}: {counts}")),
        }
        self.tallied(&prefix, &job.tally);
    }

    /// The job, which begins now if it is new.
    fn job(&mut self, id: JobId, at: Timestamp) -> &mut Job {
        self.jobs.entry(id, || Job::new(at))
    }

    /// The prefix of lines about a job.
    fn prefix(&self, id: JobId) -> String {
        match self.jobs.get(id) {
            Some(job) if job.announced => format!("[Job {}] ", id.0),
            _ => String::new(),
        }
    }

    /// Counts for a rental's provider, in its job and in the whole run.
    fn share(&mut self, task: Option<TaskId>, rental: RentalId, change: impl Fn(&mut super::notes::Share)) {
        let Some(rental) = self.rentals.get(rental) else { return };
        let job = task.and_then(|task| self.tasks.get(task)).map_or(rental.job, |task| task.job);
        change(self.tally.share(&rental.provider));
        if let Some(job) = self.jobs.get_mut(job) {
            change(job.tally.share(&rental.provider));
        }
    }

    fn runs(&mut self, task: TaskId, running: bool) {
        if let Some(task) = self.tasks.get_mut(task) {
            task.running = running;
        }
    }

    /// A task has its end.
    fn over(&mut self, task: TaskId, rental: Option<RentalId>, count: impl FnOnce(&mut Job)) {
        let job = match (self.tasks.remove(task), rental.and_then(|rental| self.rentals.get(rental))) {
            (Some(task), _) => task.job,
            (None, Some(rental)) => rental.job,
            (None, None) => return,
        };
        if let Some(job) = self.jobs.get_mut(job) {
            count(job);
        }
    }

    fn given_up(&mut self, task: TaskId, how: &str) {
        let prefix = self.tasks.get(task).map_or_else(String::new, |open| self.prefix(open.job));
        self.tasks.remove(task);
        self.debug(format!("{prefix}Task {how} (task {})", task.0));
    }

    /// The sentence of an event about a task.
    fn tell_of_task(&mut self, level: Level, task: TaskId, event: &Event) {
        let prefix = self.tasks.get(task).map_or_else(String::new, |open| self.prefix(open.job));
        self.tell_behind(&prefix, level, event);
    }

    /// A line about an attempt of a task.
    fn task_line(&mut self, level: Level, attempt: Attempt, text: &str, end: &str) {
        let open = self.tasks.get(attempt.task);
        let prefix = open.map_or_else(String::new, |open| self.prefix(open.job));
        let data = open.map_or("", |open| open.data.as_str());
        let data = if data.is_empty() { String::new() } else { format!(", task data: {data}") };
        let tried = if attempt.number > 1 { format!(", attempt {}", attempt.number) } else { String::new() };
        self.say(level, format!("{prefix}{text}{data} (task {}{tried}){end}", attempt.task.0));
    }

    /// The end of what a failed attempt wrote to standard error.
    fn stderr(&mut self, failure: &AttemptFailure) {
        if let Some(last) = failure.stderr.to_text().trim_end().lines().last() {
            self.debug(format!("It wrote to standard error: {}", part(last)));
        }
    }
}

/// Text as it is, everything else as JSON.
fn shown(data: &Value) -> String {
    if let Some(description) = label::description(data) {
        return description.to_owned();
    }
    match data {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
