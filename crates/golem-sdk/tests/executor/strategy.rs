//! The offers that an executor takes, the terms that it agrees with their providers, and payments during an agreement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use golem_core::event::{Bill, EventKind};
use golem_core::standing::{Memory, RentalOutcome};
use golem_devnet::devnet::Devnet;
use golem_devnet::news::{HappeningKind, Heard, News};
use golem_devnet::node::Delays;
use golem_devnet::provider::{Behaviour, Prices, ProviderConfig};
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use golem_sdk::executor::{Submitted, Tasks};
use golem_sdk::strategy::{LeastExpensive, ProviderList, Score, Strategy, from_fn};
use golem_sdk::{MidAgreementPayments, PriceCaps, Refusal, Script, WorkContext, WorkerError};
use serde_json::json;
use tokio::time::{sleep, timeout};
use yagna_api::market::GetAgreement;
use yagna_api::payment::{BillStatus, GetDebitNote};
use yagna_api::properties::name;
use yagna_api::{Clock, DebitNoteId, Glm};

use crate::stage::{Outcome, Stage, client, devnet, honest, scripted, secs, sevens};

const HOUR: u64 = 3600;

fn priced(name: &str, per_hour: &str) -> ProviderConfig {
    ProviderConfig::new(name).priced(Prices::per_hour("0", "0", per_hour).unwrap())
}

async fn network(providers: impl IntoIterator<Item = ProviderConfig>) -> Arc<Devnet> {
    Arc::new(devnet(scripted(), providers).start().await.unwrap())
}

/// How many agreements a provider was ever asked for.
fn n_agreements(stage: &Stage, name: &str) -> usize {
    let node = stage.devnet.provider(name).unwrap().node();
    stage.devnet.books().agreements.iter().filter(|row| row.provider == *node).count()
}

/// Was this provider's offer refused for this reason, as the journal has it?
fn is_refused(stage: &Stage, name: &str, words: &str) -> bool {
    stage.count(|kind| {
        matches!(kind, EventKind::OfferRefused { provider, reason, .. } if provider.name == name && reason == words)
    }) > 0
}

/// What this provider is told when its proposal is refused.
async fn told(news: &mut News, name: &str) -> serde_json::Value {
    let hearing = async {
        loop {
            match news.next().await {
                Some(Heard::Happening(happening)) if *happening.provider == *name => {
                    if let HappeningKind::ProposalRejected { reason: Some(reason), .. } = &happening.kind {
                        return serde_json::to_value(reason).unwrap();
                    }
                }
                Some(_) => {}
                None => panic!("the news are over"),
            }
        }
    };
    timeout(secs(60), hearing).await.expect("the provider isn't told")
}

#[tokio::test(start_paused = true)]
async fn a_blocked_provider_never_gets_an_agreement() {
    let devnet = network(["ada", "bob"].map(honest)).await;
    let blocked = devnet.provider("bob").unwrap().node().clone();
    let strategy = LeastExpensive::new(PriceCaps::none()).except([blocked]);
    let stage = Stage::at(devnet, |builder| builder.strategy(strategy)).await;
    let outcome = Outcome::of(stage.executor.submit(sevens, 0..12)).await;
    outcome.assert_sevens(0..12);
    assert_eq!(n_agreements(&stage, "bob"), 0);
    assert!(n_agreements(&stage, "ada") > 0);
    assert!(is_refused(&stage, "bob", "it is on the list of blocked providers"));
    stage.close().await;
}

