//! The `[[setup]]` and `[[steps]]` sections: what to do on a provider, once and for each task. Reading them is in
//! `sections`; doing it is left to the runner.

pub(super) mod mode;
pub(super) mod possible;
mod target;

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::host::{Clash, Touch};
use super::source::TaskData;
use super::template::{Engine, JsonTemplate, RenderError, Scene, Text};
pub(crate) use mode::Mode;
pub(super) use mode::with_modes;

/// A step that is done for each task.
#[derive(Debug, Clone)]
pub struct Step {
    pub(super) number: usize,
    pub(super) plan: Plan,
    pub(super) timeout: Option<Duration>,
    pub(super) folder: Arc<Path>,
    pub(super) engine: Engine,
}

/// A step as it is to be done: paths resolved, templates rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedStep {
    /// Its place in its section of the job file, from 1; 0 for one that the program itself adds.
    pub number: usize,
    /// The action.
    pub action: RenderedAction,
    /// The longest the step may take, where the job file limits it.
    pub timeout: Option<Duration>,
}

/// The action of a step. Host paths start at the job file's folder; container paths are absolute.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RenderedAction {
    /// Run a program in the container. A shell line has become `/bin/sh -c <line>`.
    Run {
        /// The program.
        program: String,
        /// Its arguments.
        args: Vec<String>,
    },
    /// Copy a file of the host into the container.
    Upload {
        /// The file on the host.
        from: PathBuf,
        /// The path in the container.
        to: String,
    },
    /// Put a JSON value into a file of the container.
    UploadJson {
        /// The value.
        data: Value,
        /// The path in the container.
        to: String,
    },
    /// Put a text into a file of the container.
    UploadText {
        /// The text, to the byte.
        text: String,
        /// The path in the container.
        to: String,
    },
    /// Copy a file of the container to the host.
    Download {
        /// The path in the container.
        from: String,
        /// The file on the host.
        to: PathBuf,
    },
    /// Read a JSON file of the container into the task's result.
    DownloadJson {
        /// The path in the container.
        from: String,
        /// A file on the host that gets it too.
        to: Option<PathBuf>,
    },
}

/// A file of the host that a step needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::job) struct HostFile {
    path: PathBuf,
    written: bool,
}

impl HostFile {
    /// The way in which it uses a file.
    pub(super) fn touch(&self) -> Touch<'_> {
        if self.written { Touch::Write(&self.path) } else { Touch::Read(&self.path) }
    }
}

impl RenderedAction {
    /// The path in the container that it uploads to.
    pub(super) fn uploaded_to(&self) -> Option<&str> {
        match self {
            Self::Upload { to, .. } | Self::UploadJson { to, .. } | Self::UploadText { to, .. } => Some(to),
            Self::Run { .. } | Self::Download { .. } | Self::DownloadJson { .. } => None,
        }
    }

    /// The file of the host that it reads or writes.
    pub(super) fn file(&self) -> Option<HostFile> {
        match self {
            Self::Upload { from, .. } => Some(HostFile { path: from.clone(), written: false }),
            Self::Download { to, .. } | Self::DownloadJson { to: Some(to), .. } => {
                Some(HostFile { path: to.clone(), written: true })
            }
            _ => None,
        }
    }
}

/// An action whose strings aren't rendered yet.
#[derive(Debug, Clone)]
pub(super) enum Plan {
    Shell(Text),
    Program(Text, Vec<Text>),
    Upload { from: Text, to: Text, mode: Option<u32> },
    UploadJson { data: JsonTemplate, to: Text, mode: Option<u32> },
    UploadText { text: Text, to: Text, mode: Option<u32> },
    Download { from: Text, to: Text },
    DownloadJson { from: Text, to: Option<Text> },
}

impl Step {
    /// The step for one task.
    pub fn render(&self, task: &TaskData) -> Result<RenderedStep, RenderError> {
        let scene = Scene::new(&self.engine, Some(task), &self.folder);
        Ok(RenderedStep { number: self.number, action: self.plan.render(&scene)?, timeout: self.timeout })
    }

