//! Whole scripts, and what came of them: how the batch ended is a value here, not an error.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use yagna_api::activity::{CommandResult, Outcome};

use super::error::ScriptError;
use super::replay::{self, Again};
use super::{Inner, WorkContext};
use crate::script::{Script, Step};

/// What came of a script.
#[derive(Debug)]
pub struct Execution {
    /// The results of its commands, in order, as far as it got.
    pub results: Vec<CommandResult>,
    /// How it ended.
    pub end: ExecutionEnd,
    downloads: Vec<Option<Bytes>>,
}

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionEnd {
    /// Every command succeeded.
    Done,
    /// This command failed, and nothing after it was run.
    Failed {
        /// Its place in the script.
        index: usize,
    },
    /// Time ran out while a command was being run; it may still be running.
    Expired,
}

impl Execution {
    /// The bytes that the command at this place brought, if it is a finished download into memory.
    pub fn download(&self, index: usize) -> Option<&Bytes> {
        self.downloads.get(index)?.as_ref()
    }
}

impl WorkContext {
    /// Runs a script and waits for it, `limit` at the most. What is queued in the context has no part in it.
    ///
    /// A command that fails, or time that runs out, is an [`ExecutionEnd`], not an error: the results so far are
    /// there. After [`ExecutionEnd::Expired`] the activity is still busy with the script.
    ///
    /// **Errors**: a [`ScriptError`] when the script couldn't be sent or its results can't be had: the activity is lost or
    /// its agreement ended, an earlier script still runs, a file can't be offered, the daemon can't be reached.
    ///
    /// **Cancel safety**: dropping the future leaves the script running on the provider.
    pub async fn execute(&self, script: Script, limit: Duration) -> Result<Execution, ScriptError> {
        let deadline = Instant::now() + limit;
        let n_commands = script.len();
        let planned = Inner::plan(script.steps.clone(), false)?;
        let digest = replay::digest(&planned.commands);
        if let Some(sent) = self.inner.scripts.next(&self.inner, &digest).await? {
            let again = Again { steps: script.steps, planned, sent };
            let (brought, followed) = Box::pin(self.inner.replay(again, deadline)).await.into_parts();
            let (results, end) = followed?;
            return Ok(Execution { results, end, downloads: brought.bytes });
        }
        let words: Vec<_> = if self.inner.is_witnessed() {
            script.steps.iter().map(Step::words).collect()
        } else {
            Vec::new()
        };
        let (commands, served) = self.inner.serve(planned, &[]).await?;
        let sent = self.inner.send(commands, deadline).await;
        let outcome = match sent {
            Ok(batch) => {
                self.inner.scripts.sent(digest, &batch, served.names()).await;
                self.inner.tell_sent(&batch, words.iter().cloned());
                let ended = self.inner.follow(&batch, n_commands, deadline).await;
                self.inner.tell_executed(&batch, &words, ended.as_ref());
                ended
            }
            Err(error) => Err(error),
        };
        // Whatever came of it, nobody must be left asking for files that nobody offers.
        let brought = served.finish().await;
        let (results, end) = outcome?;
        Ok(Execution { results, end, downloads: brought.bytes })
    }
}

/// How the batch ended, if it has.
pub(super) fn ended(results: &[CommandResult], n_commands: usize) -> Option<ExecutionEnd> {
    if let Some(index) = results.iter().position(|result| result.result == Outcome::Error) {
        return Some(ExecutionEnd::Failed { index });
    }
    let finished = results.last().is_some_and(|last| last.is_batch_finished);
    (finished || results.len() >= n_commands).then_some(ExecutionEnd::Done)
}
