//! Whole runs of yapapi's integration tests, as far as they need neither services nor networks.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::TryStreamExt;
use golem_core::event::{Attempt, EventKind, FailureKind, StopReason};
use golem_devnet::provider::{Prices, ProviderConfig};
use golem_devnet::runtime::ScriptedAnswer;
use golem_sdk::executor::{EndCause, Tasks};
use golem_sdk::{LeastExpensive, PriceCaps, ScriptError, WorkContext, WorkerError};
use tokio::time::{Instant, sleep};
use yagna_api::Glm;
use yagna_api::market::AgreementState;

use crate::played::{Played, agreements_with, is_accepted};
use crate::stage::{
    Outcome, Stage, TASK_TAKES, do_one, honest, scripted, secs, seven_times, sevens, wait_for,
};

#[tokio::test(start_paused = true)]
async fn after_a_failed_command_its_agreement_gets_no_further_task() {
    let fails_once = AtomicUsize::new(0);
    let runtime = golem_devnet::runtime::ScriptedRuntime::new().when(move |program, args| {
        let n: u64 = args.first().filter(|_| program == "work")?.parse().ok()?;
        if n == 3 && fails_once.fetch_add(1, Ordering::Relaxed) == 0 {
            return Some(ScriptedAnswer::exit(1).stderr("out of ink\n"));
        }
        Some(ScriptedAnswer::ok().taking(TASK_TAKES).stdout((n * 7).to_string()))
    });
    let stage = Stage::on(runtime, ["ada", "bob"].map(honest), |builder| builder).await;
    let worker = |mut ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            let work = ctx.run("work", [task.data().to_string()]);
            // A failure ends the worker.
            let done = ctx.commit(secs(60)).await?;
            task.accept_result(done[work].stdout().into_owned()).await;
        }
        Ok(())
    };
    Outcome::of(stage.executor.submit(worker, 0..12)).await.assert_sevens(0..12);
    let played = Played::of(stage).await;
    played.assert_all_paid();
    let failed = played.events.iter().position(|event| {
        matches!(&event.kind, EventKind::AttemptFailed { failure, .. }
            if failure.kind == FailureKind::CommandFailed && failure.stderr == "out of ink\n")
    });
    let failed = failed.unwrap_or_else(|| panic!("no attempt failed: {:#?}", played.events));
    let EventKind::AttemptFailed { rental: broken, attempt, .. } = &played.events[failed].kind else {
        panic!("another kind")
    };
    let mut ended = None;
    for event in &played.events[failed..] {
        match &event.kind {
            EventKind::TaskStarted { rental, .. } => assert_ne!(rental, broken, "it was given another task"),
            EventKind::AgreementEnded { rental, reason, .. } if rental == broken => ended = Some(reason),
            _ => {}
        }
    }
    let code = &ended.unwrap().extra["golem.requestor.code"];
    assert_eq!(code, "ProviderFailed", "a failure is no cancellation");
    let again = Attempt { number: 2, ..*attempt };
    let done = |kind: &EventKind| matches!(kind, EventKind::TaskDone { attempt, .. } if *attempt == again);
    assert_eq!(played.count(done), 1);
}

/// The results of one job are the tasks of the next; one worker of the first job fails, once.
#[tokio::test(start_paused = true)]
async fn in_a_pipeline_of_two_jobs_a_worker_that_fails_once_costs_one_agreement() {
    let stage = Stage::with(&["ada", "bob", "eve"], |builder| builder.max_workers(2)).await;
    let has_failed = Arc::new(AtomicUsize::new(0));
    let fails = Arc::clone(&has_failed);
    let first = move |ctx: WorkContext, mut tasks: Tasks<u64, String>| {
        let fails = Arc::clone(&fails);
        async move {
            while let Some(task) = tasks.next().await {
                let result = seven_times(&ctx, *task.data()).await?;
                if fails.fetch_add(1, Ordering::Relaxed) == 2 {
                    return Err(WorkerError::other("tripped over a cable"));
                }
                task.accept_result(result).await;
            }
            Ok(())
        }
    };
    let first = stage.executor.submit(first, 0..8);
    let numbers = first.map_ok(|task| task.result().parse::<u64>().unwrap());
    let second = stage.executor.submit_try_stream(sevens, numbers);
    Outcome::of(second).await.assert_sevens((0..8).map(|n| n * 7));
    let played = Played::of(stage).await;
    played.assert_all_paid();
    assert!(has_failed.load(Ordering::Relaxed) > 3);
    let failed = |kind: &EventKind| matches!(kind, EventKind::ActivityEnded { failure: Some(failure), .. } if failure.contains("tripped"));
    assert_eq!(played.count(failed), 1);
    // Two to begin with, and one for that which failed.
    assert_eq!(played.books.agreements.len(), 3, "{:#?}", played.books.agreements);
    assert_eq!(played.end.done, 16);
}

