//! Job files: a pile of work described in TOML, for people who write no code.
//!
//! [`Job::load`] reads one, refuses everything it doesn't know, and reports every problem it finds with its line,
//! a caret and the mend. What comes out is ready to run: money is exact, durations are durations, templates are
//! compiled and were tried on the first task, and the source of tasks is streamed, never loaded whole.
//!
//! Where things are read from and written to: every relative path in a job file, sources, uploads and download
//! targets alike, is relative to the folder of the job file, wherever the command is started from.
//!
//! Left to others: buying machines, transferring files, and overriding limits by flags.
//!
//! | module | what it covers |
//! |---|---|
//! | `payload`, `tasks`, `steps`, `limits` | the sections of a job file |
//! | `source` | streaming tasks out of files |
//! | `input` | standard input as a source, kept beside the database |
//! | `again` | reading a source of tasks once more |
//! | `files`, `host` | files of this machine, so that no result replaces another one |
//! | `look` | all tasks looked at before anything is bought |
//! | `template` | `{{ }}` in strings |
//! | `verdicts` | what exit codes and output mean |
//! | `work` | the steps done on a provider: a job file is a [`crate::Job`] |
//! | `document`, `problem` | walking a TOML document; reporting what is wrong with it |

mod again;
pub(crate) mod document;
mod files;
mod host;
mod input;
pub(crate) mod limits;
mod look;
mod numbers;
pub(crate) mod payload;
mod problem;
pub(crate) mod schema;
mod script;
mod sections;
mod source;
mod steps;
mod tasks;
mod template;
mod verdicts;
mod work;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sha3::{Digest as _, Sha3_256};
use toml::de::{DeTable, DeValue};

use document::{Diagnostics, Section};
use host::{HostFiles, Role};
pub use input::LineForm;
pub(crate) use input::forget as forget_inputs;
pub use limits::{Limits, SHORTEST_AGREEMENT};
pub(crate) use limits::{NO_CAP, notified_address};
pub(crate) use look::{ENDLESS, Look};
pub use payload::Payload;
pub use problem::{JobError, Place, Problem, Problems};
use sections::Setup;
pub use source::{SourceError, TaskData};
pub(crate) use steps::Mode;
pub use steps::{RenderedAction, RenderedStep, Step};
pub use tasks::{TaskIter, TaskSource, Tasks};
pub use template::RenderError;
pub use verdicts::{ExitCodes, OutputName, StopWhen, Verdicts};

/// A job file, read and validated.
///
/// # Example
/// ```
/// use std::path::Path;
/// use golem_tasks::job::{Job, RenderedAction};
///
/// let text = r#"
///     [payload]
///     image_tag = "golem/alpine:latest"
///     [tasks]
///     values = ["a b", "c"]
///     [[steps]]
///     run = "echo {{ task | shell }}"
/// "#;
/// let job = Job::parse(text, Path::new("job.toml"))?;
/// let task = job.tasks.open()?.next().unwrap()?;
/// let step = job.steps[0].render(&task)?;
/// let line = vec!["-c".to_owned(), "echo 'a b'".to_owned()];
/// assert_eq!(step.action, RenderedAction::Run { program: "/bin/sh".to_owned(), args: line });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Job {
    /// The job file itself, as it was named.
    pub path: PathBuf,
    /// The folder that relative paths in the job file start from.
    pub folder: PathBuf,
    /// The machine the work needs.
    pub payload: Payload,
    /// The pile of work.
    pub tasks: Tasks,
    /// The steps that run once on every provider before its first task. Never a download.
    pub setup: Vec<RenderedStep>,
    /// The permissions of what each step of the set-up uploads.
    setup_modes: Vec<Option<Mode>>,
    /// The steps that run for each task, in order; at least one.
    pub steps: Vec<Step>,
    /// The limits of a run.
    pub limits: Limits,
    /// The meaning of the end of a task's commands.
    pub verdicts: Verdicts,
    /// The files of this machine that its tasks read and write, as far as one run has come to them.
    host: Arc<Mutex<HostFiles>>,
    /// The digest that is the same for two files that describe the same work, whatever their limits, comments and
    /// order.
    pub digest: String,
}

