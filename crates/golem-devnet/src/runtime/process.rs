//! A runtime that really runs programs of this machine.
//!
//! Where the kernel lets us (Linux with user namespaces), each activity has namespaces of its own: see
//! [`sandbox`]. Elsewhere commands are plain child processes with the activity's folder as their working folder, and
//! a command that names `/golem` is refused. `docs/devnet-sandbox.md` tells users about both.

mod machine;
mod output;
#[cfg(target_os = "linux")]
mod sandbox;
mod tree;

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustix::process::Pid;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use yagna_api::ActivityId;

use self::machine::{Kind, Machine, check_volumes, code, make_folders};
use self::tree::Target;
use super::folder::Folder;
use super::{Deployment, Instance, Output, Runtime, RuntimeError, leftovers};
use crate::tools::PATH;
use crate::vpn::{self, Tap};

/// The folder in which commands begin.
const WORK: &str = "/golem/work";

/// The settings of a [`ProcessRuntime`].
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// The folder in which the activities' folders are made; the system's temporary folder by default.
    pub folder: PathBuf,
    /// Namespaces or not.
    pub isolation: IsolationChoice,
    /// Commands may use the host's network (the default). Else they have only a loopback device that is down.
    /// Without namespaces they always may.
    pub network: bool,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self { folder: std::env::temp_dir(), isolation: IsolationChoice::Automatic, network: true }
    }
}

/// The choice whether activities get namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsolationChoice {
    /// If the machine allows them.
    #[default]
    Automatic,
    /// Yes; where the machine doesn't allow them, `deploy` fails.
    Namespaces,
    /// No.
    Plain,
}

/// The means that keep an activity's commands apart from the rest of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// Each activity has its own namespaces, and `/golem` is its own.
    Namespaces,
    /// Nothing but a working folder; with the reason.
    Plain(String),
}

/// Runs the commands of activities as processes of this machine.
#[derive(Debug)]
pub struct ProcessRuntime {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ProcessConfig,
    method: tokio::sync::OnceCell<Method>,
}

#[derive(Debug, Clone)]
enum Method {
    #[cfg(target_os = "linux")]
    Namespaces(sandbox::Tools),
    Plain(String),
}

impl ProcessRuntime {
    /// A runtime that hasn't looked at the machine yet.
    pub fn new(config: ProcessConfig) -> Self {
        Self { shared: Arc::new(Shared { config, method: tokio::sync::OnceCell::new() }) }
    }

    /// Finds out which isolation activities get on this machine. Tried out once, at the first call or the first
    /// `deploy`.
    pub async fn isolation(&self) -> Isolation {
        match self.shared.method().await {
            #[cfg(target_os = "linux")]
            Method::Namespaces(_) => Isolation::Namespaces,
            Method::Plain(reason) => Isolation::Plain(reason.clone()),
        }
    }
}

impl Default for ProcessRuntime {
    fn default() -> Self {
        Self::new(ProcessConfig::default())
    }
}

impl Runtime for ProcessRuntime {
    fn create(&self, activity: &ActivityId) -> Result<Arc<dyn Instance>, RuntimeError> {
        Ok(Arc::new(ProcessInstance {
            shared: Arc::clone(&self.shared),
            activity: activity.clone(),
            machine: Mutex::new(None),
            card: Mutex::new(None),
            cpu: Mutex::new(Cpu::default()),
        }))
    }

    fn vpn(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { self.shared.vpn().await.map(drop) })
    }
}

impl Shared {
    /// The tools for virtual networks, if machines can be in any.
    async fn vpn(&self) -> Result<vpn::Tools, String> {
        match self.method().await {
            #[cfg(target_os = "linux")]
            Method::Namespaces(_) => vpn::Tools::get().await,
            Method::Plain(reason) => Err(format!("there are no namespaces: {reason}")),
        }
    }

    async fn method(&self) -> &Method {
        let look = async {
            self.sweep().await;
            self.probe().await
        };
        self.method.get_or_init(|| Box::pin(look)).await
    }

    /// Removes what killed processes have left behind.
    async fn sweep(&self) {
        let base = self.config.folder.clone();
        match tokio::task::spawn_blocking(move || leftovers::sweep(&base)).await {
            Ok(0) => {}
            Ok(swept) => tracing::info!(swept, "removed folders of activities whose process was killed"),
            Err(error) => tracing::warn!(%error, "can't look for folders that killed processes have left"),
        }
    }

