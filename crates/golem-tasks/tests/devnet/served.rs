//! A devnet in a process of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::stage::{Ended, Home, PATIENCE, Running, signal};

/// `golem-tasks devnet`, with nothing of this machine's environment.
pub(crate) fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_golem-tasks"));
    command
        .arg("devnet")
        .args(flags)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A devnet at work, on a port of its own.
pub(crate) struct Served {
    child: Child,
    out: watch::Receiver<String>,
    err: watch::Receiver<String>,
    readers: JoinSet<()>,
}

impl Served {
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::begin(command(&[&["--listen", "127.0.0.1:0", "--seed", "7"], flags].concat()))
    }

    /// The same with so many open files at the most.
    pub(crate) fn start_with_files(most: u32, flags: &[&str]) -> Self {
        let plain = command(&[&["--listen", "127.0.0.1:0", "--seed", "7"], flags].concat());
        let mut limited = Command::new("/bin/sh");
        limited
            .args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &most.to_string()])
            .arg(plain.as_std().get_program())
            .args(plain.as_std().get_args())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self::begin(limited)
    }

    fn begin(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut readers = JoinSet::new();
        let mut follow = |from: Box<dyn AsyncRead + Send + Unpin>| {
            let (sender, receiver) = watch::channel(String::new());
            readers.spawn(collect(from, sender));
            receiver
        };
        let out = follow(Box::new(child.stdout.take().unwrap()));
        let err = follow(Box::new(child.stderr.take().unwrap()));
        Self { child, out, err, readers }
    }

    /// Waits until what it has printed is so.
    pub(crate) async fn prints(&mut self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let printed = timeout(PATIENCE, self.out.wait_for(|text| is(text))).await;
        let printed = printed.ok().and_then(Result::ok).map(|text| text.clone());
        if let Some(text) = printed {
            return text;
        }
        panic!("it never printed {what}:\n{}\n{}", *self.out.borrow(), *self.err.borrow());
    }

    /// Waits for a line with all of these in it.
    pub(crate) async fn tells(&mut self, parts: &[&str]) -> String {
        let has = |line: &str| parts.iter().all(|part| line.contains(part));
        let text = self.prints(&format!("{parts:?}"), |text| text.lines().any(has)).await;
        text.lines().find(|line| has(line)).unwrap().to_owned()
    }

    /// The variables that it wants exported.
    pub(crate) async fn environment(&mut self) -> BTreeMap<String, String> {
        let text = self.prints("its environment", |text| text.contains("export PAYMENT_NETWORK=")).await;
        let exports = text.lines().filter_map(|line| line.strip_prefix("export "));
        exports
            .map(|line| line.split_once('=').unwrap())
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    /// Runs a job on it, from another process.
    pub(crate) async fn run(&mut self, home: &Home, job: &Path, flags: &[&str]) -> Ended {
        let environment = self.environment().await;
        let mut command = home.command(job, flags);
        command.envs(environment);
        Running::start(command).end().await
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) fn interrupt(&self) {
        signal(self.id(), Signal::INT);
    }

    /// Its exit code, and all that it printed.
    pub(crate) async fn end(mut self) -> (Option<i32>, String, String) {
        let status = timeout(PATIENCE, self.child.wait()).await;
        let Ok(status) = status else { panic!("it doesn't end:\n{}", *self.err.borrow()) };
        while let Some(read) = self.readers.join_next().await {
            read.unwrap();
        }
        let (out, err) = (self.out.borrow().clone(), self.err.borrow().clone());
        assert!(!err.contains("panicked"), "{err}");
        (status.unwrap().code(), out, err)
    }

    /// Ends it, and asserts that it ended well.
    pub(crate) async fn stop(self) -> (String, String) {
        self.interrupt();
        let (code, out, err) = self.end().await;
        assert_eq!(code, Some(0), "{err}");
        (out, err)
    }
}

/// Every line as the JSON object that it is.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

async fn collect(mut from: Box<dyn AsyncRead + Send + Unpin>, to: watch::Sender<String>) {
    let mut all = Vec::new();
    let mut part = vec![0; 1 << 16];
    loop {
        let n = from.read(&mut part).await.unwrap_or(0);
        if n == 0 {
            return;
        }
        all.extend_from_slice(&part[..n]);
        to.send_replace(String::from_utf8_lossy(&all).into_owned());
    }
}
