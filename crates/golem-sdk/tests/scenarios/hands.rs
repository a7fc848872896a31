//! The simplest worker there is: `work <n>` for each task, several in one script where there is room.

use std::time::Duration;

use futures_util::future::BoxFuture;
use golem_core::event::{AttemptFailure, FailureKind, TaskOutput};
use golem_sdk::{ExecutionEnd, Script, Tasks, WorkContext, Worker, WorkerError};
use yagna_api::activity::Outcome;

/// Does `work <n>` for the task `n`; what it prints is the result.
#[derive(Debug, Clone)]
pub(crate) struct Hands {
    /// Tasks in one script, at most.
    pub(crate) room: usize,
    /// How long one task may take.
    pub(crate) limit: Duration,
    /// A command that must succeed before the first task.
    pub(crate) setup: Option<&'static str>,
}

impl Default for Hands {
    fn default() -> Self {
        Self { room: 1, limit: Duration::from_secs(60), setup: None }
    }
}

impl Worker for Hands {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            if let Some(setup) = self.setup {
                let done = ctx.execute(Script::new().run(setup, [""; 0]), self.limit).await?;
                if done.end != ExecutionEnd::Done {
                    return Err(WorkerError::Setup { message: format!("`{setup}` ended as {:?}", done.end) });
                }
            }
            while let Some(pack) = tasks.next_pack(self.room).await {
                self.pack(ctx, pack).await?;
            }
            Ok(())
        })
    }
}

impl Hands {
    async fn pack(&self, ctx: &WorkContext, pack: Vec<golem_sdk::Task>) -> Result<(), WorkerError> {
        let script =
            pack.iter().fold(Script::new(), |script, task| script.run("work", [task.data().to_string()]));
        let limit = self.limit * u32::try_from(pack.len()).unwrap();
        // Where this fails the tasks are dropped: they count as lost.
        let execution = ctx.execute(script, limit).await?;
        let mut results = execution.results.iter();
        let mut over = false;
        for task in pack {
            match results.next() {
                Some(result) if result.result == Outcome::Ok => {
                    let stdout =
                        result.stdout.as_ref().map(|out| out.as_bytes().to_vec()).unwrap_or_default().into();
                    task.done(TaskOutput { stdout, ..TaskOutput::default() }).await;
                }
                Some(result) => {
                    let stderr =
                        result.stderr.as_ref().map(|err| err.as_bytes().to_vec()).unwrap_or_default().into();
                    let message = result.message.clone().unwrap_or_default();
                    let failure = AttemptFailure::new(FailureKind::CommandFailed, message);
                    task.failed(AttemptFailure { stderr, ..failure }).await;
                    over = true;
                }
                None if over || execution.end != ExecutionEnd::Expired => task.give_back().await,
                None => {
                    let message = format!("took longer than {limit:?}");
                    let failure = AttemptFailure::new(FailureKind::Expired, message);
                    task.failed(failure).await;
                    over = true;
                }
            }
        }
        match execution.end {
            ExecutionEnd::Expired => Err(WorkerError::other(format!("a script took longer than {limit:?}"))),
            _ => Ok(()),
        }
    }
}
