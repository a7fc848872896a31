//! Namespaces of one activity, built from the system's own tools (util-linux).
//!
//! An outer `unshare` makes a mount namespace and puts the activity's root together: the host's folders read-only, its
//! own `/golem`, `/tmp`, `/root`, a small `/dev`. An inner one then makes the namespaces that commands run in: since
//! they belong to a user namespace below the outer one, the kernel holds every mount as it is, and "root" in there
//! can't undo one. The first process in there only waits for the end of its standard input, which we hold: if we die,
//! however that happens, it ends and the kernel ends everything else with it.
//!
//! This guards the host against mistakes of a task. It is no wall against an attacker: the kernel is shared.

mod mounts;

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::super::folder::Folder;
use super::super::{Deployment, RuntimeError};
use super::WORK;
use crate::tools::{self, PATH};

const SETUP_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const OUTER: &str = r#"set -eu
mount --bind "$1" "$1"
mount --all --fstab "$2" >/dev/null 2>&1 || :
cd "$1"
mkdir -p .host
pivot_root . .host
cd /
umount -l /.host
rmdir /.host
test -e /dev/null
shift 2
exec "$@"
"#;

// `/proc` is still the host's when the first line runs, so this is the number the host knows us by.
const INNER: &str = r#"read -r pid rest </proc/self/stat
test -z "$2" || hostname "$2" 2>/dev/null || echo "$2" 2>/dev/null >/proc/sys/kernel/hostname || :
mount -t proc proc /proc 2>/dev/null || :
cd "$1" || exit 1
echo "ready $pid"
exec >/dev/null 2>&1
until cat; do :; done
"#;

/// The tools, found once.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    unshare: PathBuf,
    nsenter: PathBuf,
}

impl Tools {
    /// Looks for them where systems keep them.
    pub(super) fn find() -> Result<Self, String> {
        let find =
            |name: &str| tools::find(name).ok_or_else(|| format!("`{name}` of util-linux is not installed"));
        for name in ["mount", "umount", "pivot_root", "cat"] {
            find(name)?;
        }
        Ok(Self { unshare: find("unshare")?, nsenter: find("nsenter")? })
    }
}

/// The namespaces of one activity; dropping them ends all that runs inside.
#[derive(Debug)]
pub(super) struct Sandbox {
    tools: Tools,
    init: Pid,
    init_fd: OwnedFd,
    outer: tokio::sync::Mutex<Child>,
    /// Its end is the signal for the first process inside to end.
    lifeline: Mutex<Option<ChildStdin>>,
    own_network: bool,
}

impl Sandbox {
    /// Builds the namespaces over an empty folder.
    pub(super) async fn start(
        tools: &Tools,
        folder: &mut Folder,
        deployment: &Deployment,
        network: bool,
    ) -> Result<Self, RuntimeError> {
        let fstab = mounts::prepare(folder, deployment)?;
        let mut command = Command::new(&tools.unshare);
        command
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "--propagation",
                "private",
                "--",
                "/bin/sh",
                "-c",
                OUTER,
                "sh",
            ])
            .args([folder.root(), &fstab])
            .arg(&tools.unshare)
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "--propagation",
                "private",
                "--pid",
                "--ipc",
                "--uts",
            ])
            .args((!network).then_some("--net"))
            .args([
                "--fork",
                "--kill-child",
                "--",
                "/bin/sh",
                "-c",
                INNER,
                "sh",
                WORK,
                deployment.hostname.as_deref().unwrap_or(""),
            ])
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut outer = command.spawn().map_err(|error| broken(format!("unshare: {error}")))?;
        let lifeline = outer.stdin.take();
        let stdout = outer.stdout.take().expect("stdout was piped");
        let mut stderr = outer.stderr.take().expect("stderr was piped");
        let mut line = String::new();
        let mut reader = BufReader::new(stdout);
        let read = tokio::time::timeout(SETUP_TIMEOUT, reader.read_line(&mut line)).await;
        match read {
            Err(_) => return Err(broken(format!("it took more than {SETUP_TIMEOUT:?}"))),
            Ok(Err(error)) => return Err(broken(error.to_string())),
            Ok(Ok(_)) => {}
        }
        let pid = line.strip_prefix("ready ").and_then(|pid| pid.trim().parse().ok()).and_then(Pid::from_raw);
        let Some(init) = pid else {
            let mut said = Vec::new();
            // Its standard error ends with the process, which just ended.
            drop(tokio::time::timeout(Duration::from_secs(1), stderr.read_to_end(&mut said)).await);
            return Err(broken(String::from_utf8_lossy(&said).trim().replace('\n', "; ")));
        };
        let init_fd = pidfd_open(init, PidfdFlags::empty()).map_err(|error| broken(error.to_string()))?;
        Ok(Self {
            tools: tools.clone(),
            init,
            init_fd,
            outer: tokio::sync::Mutex::new(outer),
            lifeline: Mutex::new(lifeline),
            own_network: !network,
        })
    }

    /// The first process inside, as the host numbers it.
    pub(super) fn init(&self) -> Pid {
        self.init
    }

    /// True if the first process is still alive.
    pub(super) fn is_alive(&self) -> bool {
        !ended(&self.init_fd, Duration::ZERO)
    }

    /// Folders of the host that commands can change, against the plan: some kernels don't let a mount be made read-only.
    pub(super) fn writable(&self) -> Vec<PathBuf> {
        mounts::writable(self.init.as_raw_nonzero().get())
    }

    /// A command that runs the program inside, in its working folder.
    pub(super) fn enter(&self, program: &str, args: &[String]) -> Command {
        let mut command = Command::new(&self.tools.nsenter);
        command
            .arg(format!("--target={}", self.init.as_raw_nonzero()))
            .args(["--user", "--mount", "--pid", "--ipc", "--uts", "--root", "--wd"])
            .args(self.own_network.then_some("--net"))
            .args(["--preserve-credentials", "--", program])
            .args(args);
        command
    }

    /// Ends everything inside and waits until it is gone.
    pub(super) async fn stop(&self) {
        self.kill();
        // The outer process waits for the first one inside, which the kernel lets go only after all the others.
        if tokio::time::timeout(STOP_TIMEOUT, async { self.outer.lock().await.wait().await }).await.is_err() {
            tracing::warn!(init = %self.init.as_raw_nonzero(), "processes of an activity don't end");
        }
    }

    fn kill(&self) {
        drop(self.lifeline.lock().expect("nothing panics while it holds this lock").take());
        let _ = pidfd_send_signal(&self.init_fd, Signal::KILL);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if matches!(self.outer.get_mut().try_wait(), Ok(Some(_))) {
            return;
        }
        self.kill();
        // So that nobody writes into the folder while it is being removed. This takes a few milliseconds.
        if !ended(&self.init_fd, Duration::from_secs(1)) {
            tracing::warn!(init = %self.init.as_raw_nonzero(), "processes of an activity don't end");
        }
    }
}

/// Waits up to `patience` for the end of the process.
fn ended(pidfd: &OwnedFd, patience: Duration) -> bool {
    let patience = Timespec::try_from(patience).ok();
    let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    poll(&mut fds, patience.as_ref()).is_ok_and(|ready| ready > 0)
}

fn broken(reason: String) -> RuntimeError {
    RuntimeError::Sandbox(if reason.is_empty() { "the tools gave no reason".to_owned() } else { reason })
}
