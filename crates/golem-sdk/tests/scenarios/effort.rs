//! The effort of a run: requests and commits for each task, and how soon a result is there. None of it depends on the
//! machine: time is virtual, and commands answer at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use golem_core::event::{Event, EventKind, TaskOutput};
use golem_devnet::clock::DevnetClock;
use golem_devnet::devnet::Devnet;
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use golem_sdk::{
    Journal, JournalError, MemoryJournal, Run, Script, Tasks, Timing, WorkContext, Worker, WorkerError,
};
use serde_json::json;
use tokio::time::sleep;
use yagna_api::time::between;
use yagna_api::{Clock as _, Request, Timestamp};
use yagna_client::{
    Client, InProcessTransport, Response, SocketAnswer, StreamAnswer, Transport, TransportError,
};

use crate::hands::Hands;
use crate::stage::{config, honest, options};

/// The bytes of a file that a task sends, and of the one that it fetches.
const FILE: usize = 1024;

/// Counts what is asked of the daemon.
#[derive(Debug)]
struct Counting {
    inner: InProcessTransport,
    requests: Arc<AtomicUsize>,
}

impl Transport for Counting {
    fn address(&self) -> &str {
        self.inner.address()
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.inner.send(request)
    }

    fn open_stream(&self, request: Request) -> BoxFuture<'_, Result<StreamAnswer, TransportError>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.inner.open_stream(request)
    }

    fn open_socket(
        &self,
        path: &str,
        subprotocol: Option<&'static str>,
    ) -> BoxFuture<'_, Result<SocketAnswer, TransportError>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.inner.open_socket(path, subprotocol)
    }
}

/// A disk that takes its time for a commit, and notes how late it has each result.
#[derive(Debug)]
struct Disk {
    kept: MemoryJournal,
    takes: Duration,
    clock: DevnetClock,
    commits: AtomicUsize,
    latest: Mutex<Duration>,
}

impl Journal for Disk {
    fn commit<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            self.commits.fetch_add(1, Ordering::Relaxed);
            sleep(self.takes).await;
            let now = self.clock.now();
            let results = events.iter().filter(|event| matches!(event.kind, EventKind::TaskDone { .. }));
            let late = results.map(|event| between(event.at, now)).max().unwrap_or_default();
            {
                let mut latest = self.latest.lock().unwrap();
                *latest = late.max(*latest);
            }
            self.kept.commit(events).await
        })
    }
}

/// The effort of a run.
#[derive(Debug)]
struct Effort {
    requests: usize,
    commits: usize,
    /// The longest time from a result to its being durable.
    latest: Duration,
    /// The time from the start to the first result.
    first: Duration,
    /// The time from the last result to the end.
    exit: Duration,
}

/// Runs so many tasks with so many providers, each task a command that takes so long.
async fn effort(
    tasks: u64,
    providers: usize,
    worker: Arc<dyn Worker>,
    takes: Duration,
    disk: Duration,
) -> Effort {
    let answer = move |program: &str| {
        let answer = ScriptedAnswer::ok().taking(takes).writing("/golem/output/file", vec![7; FILE]);
        (program == "work").then_some(answer)
    };
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut devnet = Devnet::builder()
        .clock(DevnetClock::starting_at(start))
        .runtime(ScriptedRuntime::new().when(move |program, _| answer(program)));
    for n in 0..providers {
        devnet = devnet.provider(honest(&format!("provider-{n}")));
    }
    let devnet = devnet.start().await.unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let inner = InProcessTransport::new(devnet.router(), &devnet.requestor().key).unwrap();
    let client = Client::new(Arc::new(Counting { inner, requests: Arc::clone(&requests) }));
    let journal = Arc::new(Disk {
        kept: MemoryJournal::new(),
        takes: disk,
        clock: devnet.clock(),
        commits: AtomicUsize::new(0),
        latest: Mutex::default(),
    });
    let settings = config().workers(u32::try_from(providers).unwrap());
    let data = (0..tasks).map(|n| Ok(json!(n)));
    let settings = options(settings, Timing::default(), "effort");
    let clock = Arc::new(devnet.clock());
    let kept = Arc::clone(&journal) as Arc<dyn Journal>;
    let end = Run::new(client, clock, kept, worker, Box::new(data), settings).run().await.unwrap();
    assert_eq!(end.done, tasks, "{end:?}");
    let ended = devnet.clock().now();
    let events = journal.kept.events();
    let done = || events.iter().filter(|event| matches!(event.kind, EventKind::TaskDone { .. }));
    let effort = Effort {
        requests: requests.load(Ordering::Relaxed),
        commits: journal.commits.load(Ordering::Relaxed),
        latest: *journal.latest.lock().unwrap(),
        first: between(start, done().next().unwrap().at),
        exit: between(done().next_back().unwrap().at, ended),
    };
    devnet.stop().await;
    effort
}