#[tokio::test(start_paused = true)]
async fn several_workers_in_turn_share_one_agreement_and_one_invoice() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1)).await;
    // Each worker does two tasks, then wants a fresh machine.
    let worker = |ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        for _ in 0..2 {
            let Some(task) = tasks.next().await else { break };
            do_one(&ctx, task).await?;
        }
        Ok(())
    };
    Outcome::of(stage.executor.submit(worker, 0..8)).await.assert_sevens(0..8);
    let played = Played::of(stage).await;
    played.assert_all_paid();
    let books = &played.books;
    assert_eq!(books.agreements.len(), 1, "{:#?}", books.agreements);
    assert!(books.activities.len() >= 4, "{:#?}", books.activities);
    assert_eq!(books.invoices.len(), 1, "{:#?}", books.invoices);
    assert_eq!(books.invoices[0].amount, played.end.cost, "it covers them all, and nothing is paid twice");
    assert_eq!(played.count(|kind| matches!(kind, EventKind::ProviderSetBack { .. })), 0);
}

#[tokio::test(start_paused = true)]
async fn a_power_outage_moves_its_tasks_and_is_told_as_unsettled() {
    let stage = Stage::new(&["ada", "bob", "eve"]).await;
    let submitted = stage.executor.submit(sevens, 0..30);
    stage.until_seen(6, |kind| matches!(kind, EventKind::TaskDone { .. })).await;
    let eve = stage.devnet.provider("eve").unwrap().clone();
    eve.kill();
    let begun = Instant::now();
    Outcome::of(submitted).await.assert_sevens(0..30);
    assert!(begun.elapsed() < secs(120), "{:?}", begun.elapsed());
    let (devnet, journal) = (Arc::clone(&stage.devnet), Arc::clone(&stage.journal));
    let end = stage.executor.close().await.unwrap();
    assert_eq!((end.done, end.unsettled), (30, 1), "its invoice never comes: {end:?}");
    let books = devnet.books();
    assert_eq!(books.open_agreements().count(), 0);
    assert!(books.allocations.iter().all(|row| row.released));
    let lost = agreements_with(&devnet, &books, "eve");
    let named: Vec<_> = journal
        .events()
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::BillMissing { agreement, .. } => Some(agreement),
            _ => None,
        })
        .collect();
    assert_eq!(named, [lost[0].id.clone()]);
    let others = books.invoices.iter().filter(|bill| bill.agreement != lost[0].id);
    assert_eq!(others.filter(|bill| is_accepted(bill)).count(), 2, "{:#?}", books.invoices);
}

/// Each provider gets one task; when all have had theirs, the user stops the rest.
#[tokio::test(start_paused = true)]
async fn one_task_for_each_provider_and_then_ctrl_c() {
    let names = ["ada", "bob", "eve", "joe", "kim", "lea"];
    let stage = Stage::with(&names, |builder| builder.max_workers(3)).await;
    let scanned = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&scanned);
    let worker = move |ctx: WorkContext, mut tasks: Tasks<u64, String>| {
        let seen = Arc::clone(&seen);
        async move {
            if seen.lock().unwrap().contains(ctx.provider_name()) {
                return Err(WorkerError::other("it was scanned before"));
            }
            if let Some(task) = tasks.next().await {
                let result = seven_times(&ctx, *task.data()).await?;
                seen.lock().unwrap().insert(ctx.provider_name().to_owned());
                task.accept_result(result).await;
            }
            // Left alone for a while: the next task goes to somebody else.
            Err(WorkerError::other("one is enough"))
        }
    };
    let mut submitted = stage.executor.submit(worker, 0..);
    let mut by = Vec::new();
    while by.len() < names.len() {
        by.push(submitted.try_next().await.unwrap().unwrap().provider().name.clone());
    }
    by.sort_unstable();
    assert_eq!(by, names);
    let begun = Instant::now();
    stage.executor.stop();
    let outcome = Outcome::of(submitted).await;
    assert!(matches!(outcome.error().cause(), EndCause::Cancelled), "{:?}", outcome.error());
    assert!(outcome.error().more_in_source());
    let played = Played::of(stage).await;
    assert!(begun.elapsed() < secs(60), "{:?}", begun.elapsed());
    assert_eq!(played.end.why, StopReason::Cancelled);
    played.assert_all_paid();
}

#[tokio::test(start_paused = true)]
async fn usage_of_an_activity_only_grows() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1)).await;
    let worker = |ctx: WorkContext, mut tasks: Tasks<u64, Vec<[f64; 2]>>| async move {
        while let Some(task) = tasks.next().await {
            let mut seen = Vec::new();
            for _ in 0..5 {
                seven_times(&ctx, *task.data()).await?;
                let usage = ctx.usage().await?;
                seen.push([usage.duration().unwrap_or_default(), usage.cpu().unwrap_or_default()]);
            }
            task.accept_result(seen).await;
        }
        Ok(())
    };
    let done: Vec<_> = stage.executor.submit(worker, [1, 2]).try_collect().await.unwrap();
    for task in &done {
        for pair in task.result().windows(2) {
            assert!(pair[0][0] < pair[1][0] && pair[0][1] <= pair[1][1], "{:?}", task.result());
        }
        let [first, .., last] = task.result().as_slice() else { panic!("five were taken") };
        assert!(last[1] - first[1] > 15.0, "four commands of five seconds each: {:?}", task.result());
    }
    Played::of(stage).await.assert_all_paid();
}