    #[cfg(target_os = "linux")]
    async fn probe(&self) -> Method {
        if self.config.isolation == IsolationChoice::Plain {
            return Method::Plain("they are switched off".to_owned());
        }
        match self.try_namespaces().await {
            Ok(tools) => Method::Namespaces(tools),
            Err(reason) => {
                if self.config.isolation == IsolationChoice::Automatic {
                    tracing::warn!(%reason, "no namespaces for activities: commands can't use /golem");
                }
                Method::Plain(reason)
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_async, reason = "the same signature as on Linux, which has to wait")]
    async fn probe(&self) -> Method {
        Method::Plain("only Linux has them".to_owned())
    }

    /// Builds one for good and runs a program in it: only that shows that this kernel's settings allow all of it.
    #[cfg(target_os = "linux")]
    async fn try_namespaces(&self) -> Result<sandbox::Tools, String> {
        let tools = sandbox::Tools::find()?;
        let mut folder = Folder::new(&self.config.folder).map_err(|error| error.to_string())?;
        let deployment = Deployment::default();
        let machine = async {
            make_folders(&folder, &deployment)?;
            sandbox::Sandbox::start(&tools, &mut folder, &deployment, self.config.network).await
        };
        let sandbox = machine.await.map_err(|error| error.to_string())?;
        let mut command = sandbox.enter("/bin/sh", &["-c".to_owned(), format!("test \"$PWD\" = {WORK}")]);
        let answer =
            command.env_clear().env("PATH", PATH).stdin(Stdio::null()).kill_on_drop(true).output().await;
        let writable = sandbox.writable();
        if !writable.is_empty() {
            tracing::warn!(folders = ?writable, "commands of activities can change these folders of this machine");
        }
        sandbox.stop().await;
        match answer {
            Ok(answer) if answer.status.success() => Ok(tools),
            Ok(answer) => Err(String::from_utf8_lossy(&answer.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[derive(Debug)]
struct ProcessInstance {
    shared: Arc<Shared>,
    activity: ActivityId,
    machine: Mutex<Option<Arc<Machine>>>,
    card: Mutex<Option<Arc<Tap>>>,
    cpu: Mutex<Cpu>,
}

#[derive(Debug, Default)]
struct Cpu {
    /// The CPU time of programs that ended.
    ended: Duration,
    /// The last reported value: processes that end unseen must not make the sum fall.
    told: Duration,
}

impl Instance for ProcessInstance {
    fn deploy<'a>(&'a self, deployment: &'a Deployment) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            let machine = Arc::new(self.build(deployment).await?);
            *self.machine() = Some(machine);
            Ok(())
        })
    }

    fn start<'a>(&'a self, _args: &'a [String]) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            let machine = self.deployed()?;
            if !machine.networks.is_empty() {
                let tools = self.shared.vpn().await.map_err(RuntimeError::Vpn)?;
                let card = machine.connect(&tools).await?;
                *self.lock_card() = Some(Arc::new(card));
            }
            Ok(())
        })
    }

    fn run<'a>(
        &'a self,
        program: &'a str,
        args: &'a [String],
        output: mpsc::Sender<Output>,
    ) -> BoxFuture<'a, Result<i32, RuntimeError>> {
        Box::pin(async move {
            let machine = self.deployed()?;
            let mut command = machine.command(program, args)?;
            let child = command.spawn();
            let child = match child {
                Ok(child) => child,
                Err(error) => return machine.not_spawned(program, error, output).await,
            };
            let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
            let id = id.expect("a child that nobody waited for has an id");
            let mut guard = Guard(Some(Target { child: id, scope: machine.scope() }));
            let status = self.follow(&machine, id, child, output).await;
            guard.0.take();
            #[cfg(not(target_os = "linux"))]
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
            let status =
                status.map_err(|source| RuntimeError::Launch { program: program.to_owned(), source })?;
            if machine.survived(status).await { Ok(code(status)) } else { Err(RuntimeError::Died) }
        })
    }

    fn open(&self, path: &str) -> Result<std::fs::File, RuntimeError> {
        self.deployed()?.checked(path)?.open(path)
    }

    fn create(&self, path: &str) -> Result<std::fs::File, RuntimeError> {
        self.deployed()?.checked(path)?.create(path)
    }

    fn cpu_time(&self) -> Duration {
        let living = self.deployed().map(|machine| tree::cpu_of_living(&machine.scope())).unwrap_or_default();
        let mut cpu = self.cpu();
        cpu.told = cpu.told.max(cpu.ended + living);
        cpu.told
    }

    fn card(&self) -> Option<Arc<Tap>> {
        self.lock_card().clone()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            drop(self.lock_card().take());
            // Processes that are still alive are counted for the last time.
            let told = self.cpu_time();
            self.cpu().ended = told;
            let Some(machine) = self.machine().take() else {
                return;
            };
            machine.stop().await;
            // A big tree takes a while to remove.
            if let Err(error) = tokio::task::spawn_blocking(move || drop(machine)).await {
                tracing::warn!(activity = %self.activity, %error, "the removal of the activity's folder broke off");
            }
        })
    }
}

