//! The machine of one deployment: a folder, and either namespaces or nothing around the processes.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::folder::Folder;
use super::super::{Deployment, Output, RuntimeError};
use super::WORK;
#[cfg(target_os = "linux")]
use super::sandbox;
use super::tree::{self, Scope};
use crate::tools::PATH;
use crate::vpn::{self, Place, Tap};

/// The folders that images for Golem usually have.
const FOLDERS: [&str; 4] = [WORK, "/golem/resource", "/golem/output", "/golem/input"];
/// A shell's exit code for a program that doesn't exist, and for one that can't be run.
const NOT_FOUND: i32 = 127;
const NOT_RUNNABLE: i32 = 126;
/// The number that a shell adds to the signal that ended a program.
pub(super) const SIGNALLED: i32 = 128;
/// The exit code of a program that was killed.
const KILLED: i32 = SIGNALLED + 9;
/// After a kill, the machine is looked at so many times, so far apart.
const DEATH_LOOKS: usize = 8;
const DEATH_LOOK: Duration = Duration::from_millis(5);

/// The machine that `deploy` makes and `stop` removes.
#[derive(Debug)]
pub(super) struct Machine {
    kind: Kind,
    /// Virtual networks that it is in from its start.
    pub(super) networks: Vec<Place>,
    /// Readers of what background processes still write.
    pub(super) readers: TaskTracker,
    pub(super) stopped: CancellationToken,
    // Last, so that processes are gone before their folder is.
    folder: Folder,
}

#[derive(Debug)]
pub(super) enum Kind {
    #[cfg(target_os = "linux")]
    Sandbox(Box<sandbox::Sandbox>),
    Plain {
        reason: String,
        marker: String,
    },
}

impl Machine {
    pub(super) fn new(kind: Kind, networks: Vec<Place>, folder: Folder) -> Self {
        Self { kind, networks, readers: TaskTracker::new(), stopped: CancellationToken::new(), folder }
    }

