//! The events that consumers of an executor get: descriptions, details, the number of missed ones, the time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use golem_core::event::{Event, EventKind, TaskId};
use golem_devnet::runtime::ScriptedAnswer;
use golem_sdk::EventConsumer;
use golem_sdk::consumer::detailed;
use golem_sdk::executor::Tasks;
use golem_sdk::{Script, WorkContext};
use yagna_api::Timestamp;

use crate::stage::{Outcome, Stage, do_one, honest, scripted, secs, sevens};

type Heard = Arc<Mutex<Vec<Event>>>;

fn hear(heard: &Heard) -> impl FnMut(&Event) + Send + use<> {
    let heard = Arc::clone(heard);
    move |event: &Event| heard.lock().unwrap().push(event.clone())
}

fn names(heard: &Heard) -> Vec<&'static str> {
    heard.lock().unwrap().iter().map(|event| event.kind.name()).collect()
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_details_sees_each_script_and_its_commands_and_nobody_stores_them() {
    let (all, plain) = (Heard::default(), Heard::default());
    let failing = scripted().on("refuse", &[], ScriptedAnswer::exit(1).stderr("never"));
    let stage = Stage::on(failing, [honest("ada")], |builder| {
        builder.max_workers(1).event_consumer(detailed(hear(&all))).event_consumer(hear(&plain))
    })
    .await;
    let worker = |mut ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            ctx.run("work", [task.data().to_string()]);
            ctx.commit(secs(60)).await?;
            // A whole script is one too, and so is one that fails.
            ctx.execute(Script::new().run("refuse", [""; 0]), secs(60)).await?;
            do_one(&ctx, task).await?;
        }
        Ok(())
    };
    Outcome::of(stage.executor.submit(worker, 0..2)).await.assert_sevens(0..2);
    let journal = Arc::clone(&stage.journal);
    stage.close().await;
    assert!(journal.events().iter().all(|event| !event.kind.is_detail()), "details aren't stored");
    assert_eq!(*plain.lock().unwrap(), journal.events(), "who didn't ask gets none");

    let scripts: Vec<_> = names(&all).into_iter().filter(|name| name.starts_with("script_")).collect();
    // The start, and three for each task.
    assert_eq!(scripts, ["script_sent", "script_finished"].repeat(1 + 3 * 2));
    let all = all.lock().unwrap();
    let sent: Vec<_> = all
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::ScriptSent { commands, .. } => Some(commands.join(", ")),
            _ => None,
        })
        .collect();
    assert_eq!(&sent[..2], ["deploy, start", "work 0"]);
    let printed = all.iter().any(|event| {
        matches!(&event.kind, EventKind::CommandFinished { stdout, failure: None, place: 0, .. } if stdout == "7")
    });
    assert!(printed, "{all:#?}");
    let failed = |event: &&Event| matches!(&event.kind, EventKind::CommandFinished { failure: Some(_), command, stderr, .. } if command == "refuse" && stderr == "never");
    assert_eq!(all.iter().filter(failed).count(), 2, "{all:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_comes_later_hears_of_what_follows() {
    let late = Heard::default();
    let stage = Stage::new(&["ada"]).await;
    Outcome::of(stage.executor.submit(sevens, 0..2)).await.assert_sevens(0..2);
    stage.executor.add_event_consumer(hear(&late));
    Outcome::of(stage.executor.submit(sevens, 2..4)).await.assert_sevens(2..4);
    let journal = Arc::clone(&stage.journal);
    stage.close().await;
    let late = late.lock().unwrap();
    assert!(journal.events().ends_with(&late), "{late:#?}");
    let done: Vec<_> = late
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::TaskDone { attempt, .. } => Some(attempt.task),
            _ => None,
        })
        .collect();
    assert_eq!(done, [TaskId(2), TaskId(3)]);
    assert!(matches!(late.last().unwrap().kind, EventKind::AllocationReleased { .. }));
}

