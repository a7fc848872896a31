//! A requestor's daemon that is killed and started again: what it keeps, what it forgets, and runs that go on.
//!
//! Each scenario has daemons of its own on the third ground, so they cost more than all others.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join};
use golem_core::event::{EventKind, RunEnd, StopReason, TaskOutput};
use golem_core::payload::Payload;
use golem_core::run::RunConfig;
use golem_devnet::provider::{Prices, ProviderConfig};
use golem_sdk::{
    MemoryJournal, Run, RunOptions, Script, SystemClock, Tasks, WorkContext, Worker, WorkerError,
};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use yagna_api::identity::GetMe;
use yagna_api::market::{AgreementState, GetAgreement, ListDemands, TerminateAgreement, Unsubscribe};
use yagna_api::payment::{
    BillStatus, EventFilter, GetInvoice, Invoice, ListAllocations, ListInvoices, PollInvoiceEvents,
    ReleaseAllocation,
};
use yagna_api::{AppSessionId, Glm, Timestamp};
use yagna_client::{EventStream, Polled};

use crate::hand::{Hand, now};
use crate::rental::{Terms, agree, allocate, destroy, exec, leave, publish, ready, results, run, shell};
use crate::stage::{PLATFORM, Scene, Stage};

/// How long the daemon is down.
const DOWN: Duration = Duration::from_millis(500);
/// Nothing of these scenarios takes longer on daemons that work.
const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough for what is there to be told.
const SOON: Duration = Duration::from_millis(300);
const STEP: Duration = Duration::from_millis(20);

pub(super) async fn a_killed_daemon_remembers_rentals(scene: Scene) {
    let stage = scene.open_alone(1, [seller("seller")]).await;
    let hand = &stage.hand;
    let allocation = allocate(hand, "1").await.allocation_id;
    let (demand, agreement) = agree(hand, &Terms::usual(&stage)).await;
    let activity = ready(hand, &agreement).await;
    let done = exec(hand, &activity, vec![shell("echo before")]).await;
    results(hand, &activity, &done).await;
    // This one ends while the daemon is down.
    let running = exec(hand, &activity, vec![shell("sleep 0.3; echo meanwhile")]).await;
    restart(&stage).await;
    let demands = hand.get("/market-api/v1/demands").await;
    stage.look("demands are forgotten", &demands.keep(|item| item["demandId"] == demand.as_str()));
    let path = format!("/market-api/v1/demands/{demand}");
    stage.look("so are their events", &hand.get(&format!("{path}/events?timeout=1")).await);
    stage.look("and they can't be withdrawn", &hand.delete(&path).await);
    assert_eq!(hand.call(&GetAgreement(agreement.clone())).await.agreement_id, agreement);
    let state = hand.get(&format!("/activity-api/v1/activity/{activity}/state")).await;
    stage.look("the activity is there", &state);
    for (what, batch) in [("done before", &done), ("done meanwhile", &running)] {
        let path = format!("/activity-api/v1/activity/{activity}/exec/{batch}?timeout=10");
        stage.look(what, &hand.get(&path).await);
    }
    stage.look(
        "the allocation is there",
        &hand.get(&format!("/payment-api/v1/allocations/{allocation}")).await,
    );
    run(hand, &activity, vec![shell("echo after")]).await;
    let again = publish(hand, &Terms::usual(&stage)).await;
    assert_ne!(again, demand);
    destroy(hand, &activity).await;
    hand.call(&Unsubscribe(again)).await;
    hand.call(&ReleaseAllocation(allocation)).await;
    hand.call(&TerminateAgreement { agreement, reason: None }).await;
    stage.close().await;
}

pub(super) async fn a_stream_outlives_a_daemon(scene: Scene) {
    let stage = scene.open_alone(3, [seller("seller")]).await;
    let hand = &stage.hand;
    let since = now();
    let (demand, agreement) = agree(hand, &Terms::usual(&stage)).await;
    let activity = ready(hand, &agreement).await;
    destroy(hand, &activity).await;
    let filter = EventFilter { after: Some(since), ..EventFilter::default() };
    let mut notes = hand.client.debit_note_events(filter.clone());
    let note = next(&mut notes).await.debit_note_id;
    let mut invoices = hand.client.invoice_events(filter.clone());
    // The invoice is sent about when the daemon dies: before, and it is kept; or after, and it is sent again.
    leave(hand, &demand, &agreement).await;
    let (invoice, ()) = join(next(&mut invoices), restart(&stage)).await;
    let read = hand.call(&GetInvoice(invoice.invoice_id.clone())).await;
    assert_eq!((&read.agreement_id, read.status), (&agreement, BillStatus::Received));
    // Who goes on where it was sees nothing twice, and who begins anew sees all.
    let after = EventFilter { after: Some(invoice.event_date), wait: SOON, ..EventFilter::default() };
    assert_eq!(hand.call(&PollInvoiceEvents(after)).await.items, []);
    assert!(timeout(SOON, notes.next()).await.is_err(), "a debit note came twice");
    let seen = next(&mut hand.client.debit_note_events(filter.clone())).await;
    assert_eq!(seen.debit_note_id, note);
    let seen = next(&mut hand.client.invoice_events(filter)).await;
    assert_eq!(seen, invoice);
    stage.close().await;
}