/// The one of these two that gets the only agreement: ada asks for less, and is known by so many rentals to have failed
/// yesterday.
async fn taken_with_memory(rentals: u32) -> &'static str {
    let devnet = network([priced("ada", "0.1"), priced("bob", "0.13")]).await;
    let (ada, now) = (devnet.provider("ada").unwrap().node().clone(), devnet.clock().now());
    let yesterday = now.checked_sub(secs(24 * HOUR)).unwrap();
    let mut memory = Memory::new();
    memory.add_run((0..rentals).map(|n| {
        let rental = RentalOutcome {
            approved: Some(true),
            failures: u32::from(n == 0),
            ..RentalOutcome::new(yesterday)
        };
        (ada.clone(), rental)
    }));
    let stage = Stage::at(devnet, |builder| {
        builder
            .max_workers(1)
            .known_providers(memory.records(now))
            .configure(|config| config.selection_window = secs(30))
    })
    .await;
    Outcome::of(stage.executor.submit(sevens, 0..4)).await.assert_sevens(0..4);
    let signed = ["ada", "bob"].map(|name| n_agreements(&stage, name));
    stage.close().await;
    match signed {
        [1, 0] => "ada",
        [0, 1] => "bob",
        other => panic!("one agreement was enough: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_failed_yesterday_is_taken_less_often_and_not_never() {
    assert_eq!(taken_with_memory(0).await, "ada", "it is the cheaper one");
    let mut taken = Vec::new();
    for rentals in 1..=4 {
        taken.push(taken_with_memory(rentals).await);
    }
    assert_eq!(taken.iter().filter(|name| **name == "ada").count(), 1, "{taken:?}");
}

#[tokio::test(start_paused = true)]
async fn the_words_of_a_users_own_strategy_reach_the_provider_and_the_events() {
    let devnet = network(["ada", "bob"].map(honest)).await;
    let mut news = devnet.news();
    let quarrel = Arc::new(AtomicBool::new(false));
    let quarrels = Arc::clone(&quarrel);
    let strategy = from_fn(move |candidate| {
        if candidate.name() == "bob" && quarrels.load(Ordering::Relaxed) {
            return Err(Refusal::because("Bob and I aren't on speaking terms"));
        }
        Ok(Score::NEUTRAL)
    });
    let stage = Stage::at(devnet, |builder| {
        builder.strategy_alone(strategy).configure(|config| config.selection_window = secs(30))
    })
    .await;
    let coming = async {
        stage.until_seen(2, |kind| matches!(kind, EventKind::TermsAgreed { .. })).await;
        quarrel.store(true, Ordering::Relaxed);
    };
    let (outcome, ()) = tokio::join!(Outcome::of(stage.executor.submit(sevens, 0..8)), coming);
    outcome.assert_sevens(0..8);
    assert_eq!(n_agreements(&stage, "bob"), 0);
    assert!(is_refused(&stage, "bob", "Bob and I aren't on speaking terms"));
    // Providers hear of it once they have made a proposal themselves.
    let told = told(&mut news, "bob").await;
    assert_eq!(told["message"], "Bob and I aren't on speaking terms");
    assert_eq!(told["golem.requestor.code"], "unwanted");
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_changed_while_an_executor_works_counts_at_the_next_choice() {
    let devnet = network([priced("ada", "0.1"), priced("bob", "0.2"), priced("eve", "0.3")]).await;
    let blocked = ProviderList::new();
    let strategy = LeastExpensive::new(PriceCaps::none()).except(&blocked);
    let stage = Stage::at(devnet, |builder| builder.max_workers(1).strategy(strategy)).await;
    Outcome::of(stage.executor.submit(sevens, 0..4)).await.assert_sevens(0..4);
    stage.until_seen(3, |kind| matches!(kind, EventKind::TermsAgreed { .. })).await;
    stage.until_seen(1, |kind| matches!(kind, EventKind::AgreementEnded { .. })).await;
    // Bob has agreed to our terms long ago, and would be next.
    blocked.add("bob");
    blocked.add("ada");
    Outcome::of(stage.executor.submit(sevens, 0..4)).await.assert_sevens(0..4);
    let signed = ["ada", "bob", "eve"].map(|name| n_agreements(&stage, name));
    assert_eq!(signed, [1, 0, 1]);
    assert!(is_refused(&stage, "bob", "it is on the list of blocked providers"));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_is_told_nothing_pays_no_price_without_limit() {
    let devnet = network([priced("dear", "5.1"), honest("ada")]).await;
    let journal = Arc::new(golem_sdk::MemoryJournal::new());
    let executor = golem_sdk::Executor::builder(golem_core::payload::Payload::default())
        .client(client(&devnet))
        .clock(Arc::new(devnet.clock()))
        .subnet_tag("public")
        .journal(Arc::clone(&journal) as _)
        .start()
        .await
        .unwrap();
    let stage = Stage { devnet, executor, journal };
    Outcome::of(stage.executor.submit(sevens, 0..4)).await.assert_sevens(0..4);
    assert_eq!(n_agreements(&stage, "dear"), 0);
    assert!(is_refused(&stage, "dear", "5.1 GLM an hour is above the cap of 5"));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_comes_after_hours_is_met_by_a_demand_with_a_new_expiration() {
    let stage = Stage::with(&["late"], |builder| {
        builder.timeout(secs(6 * HOUR)).configure(|config| {
            config.expiration = secs(HOUR);
            config.idle_timeout = secs(5 * HOUR);
        })
    })
    .await;
    stage.devnet.provider("late").unwrap().kill();
    let reading = Outcome::of(stage.executor.submit(sevens, 0..4));
    let coming = async {
        sleep(secs(2 * HOUR)).await;
        stage.devnet.provider("late").unwrap().restart();
    };
    let (outcome, ()) = tokio::join!(reading, coming);
    outcome.assert_sevens(0..4);
    let mut last = None;
    let mut n = 0;
    for event in stage.journal.events() {
        if let EventKind::DemandPublished { expires, .. } = event.kind {
            let lasts = expires.duration_since(event.at).as_secs();
            assert!((3590..=3600).contains(&lasts), "it lasts {lasts} s");
            assert!(last.is_none_or(|last| last < expires));
            (last, n) = (Some(expires), n + 1);
        }
    }
    assert!(n >= 2, "{n} demands");
    stage.close().await;
}

/// One long command.
async fn long_work(ctx: WorkContext, mut tasks: Tasks<u64, ()>) -> Result<(), WorkerError> {
    while let Some(task) = tasks.next().await {
        ctx.execute(Script::new().run("long", [""; 0]), secs(23 * HOUR)).await?;
        task.accept_result(()).await;
    }
    Ok(())
}

fn long(takes: Duration) -> ScriptedRuntime {
    ScriptedRuntime::new()
        .when(move |program, _| (program == "long").then(|| ScriptedAnswer::ok().taking(takes)))
}

async fn all_done(mut submitted: Submitted<u64, ()>, n: usize) {
    for _ in 0..n {
        let finished = timeout(secs(23 * HOUR), submitted.try_next()).await.expect("it doesn't end");
        assert!(finished.unwrap().is_some());
    }
    assert!(submitted.try_next().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_day_long_agreement_is_paid_on_the_way() {
    // Payable notes are paid soon: otherwise the provider would end the agreement.
    let delays = Delays { settlement: Some(secs(60)), ..Delays::none() };
    let devnet = devnet(long(secs(11 * HOUR)), [priced("ada", "0.01")]).delays(delays).start().await.unwrap();
    let stage = Stage::at(Arc::new(devnet), |builder| builder.timeout(secs(24 * HOUR))).await;
    all_done(stage.executor.submit(long_work, [1]), 1).await;
    let books = stage.devnet.books();
    let [row] = books.agreements.as_slice() else { panic!("{:#?}", books.agreements) };
    let client = client(&stage.devnet);
    let agreement = client.call(&GetAgreement(row.id.clone())).await.unwrap();
    for side in [&agreement.demand.properties, &agreement.offer.properties] {
        assert_eq!(side.get(name::PAYMENT_TIMEOUT), Some(&json!(18_000)), "five hours, not its two minutes");
        assert_eq!(side.get(name::DEBIT_NOTE_INTERVAL), Some(&json!(120)));
    }
    let mut payable = Vec::new();
    for note in &books.debit_notes {
        let note = client.call(&GetDebitNote(DebitNoteId::new(note.id.clone()))).await.unwrap();
        if note.payment_due_date.is_some() {
            assert!(
                matches!(note.status, BillStatus::Accepted | BillStatus::Settled),
                "{note:?} isn't accepted"
            );
            payable.push(note.total_amount_due);
        }
    }
    assert!(books.debit_notes.len() > 300, "{} debit notes", books.debit_notes.len());
    assert!(payable.len() >= 2, "one after five hours, one after ten: {payable:?}");
    assert_eq!(stage.count(|kind| matches!(kind, EventKind::BillRefused { .. })), 0);
    let end = stage.close().await;
    assert!(end.cost >= "0.11".parse::<Glm>().unwrap(), "{end:?}");
    assert_eq!((end.done, end.unsettled), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_sends_more_debit_notes_than_agreed_is_left() {
    let chatty = Behaviour { debit_notes_every: Some(secs(1)), ..Behaviour::default() };
    let stage =
        Stage::on(scripted(), [priced("chatty", "0.01").behaving(chatty), honest("ada")], |builder| {
            builder.max_workers(1).terms(|terms| {
                terms.mid_agreement_payments = MidAgreementPayments::Always;
            })
        })
        .await;
    Outcome::of(stage.executor.submit(sevens, 0..12)).await.assert_sevens(0..12);
    let chatty = stage.devnet.provider("chatty").unwrap().node().clone();
    let books = stage.devnet.books();
    let reason = books.agreements.iter().find(|row| row.provider == chatty).unwrap().reason.clone().unwrap();
    assert_eq!(reason.extra["golem.requestor.code"], "TooManyDebitNotes", "{reason:?}");
    let told = stage.count(|kind| {
        matches!(kind, EventKind::BillRefused { bill: Bill::DebitNote(_), reason, .. } if reason.contains("more often"))
    });
    assert!(told >= 1, "and those that come after it");
    stage.close().await;
}