    /// The file of the host that the step reads or writes for one task; its path is all that is rendered.
    pub(super) fn file(&self, task: &TaskData) -> Result<Option<HostFile>, RenderError> {
        let scene = Scene::new(&self.engine, Some(task), &self.folder);
        self.plan.file(&scene)
    }

    /// True where the step writes a file of the host.
    pub(super) fn writes_file(&self) -> bool {
        self.plan.target().is_some()
    }

    /// A refusal of that file, at its place in the job file.
    pub(super) fn refuse_file(&self, clash: &Clash) -> RenderError {
        let text = self
            .plan
            .target()
            .or_else(|| self.plan.uploaded_file())
            .expect("the step has a file that clashes");
        text.refuse(clash.to_string(), None).with_help(clash.help)
    }

    /// Refuses a file of the host that the step would upload for this task and can't. One that is the same for all tasks
    /// was looked at when the job file was read.
    pub(super) fn check_upload(&self, step: &RenderedStep, task: &TaskData) -> Result<(), RenderError> {
        let (RenderedAction::Upload { from, .. }, Some(text)) = (&step.action, self.plan.uploaded_file())
        else {
            return Ok(());
        };
        if text.is_per_task() { possible::upload(text, from, Some(task)) } else { Ok(()) }
    }

    /// The refusal of a script that is too large, of whose steps this one is the largest.
    pub(super) fn refuse_size(&self, bytes: usize, task: &TaskData) -> RenderError {
        possible::too_large(self.plan.main_text(), bytes, Some(task))
    }

    /// The file of the host that it writes for one task, if it writes one and its path can be told.
    pub(super) fn target(&self, task: &TaskData) -> Option<PathBuf> {
        let scene = Scene::new(&self.engine, Some(task), &self.folder);
        host_path(self.plan.target()?, &scene).ok()
    }

    /// The permissions of the file that it uploads, once it is rendered.
    pub(crate) fn mode(&self, rendered: &RenderedStep) -> Option<Mode> {
        Mode::of(rendered, self.plan.mode())
    }

    /// The longest the step may take, where the job file limits it.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The key of its action in the job file, such as `run` or `download_json`.
    pub fn kind(&self) -> &'static str {
        match self.plan {
            Plan::Shell(_) | Plan::Program(..) => "run",
            Plan::Upload { .. } => "upload",
            Plan::UploadJson { .. } => "upload_json",
            Plan::UploadText { .. } => "upload_text",
            Plan::Download { .. } => "download",
            Plan::DownloadJson { .. } => "download_json",
        }
    }
}

impl Plan {
    pub(super) fn render(&self, scene: &Scene<'_>) -> Result<RenderedAction, RenderError> {
        Ok(match self {
            Self::Shell(line) => RenderedAction::Run {
                program: "/bin/sh".to_owned(),
                args: vec!["-c".to_owned(), possible::argument(line, filled(line, scene)?, scene)?],
            },
            Self::Program(program, args) => RenderedAction::Run {
                program: possible::argument(program, filled(program, scene)?, scene)?,
                args: args
                    .iter()
                    .map(|arg| possible::argument(arg, arg.render(scene)?, scene))
                    .collect::<Result<_, _>>()?,
            },
            Self::Upload { from, to, .. } => {
                RenderedAction::Upload { from: host_path(from, scene)?, to: container_path(to, scene)? }
            }
            Self::UploadJson { data, to, .. } => {
                RenderedAction::UploadJson { data: data.render(scene)?, to: container_path(to, scene)? }
            }
            Self::UploadText { text, to, .. } => {
                RenderedAction::UploadText { text: text.render(scene)?, to: container_path(to, scene)? }
            }
            Self::Download { from, to } => {
                RenderedAction::Download { from: container_path(from, scene)?, to: host_target(to, scene)? }
            }
            Self::DownloadJson { from, to } => RenderedAction::DownloadJson {
                from: container_path(from, scene)?,
                to: to.as_ref().map(|to| host_target(to, scene)).transpose()?,
            },
        })
    }

