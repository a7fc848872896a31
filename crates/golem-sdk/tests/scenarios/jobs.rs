//! Several jobs in one run, handed in while it goes on.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use golem_core::event::{EventKind, JobEnd, JobEndReason, JobId, StopReason, TaskId};
use golem_devnet::provider::{ApprovalManner, Behaviour, Prices, ProviderConfig, Vanishing};
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use golem_sdk::{JobEvents, JobOptions, JobSource, RunOver, Script, Tasks, WorkContext, Worker, WorkerError};
use serde_json::{Value, json};
use tokio::time::Instant;
use yagna_api::market::AgreementState;
use yagna_api::payment::BillStatus;
use yagna_api::time::between;

use crate::books::assert_books_closed;
use crate::hands::Hands;
use crate::stage::{Live, Played, Stage, honest, secs, strange, wait_for, within};

fn numbers(n: u64) -> JobSource {
    JobSource::Iterator(Box::new((0..n).map(|n| Ok(json!(n)))))
}

/// What came of a job, read to its end.
#[derive(Debug, Default)]
struct Outcome {
    done: Vec<String>,
    expired: Vec<TaskId>,
    cancelled: Vec<TaskId>,
    end: Option<JobEnd>,
}

impl Outcome {
    async fn of(mut events: JobEvents) -> Self {
        let mut outcome = Self::default();
        while let Some(event) = events.next().await {
            match event.kind {
                EventKind::TaskDone { output, .. } => outcome.done.push(output.stdout.to_text().into_owned()),
                EventKind::TaskExpired { task } => outcome.expired.push(task),
                EventKind::TaskCancelled { task } => outcome.cancelled.push(task),
                EventKind::JobEnded { end, .. } => outcome.end = Some(end),
                _ => {}
            }
        }
        outcome
    }

    fn end(&self) -> &JobEnd {
        self.end.as_ref().unwrap()
    }
}

/// The run is closed, and ends soon with nothing left open.
async fn closed(live: Live, handle: &golem_sdk::Handle) -> Played {
    let begun = Instant::now();
    handle.close();
    let played = live.end().await;
    assert_eq!(played.end().why, StopReason::Closed);
    assert!(begun.elapsed() < secs(180), "{:?}", begun.elapsed());
    assert_books_closed(&played).await;
    assert_eq!(played.devnet.books().demands, 0, "a demand is still on the market");
    played
}

#[tokio::test(start_paused = true)]
async fn a_second_job_uses_the_agreement_of_the_first() {
    let (live, handle) = Stage::new([honest("ada")]).stand().await;
    for _ in 0..2 {
        let job = handle.submit(Arc::new(Hands::default()), numbers(3), JobOptions::default()).await.unwrap();
        let outcome = Outcome::of(job).await;
        assert_eq!((outcome.end().why, outcome.end().done), (JobEndReason::Finished, 3));
        assert_eq!(outcome.done, ["0", "7", "14"]);
    }
    let played = closed(live, &handle).await;
    let books = played.devnet.books();
    assert_eq!(books.agreements.len(), 1, "{:#?}", books.agreements);
    assert_eq!(books.activities.len(), 2, "{:#?}", books.activities);
    let [invoice] = books.invoices.as_slice() else { panic!("{:#?}", books.invoices) };
    assert!(matches!(invoice.status, BillStatus::Accepted | BillStatus::Settled), "{invoice:?}");
    let noted: HashSet<_> = books.debit_notes.iter().filter_map(|note| note.activity.clone()).collect();
    assert_eq!(noted.len(), 2, "debit notes are each activity's own");
    let highest = noted.iter().map(|activity| {
        let its = books.debit_notes.iter().filter(|note| note.activity.as_ref() == Some(activity));
        its.map(|note| note.amount).max().unwrap()
    });
    let sum = highest.reduce(|one, other| one.checked_add(other).unwrap()).unwrap();
    assert_eq!(invoice.amount, sum, "the invoice covers both");
    assert_eq!(played.end().cost, sum);
}