/// The count that one more task adds.
fn each(counts: [usize; 2], tasks: [u64; 2]) -> f64 {
    let as_float = |number: usize| f64::from(u32::try_from(number).unwrap());
    (as_float(counts[1]) - as_float(counts[0])) / as_float(usize::try_from(tasks[1] - tasks[0]).unwrap())
}

/// Requests and commits that one more task takes.
async fn marginal(worker: impl Worker + Clone + 'static) -> (f64, f64) {
    let tasks = [200, 600];
    // Where tasks took no time, all of them would be done during one commit.
    let (takes, disk) = (Duration::from_millis(40), Duration::from_millis(1));
    let few = effort(tasks[0], 4, Arc::new(worker.clone()), takes, disk).await;
    let many = effort(tasks[1], 4, Arc::new(worker), takes, disk).await;
    (each([few.requests, many.requests], tasks), each([few.commits, many.commits], tasks))
}

/// Sends a file, runs a command and fetches what it wrote.
#[derive(Debug, Clone, Copy)]
struct Files;

impl Worker for Files {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            while let Some(task) = tasks.next().await {
                let script = Script::new()
                    .upload_text("x".repeat(FILE), "/golem/input/file")
                    .run("work", [task.data().to_string()])
                    .download_bytes("/golem/output/file", 1 << 20);
                let done = ctx.execute(script, Duration::from_secs(60)).await?;
                assert!(done.download(2).is_some_and(|bytes| bytes.len() == FILE));
                let stdout = task.data().as_u64().unwrap() * 7;
                task.done(TaskOutput {
                    stdout: stdout.to_string().into_bytes().into(),
                    ..TaskOutput::default()
                })
                .await;
            }
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_alone_in_its_script_takes_two_requests() {
    let (requests, commits) = marginal(Hands::default()).await;
    assert!(requests <= 2.1, "{requests} requests a task");
    assert!(commits <= 0.3, "{commits} commits a task");
}

#[tokio::test(start_paused = true)]
async fn tasks_that_travel_together_share_their_requests_and_commits() {
    let (requests, commits) = marginal(Hands { room: 50, ..Hands::default() }).await;
    assert!(requests <= 0.1, "{requests} requests a task");
    assert!(commits <= 0.1, "{commits} commits a task");
}

#[tokio::test(start_paused = true)]
async fn files_up_and_down_take_no_more_requests_than_the_script_itself() {
    let (requests, _) = marginal(Files).await;
    assert!(requests <= 3.0, "{requests} requests a task");
}

#[tokio::test(start_paused = true)]
async fn results_of_many_workers_are_durable_within_half_a_second() {
    let hands = Arc::new(Hands::default());
    let effort = effort(1200, 200, hands, Duration::from_secs(1), Duration::from_millis(30)).await;
    assert!(effort.latest <= Duration::from_millis(500), "{effort:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_result_is_soon_there_and_the_end_soon_after_the_last_one() {
    let hands = Arc::new(Hands::default());
    let effort = effort(40, 4, hands, Duration::ZERO, Duration::from_millis(2)).await;
    assert!(effort.first <= Duration::from_millis(1200), "{effort:?}");
    assert!(effort.exit <= Duration::from_millis(1500), "{effort:?}");
}
