//! Whole scripts, and what came of them: how the batch ended is a value here, not an error.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use yagna_api::activity::CommandResult;

use super::error::ScriptError;
use super::outcome::{ExecutionEnd, is_download, judge, rest_of, take_ours};
use super::replay::{self, Again};
use super::watch::Watch;
use super::{Inner, WorkContext};
use crate::script::{Script, Step};
use crate::transfer::{Arrivals, Brought};

/// The outcome of a script.
#[derive(Debug)]
pub struct Execution {
    /// The results of its commands, in order, as far as it got.
    pub results: Vec<CommandResult>,
    /// The way in which it ended.
    pub end: ExecutionEnd,
    downloads: Vec<Option<Bytes>>,
}

/// The outcome of several scripts that were run as one.
#[derive(Debug)]
pub struct Together {
    /// The results of all their commands, in order, as far as they are known.
    pub results: Vec<CommandResult>,
    /// Their end. An error says why no more is known.
    pub end: Result<ExecutionEnd, ScriptError>,
    /// The time until the last script that is known to be over was known to be.
    pub known_after: Duration,
    /// The time of all of it.
    pub took: Duration,
}

impl Execution {
    /// The bytes that the command at this place brought, if it is a download into memory that has succeeded.
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
    /// Files that it brings have their names when the whole script has succeeded. Of one that ends otherwise none is there,
    /// and nothing that was there has changed.
    ///
    /// **Errors**: a [`ScriptError`] when the script couldn't be sent or its results can't be had: the activity is lost or
    /// its agreement ended, an earlier script still runs, a file can't be offered, the daemon can't be reached.
    ///
    /// **Cancel safety**: dropping the future leaves the script running on the provider.
    pub async fn execute(&self, script: Script, limit: Duration) -> Result<Execution, ScriptError> {
        let (execution, arrivals) = self.execute_unnamed(script, limit).await?;
        self.name_files(arrivals).await?;
        Ok(execution)
    }

