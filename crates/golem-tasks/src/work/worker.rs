//! A job as the engine wants its workers.

use std::collections::HashSet;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use golem_sdk::text::panic_text;
use golem_sdk::{WorkContext, Worker, WorkerError};
use serde_json::Value;
use yagna_api::activity::Deploy;

use super::keys::{Keys, Origin};
use super::shared::Shared;
use super::{Job, Tasks};

/// Does the tasks of one job.
pub struct JobWorker<J> {
    shared: Shared<J>,
}

impl<J> fmt::Debug for JobWorker<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobWorker").field("task_timeout", &self.shared.task_timeout).finish_non_exhaustive()
    }
}

impl<J: Job> JobWorker<J> {
    /// A worker for this job, within the job's own limits.
    pub fn new(job: Arc<J>) -> Self {
        let task_timeout = job.limits().task_timeout;
        Self::within(job, task_timeout, Arc::default())
    }

    pub(super) fn within(job: Arc<J>, task_timeout: Duration, keys: Arc<Keys>) -> Self {
        Self { shared: Shared { job, task_timeout, keys } }
    }
}

impl<J: Job> Worker for JobWorker<J> {
    fn implicit_start(&self) -> bool {
        self.shared.job.starts_machines()
    }

    fn deployment(&self) -> Deploy {
        self.shared.job.deployment()
    }

    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut golem_sdk::Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            let mut ctx = ctx.clone();
            let mut tasks = Tasks::new(tasks, &self.shared);
            let work = async { self.shared.job.work(&mut ctx, &mut tasks).await };
            AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
                Err(WorkerError::other(format!("the job panicked: {}", panic_text(&*panic))))
            })
        })
    }
}

impl<J: Job> Shared<J> {
    /// Those of these tasks whose keys are new, as they are written down.
    pub(super) fn written(
        &self,
        tasks: Vec<J::Task>,
        origin: Origin,
    ) -> Result<Vec<Value>, serde_json::Error> {
        let written: Vec<_> = tasks
            .into_iter()
            .map(|task| Ok((self.job.key(&task), serde_json::to_value(task)?)))
            .collect::<Result<_, serde_json::Error>>()?;
        // Only when all of them can be written down: a key that is taken must not be that of a task that never comes.
        let mut own = HashSet::new();
        let mut more = Vec::with_capacity(written.len());
        for (key, task) in written {
            if key.is_none_or(|key| self.keys.is_new(&key, origin) && own.insert(key)) {
                more.push(task);
            }
        }
        Ok(more)
    }
}