    /// The file on the host that it reads or writes.
    pub(super) fn file(&self, scene: &Scene<'_>) -> Result<Option<HostFile>, RenderError> {
        Ok(match (self.uploaded_file(), self.target()) {
            (Some(from), _) => Some(HostFile { path: host_path(from, scene)?, written: false }),
            (None, Some(to)) => Some(HostFile { path: host_target(to, scene)?, written: true }),
            (None, None) => None,
        })
    }

    /// The permissions that the job file names for what it uploads.
    pub(super) fn mode(&self) -> Option<u32> {
        match self {
            Self::Upload { mode, .. } | Self::UploadJson { mode, .. } | Self::UploadText { mode, .. } => {
                *mode
            }
            _ => None,
        }
    }

    /// The string that says what it does.
    pub(super) fn main_text(&self) -> &Text {
        match self {
            Self::Shell(text)
            | Self::Program(text, _)
            | Self::Upload { to: text, .. }
            | Self::UploadJson { to: text, .. }
            | Self::UploadText { to: text, .. }
            | Self::Download { from: text, .. }
            | Self::DownloadJson { from: text, .. } => text,
        }
    }

    /// The path on the host that it writes.
    pub(super) fn target(&self) -> Option<&Text> {
        match self {
            Self::Download { to, .. } => Some(to),
            Self::DownloadJson { to, .. } => to.as_ref(),
            _ => None,
        }
    }

    /// The file on the host it reads.
    pub(super) fn uploaded_file(&self) -> Option<&Text> {
        match self {
            Self::Upload { from, .. } => Some(from),
            _ => None,
        }
    }
}

/// A rendering with something in it.
fn filled(text: &Text, scene: &Scene<'_>) -> Result<String, RenderError> {
    let rendered = text.render(scene)?;
    if rendered.trim().is_empty() {
        return Err(text.refuse("there is nothing to run".to_owned(), scene.task()));
    }
    Ok(rendered)
}

fn host_path(text: &Text, scene: &Scene<'_>) -> Result<PathBuf, RenderError> {
    let rendered = text.render(scene)?;
    if rendered.is_empty() || rendered.ends_with('/') {
        return Err(text.refuse(format!("expected a file name, found \"{rendered}\""), scene.task()));
    }
    Ok(scene.folder.join(possible::path(text, rendered, scene)?))
}

/// The path on the host that a download writes: text of a task may name the file and folders below the job's, but not
/// lead out of it. That is for the job file alone to say.
fn host_target(text: &Text, scene: &Scene<'_>) -> Result<PathBuf, RenderError> {
    let path = host_path(text, scene)?;
    let below = path.strip_prefix(scene.folder).unwrap_or(&path);
    let harmless = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !text.is_per_task() || below.components().all(harmless) {
        return Ok(path);
    }
    if target::leads_out(&text.render_marked(scene)?) {
        let reason = format!(
            "the task's own words would lead the download out of its folder, to `{}`",
            path.display()
        );
        let help =
            "{{ index }} and {{ task | basename }} can't; a folder elsewhere is written into `to` itself";
        return Err(text.refuse(reason, scene.task()).with_help(help));
    }
    Ok(path)
}

fn container_path(text: &Text, scene: &Scene<'_>) -> Result<String, RenderError> {
    let rendered = text.render(scene)?;
    if !rendered.starts_with('/') || rendered.ends_with('/') {
        let reason = format!("expected the path of a file in the container, found \"{rendered}\"");
        let refused = text.refuse(reason, scene.task());
        return Err(refused.with_help("it starts with a slash, for example /golem/output/result.txt"));
    }
    possible::path(text, rendered, scene)
}

/// The steps whose downloads a `glob` could find.
pub(super) fn outputs_of(steps: &[Step]) -> Arc<[Step]> {
    steps.iter().filter(|step| step.writes_file()).cloned().collect()
}