#[tokio::test(start_paused = true)]
async fn two_jobs_at_once_share_a_budget_and_never_pass_it() {
    // A thousandth of a GLM each second.
    let dear = |name| ProviderConfig::new(name).priced(Prices::per_hour("0", "0", "3.6").unwrap());
    let stage = Stage::new(["ada", "bob", "eve"].map(dear)).configured(|config| {
        config.budget = "1".parse().unwrap();
        config.strategy = within("4");
    });
    let (live, handle) = stage.stand().await;
    let worker = Arc::new(Hands::default());
    let first = handle.submit(Arc::clone(&worker) as _, numbers(500), JobOptions::default()).await.unwrap();
    let second = handle.submit(worker, numbers(500), JobOptions::default()).await.unwrap();
    let (first, second) = tokio::join!(Outcome::of(first), Outcome::of(second));
    for outcome in [&first, &second] {
        assert_eq!(outcome.end().why, JobEndReason::Stopped);
        assert!(outcome.end().done > 0, "both get their share: {:?} {:?}", first.end(), second.end());
        assert_eq!(outcome.end().done, outcome.done.len() as u64);
    }
    let played = live.end().await;
    assert_eq!(played.end().why, StopReason::BudgetReached);
    assert!(played.end().cost <= "1".parse().unwrap());
    assert_books_closed(&played).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_leaves_the_other_alone() {
    let (live, handle) = Stage::new(["ada", "bob"].map(honest)).stand().await;
    let worker = Arc::new(Hands::default());
    let mut first =
        handle.submit(Arc::clone(&worker) as _, numbers(300), JobOptions::default()).await.unwrap();
    let second = handle.submit(Arc::clone(&worker) as _, numbers(20), JobOptions::default()).await.unwrap();
    while !matches!(first.next().await.unwrap().kind, EventKind::TaskDone { .. }) {}
    handle.cancel(first.job()).await.unwrap();
    let first = Outcome::of(first).await;
    assert_eq!(first.end().why, JobEndReason::Cancelled);
    assert_eq!(first.cancelled.len() as u64, first.end().cancelled);
    let second = Outcome::of(second).await;
    assert_eq!((second.end().why, second.end().done), (JobEndReason::Finished, 20));
    let played = closed(live, &handle).await;
    assert_eq!(played.count(|kind| matches!(kind, EventKind::ProviderSetBack { .. })), 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_nobody_hears_of_any_more_is_given_up() {
    let (live, handle) = Stage::new(["ada", "bob"].map(honest)).stand().await;
    let worker = Arc::new(Hands::default());
    let mut dropped =
        handle.submit(Arc::clone(&worker) as _, numbers(300), JobOptions::default()).await.unwrap();
    while !matches!(dropped.next().await.unwrap().kind, EventKind::TaskStarted { .. }) {}
    let begun = Instant::now();
    drop(dropped);
    live.until_seen(1, |kind| matches!(kind, EventKind::JobEnded { .. })).await;
    assert!(begun.elapsed() < secs(5), "{:?}", begun.elapsed());
    let detached = handle.submit(worker, numbers(3), JobOptions::default()).await.unwrap();
    detached.detach();
    live.until_seen(2, |kind| matches!(kind, EventKind::JobEnded { .. })).await;
    let played = closed(live, &handle).await;
    let ends: Vec<_> = played
        .kinds()
        .filter_map(|kind| match kind {
            EventKind::JobEnded { job, end } => Some((*job, end.why)),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [(JobId(0), JobEndReason::Cancelled), (JobId(1), JobEndReason::Finished)]);
}

#[tokio::test(start_paused = true)]
async fn a_standing_run_with_nothing_to_do_soon_holds_no_agreement() {
    let (live, handle) = Stage::new(["ada", "bob"].map(honest)).stand().await;
    let job = handle.submit(Arc::new(Hands::default()), numbers(4), JobOptions::default()).await.unwrap();
    Outcome::of(job).await;
    let begun = Instant::now();
    assert!(live.devnet.books().open_agreements().count() > 0);
    wait_for("the agreements to end", || live.devnet.books().open_agreements().next().is_none()).await;
    let held = begun.elapsed();
    assert!(held < secs(45), "{held:?}");
    let by_us = |kind: &EventKind| {
        matches!(kind, EventKind::AgreementEnded { by: yagna_api::market::Terminator::Requestor, .. })
    };
    let played = closed(live, &handle).await;
    assert_eq!(played.count(by_us), played.devnet.books().agreements.len(), "no provider had to end one");
    assert_eq!(played.end().unsettled, 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_can_reach_any_more_ends_with_its_jobs() {
    let (live, handle) = Stage::new(["ada"].map(honest)).stand().await;
    let job = handle.submit(Arc::new(Hands::default()), numbers(3), JobOptions::default()).await.unwrap();
    drop(handle);
    let outcome = Outcome::of(job).await;
    assert_eq!((outcome.end().why, outcome.end().done), (JobEndReason::Finished, 3));
    let played = live.end().await;
    assert_eq!((played.end().why, played.end().done), (StopReason::AllDone, 3));
    assert_books_closed(&played).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_over_takes_no_jobs() {
    let (live, handle) = Stage::new(["ada"].map(honest)).stand().await;
    closed(live, &handle).await;
    let refused = handle.submit(Arc::new(Hands::default()), numbers(3), JobOptions::default()).await;
    assert_eq!(refused.err(), Some(RunOver));
    assert_eq!(handle.cancel(JobId(0)).await, Err(RunOver));
}

/// Does `work <n>`, and for each `n` below ten adds two more.
#[derive(Debug)]
struct Spawner;

impl Worker for Spawner {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            while let Some(task) = tasks.next().await {
                let n = task.data().as_u64().unwrap();
                ctx.execute(Script::new().run("work", [n.to_string()]), secs(60)).await?;
                if n < 10 {
                    tasks.add(vec![json!(n * 2 + 10), json!(n * 2 + 11)]).await;
                }
                task.done(golem_core::event::TaskOutput {
                    stdout: n.to_string().into(),
                    ..Default::default()
                })
                .await;
            }
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn results_may_add_tasks_to_their_job() {
    let (live, handle) = Stage::new(["ada", "bob"].map(honest)).stand().await;
    let job = handle.submit(Arc::new(Spawner), numbers(4), JobOptions::default()).await.unwrap();
    let id = job.job();
    let outcome = Outcome::of(job).await;
    let mut done: Vec<u64> = outcome.done.iter().map(|n| n.parse().unwrap()).collect();
    done.sort_unstable();
    assert_eq!(done, [0, 1, 2, 3, 10, 11, 12, 13, 14, 15, 16, 17]);
    handle.add(id, vec![json!(99)]).await.unwrap();
    let played = closed(live, &handle).await;
    assert_eq!(played.end().done, 12, "what comes after a job's end comes too late");
}

#[tokio::test(start_paused = true)]
async fn a_jobs_deadline_ends_it_and_names_what_is_unfinished() {
    let (live, handle) = Stage::new(["ada", "bob"].map(honest)).stand().await;
    let worker = Arc::new(Hands::default());
    let late = JobOptions::default().timeout(secs(40));
    let begun = Instant::now();
    let job = handle.submit(Arc::clone(&worker) as _, numbers(200), late).await.unwrap();
    let outcome = Outcome::of(job).await;
    assert!(begun.elapsed() >= secs(40) && begun.elapsed() < secs(42), "{:?}", begun.elapsed());
    let end = outcome.end();
    assert_eq!(end.why, JobEndReason::Expired);
    assert!(end.done > 0 && end.failed == 0);
    assert_eq!((outcome.expired.len() as u64, end.done + end.expired), (end.expired, 200));
    let next = handle.submit(worker, numbers(4), JobOptions::default()).await.unwrap();
    assert_eq!(Outcome::of(next).await.end().done, 4, "the run goes on");
    closed(live, &handle).await;
}

#[tokio::test(start_paused = true)]
async fn the_results_of_one_job_may_be_the_tasks_of_another() {
    let stage = Stage::new([honest("ada")]).configured(|config| config.workers = 1);
    let (live, handle) = stage.stand().await;
    let worker = Arc::new(Hands::default());
    let (feed, mut fed) = tokio::sync::mpsc::channel(4);
    let fed = futures_util::stream::poll_fn(move |context| fed.poll_recv(context)).boxed();
    let first = handle.submit(Arc::clone(&worker) as _, numbers(5), JobOptions::default()).await.unwrap();
    let second = handle.submit(worker, JobSource::Stream(fed), JobOptions::default()).await.unwrap();
    let pass_on = async move {
        let mut first = first;
        while let Some(event) = first.next().await {
            if let EventKind::TaskDone { output, .. } = event.kind {
                let n: u64 = output.stdout.to_text().parse().unwrap();
                feed.send(Ok(json!(n))).await.unwrap();
            }
        }
    };
    let ((), second) = tokio::join!(pass_on, Outcome::of(second));
    assert_eq!(second.end().why, JobEndReason::Finished);
    assert_eq!(second.done, ["0", "49", "98", "147", "196"]);
    let played = closed(live, &handle).await;
    assert_eq!(played.devnet.books().agreements.len(), 1);
}

/// Says goodbye when there are no more tasks.
#[derive(Debug, Default)]
struct Polite {
    goodbyes: AtomicU64,
}

impl Worker for Polite {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            while let Some(task) = tasks.next().await {
                task.done(golem_core::event::TaskOutput::default()).await;
            }
            ctx.execute(Script::new().run("goodbye", [""; 0]), secs(3)).await?;
            self.goodbyes.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_may_do_its_last_things_when_there_are_no_more_tasks() {
    let worker = Arc::new(Polite::default());
    let (live, handle) = Stage::new([honest("ada")]).stand().await;
    let job = handle.submit(Arc::clone(&worker) as _, numbers(5), JobOptions::default()).await.unwrap();
    assert_eq!(Outcome::of(job).await.end().done, 5);
    closed(live, &handle).await;
    assert_eq!(worker.goodbyes.load(Ordering::Relaxed), 1);
}

/// Does `work <n>` and lets nothing trouble it: a script that fails ends it as if all were well.
#[derive(Debug)]
struct Stoic;

impl Worker for Stoic {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            while let Some(task) = tasks.next().await {
                let script = Script::new().run("work", [task.data().to_string()]);
                if ctx.execute(script, secs(60)).await.is_err() {
                    task.give_back().await;
                    return Ok(());
                }
                task.done(golem_core::event::TaskOutput::default()).await;
            }
            ctx.execute(Script::new().run("goodbye", [""; 0]), secs(60)).await.ok();
            Ok(())
        })
    }
}

fn vanishing(commands: u64) -> ProviderConfig {
    let vanishes = Some(Vanishing::AfterCommands(commands));
    strange("fickle", Behaviour { vanishes, ..Behaviour::default() })
}

fn is_trouble(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Trouble { .. })
}

fn is_set_back(kind: &EventKind) -> bool {
    matches!(kind, EventKind::ProviderSetBack { .. })
}

/// How long after the first event of this kind the agreement with `fickle` ended.
fn ended_after(played: &Played, is: impl Fn(&EventKind) -> bool) -> std::time::Duration {
    let node = played.node("fickle");
    let ours = played.kinds().find_map(|kind| match kind {
        EventKind::AgreementIntended { rental, provider, .. } if provider.id == node => Some(*rental),
        _ => None,
    });
    let at = |is: &dyn Fn(&EventKind) -> bool| played.events.iter().find(|event| is(&event.kind)).unwrap().at;
    let ended =
        |kind: &EventKind| matches!(kind, EventKind::AgreementEnded { rental, .. } if Some(*rental) == ours);
    between(at(&is), at(&ended))
}

#[tokio::test(start_paused = true)]
async fn a_lost_activity_ends_its_agreement_though_its_worker_passes_over_it() {
    let stage = Stage::new([vanishing(2), honest("ada")]);
    let (live, handle) = stage.stand().await;
    let job = handle.submit(Arc::new(Stoic), numbers(12), JobOptions::default()).await.unwrap();
    assert_eq!(Outcome::of(job).await.end().done, 12);
    let played = closed(live, &handle).await;
    assert_eq!((played.count(is_trouble), played.count(is_set_back)), (0, 1));
    let given_back = |kind: &EventKind| matches!(kind, EventKind::AttemptCancelled { .. });
    let took = ended_after(&played, given_back);
    assert!(took < secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_activity_that_is_lost_when_it_is_ended_is_waited_for_by_nobody() {
    let stage = Stage::new([vanishing(5)]).configured(|config| {
        config.workers = 1;
        config.stop_grace = secs(60);
    });
    let (live, handle) = stage.stand().await;
    let job = handle.submit(Arc::new(Stoic), numbers(5), JobOptions::default()).await.unwrap();
    assert_eq!(Outcome::of(job).await.end().done, 5);
    live.until_seen(1, |kind| matches!(kind, EventKind::AgreementEnded { .. })).await;
    let played = closed(live, &handle).await;
    let told =
        |kind: &EventKind| matches!(kind, EventKind::Trouble { problem, .. } if problem.ends_with("is lost"));
    assert_eq!((played.count(told), played.count(is_trouble)), (1, 1), "{:#?}", played.events);
    let took = ended_after(&played, |kind| matches!(kind, EventKind::JobEnded { .. }));
    assert!(took < secs(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_approves_holds_no_closed_run_up() {
    let silent = Behaviour { approval: ApprovalManner::Never, ..Behaviour::default() };
    let (live, handle) = Stage::new([strange("silent", silent), honest("ada")]).stand().await;
    let job = handle.submit(Arc::new(Hands::default()), numbers(4), JobOptions::default()).await.unwrap();
    assert_eq!(Outcome::of(job).await.end().done, 4);
    let begun = Instant::now();
    let played = closed(live, &handle).await;
    assert!(begun.elapsed() < secs(15), "{:?}", begun.elapsed());
    let silent = played.node("silent");
    let books = played.devnet.books();
    let states: Vec<_> =
        books.agreements.iter().filter(|row| row.provider == silent).map(|row| row.state).collect();
    assert_eq!(states, [AgreementState::Cancelled]);
    assert_eq!(played.count(is_set_back), 0, "nobody is to blame");
}

#[tokio::test(start_paused = true)]
async fn a_result_that_no_retry_can_mend_is_rejected_once() {
    #[derive(Debug)]
    struct Strict;
    impl Worker for Strict {
        fn work<'a>(
            &'a self,
            _ctx: &'a WorkContext,
            tasks: &'a mut Tasks,
        ) -> BoxFuture<'a, Result<(), WorkerError>> {
            Box::pin(async move {
                while let Some(task) = tasks.next().await {
                    let retry = task.data() == &Value::from(0);
                    task.reject("no good", retry).await;
                }
                Ok(())
            })
        }
    }
    let (live, handle) = Stage::new(["ada", "bob"].map(honest)).stand().await;
    let options = JobOptions::default().retries(2);
    let job = handle.submit(Arc::new(Strict), numbers(3), options).await.unwrap();
    let outcome = Outcome::of(job).await;
    assert_eq!((outcome.end().why, outcome.end().failed), (JobEndReason::Finished, 3));
    let played = closed(live, &handle).await;
    let tried = |kind: &EventKind| matches!(kind, EventKind::TaskStarted { .. });
    assert_eq!(played.count(tried), 3 + 1 + 1, "with retries three times, without once");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_misses_nothing_and_holds_its_source_back() {
    let runtime = ScriptedRuntime::new().when(|_, _| Some(ScriptedAnswer::ok().stdout("0")));
    let stage = Stage::with_runtime(runtime, [honest("ada")]);
    let (live, handle) = stage.stand().await;
    let read = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&read);
    let source = (0..20_000u64).map(move |n| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(json!(n))
    });
    let worker = Arc::new(Hands { room: 50, ..Hands::default() });
    let job =
        handle.submit(worker, JobSource::Iterator(Box::new(source)), JobOptions::default()).await.unwrap();
    let done = |kind: &EventKind| matches!(kind, EventKind::TaskDone { .. });
    // All that was read is done, and no more is read.
    wait_for("the source to be left alone", || {
        let read = read.load(Ordering::Relaxed);
        read > 256 && live.kept.events().iter().filter(|event| done(&event.kind)).count() as u64 == read
    })
    .await;
    let before = read.load(Ordering::Relaxed);
    assert!(before < 5000, "{before} tasks were read ahead of their reader");
    let outcome = Outcome::of(job).await;
    assert_eq!((outcome.end().done, outcome.done.len()), (20_000, 20_000));
    closed(live, &handle).await;
}
