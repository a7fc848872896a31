//! One life of the program: from its start to its end, whether by itself or by a signal.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What the program says right before or after it has written an intent down, or has acted on one.
const MOMENTS: [&str; 12] = [
    "begins, kept in",
    "reserved for the run",
    "demand published",
    "offers received",
    " approved (",
    "is ready to work",
    "\"type\":\"result\"",
    "stopping",
    " ended by us",
    " accepted: ",
    "debit note",
    "\"type\":\"summary\"",
];

/// When a life is cut short.
#[derive(Debug, Clone)]
pub(crate) enum Moment {
    /// After so long.
    After(Duration),
    /// So long after it has said something for the nth time, or after the time when it doesn't say that.
    Said { what: &'static str, times: usize, then: Duration, at_last: Duration },
}

impl Moment {
    /// Anywhere within about the length of a run, or close to where something is written down.
    pub(crate) fn any(random: &mut Rng, length: Duration) -> Self {
        let within = |random: &mut Rng, time: Duration| Duration::from_millis(random.u64(0..=millis(time)));
        let at_last = within(random, length);
        if random.u8(0..5) < 2 {
            return Self::After(at_last);
        }
        let what = MOMENTS[random.usize(0..MOMENTS.len())];
        let times = if random.bool() { 1 } else { random.usize(1..12) };
        // Right there, or what follows it.
        let then = if random.bool() { Duration::ZERO } else { within(random, Duration::from_millis(60)) };
        Self::Said { what, times, then, at_last: at_last + length / 2 }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

/// All that one process has said so far.
#[derive(Debug, Default)]
pub(crate) struct Said {
    lines: Vec<String>,
}

impl Said {
    pub(crate) fn has(&self, what: &str) -> bool {
        self.times(what) > 0
    }

    fn times(&self, what: &str) -> usize {
        self.lines.iter().filter(|line| line.contains(what)).count()
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> String {
        self.lines[self.lines.len().saturating_sub(12)..].join("\n")
    }
}

/// The program at work.
pub(crate) struct Life {
    child: Child,
    said: watch::Receiver<Said>,
    readers: JoinSet<()>,
}

impl Life {
    /// Starts it. What it says is kept in files beside the name.
    pub(crate) fn start(mut command: Command, name: &Path) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (sender, said) = watch::channel(Said::default());
        let mut readers = JoinSet::new();
        readers.spawn(collect(child.stdout.take().unwrap(), with_end(name, "out"), sender.clone()));
        readers.spawn(collect(child.stderr.take().unwrap(), with_end(name, "err"), sender));
        Self { child, said, readers }
    }

    /// Has it said this by now?
    pub(crate) fn has_said(&self, what: &str) -> bool {
        self.said.borrow().has(what)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("nobody has waited for its end")
    }

    /// Is it still there?
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it is that moment, or its end. Cancel safe.
    pub(crate) async fn wait_for(&mut self, moment: &Moment) {
        match moment {
            Moment::After(time) => drop(timeout(*time, self.child.wait()).await),
            Moment::Said { what, times, then, at_last } => {
                let heard = timeout(*at_last, self.said.wait_for(|said| said.times(what) >= *times)).await;
                if matches!(heard, Ok(Ok(_))) {
                    drop(heard);
                    drop(timeout(*then, self.child.wait()).await);
                }
            }
        }
    }

    /// Sends a signal, if it is still there to get one. Was it?
    pub(crate) fn signal(&mut self, signal: Signal) -> bool {
        if !self.runs() {
            return false;
        }
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).is_ok()
    }

    /// Waits for its end, and for all it said; `None` when it doesn't end in that time. Then it is killed.
    pub(crate) async fn end(mut self, patience: Duration) -> (Option<ExitStatus>, Said) {
        let ended = timeout(patience, self.child.wait()).await;
        if ended.is_err() {
            self.child.kill().await.unwrap();
        }
        while let Some(read) = self.readers.join_next().await {
            read.unwrap();
        }
        let said = Said { lines: self.said.borrow().lines.clone() };
        (ended.ok().map(Result::unwrap), said)
    }
}

fn with_end(name: &Path, end: &str) -> PathBuf {
    name.with_extension(end)
}

async fn collect(from: impl AsyncRead + Unpin, file: PathBuf, to: watch::Sender<Said>) {
    let mut file = File::create(file).unwrap();
    let mut lines = BufReader::new(from).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        file.write_all(&line).and_then(|()| file.write_all(b"\n")).unwrap();
        let line = String::from_utf8_lossy(&line).into_owned();
        to.send_modify(|said| said.lines.push(line));
    }
}

/// Waits for something that nobody tells; was it so in time?
pub(crate) async fn comes_true(patience: Duration, mut is: impl AsyncFnMut() -> bool) -> bool {
    let waiting = async {
        while !is().await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(patience, waiting).await.is_ok()
}
