//! The stage of the examples' tests: a devnet, a program of an example on it, and what both say afterwards.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "what goes wrong here is a failed test")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use golem_devnet::devnet::{Devnet, DevnetBuilder};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

/// No test takes a tenth of this; it is for computers that are busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A folder to run programs in, and a devnet that answers where a daemon would, if there is one.
#[derive(Debug)]
pub struct Stage {
    folder: TempDir,
    devnet: Option<(Devnet, SocketAddr)>,
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: ChildStdout,
    stderr: BufReader<ChildStderr>,
    told: String,
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Stage {
    /// Without any daemon: for `--devnet`, and for what fails before one is asked.
    pub fn bare() -> Self {
        Self { folder: TempDir::new().unwrap(), devnet: None }
    }

    /// With a devnet that programs take for the daemon of their environment.
    pub async fn with_devnet(devnet: DevnetBuilder) -> Self {
        let devnet = devnet.start().await.unwrap();
        let address = devnet.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        Self { folder: TempDir::new().unwrap(), devnet: Some((devnet, address)) }
    }

    /// A path in the folder where programs run.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a program with nothing of this computer's environment that could change what it does.
    pub fn start(&self, program: &str, args: &[&str]) -> Running {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some((devnet, address)) = &self.devnet {
            command
                .env("YAGNA_API_URL", format!("http://{address}"))
                .env("YAGNA_APPKEY", devnet.requestor().key.expose())
                .env("REGISTRY_URL", format!("http://{address}"));
        }
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Running { child, stdout, stderr: BufReader::new(stderr), told: String::new() }
    }

    /// Runs a program to its end.
    pub async fn run(&self, program: &str, args: &[&str]) -> Ended {
        self.start(program, args).end().await
    }

    /// The devnet.
    pub fn devnet(&self) -> &Devnet {
        &self.devnet.as_ref().unwrap().0
    }

    /// Nothing that a program began there is still open: no agreement, no activity, no money set aside.
    #[track_caller]
    pub fn assert_closed(&self) {
        let books = self.devnet().books();
        assert_eq!(books.open_agreements().count(), 0, "agreements are open");
        assert_eq!(books.running_activities().count(), 0, "activities run");
        assert_eq!(books.unanswered_invoices().count(), 0, "invoices wait");
        assert!(books.allocations.iter().all(|allocation| allocation.released), "money is set aside");
    }

    /// Ends it in order.
    pub async fn close(self) {
        if let Some((devnet, _)) = self.devnet {
            devnet.stop().await;
        }
    }
}

impl Running {
    /// Waits until a line of its standard error says this.
    pub async fn says(&mut self, what: &str) {
        let reading = async {
            while !self.told.contains(what) {
                let n = self.stderr.read_line(&mut self.told).await.unwrap();
                assert!(n > 0, "it ended without a word of `{what}`:\n{}", self.told);
            }
        };
        assert!(timeout(PATIENCE, reading).await.is_ok(), "it doesn't say `{what}`:\n{}", self.told);
    }

    /// Presses Ctrl+C.
    pub fn interrupt(&self) {
        let id = self.child.id().unwrap();
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), Signal::INT).unwrap();
    }

    /// Kills it, as `kill -9` would.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Ended {
        let mut stdout = String::new();
        let reading = async {
            tokio::try_join!(
                self.stdout.read_to_string(&mut stdout),
                self.stderr.read_to_string(&mut self.told)
            )
            .unwrap();
            self.child.wait().await.unwrap()
        };
        let status = timeout(PATIENCE, reading).await;
        let code = status.expect("the program doesn't end").code();
        Ended { code, stdout, stderr: self.told }
    }
}

impl Ended {
    /// It ended with this code.
    #[track_caller]
    pub fn assert_code(&self, code: i32) {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
    }

    /// It failed, with one line that begins like this.
    #[track_caller]
    pub fn assert_error(&self, begins: &str) {
        self.assert_code(i32::from(crate::FAILED));
        let last = self.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with(begins), "{last}");
    }
}
