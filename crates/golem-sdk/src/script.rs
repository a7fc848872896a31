//! Scripts: what a provider's machine is to do, in order, until something fails.

mod limits;
mod program;

use std::path::PathBuf;

use bytes::Bytes;
use serde_json::Value;
use yagna_api::activity::{Capture as WireCapture, Command, Run, Transfer};

pub(crate) use self::limits::size;
pub use self::limits::{
    LARGEST_SCRIPT, LONGEST_ARGUMENT, LONGEST_NAME, LONGEST_PATH, ProgramProblem, check_argument, check_path,
};
pub use self::program::{Capture, Program};

/// So many characters of a command are shown, where it is named.
const SHOWN: usize = 80;

/// Commands and file transfers for one activity, carried out in order until one fails.
///
/// A batch as a value, for [`WorkContext::execute`](crate::WorkContext::execute). Most workers do without and queue their
/// commands in the context itself, whose handles find the results.
///
/// # Example
/// ```
/// use golem_sdk::Script;
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

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Command(Command),
    Program(Program),
    Upload { source: Source, to: String },
    Download { from: String, target: Target },
}

/// The data that is sent to a provider.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Source {
    /// A file, read while it is sent.
    File(PathBuf),
    /// Bytes in memory.
    Bytes(Bytes),
}

/// The place for data from a provider.
#[derive(Debug, Clone)]
#[non_exhaustive]
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

    /// The number of its commands. Results are counted the same way.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// True if it has no commands.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Runs a program with arguments; its output is captured as text.
    #[must_use]
    pub fn run<A: Into<String>>(self, program: impl Into<String>, args: impl IntoIterator<Item = A>) -> Self {
        self.command(Command::Run(Run {
            entry_point: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            capture: Some(WireCapture::text()),
        }))
    }

    /// Runs a line in the payload's `/bin/sh`.
    #[must_use]
    pub fn shell(self, line: impl Into<String>) -> Self {
        self.run("/bin/sh", ["-c".to_owned(), line.into()])
    }

    /// Runs a program that is more than a path and arguments.
    #[must_use]
    pub fn program(mut self, program: Program) -> Self {
        self.steps.push(Step::Program(program));
        self
    }

    /// Lets the provider fetch something from the web by itself. The payload must be allowed to go there.
    #[must_use]
    pub fn fetch(self, url: impl Into<String>, to: impl Into<String>) -> Self {
        let transfer = Transfer { from: url.into(), to: container(&to.into()), ..Transfer::default() };
        self.command(Command::Transfer(transfer))
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

impl Step {
    /// For people: what it does, in a few words.
    pub(crate) fn words(&self) -> String {
        let words = match self {
            Self::Program(program) => program.words(),
            Self::Command(Command::Run(run)) => program::words(&run.entry_point, &run.args),
            Self::Command(Command::Transfer(transfer)) => {
                format!("transfer {} to {}", transfer.from, transfer.to)
            }
            Self::Command(command) => command.name().to_owned(),
            Self::Upload { source: Source::File(path), to } => format!("send {} to {to}", path.display()),
            Self::Upload { source: Source::Bytes(bytes), to } => {
                format!("send {} bytes to {to}", bytes.len())
            }
            Self::Download { from, .. } => format!("download {from}"),
        };
        let words = words.trim();
        match words.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", words[..end].trim_end()),
            None => words.to_owned(),
        }
    }

    /// Finds what no machine could take of its arguments and paths. Programs check themselves when they become commands.
    pub(crate) fn check(&self) -> Result<(), ProgramProblem> {
        match self {
            Self::Command(Command::Run(run)) => {
                std::iter::once(&run.entry_point).chain(&run.args).try_for_each(|arg| check_argument(arg))
            }
            Self::Upload { to: path, .. } | Self::Download { from: path, .. } => check_path(path),
            Self::Program(_) | Self::Command(_) => Ok(()),
        }
    }

    pub(crate) fn is_transfer(&self) -> bool {
        matches!(self, Self::Upload { .. } | Self::Download { .. } | Self::Command(Command::Transfer(_)))
    }
}

/// A path on the provider as transfers name it.
pub(crate) fn container(path: &str) -> String {
    if path.starts_with('/') { format!("container:{path}") } else { format!("container:/{path}") }
}