impl Job {
    /// Reads and validates the job file at `path`.
    ///
    /// The sources of tasks and the files to upload must exist: a job that can't start is refused here, before
    /// anything is bought.
    pub fn load(path: &Path) -> Result<Self, JobError> {
        let bytes = std::fs::read(path).map_err(|source| JobError::Read { path: path.to_owned(), source })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = String::from_utf8_lossy(valid).matches('\n').count() + 1;
            JobError::NotUtf8 { path: path.to_owned(), line }
        })?;
        Self::parse(&text, path)
    }

    /// Validates the text of a job file that is, or would be, at `origin`.
    ///
    /// `origin` names the file in messages, and its folder is where relative paths start.
    pub fn parse(text: &str, origin: &Path) -> Result<Self, JobError> {
        let folder = origin.parent().unwrap_or_else(|| Path::new(""));
        document::read(text, origin, &schema::JOB, |document, diagnostics| {
            read(document, origin, folder, diagnostics)
        })
        .map_err(JobError::Invalid)
    }
}

/// Reads all sections, so that one attempt reports the problems of all of them.
fn read<'a>(
    document: &'a DeTable<'a>,
    origin: &Path,
    folder: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Job> {
    let shared_folder: Arc<Path> = Arc::from(folder);
    let top = Section::document(document, diagnostics);
    let payload = payload::read(&top, folder, diagnostics);
    let tasks = tasks::read(&top, &shared_folder, diagnostics);
    let mut host = HostFiles::default();
    host.keep([(origin.to_owned(), Role::Job)]);
    host.keep(tasks.iter().filter_map(|read| Some((read.tasks.source_file()?, Role::Source))));
    host.keep(payload::files(document, folder).map(|file| (file, Role::Payload)));
    let (setup, steps) = sections::read(&top, &shared_folder, tasks.as_ref(), &mut host, diagnostics);
    host.forget_tasks();
    let limits = limits::read(&top, diagnostics);
    if let (Some(tasks), Some(steps)) = (&tasks, &steps) {
        again::check_outputs(&top, tasks, steps, diagnostics);
    }
    let Setup { steps: setup, modes: setup_modes } = setup?;
    let (limits, verdicts) = limits?;
    Some(Job {
        path: origin.to_owned(),
        folder: folder.to_owned(),
        payload: payload?,
        tasks: tasks?.tasks.without_outputs_of(steps.as_deref()?),
        setup,
        setup_modes,
        steps: steps?,
        limits,
        verdicts,
        host: Arc::new(Mutex::new(host)),
        digest: digest(document),
    })
}

/// The description of the work in one order, without parts that don't change it.
fn digest(document: &DeTable<'_>) -> String {
    let mut hash = Sha3_256::new();
    let sections: BTreeMap<&str, &DeValue<'_>> =
        document.iter().map(|(name, value)| (name.get_ref().as_ref(), value.get_ref())).collect();
    for (name, value) in sections.into_iter().filter(|(name, _)| *name != "limits") {
        add_to_digest(&mut hash, &DeValue::String(name.into()));
        add_to_digest(&mut hash, value);
    }
    hash.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Each value with its kind and its size, so that no two documents look the same.
fn add_to_digest(hash: &mut Sha3_256, value: &DeValue<'_>) {
    let mut text = |kind: u8, text: &str| {
        hash.update([kind]);
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    match value {
        DeValue::String(string) => text(b's', string),
        DeValue::Integer(integer) => text(b'i', &integer.to_string()),
        DeValue::Float(float) => text(b'f', &float.to_string()),
        DeValue::Boolean(boolean) => text(b'b', if *boolean { "1" } else { "0" }),
        DeValue::Datetime(moment) => text(b'd', &moment.to_string()),
        DeValue::Array(items) => {
            text(b'a', &items.len().to_string());
            for item in items {
                add_to_digest(hash, item.get_ref());
            }
        }
        DeValue::Table(table) => {
            text(b't', &table.len().to_string());
            let entries: BTreeMap<&str, &DeValue<'_>> =
                table.iter().map(|(name, value)| (name.get_ref().as_ref(), value.get_ref())).collect();
            for (name, value) in entries {
                add_to_digest(hash, &DeValue::String(name.into()));
                add_to_digest(hash, value);
            }
        }
    }
}
