//! A look at the tasks of a job before anything is bought: each is rendered, and what no machine could do, or what would
//! destroy another task's files, is refused with its place in the job file and in the source.

use std::path::PathBuf;

use super::host::HostFiles;
use super::script::too_large;
use super::{Job, Mode, RenderError, RenderedStep, TaskData};
use crate::exit::{Exit, Failure};
use crate::view::text::short;

/// Tasks looked at of a range without end.
pub(crate) const ENDLESS: usize = 1000;

/// One task among many can't be done.
#[derive(Debug, thiserror::Error)]
#[error("{}: task {index}, {data}, doesn't fit the steps ({place})", job.display())]
struct UnfitTask {
    job: PathBuf,
    index: u64,
    data: String,
    place: String,
    source: Box<RenderError>,
}

/// Two tasks of a job file can't both be done.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", job.display())]
struct FilesClash {
    job: PathBuf,
    error: Box<RenderError>,
}

/// Looks at tasks one after the other.
#[derive(Debug)]
pub(crate) struct Look<'j> {
    job: &'j Job,
    files: HostFiles,
}

impl<'j> Look<'j> {
    /// A look at the tasks of a job, none of which was seen yet.
    pub(crate) fn new(job: &'j Job) -> Self {
        Self { job, files: job.host().without_tasks() }
    }

    /// Looks at one task, beside those that were looked at before.
    ///
    /// **Errors**: the task can't be done by any machine, or not beside another one.
    pub(crate) fn at(&mut self, task: &TaskData) -> Result<(), Failure> {
        let steps = self.job.plan(task).map_err(|error| self.unfit(task, error))?;
        for (step, rendered) in self.job.steps.iter().zip(&steps) {
            step.check_upload(rendered, task).map_err(|error| self.unfit(task, error.into()))?;
        }
        let files: Vec<_> = steps.iter().map(|step| step.action.file()).collect();
        let noted = self.job.note_in(&mut self.files, task, &files);
        noted.map_err(|error| {
            let help = error.help().map(str::to_owned);
            refused(FilesClash { job: self.job.path.clone(), error }, help)
        })
    }

    fn unfit(&self, task: &TaskData, source: Box<RenderError>) -> Failure {
        let help = source.help().map(str::to_owned);
        let unfit = UnfitTask {
            job: self.job.path.clone(),
            index: task.index,
            data: short(&task.value.to_string()),
            place: (self.job.tasks.again().place)(task.index),
            source,
        };
        refused(unfit, help)
    }
}

fn refused(error: impl std::error::Error + Send + Sync + 'static, help: Option<String>) -> Failure {
    let failure = Failure::new(Exit::Usage, error);
    match help {
        Some(help) => failure.advise(help),
        None => failure,
    }
}

impl Job {
    /// The steps for one task, or why no machine could do them.
    pub(super) fn plan(&self, task: &TaskData) -> Result<Vec<RenderedStep>, Box<RenderError>> {
        let steps: Vec<_> = self.steps.iter().map(|step| step.render(task)).collect::<Result<_, _>>()?;
        match too_large(&steps) {
            None => Ok(steps),
            Some((place, bytes)) => Err(Box::new(self.steps[place].refuse_size(bytes, task))),
        }
    }

    /// The permissions of what the steps of the set-up upload.
    pub(crate) fn setup_modes(&self) -> impl Iterator<Item = Option<Mode>> {
        self.setup_modes.iter().copied()
    }

    /// Looks at so many tasks at the most. A source that breaks off in the middle is left to those who read it.
    pub(super) fn look_at_tasks(&self, most: usize) -> Result<(), Failure> {
        let Ok(tasks) = self.tasks.open() else { return Ok(()) };
        let most = if self.tasks.is_endless() { most.min(ENDLESS) } else { most };
        let mut look = Look::new(self);
        tasks.take(most).map_while(Result::ok).try_for_each(|task| look.at(&task))
    }
}