/// Looks at the clock, and is slow as long as it is told to.
struct Watcher {
    ticks: Arc<Mutex<Vec<Timestamp>>>,
    missed: Arc<AtomicU64>,
    heard: Arc<AtomicU64>,
}

impl EventConsumer for Watcher {
    fn on_event(&mut self, _: &Event) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    fn on_missed(&mut self, events: u64) {
        self.missed.fetch_add(events, Ordering::Relaxed);
    }

    fn on_tick(&mut self, now: Timestamp) {
        self.ticks.lock().unwrap().push(now);
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_is_told_the_time_where_nothing_happens() {
    let (ticks, missed, heard) = (Arc::default(), Arc::default(), Arc::default());
    let watcher =
        Watcher { ticks: Arc::clone(&ticks), missed: Arc::clone(&missed), heard: Arc::clone(&heard) };
    let stage = Stage::with(&["ada"], |builder| builder.event_consumer(watcher)).await;
    let before = ticks.lock().unwrap().len();
    tokio::time::sleep(secs(30)).await;
    let seen: Vec<Timestamp> = ticks.lock().unwrap()[before..].to_vec();
    assert!((25..=35).contains(&seen.len()), "{seen:?}");
    assert!(seen.is_sorted());
    let journal = Arc::clone(&stage.journal);
    stage.close().await;
    let total = heard.load(Ordering::Relaxed) + missed.load(Ordering::Relaxed);
    assert_eq!(total, journal.events().len() as u64);
}

struct Frame(u64);

#[tokio::test(start_paused = true)]
async fn tasks_are_called_what_the_user_calls_them_and_cut_where_that_is_long() {
    let stage = Stage::new(&["ada"]).await;
    let worker = |_: WorkContext, mut tasks: Tasks<Frame, u64>| async move {
        while let Some(task) = tasks.next().await {
            let n = task.data().0;
            if n < 2 {
                tasks.add(Frame(n + 10)).await;
            }
            task.accept_result(n).await;
        }
        Ok(())
    };
    let long = |frame: &Frame| match frame.0 {
        1 => panic!("no name for it"),
        n => format!("frame {n} {}", "é".repeat(300)),
    };
    let submitted = stage.executor.job((0..2).map(Frame)).described(long).submit(worker);
    assert_eq!(Outcome::of(submitted).await.done.len(), 4);
    // Numbers need no name.
    Outcome::of(stage.executor.submit(sevens, [77])).await.assert_sevens([77]);
    let journal = Arc::clone(&stage.journal);
    stage.close().await;
    let mut called: Vec<_> = journal
        .events()
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::TaskAdded { data, .. } => Some(data["description"].as_str().map(str::to_owned)),
            _ => None,
        })
        .collect();
    called.sort();
    assert_eq!(called.len(), 5, "{called:?}");
    assert_eq!(called[0], None, "a name that can't be made costs nothing else");
    for (described, start) in called[1..].iter().zip(["77", "frame 0 ", "frame 10 ", "frame 11 "]) {
        let described = described.as_deref().unwrap();
        assert!(described.starts_with(start), "{called:?}");
        assert!(described.chars().count() <= 201, "{described}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_jobs_own_retries_and_time_out_count_before_the_executors() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1).retries(5)).await;
    let worker = |_: WorkContext, mut tasks: Tasks<u64, u64>| async move {
        while let Some(task) = tasks.next().await {
            task.reject_result("no", true).await;
        }
        Ok(())
    };
    let outcome = Outcome::of(stage.executor.job([1_u64]).retries(1).submit(worker)).await;
    assert_eq!(outcome.error().failed()[0].attempts(), 2);
    let outcome = Outcome::of(stage.executor.job(0..100).timeout(secs(60)).submit(sevens)).await;
    let said = outcome.error().to_string();
    assert!(said.starts_with("the timeout of 60s passed"), "{said}");
    stage.close().await;
}