impl ProcessInstance {
    fn machine(&self) -> MutexGuard<'_, Option<Arc<Machine>>> {
        self.machine.lock().expect("nothing panics while it holds this lock")
    }

    fn lock_card(&self) -> MutexGuard<'_, Option<Arc<Tap>>> {
        self.card.lock().expect("nothing panics while it holds this lock")
    }

    fn cpu(&self) -> MutexGuard<'_, Cpu> {
        self.cpu.lock().expect("nothing panics while it holds this lock")
    }

    fn deployed(&self) -> Result<Arc<Machine>, RuntimeError> {
        self.machine().clone().ok_or(RuntimeError::NotDeployed)
    }

    async fn build(&self, deployment: &Deployment) -> Result<Machine, RuntimeError> {
        let config = &self.shared.config;
        let method = self.shared.method().await.clone();
        if let (Method::Plain(reason), IsolationChoice::Namespaces) = (&method, config.isolation) {
            return Err(RuntimeError::Sandbox(reason.clone()));
        }
        check_volumes(deployment, matches!(method, Method::Plain(_)))?;
        if !deployment.networks.is_empty() {
            self.shared.vpn().await.map_err(RuntimeError::Vpn)?;
        }
        #[cfg_attr(not(target_os = "linux"), expect(unused_mut, reason = "only the sandbox changes it"))]
        let mut folder = Folder::new(&config.folder).map_err(RuntimeError::Folder)?;
        make_folders(&folder, deployment)?;
        let kind = match method {
            #[cfg(target_os = "linux")]
            Method::Namespaces(tools) => {
                // A machine in virtual networks has no other network.
                let network = config.network && deployment.networks.is_empty();
                let sandbox = sandbox::Sandbox::start(&tools, &mut folder, deployment, network).await?;
                Kind::Sandbox(Box::new(sandbox))
            }
            Method::Plain(reason) => {
                let marker = format!("GOLEM_DEVNET_ACTIVITY={}:{}", self.activity, folder.outer().display());
                Kind::Plain { reason, marker }
            }
        };
        Ok(Machine::new(kind, deployment.networks.clone(), folder))
    }

    /// Reads a running program to its end.
    async fn follow(
        &self,
        machine: &Arc<Machine>,
        id: Pid,
        mut child: Child,
        output: mpsc::Sender<Output>,
    ) -> io::Result<ExitStatus> {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ended = CancellationToken::new();
        let wait = async {
            let status = wait(id, &mut child, |cpu| self.cpu().ended += cpu).await;
            ended.cancel();
            status
        };
        let (status, stdout, stderr) = tokio::join!(
            wait,
            output::forward(stdout, Output::Stdout, &output, &ended),
            output::forward(stderr, Output::Stderr, &output, &ended),
        );
        // Something in the background still holds them: were they closed, its next line would kill it.
        for reader in
            [stdout.map(output::Pipe::Stdout), stderr.map(output::Pipe::Stderr)].into_iter().flatten()
        {
            let stopped = machine.stopped.clone();
            machine.readers.spawn(async move {
                stopped.run_until_cancelled(output::swallow(reader)).await;
            });
        }
        status
    }
}

/// Kills the run if it is dropped before its end.
struct Guard(Option<Target>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(target) = self.0.take() {
            tree::kill_run(&target);
        }
    }
}

/// Waits for the end of a child; before it is reaped, tells the CPU time that only then can still be read.
async fn wait(id: Pid, child: &mut Child, mut spent: impl FnMut(Duration)) -> io::Result<ExitStatus> {
    #[cfg(target_os = "linux")]
    {
        // It can't have been reaped yet: nobody waited.
        if let Ok(fd) = watch(id)
            && fd.readable().await.is_ok()
            && let Some(cpu) = tree::cpu_of_ended(id)
        {
            spent(cpu);
        }
        child.wait().await
    }
    #[cfg(not(target_os = "linux"))]
    {
        let begun = tokio::time::Instant::now();
        let status = child.wait().await;
        let _ = id;
        spent(begun.elapsed());
        status
    }
}

/// A descriptor that becomes readable at the end of the process.
#[cfg(target_os = "linux")]
#[expect(deprecated, reason = "its successor is unsafe for descriptors that may change; an OwnedFd can't")]
fn watch(id: Pid) -> io::Result<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>> {
    use rustix::process::{PidfdFlags, pidfd_open};

    let fd = pidfd_open(id, PidfdFlags::NONBLOCK)?;
    tokio::io::unix::AsyncFd::with_interest(fd, tokio::io::Interest::READABLE)
}

#[cfg(test)]
mod tests;