pub(super) async fn a_run_outlives_its_daemon(scene: Scene) {
    const TASKS: u64 = 30;
    let stage = scene.open_alone(2, ["ada", "bob"].map(seller)).await;
    let hand = &stage.hand;
    let begun = now();
    let journal = Arc::new(MemoryJournal::new());
    let mut config = RunConfig::new(Payload::default(), PLATFORM);
    config.subnet = Some(stage.subnet.clone());
    config.workers = 2;
    config.budget = "2".parse().expect("an amount");
    config.selection_window = Duration::from_millis(200);
    let options =
        RunOptions::new(config, "erc20", "hoodi", AppSessionId::new("a-run-that-outlives-its-daemon"));
    let data = (0..TASKS).map(|n| Ok(json!(n)));
    let run = Run::new(
        hand.client.clone(),
        Arc::new(SystemClock),
        Arc::clone(&journal) as Arc<dyn golem_sdk::Journal>,
        Arc::new(Sevens),
        Box::new(data),
        options,
    );
    let is_done = |kind: &EventKind| matches!(kind, EventKind::TaskDone { .. });
    let in_the_middle = async {
        wait_for("some tasks to be done", || count(&journal, is_done) >= 5).await;
        restart(&stage).await;
        assert!(count(&journal, is_done) < 30, "the run was over before the daemon was killed");
    };
    let (end, ()) = join(run.run(), in_the_middle).await;
    let end: RunEnd = end.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(
        (end.why, end.done, end.failed, end.unfinished, end.unsettled),
        (StopReason::AllDone, TASKS, 0, 0, 0),
        "{:#?}",
        journal.events()
    );
    assert_each_once(&journal, TASKS);
    let invoices = settled_invoices(hand, begun).await;
    assert_eq!(invoices.iter().map(|invoice| invoice.amount).sum::<Glm>(), end.cost);
    stage.close().await;
}

/// The next event; the daemon may be in trouble meanwhile.
async fn next<T: std::fmt::Debug>(stream: &mut EventStream<T>) -> T {
    let read = async {
        loop {
            match stream.next().await {
                Some(Polled::Event(event)) => return event,
                Some(Polled::Trouble { .. } | Polled::Recovered) => {}
                other => panic!("no event: {other:?}"),
            }
        }
    };
    timeout(PATIENCE, read).await.expect("an event comes in time")
}

/// What the tasks are done by: seven times the task's number.
#[derive(Debug)]
struct Sevens;

impl Worker for Sevens {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            while let Some(task) = tasks.next().await {
                let script = Script::new().shell(format!("sleep 0.1; echo -n $(( {} * 7 ))", task.data()));
                let execution = ctx.execute(script, PATIENCE).await?;
                match execution.results.last().and_then(|last| last.stdout.as_ref()) {
                    Some(text) => {
                        let stdout = text.to_text().into_owned();
                        task.done(TaskOutput { stdout: stdout.into(), ..TaskOutput::default() }).await;
                    }
                    None => task.reject("it printed nothing", true).await,
                }
            }
            Ok(())
        })
    }
}

/// An honest provider with small prices.
fn seller(name: &str) -> ProviderConfig {
    ProviderConfig::new(name).priced(Prices::per_hour("0.01", "0.36", "0.036").expect("prices"))
}

/// Kills the requestor's daemon, starts it again and waits until it answers.
async fn restart(stage: &Stage) {
    stage.restart_daemon(DOWN).await;
    let begin = Instant::now();
    while stage.hand.try_call(&GetMe).await.is_err() {
        assert!(begin.elapsed() < PATIENCE, "the daemon doesn't come back");
        sleep(STEP).await;
    }
}

async fn wait_for(what: &str, is: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < PATIENCE, "waited too long for {what}");
        sleep(STEP).await;
    }
}

fn count(journal: &MemoryJournal, is: impl Fn(&EventKind) -> bool) -> usize {
    journal.events().iter().filter(|event| is(&event.kind)).count()
}

/// Every task has one result, and the right one.
fn assert_each_once(journal: &MemoryJournal, tasks: u64) {
    let mut results: Vec<_> = journal
        .events()
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::TaskDone { attempt, output, .. } => {
                Some((attempt.task.0, output.stdout.to_text().into_owned()))
            }
            _ => None,
        })
        .collect();
    results.sort_unstable();
    let expected: Vec<_> = (0..tasks).map(|n| (n, (n * 7).to_string())).collect();
    assert_eq!(results, expected);
}

/// The invoices that came since; all are accepted, and nothing since is left set aside, agreed on or on the market.
pub(super) async fn settled_invoices(hand: &Hand, begun: Timestamp) -> Vec<Invoice> {
    let invoices = hand.call(&ListInvoices { after: Some(begun), max: None }).await.items;
    assert!(!invoices.is_empty(), "nobody sent an invoice");
    for invoice in &invoices {
        assert_eq!(invoice.status, BillStatus::Accepted, "{invoice:?}");
        let agreement = hand.call(&GetAgreement(invoice.agreement_id.clone())).await;
        assert_eq!(agreement.state, AgreementState::Terminated, "{agreement:?}");
    }
    let demands = hand.call(&ListDemands).await.items;
    assert!(demands.iter().all(|demand| demand.timestamp < begun), "{demands:?}");
    let allocations = hand.call(&ListAllocations::default()).await.items;
    assert!(allocations.iter().all(|allocation| allocation.timestamp < begun), "{allocations:?}");
    invoices
}