/// A runtime of the provider's own counts what it likes, and asks a price for it.
#[tokio::test(start_paused = true)]
async fn a_usage_counter_of_the_providers_own_grows_and_is_paid() {
    const PAGES: &str = "golem.usage.custom.pages";
    let runtime = golem_devnet::runtime::ScriptedRuntime::new().on(
        "print",
        &[],
        ScriptedAnswer::ok().taking(TASK_TAKES).counting(PAGES, 3),
    );
    let price: Glm = "0.01".parse().unwrap();
    let printer = ProviderConfig::new("ada").priced(Prices::per_hour("0", "0", "0").unwrap());
    let stage = Stage::on(runtime, [printer.counting(PAGES, price)], |builder| {
        // A cost that nobody can bound needs to be allowed.
        builder.max_workers(1).strategy(LeastExpensive::new(PriceCaps::none()))
    })
    .await;
    let worker = |mut ctx: WorkContext, mut tasks: Tasks<u64, (f64, Glm)>| async move {
        while let Some(task) = tasks.next().await {
            ctx.run("print", [""; 0]);
            ctx.commit(secs(60)).await?;
            // It is reported each second.
            sleep(secs(2)).await;
            let pages = ctx.usage().await?.get(PAGES).unwrap_or_default();
            let cost = ctx.cost().await?;
            task.accept_result((pages, cost)).await;
        }
        Ok(())
    };
    let done: Vec<_> = stage.executor.submit(worker, 0..4).try_collect().await.unwrap();
    let told: Vec<_> =
        done.iter().map(|task| (task.result().0.to_string(), task.result().1.to_string())).collect();
    let expected = [("3", "0.03"), ("6", "0.06"), ("9", "0.09"), ("12", "0.12")];
    assert_eq!(told, expected.map(|(pages, cost)| (pages.to_owned(), cost.to_owned())));
    let played = Played::of(stage).await;
    played.assert_all_paid();
    assert_eq!(played.end.cost.to_string(), "0.12");
}

/// It is refused while its only provider is busy with another executor's work, and comes again.
#[tokio::test(start_paused = true)]
async fn who_is_refused_negotiates_anew_when_the_provider_is_free() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1)).await;
    let first = stage.executor.submit(sevens, 0..12);
    stage.until_seen(1, |kind| matches!(kind, EventKind::TaskStarted { .. })).await;
    let journal = Arc::new(golem_sdk::MemoryJournal::new());
    let builder = crate::stage::builder(&stage.devnet).journal(Arc::clone(&journal) as _);
    let executor = builder.start().await.unwrap();
    let waiting = Stage { devnet: Arc::clone(&stage.devnet), executor, journal };
    let second = waiting.executor.submit(sevens, 100..104);
    let (first, second) = tokio::join!(
        async {
            let first = Outcome::of(first).await;
            (first, Instant::now())
        },
        async {
            let second = Outcome::of(second).await;
            (second, Instant::now())
        }
    );
    first.0.assert_sevens(0..12);
    second.0.assert_sevens(100..104);
    let refused = |kind: &EventKind| {
        matches!(kind, EventKind::RefusedByProvider { .. } | EventKind::AgreementFailed { .. })
    };
    assert!(waiting.count(refused) > 0, "{:#?}", waiting.journal.events());
    // The first one lets go within half a minute, and no minute passes before the other is there.
    assert!(second.1 - first.1 < secs(30 + 60 + 40), "{:?}", second.1 - first.1);
    let devnet = Arc::clone(&stage.devnet);
    waiting.executor.close().await.unwrap();
    stage.close().await;
    let approved =
        devnet.books().agreements.into_iter().filter(|row| row.state == AgreementState::Terminated);
    assert_eq!(approved.count(), 2);
}

/// A worker may go on after a command that failed: the activity is as good as it was.
#[tokio::test(start_paused = true)]
async fn a_worker_that_catches_a_failed_command_goes_on_with_the_same_activity() {
    let runtime = scripted().on("fail", &[], ScriptedAnswer::exit(3));
    let stage = Stage::on(runtime, [honest("ada")], |builder| builder.max_workers(1)).await;
    let worker = |mut ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            ctx.run("fail", [""; 0]);
            match ctx.commit(secs(60)).await {
                Err(ScriptError::CommandFailed(failure)) if failure.exit_code == Some(3) => {}
                other => return Err(WorkerError::other(format!("{other:?}"))),
            }
            do_one(&ctx, task).await?;
        }
        Ok(())
    };
    Outcome::of(stage.executor.submit(worker, 0..4)).await.assert_sevens(0..4);
    wait_for("the agreement to end", || stage.devnet.books().open_agreements().next().is_none()).await;
    sleep(secs(5)).await;
    let played = Played::of(stage).await;
    played.assert_all_paid();
    assert_eq!((played.books.agreements.len(), played.books.activities.len()), (1, 1));
}