    pub(super) fn command(&self, program: &str, args: &[String]) -> Result<Command, RuntimeError> {
        let mut command = match &self.kind {
            #[cfg(target_os = "linux")]
            Kind::Sandbox(sandbox) => {
                if !sandbox.is_alive() {
                    return Err(RuntimeError::Died);
                }
                sandbox.enter(program, args)
            }
            Kind::Plain { reason, .. } => {
                if let Some(argument) = std::iter::once(program)
                    .chain(args.iter().map(String::as_str))
                    .find(|word| word.contains("/golem"))
                {
                    return Err(RuntimeError::NoGolemFolder {
                        argument: argument.to_owned(),
                        reason: reason.clone(),
                    });
                }
                let mut command = Command::new(program);
                command.args(args).current_dir(self.folder.root().join(WORK.trim_start_matches('/')));
                command
            }
        };
        command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8");
        match &self.kind {
            #[cfg(target_os = "linux")]
            Kind::Sandbox(_) => command.env("HOME", "/root"),
            Kind::Plain { marker, .. } => {
                let (name, value) = marker.split_once('=').unwrap_or((marker, ""));
                let root = self.folder.root();
                command.env("HOME", root.join("root")).env("TMPDIR", root.join("tmp")).env(name, value)
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        Ok(command)
    }

    /// Says what a shell would say.
    pub(super) async fn not_spawned(
        &self,
        program: &str,
        error: io::Error,
        output: mpsc::Sender<Output>,
    ) -> Result<i32, RuntimeError> {
        let code = match (&self.kind, error.kind()) {
            (Kind::Plain { .. }, io::ErrorKind::NotFound) => NOT_FOUND,
            (Kind::Plain { .. }, io::ErrorKind::PermissionDenied) => NOT_RUNNABLE,
            _ => {
                return Err(RuntimeError::Launch { program: program.to_owned(), source: error });
            }
        };
        let line = format!("failed to execute {program}: {error}\n");
        drop(output.send(Output::Stderr(Bytes::from(line))).await);
        Ok(code)
    }

    /// Puts it into its virtual networks.
    #[cfg_attr(not(target_os = "linux"), expect(clippy::unused_async, reason = "only Linux has to wait"))]
    pub(super) async fn connect(&self, tools: &vpn::Tools) -> Result<Tap, RuntimeError> {
        match &self.kind {
            #[cfg(target_os = "linux")]
            Kind::Sandbox(sandbox) => {
                tools.card(sandbox.init(), &self.networks).await.map_err(RuntimeError::Vpn)
            }
            Kind::Plain { reason, .. } => {
                let _ = tools;
                Err(RuntimeError::Vpn(reason.clone()))
            }
        }
    }

    pub(super) fn scope(&self) -> Scope {
        match &self.kind {
            #[cfg(target_os = "linux")]
            Kind::Sandbox(sandbox) => Scope::Namespace { init: sandbox.init() },
            Kind::Plain { marker, .. } => Scope::Marker(marker.clone()),
        }
    }

    /// True if the machine still exists after a program ended like this.
    pub(super) async fn survived(&self, status: ExitStatus) -> bool {
        // When a whole namespace is killed, its first process is the last to be gone.
        for _ in 0..DEATH_LOOKS {
            if code(status) != KILLED || !self.is_alive() {
                break;
            }
            tokio::time::sleep(DEATH_LOOK).await;
        }
        self.is_alive()
    }

    fn is_alive(&self) -> bool {
        match &self.kind {
            #[cfg(target_os = "linux")]
            Kind::Sandbox(sandbox) => sandbox.is_alive(),
            Kind::Plain { .. } => !self.stopped.is_cancelled(),
        }
    }

    /// The folder, if files may be moved at this path: without namespaces commands see only their `/golem` there.
    pub(super) fn checked(&self, path: &str) -> Result<&Folder, RuntimeError> {
        match &self.kind {
            #[cfg(target_os = "linux")]
            Kind::Sandbox(_) => Ok(&self.folder),
            Kind::Plain { .. } if path == "/golem" || path.starts_with("/golem/") => Ok(&self.folder),
            Kind::Plain { .. } => Err(RuntimeError::OutsideVolumes(path.to_owned())),
        }
    }

    pub(super) async fn stop(&self) {
        self.stopped.cancel();
        match &self.kind {
            #[cfg(target_os = "linux")]
            Kind::Sandbox(sandbox) => sandbox.stop().await,
            Kind::Plain { marker, .. } => tree::kill_marked(marker),
        }
        self.readers.close();
        self.readers.wait().await;
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stopped.cancel();
        if let Kind::Plain { marker, .. } = &self.kind {
            tree::kill_marked(marker);
        }
    }
}

pub(super) fn make_folders(folder: &Folder, deployment: &Deployment) -> Result<(), RuntimeError> {
    for path in FOLDERS.into_iter().chain(["/root", "/tmp"]) {
        folder.make_dir(path)?;
    }
    for path in &deployment.volumes {
        folder.make_dir(path)?;
    }
    Ok(())
}

/// Volumes may replace the host's folders, but not those that programs live in.
pub(super) fn check_volumes(deployment: &Deployment, plain: bool) -> Result<(), RuntimeError> {
    for path in &deployment.volumes {
        let first = path.strip_prefix('/').and_then(|path| path.split('/').find(|part| !part.is_empty()));
        let reason = match first {
            None => Some("a volume is an absolute path below `/`"),
            Some(_) if path.split('/').any(|part| part == "..") => Some("`..` is not allowed in it"),
            Some("golem") => None,
            Some(_) if plain => Some("without namespaces volumes are possible only below /golem"),
            Some(
                "usr" | "bin" | "sbin" | "lib" | "lib32" | "lib64" | "libx32" | "etc" | "var" | "opt" | "nix"
                | "dev" | "proc" | "sys",
            ) => Some("the host's own programs and settings are there"),
            Some(_) => None,
        };
        if let Some(reason) = reason {
            return Err(RuntimeError::Volume { path: path.clone(), reason });
        }
    }
    Ok(())
}

/// As a shell tells it.
pub(super) fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().or_else(|| status.signal().map(|signal| SIGNALLED + signal)).unwrap_or(-1)
}
