//! Scripts: what a provider's machine is to do, in order, until something fails.

use std::path::PathBuf;

use bytes::Bytes;
use serde_json::Value;
use yagna_api::activity::{Capture, Command, Run};

/// Commands and file transfers for one activity, carried out in order until one fails.
///
/// # Example
/// ```
/// use golem::Script;
/// let script = Script::new()
///     .upload_text("hello", "/golem/input/greeting.txt")
///     .shell("wc -c < /golem/input/greeting.txt")
///     .download_bytes("/golem/input/greeting.txt", 1024);
/// assert_eq!(script.len(), 3);
/// ```
#[derive(Debug, Default)]
pub struct Script {
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug)]
pub(crate) enum Step {
    Command(Command),
    Upload { source: Source, to: String },
    Download { from: String, target: Target },
}

/// What is sent to a provider.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file, read while it is sent.
    File(PathBuf),
    /// Bytes in memory.
    Bytes(Bytes),
}

/// Where something from a provider goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// A file. It appears whole or not at all; folders are made as needed.
    File(PathBuf),
    /// Memory, at most so many bytes: more is an error, never cut off.
    Memory {
        /// The most bytes to take.
        limit: u64,
    },
}

impl Script {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many commands it has. Results are counted the same way.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Has it none?
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Runs a program with arguments; its output is captured as text.
    #[must_use]
    pub fn run<A: Into<String>>(self, program: impl Into<String>, args: impl IntoIterator<Item = A>) -> Self {
        self.command(Command::Run(Run {
            entry_point: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            capture: Some(Capture::text()),
        }))
    }

    /// Runs a line in the provider's shell.
    #[must_use]
    pub fn shell(self, line: impl Into<String>) -> Self {
        self.run("/bin/sh", ["-c".to_owned(), line.into()])
    }

    /// Adds any command as it is.
    #[must_use]
    pub fn command(mut self, command: Command) -> Self {
        self.steps.push(Step::Command(command));
        self
    }

    /// Sends something to a path on the provider.
    #[must_use]
    pub fn upload(mut self, source: Source, to: impl Into<String>) -> Self {
        self.steps.push(Step::Upload { source, to: to.into() });
        self
    }

    /// Sends a file.
    #[must_use]
    pub fn upload_file(self, from: impl Into<PathBuf>, to: impl Into<String>) -> Self {
        self.upload(Source::File(from.into()), to)
    }

    /// Sends a text.
    #[must_use]
    pub fn upload_text(self, text: impl Into<String>, to: impl Into<String>) -> Self {
        self.upload(Source::Bytes(Bytes::from(text.into())), to)
    }

    /// Sends a JSON document.
    #[must_use]
    pub fn upload_json(self, value: &Value, to: impl Into<String>) -> Self {
        self.upload(Source::Bytes(Bytes::from(value.to_string())), to)
    }

    /// Fetches something from a path on the provider.
    #[must_use]
    pub fn download(mut self, from: impl Into<String>, target: Target) -> Self {
        self.steps.push(Step::Download { from: from.into(), target });
        self
    }

    /// Fetches a file into a file.
    #[must_use]
    pub fn download_file(self, from: impl Into<String>, to: impl Into<PathBuf>) -> Self {
        self.download(from, Target::File(to.into()))
    }

    /// Fetches a file into memory; see [`Execution::download`](crate::Execution::download).
    #[must_use]
    pub fn download_bytes(self, from: impl Into<String>, limit: u64) -> Self {
        self.download(from, Target::Memory { limit })
    }

    /// Adds all commands of another script at the end.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.steps.extend(other.steps);
        self
    }
}
