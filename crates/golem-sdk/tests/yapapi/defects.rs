//! Defects of yapapi that were found by reading it: each has a test that shows that we don't have it.

use std::sync::Arc;

use futures_util::TryStreamExt;
use golem_core::event::{Event, EventKind};
use golem_core::payload::Payload;
use golem_devnet::provider::{ApprovalManner, Behaviour};
use golem_sdk::executor::{Executor, Tasks};
use golem_sdk::{MemoryJournal, WorkContext, WorkerError};
use serde_json::{Value, json};
use tokio::time::sleep;
use yagna_api::market::Terminator;
use yagna_api::time::between;

use crate::played::{Played, is_accepted};
use crate::stage::{
    Outcome, Stage, TASK_TAKES, builder, client, do_one, honest, scripted, secs, seven_times, sevens,
};

#[tokio::test(start_paused = true)]
async fn events_carry_their_own_times() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1)).await;
    Outcome::of(stage.executor.submit(sevens, 0..3)).await.assert_sevens(0..3);
    let played = Played::of(stage).await;
    assert!(played.events.is_sorted_by_key(|event| event.at));
    let at = |is: fn(&EventKind) -> bool| -> Vec<_> {
        played.events.iter().filter(|event| is(&event.kind)).map(|event| event.at).collect()
    };
    let started = at(|kind| matches!(kind, EventKind::TaskStarted { .. }));
    let done = at(|kind| matches!(kind, EventKind::TaskDone { .. }));
    assert_eq!((started.len(), done.len()), (3, 3));
    for (started, done) in started.iter().zip(&done) {
        let took = between(*started, *done);
        assert!(took >= TASK_TAKES && took < TASK_TAKES + secs(5), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn float_properties_of_a_demand_arrive() {
    let own = [
        ("my.half", json!(0.5)),
        ("my.tiny", json!(1e-9)),
        ("my.whole", json!(7)),
        ("my.list", json!([0.25, 3])),
        ("my.flag", json!(true)),
        ("my.text", json!("zażółć")),
    ];
    let mut payload = Payload::default();
    for (name, value) in &own {
        payload.properties.set(*name, value.clone());
    }
    let devnet = crate::stage::devnet(scripted(), [honest("ada")]).start().await.unwrap();
    let executor = Executor::builder(payload)
        .client(client(&devnet))
        .clock(Arc::new(devnet.clock()))
        .subnet_tag("public")
        .start()
        .await
        .unwrap();
    let worker = |ctx: WorkContext, mut tasks: Tasks<&'static str, Option<Value>>| async move {
        while let Some(task) = tasks.next().await {
            // As the agreement says, which is what the provider has signed.
            let arrived = ctx.terms().await?.demand.properties.get(task.data()).cloned();
            task.accept_result(arrived).await;
        }
        Ok(())
    };
    let names = own.clone().map(|(name, _)| name);
    let done: Vec<_> = executor.submit(worker, names).try_collect().await.unwrap();
    assert_eq!(done.len(), own.len());
    for task in &done {
        let sent = &own.iter().find(|(name, _)| name == task.data()).unwrap().1;
        assert_eq!(task.result().as_ref(), Some(sent), "{}", task.data());
    }
    executor.close().await.unwrap();
}

/// A provider may approve long after everybody has stopped counting on it.
#[tokio::test(start_paused = true)]
async fn no_agreement_is_orphaned_whenever_its_approval_comes() {
    for late in [0, 10, 30, 58, 59, 60, 61, 62, 90, 119, 120, 121, 300] {
        let approval = ApprovalManner::After(secs(late));
        let slow = honest("slow").behaving(Behaviour { approval, ..Behaviour::default() });
        // With and without enough work to wait for it.
        for tasks in [2, 60] {
            let stage = Stage::on(scripted(), [slow.clone(), honest("ada")], |builder| builder).await;
            Outcome::of(stage.executor.submit(sevens, 0..tasks)).await.assert_sevens(0..tasks);
            // Nothing may be left open.
            let played = Played::of(stage).await;
            played.assert_all_paid();
            assert!(!played.agreements_with("slow").is_empty(), "it was never asked");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_agreement_whose_activity_failed_to_begin_is_settled() {
    let full = honest("full").behaving(Behaviour { fails_deploy: true, ..Behaviour::default() });
    let stage = Stage::on(scripted(), [full, honest("ada")], |builder| builder).await;
    Outcome::of(stage.executor.submit(sevens, 0..12)).await.assert_sevens(0..12);
    let played = Played::of(stage).await;
    played.assert_all_paid();
    let with_it = played.agreements_with("full");
    assert!(!with_it.is_empty());
    for agreement in with_it {
        let mut bills = played.books.invoices.iter().filter(|bill| bill.agreement == agreement.id);
        assert!(bills.all(is_accepted), "{:#?}", played.books.invoices);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_worker_ends_its_agreement_as_a_failure_and_not_as_cancelled() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let worker = |ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            if ctx.provider_name() == "bob" {
                return Err(WorkerError::other("the printer burns"));
            }
            do_one(&ctx, task).await?;
        }
        Ok(())
    };
    Outcome::of(stage.executor.submit(worker, 0..12)).await.assert_sevens(0..12);
    let played = Played::of(stage).await;
    let code = |name: &str| -> Vec<_> {
        let reasons = played.agreements_with(name).into_iter().map(|row| row.reason.clone().unwrap());
        reasons.map(|reason| (reason.message, reason.extra["golem.requestor.code"].clone())).collect()
    };
    assert!(code("bob").iter().all(|(message, code)| code == "ProviderFailed" && message.contains("burns")));
    assert!(!code("bob").is_empty());
    assert!(code("ada").iter().all(|(_, code)| code == "Success"), "{:?}", code("ada"));
}

#[tokio::test(start_paused = true)]
async fn two_executors_with_one_key_do_not_see_each_others_rentals() {
    let names = ["ada", "bob", "eve", "joe"];
    let one = Stage::with(&names, |builder| builder.max_workers(2)).await;
    let journal = Arc::new(MemoryJournal::new());
    let executor = builder(&one.devnet).max_workers(2).journal(Arc::clone(&journal) as _).start();
    let other = Stage { devnet: Arc::clone(&one.devnet), executor: executor.await.unwrap(), journal };
    let (first, second) = (one.executor.submit(sevens, 0..20), other.executor.submit(sevens, 100..120));
    let (first, second) = tokio::join!(Outcome::of(first), Outcome::of(second));
    first.assert_sevens(0..20);
    second.assert_sevens(100..120);
    let journals = [Arc::clone(&one.journal), Arc::clone(&other.journal)];
    let end = other.executor.close().await.unwrap();
    assert_eq!(end.unsettled, 0);
    one.close().await;
    for journal in journals {
        let events = journal.events();
        let mine = |wanted: &str| {
            events.iter().any(|event| {
                matches!(&event.kind, EventKind::AgreementCreated { agreement, .. } if agreement.as_str() == wanted)
            })
        };
        for Event { kind, .. } in &events {
            match kind {
                EventKind::BillReceived { rental: None, .. } | EventKind::BillRefused { .. } => {
                    panic!("another's bill: {kind:?}")
                }
                EventKind::AgreementEnded { agreement, .. } => assert!(mine(agreement.as_str()), "{kind:?}"),
                _ => {}
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_activity_is_over_before_its_agreement_ends() {
    let stage = Stage::new(&["ada", "bob", "eve"]).await;
    Outcome::of(stage.executor.submit(sevens, 0..12)).await.assert_sevens(0..12);
    let played = Played::of(stage).await;
    for name in ["ada", "bob", "eve"] {
        for rental in played.rentals_with(name) {
            let place = |is: &dyn Fn(&EventKind) -> bool| played.kinds().position(is);
            let activity =
                place(&|kind| matches!(kind, EventKind::ActivityEnded { rental: its, .. } if *its == rental));
            let agreement = place(&|kind| {
                matches!(kind, EventKind::AgreementEnded { rental: its, by: Terminator::Requestor, .. }
                    if *its == rental)
            });
            assert!(activity.is_some() && activity < agreement, "{activity:?} {agreement:?}");
        }
    }
}

/// The sockets of all transfers break again and again.
#[tokio::test(start_paused = true)]
async fn transfers_go_on_after_the_bus_broke() {
    let stage = Stage::with(&["ada", "bob"], |builder| builder.max_workers(2).retries(5)).await;
    let worker = |mut ctx: WorkContext, mut tasks: Tasks<u64, usize>| async move {
        while let Some(task) = tasks.next().await {
            ctx.send_bytes(vec![7; 3_000_000], "/golem/work/in");
            ctx.run("work", ["1"]);
            let back = ctx.download_bytes("/golem/work/in", 3_000_000);
            let done = ctx.commit(secs(120)).await?;
            let len = done.bytes(back)?.len();
            task.accept_result(len).await;
        }
        Ok(())
    };
    let submitted = stage.executor.submit(worker, 0..12);
    stage.until_seen(1, |kind| matches!(kind, EventKind::TaskStarted { .. })).await;
    let breaking = async {
        for pause in [1, 3, 4, 7] {
            sleep(secs(pause)).await;
            stage.devnet.faults().restart(std::time::Duration::from_millis(300));
        }
    };
    let ((), done) = tokio::join!(breaking, submitted.try_collect::<Vec<_>>());
    let done = done.unwrap();
    assert_eq!(done.len(), 12);
    assert!(done.iter().all(|task| *task.result() == 3_000_000));
    // As if nothing had been: the same executor goes on to work.
    let worker = |ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            let result = seven_times(&ctx, *task.data()).await?;
            task.accept_result(result).await;
        }
        Ok(())
    };
    Outcome::of(stage.executor.submit(worker, 0..4)).await.assert_sevens(0..4);
    Played::of(stage).await.assert_all_paid();
}
