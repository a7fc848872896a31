//! The results of a batch.

use std::borrow::Cow;
use std::ops::Index;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use yagna_api::Timestamp;
use yagna_api::activity::{CommandResult, Output};

use super::error::{CommandName, ScriptError};
use super::handle::{Command, Download, Json, QueueId};

/// The results of a batch, found by what queueing its commands gave.
///
/// A handle of another batch finds nothing here: [`Batch::get`] gives `None`, the others an error. Only indexing panics,
/// as it does everywhere: `batch[command]`.
///
/// # Example
/// ```
/// # use std::time::Duration;
/// # use golem_sdk::{ScriptError, WorkContext};
/// async fn version(ctx: &mut WorkContext) -> Result<String, ScriptError> {
///     let version = ctx.run("/usr/bin/blender", ["--version"]);
///     let licence = ctx.download_bytes("/usr/share/blender/LICENSE", 64 * 1024);
///     let done = ctx.commit(Duration::from_secs(30)).await?;
///     println!("its licence has {} bytes", done.bytes(licence)?.len());
///     Ok(done[version].stdout().into_owned())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Batch {
    pub(super) queue: QueueId,
    pub(super) results: Vec<Finished>,
    pub(super) downloads: Vec<Option<Brought>>,
}

/// The result of a download.
#[derive(Debug, Clone)]
pub(super) enum Brought {
    Bytes(Bytes),
    File(PathBuf),
}

/// A command that has ended.
#[doc(alias = "CommandExecuted")]
#[derive(Debug, Clone)]
pub struct Finished {
    /// The command that it belongs to.
    pub command: CommandName,
    /// Its exit code; 0 is success, and `None` stands for a failure without one.
    pub exit_code: Option<i32>,
    /// The provider's message about it, if there is one.
    pub message: Option<String>,
    /// The time of its end, by the provider's clock.
    pub at: Timestamp,
    stdout: Option<Output>,
    stderr: Option<Output>,
}

impl Batch {
    /// The number of commands that have a result.
    pub fn len(&self) -> usize {
        self.results.len()
    }

    /// True if no command has a result.
    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// All results, in the commands' order.
    pub fn results(&self) -> &[Finished] {
        &self.results
    }

    /// A command's result; `None` when it wasn't reached or belongs to another batch.
    pub fn get(&self, command: impl Into<Command>) -> Option<&Finished> {
        let command = command.into();
        self.results.get(command.place).filter(|_| command.queue == self.queue)
    }

    /// The bytes that a download brought.
    ///
    /// **Errors**: [`ScriptError::NoSuchResult`].
    pub fn bytes(&self, download: Download<Bytes>) -> Result<&Bytes, ScriptError> {
        self.in_memory(download.command)
    }

    /// The document that a download brought.
    ///
    /// **Errors**: [`ScriptError::NoSuchResult`], or [`ScriptError::Unreadable`] when it is no JSON or doesn't fit the
    /// type.
    pub fn json<T: DeserializeOwned>(&self, download: Download<Json>) -> Result<T, ScriptError> {
        let bytes = self.in_memory(download.command)?;
        serde_json::from_slice(bytes).map_err(|source| {
            let command = self[download].command.clone();
            ScriptError::Unreadable { command, source }
        })
    }

    /// The file that a download made.
    ///
    /// **Errors**: [`ScriptError::NoSuchResult`].
    pub fn file(&self, download: Download<PathBuf>) -> Result<&Path, ScriptError> {
        match self.brought(download.command) {
            Some(Brought::File(path)) => Ok(path),
            _ => Err(ScriptError::NoSuchResult),
        }
    }

    fn in_memory(&self, command: Command) -> Result<&Bytes, ScriptError> {
        match self.brought(command) {
            Some(Brought::Bytes(bytes)) => Ok(bytes),
            _ => Err(ScriptError::NoSuchResult),
        }
    }

    fn brought(&self, command: Command) -> Option<&Brought> {
        self.downloads.get(command.place).filter(|_| command.queue == self.queue)?.as_ref()
    }
}

impl<C: Into<Command>> Index<C> for Batch {
    type Output = Finished;

    /// A command's result.
    ///
    /// # Panics
    /// When there is none: the handle belongs to another batch. In a batch that `commit` gave, every command has one.
    fn index(&self, command: C) -> &Finished {
        self.get(command).expect("the handle was queued for this batch, and its command was reached")
    }
}

impl Finished {
    pub(super) fn new(command: CommandName, result: CommandResult) -> Self {
        Self {
            command,
            exit_code: result.exit_code(),
            message: result.message,
            at: result.event_date,
            stdout: result.stdout,
            stderr: result.stderr,
        }
    }

    /// The captured standard output, as text. Bytes that are no UTF-8 become other characters.
    pub fn stdout(&self) -> Cow<'_, str> {
        text(self.stdout.as_ref())
    }

    /// The captured standard error, as text. Bytes that are no UTF-8 become other characters.
    pub fn stderr(&self) -> Cow<'_, str> {
        text(self.stderr.as_ref())
    }

    /// The captured standard output. The very bytes only after [`binary_output`](crate::Program::binary_output) or in a
    /// streamed batch; else as the provider made text of them.
    pub fn stdout_bytes(&self) -> &[u8] {
        self.stdout.as_ref().map(Output::as_bytes).unwrap_or_default()
    }

    /// The captured standard error, by the same rules as the output.
    pub fn stderr_bytes(&self) -> &[u8] {
        self.stderr.as_ref().map(Output::as_bytes).unwrap_or_default()
    }
}

fn text(output: Option<&Output>) -> Cow<'_, str> {
    output.map(Output::to_text).unwrap_or_default()
}
