//! The ends of jobs and executors: time-outs, budgets, dropped streams, dropped executors, stops.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use golem_core::event::{Event, EventKind, StopReason};
use golem_devnet::provider::{Prices, ProviderConfig};
use golem_sdk::executor::{CloseError, EndCause};
use golem_sdk::{Journal, JournalError, LeastExpensive, MemoryJournal, RunError};
use tokio::time::{Instant, sleep};

use crate::stage::{Outcome, Stage, assert_all_ended, per_hour, scripted, secs, sevens, wait_for};

#[tokio::test(start_paused = true)]
async fn a_time_out_is_an_error_that_lists_the_unfinished() {
    let stage = Stage::with(&["ada", "bob"], |builder| builder.timeout(secs(60))).await;
    let begun = Instant::now();
    let outcome = Outcome::of(stage.executor.submit(sevens, 0..500)).await;
    assert!(begun.elapsed() >= secs(59) && begun.elapsed() < secs(62), "{:?}", begun.elapsed());
    let error = outcome.error();
    assert!(matches!(error.cause(), EndCause::TimedOut { timeout } if *timeout == secs(60)), "{error:?}");
    assert!(!outcome.done.is_empty());
    let mut all: Vec<u64> =
        outcome.done.iter().map(|task| *task.data()).chain(error.unfinished().copied()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..500).collect::<Vec<_>>(), "each is either finished or listed");
    assert!(!error.more_in_source());
    assert!(error.to_string().contains(&format!("{} unfinished", error.unfinished().len())), "{error}");
    let late = Outcome::of(stage.executor.submit(sevens, 0..3)).await;
    assert_eq!(late.error().unfinished().len(), 3, "the time-out is for all jobs together");
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_time_out_with_a_source_without_end_says_that_there_is_more() {
    let stage = Stage::with(&["ada"], |builder| builder.timeout(secs(30))).await;
    let outcome = Outcome::of(stage.executor.submit(sevens, 0..)).await;
    assert!(outcome.error().more_in_source());
    assert!(outcome.error().to_string().contains("more in the source"), "{}", outcome.error());
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_for_which_nothing_can_run_says_why() {
    let stage = Stage::with(&["ada"], |builder| {
        builder
            .configure(|config| config.idle_timeout = secs(120))
            .strategy(LeastExpensive::new(per_hour("0.0001")))
    })
    .await;
    let outcome = Outcome::of(stage.executor.submit(sevens, 0..3)).await;
    let EndCause::NothingRuns { explanation: Some(why) } = outcome.error().cause() else {
        panic!("{:?}", outcome.error())
    };
    assert_eq!((why.offers, why.refused_by_us.len()), (1, 1), "{why}");
    assert!(outcome.error().to_string().contains("above the cap"), "{}", outcome.error());
    assert_eq!(outcome.error().unfinished().len(), 3);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn two_jobs_never_pass_their_one_budget_and_say_that_it_is_used_up() {
    // A thousandth of a GLM each second.
    let dear = |name| ProviderConfig::new(name).priced(Prices::per_hour("0", "0", "3.6").unwrap());
    let stage = Stage::on(scripted(), ["ada", "bob"].map(dear), |builder| builder.budget("0.6")).await;
    let (first, second) = (stage.executor.submit(sevens, 0..300), stage.executor.submit(sevens, 0..300));
    let (first, second) = tokio::join!(Outcome::of(first), Outcome::of(second));
    for outcome in [first, second] {
        let error = outcome.error();
        assert!(matches!(error.cause(), EndCause::BudgetReached { .. }), "{error:?}");
        assert_eq!(outcome.done.len() + error.unfinished().len(), 300);
        assert!(error.to_string().starts_with("the budget of 0.6 GLM is used up"), "{error}");
    }
    let after = Outcome::of(stage.executor.submit(sevens, 0..2)).await;
    assert!(matches!(after.error().cause(), EndCause::BudgetReached { .. }), "{:?}", after.error());
    assert_eq!(after.error().unfinished().len(), 2);
    let end = stage.close().await;
    assert_eq!(end.why, StopReason::BudgetReached);
    assert!(end.cost <= "0.6".parse().unwrap(), "{}", end.cost);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_cancels_its_job_and_no_other() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let mut dropped = stage.executor.submit(sevens, 0..300);
    let other = stage.executor.submit(sevens, 1000..1010);
    for _ in 0..3 {
        dropped.try_next().await.unwrap().unwrap();
    }
    let begun = Instant::now();
    drop(dropped);
    stage.until_seen(1, |kind| matches!(kind, EventKind::JobEnded { .. })).await;
    assert!(begun.elapsed() < secs(5), "{:?}", begun.elapsed());
    Outcome::of(other).await.assert_sevens(1000..1010);
    let end = stage.close().await;
    assert!(end.done < 40, "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_callers_loop_leaves_nothing_open() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let devnet = Arc::clone(&stage.devnet);
    let program = async move {
        let mut done = stage.executor.submit(sevens, 0..300);
        while let Ok(Some(task)) = done.try_next().await {
            if *task.data() > 2 {
                return Err("the caller's own error");
            }
        }
        Ok(())
    };
    // The executor and its stream are dropped on the way out.
    assert!(program.await.is_err());
    let begun = Instant::now();
    wait_for("the money to be given back", || devnet.books().allocations.iter().all(|row| row.released))
        .await;
    assert!(begun.elapsed() < secs(200), "{:?}", begun.elapsed());
    assert_all_ended(&devnet).await;
}

#[tokio::test(start_paused = true)]
async fn an_executor_without_work_soon_holds_no_agreement() {
    let stage = Stage::new(&["ada", "bob"]).await;
    Outcome::of(stage.executor.submit(sevens, 0..6)).await.assert_sevens(0..6);
    let begun = Instant::now();
    wait_for("the agreements to end", || stage.devnet.books().open_agreements().next().is_none()).await;
    assert!(begun.elapsed() < secs(45), "{:?}", begun.elapsed());
    Outcome::of(stage.executor.submit(sevens, 0..3)).await.assert_sevens(0..3);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn closing_ends_jobs_that_still_go_on() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let mut submitted = stage.executor.submit(sevens, 0..300);
    submitted.try_next().await.unwrap().unwrap();
    let end = stage.close().await;
    assert_eq!(end.why, StopReason::Closed);
    let outcome = Outcome::of(submitted).await;
    assert!(matches!(outcome.error().cause(), EndCause::Closed), "{:?}", outcome.error());
    assert_eq!(1 + outcome.done.len() + outcome.error().unfinished().len(), 300);
    assert_eq!(end.done, 1 + outcome.done.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_everything_in_order() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let submitted = stage.executor.submit(sevens, 0..300);
    stage.until_seen(2, |kind| matches!(kind, EventKind::TaskDone { .. })).await;
    let begun = Instant::now();
    stage.executor.stop();
    let outcome = Outcome::of(submitted).await;
    assert!(matches!(outcome.error().cause(), EndCause::Cancelled), "{:?}", outcome.error());
    assert!(begun.elapsed() < secs(20), "{:?}", begun.elapsed());
    assert_eq!(stage.close().await.why, StopReason::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn leaving_ends_at_once() {
    let stage = Stage::new(&["ada"]).await;
    let submitted = stage.executor.submit(sevens, 0..300);
    stage.until_seen(1, |kind| matches!(kind, EventKind::TaskDone { .. })).await;
    let begun = Instant::now();
    stage.executor.leave();
    let outcome = Outcome::of(submitted).await;
    assert!(matches!(outcome.error().cause(), EndCause::Broken { .. }), "{:?}", outcome.error());
    let left = stage.executor.close().await;
    assert!(matches!(left, Err(CloseError::Left)), "{left:?}");
    assert!(begun.elapsed() < secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_was_never_used_costs_nothing() {
    let stage = Stage::new(&["ada"]).await;
    sleep(secs(600)).await;
    assert!(stage.devnet.books().agreements.is_empty());
    let end = stage.close().await;
    assert!(end.cost.is_zero() && end.done == 0, "{end:?}");
}

/// Can't be written to once the first task is done.
#[derive(Debug, Default)]
struct Full(MemoryJournal);

impl Journal for Full {
    fn commit<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            if events.iter().any(|event| matches!(event.kind, EventKind::TaskDone { .. })) {
                return Err(JournalError { place: "the disk".into(), source: "it is full".into() });
            }
            self.0.commit(events).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_breaks_tells_every_job_why() {
    let stage = Stage::with(&["ada", "bob"], |builder| builder.journal(Arc::new(Full::default()))).await;
    let submitted = stage.executor.submit(sevens, 0..20);
    let outcome = Outcome::of(submitted).await;
    let error = outcome.error();
    let EndCause::Broken { problem } = error.cause() else { panic!("{error:?}") };
    assert!(problem.contains("the disk") && problem.contains("it is full"), "{problem}");
    assert_eq!((outcome.done.len(), error.unfinished().len()), (0, 20));
    let late = Outcome::of(stage.executor.submit(sevens, 0..2)).await;
    assert_eq!(late.error().unfinished().len(), 2);
    let ended = stage.try_close().await;
    assert!(matches!(ended, Err(CloseError::Run(RunError::Journal(_)))), "{ended:?}");
}

/// A signal is for the whole process: one test at a time.
#[cfg(unix)]
static SIGNALS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// As if the user did.
#[cfg(unix)]
async fn press_ctrl_c() {
    let pid = std::process::id().to_string();
    let sent = tokio::process::Command::new("kill").args(["-INT", &pid]).status().await.unwrap();
    assert!(sent.success());
}

/// In real time: the signal comes from outside.
#[cfg(unix)]
#[tokio::test]
async fn the_first_ctrl_c_ends_everything_in_order() {
    let _alone = SIGNALS.lock().await;
    let stage = Stage::with(&["ada"], |builder| {
        builder.stop_on_ctrl_c().configure(|config| {
            config.selection_window = std::time::Duration::from_millis(50);
            config.stop_grace = std::time::Duration::from_millis(200);
        })
    })
    .await;
    let submitted = stage.executor.submit(sevens, 0..300);
    stage.until_seen(1, |kind| matches!(kind, EventKind::TaskStarted { .. })).await;
    let begun = Instant::now();
    press_ctrl_c().await;
    let outcome = Outcome::of(submitted).await;
    assert!(matches!(outcome.error().cause(), EndCause::Cancelled), "{:?}", outcome.error());
    assert!(begun.elapsed() < secs(10), "{:?}", begun.elapsed());
    assert_eq!(stage.close().await.why, StopReason::Cancelled);
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_ctrl_c_leaves_at_once() {
    let _alone = SIGNALS.lock().await;
    let stage = Stage::with(&["ada"], |builder| {
        builder
            .stop_on_ctrl_c()
            .configure(|config| config.selection_window = std::time::Duration::from_millis(50))
    })
    .await;
    let submitted = stage.executor.submit(sevens, 0..300);
    stage.until_seen(1, |kind| matches!(kind, EventKind::TaskStarted { .. })).await;
    // Whoever waits for it waits long.
    stage.devnet.provider("ada").unwrap().freeze();
    let begun = Instant::now();
    press_ctrl_c().await;
    stage.until_seen(1, |kind| matches!(kind, EventKind::Stopping { why: StopReason::Cancelled })).await;
    press_ctrl_c().await;
    let left = stage.executor.close().await;
    assert!(matches!(left, Err(CloseError::Left)), "{left:?}");
    assert!(begun.elapsed() < secs(4), "{:?}", begun.elapsed());
    assert!(Outcome::of(submitted).await.error.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_error_in_a_scope_ends_everything_before_it_is_returned() {
    let Stage { devnet, executor, .. } = Stage::new(&["ada", "bob"]).await;
    let enough: Result<((), _), Box<dyn std::error::Error>> = executor
        .scope(async |executor| {
            let mut done = executor.submit(sevens, 0..100);
            while let Some(task) = done.try_next().await? {
                if *task.data() == 5 {
                    return Err("that is enough".into());
                }
            }
            Ok(())
        })
        .await;
    assert_eq!(enough.unwrap_err().to_string(), "that is enough");
    // Not a moment later: whatever was begun is over already.
    assert_eq!(devnet.books().open_agreements().count(), 0);
    assert!(devnet.books().allocations.iter().all(|row| row.released));
    assert_all_ended(&devnet).await;
}

#[tokio::test(start_paused = true)]
async fn a_scope_gives_what_its_work_gave_and_how_it_all_went() {
    let Stage { devnet, executor, .. } = Stage::new(&["ada"]).await;
    let (outcome, end) = executor
        .scope(async |executor| Ok::<_, CloseError>(Outcome::of(executor.submit(sevens, 0..3)).await))
        .await
        .unwrap();
    outcome.assert_sevens(0..3);
    assert_eq!((end.done, end.unsettled, end.why), (3, 0, StopReason::Closed));
    assert_all_ended(&devnet).await;
}