    /// Gives files their names that [`WorkContext::execute_unnamed`] has brought. Where one can't have its name, none has,
    /// as far as that can be known before.
    ///
    /// **Errors**: [`ScriptError::Transfer`].
    ///
    /// **Cancel safety**: some may have their names where the future is dropped.
    pub async fn name_files(&self, arrivals: Arrivals) -> Result<(), ScriptError> {
        match arrivals.name().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.inner.tell_ours(error.into(), 0).await),
        }
    }

    /// Runs a script as [`WorkContext::execute`] does, and leaves it to the caller to name the files that it brings: with
    /// those of another script, or not at all. A script that hasn't succeeded brings none.
    ///
    /// **Errors** and **cancel safety**: as those of [`WorkContext::execute`].
    pub async fn execute_unnamed(
        &self,
        script: Script,
        limit: Duration,
    ) -> Result<(Execution, Arrivals), ScriptError> {
        self.carry_out(script, &mut Watch::until(Instant::now() + limit), limit).await
    }

    /// Runs several scripts as one, in their order, and waits `each` for each of them at the most. What is queued in the context
    /// has no part in it. Files that they bring have their names when all of them have succeeded.
    ///
    /// The results of the first ones are known whatever happens to the others, also where the activity is lost.
    ///
    /// **Cancel safety**: dropping the future leaves the scripts running on the provider.
    pub async fn execute_together(&self, scripts: Vec<Script>, each: Duration) -> Together {
        let lengths = scripts.iter().map(Script::len);
        let ends = lengths.scan(0, |end, n| {
            *end += n;
            Some(*end)
        });
        let mut watch = Watch::of_parts(ends.collect(), each);
        let begun = Instant::now();
        let script = scripts.into_iter().fold(Script::new(), Script::then);
        let outcome = match self.carry_out(script, &mut watch, each).await {
            Ok((execution, arrivals)) => self.name_files(arrivals).await.map(|()| execution),
            Err(error) => Err(error),
        };
        let (begun, known) = (watch.begun().unwrap_or(begun), watch.since().unwrap_or(begun));
        let (results, end) = match outcome {
            Ok(execution) => (execution.results, Ok(execution.end)),
            Err(error) => (watch.seen, Err(error)),
        };
        Together { results, end, known_after: known.saturating_duration_since(begun), took: begun.elapsed() }
    }

    /// Runs a script as [`WorkContext::execute`] does, and keeps no record of it: a worker that is run again by a later process
    /// doesn't find it. For looks at what runs, of which there may be any number.
    ///
    /// **Errors** and **cancel safety**: as those of [`WorkContext::execute`].
    pub async fn execute_aside(&self, script: Script, limit: Duration) -> Result<Execution, ScriptError> {
        let mut watch = Watch::until(Instant::now() + limit);
        let n_commands = script.len();
        let targets: Vec<_> = script.steps.iter().map(is_download).collect();
        let is_transfer: Vec<_> = script.steps.iter().map(Step::is_transfer).collect();
        let planned = Inner::plan(script.steps, false)?;
        let Ok(prepared) = timeout_at(watch.deadline(), self.inner.serve(planned, &[])).await else {
            return Err(ScriptError::Stalled { limit });
        };
        let (commands, served) = prepared?;
        let outcome = match self.inner.send(commands, watch.deadline()).await {
            Ok(batch) => self.inner.follow(&batch, n_commands, &mut watch).await,
            Err(error) => Err(error),
        };
        let brought = served.finish(rest_of(&outcome, |index| is_transfer[index])).await;
        let (results, end) = outcome?;
        let (execution, arrivals) = self.judged(&targets, results, end, brought).await?;
        self.name_files(arrivals).await?;
        Ok(execution)
    }

    /// Runs a script while its watch has time left. `limit` is what is told where nothing could be sent in time.
    async fn carry_out(
        &self,
        script: Script,
        watch: &mut Watch,
        limit: Duration,
    ) -> Result<(Execution, Arrivals), ScriptError> {
        let n_commands = script.len();
        let targets: Vec<_> = script.steps.iter().map(is_download).collect();
        let is_transfer: Vec<_> = script.steps.iter().map(Step::is_transfer).collect();
        let planned = Inner::plan(script.steps.clone(), false)?;
        let digest = replay::digest(&planned.commands);
        if let Some(sent) = self.inner.scripts.next(&self.inner, &digest).await? {
            let again = Again { steps: script.steps, planned, sent };
            let (brought, followed) =
                Box::pin(self.inner.replay(again, watch.last_deadline())).await.into_parts();
            let (results, end) = followed?;
            return self.judged(&targets, results, end, brought).await;
        }
        let words: Vec<_> = if self.inner.is_witnessed() {
            script.steps.iter().map(Step::words).collect()
        } else {
            Vec::new()
        };
        let Ok(prepared) = timeout_at(watch.deadline(), self.inner.serve(planned, &[])).await else {
            // Nothing was sent: the activity is as it was.
            return Err(self.inner.tell_ours(ScriptError::Stalled { limit }, 0).await);
        };
        let (commands, served) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Err(self.inner.tell_ours(error, 0).await),
        };
        let sent = self.inner.send(commands, watch.deadline()).await;
        watch.begins();
        let outcome = match sent {
            Ok(batch) => {
                self.inner.scripts.sent(digest, &batch, served.names()).await;
                self.inner.tell_sent(&batch, words.iter().cloned());
                let ended = self.inner.follow(&batch, n_commands, watch).await;
                self.inner.tell_executed(&batch, &words, ended.as_ref());
                ended
            }
            Err(error) => Err(error),
        };
        // Whatever came of it, nobody must be left asking for files that nobody offers.
        let rest = rest_of(&outcome, |index| is_transfer[index]);
        let brought = served.finish(rest).await;
        let (results, end) = outcome?;
        self.judged(&targets, results, end, brought).await
    }

    async fn judged(
        &self,
        is_download: &[bool],
        mut results: Vec<CommandResult>,
        end: ExecutionEnd,
        mut brought: Brought,
    ) -> Result<(Execution, Arrivals), ScriptError> {
        let end = judge(is_download, &mut results, end, &mut brought);
        if let Some((error, bytes)) = take_ours(end, &mut brought) {
            return Err(self.inner.tell_ours(error.into(), bytes).await);
        }
        let files = std::mem::take(&mut brought.files);
        Ok((Execution { results, end, downloads: brought.bytes }, Arrivals::new(files.into_values())))
    }
}
