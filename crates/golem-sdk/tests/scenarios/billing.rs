//! Bills: what is owed is promised once, what isn't owed is refused, and the budget holds.

use std::sync::Arc;

use golem_core::event::{Bill, EventKind, StopReason};
use golem_devnet::node::Delays;
use golem_devnet::provider::{Behaviour, InvoiceManner, Prices, ProviderConfig};
use golem_sdk::payments::PaymentState;
use yagna_api::Glm;
use yagna_api::payment::BillStatus;
use yagna_client::{Client, InProcessTransport};

use crate::books::{invoices, n_agreements};
use crate::stage::{Stage, at_any_price, honest, secs, strange};

fn is_refused(kind: &EventKind) -> bool {
    matches!(kind, EventKind::BillRefused { .. })
}

#[tokio::test(start_paused = true)]
async fn an_invoice_above_what_is_owed_is_refused_and_its_provider_left_alone() {
    let greedy = Behaviour { bill_factor: 40.0, ..Behaviour::default() };
    let played = Stage::new([strange("greedy", greedy), honest("ada")]).play().await;
    let end = played.end();
    assert_eq!((end.why, end.done), (StopReason::AllDone, 12));
    played.assert_sound().await;
    let bills = invoices(&played, "greedy");
    assert!(!bills.is_empty() && bills.iter().all(|bill| bill.status == BillStatus::Rejected), "{bills:?}");
    assert!(invoices(&played, "ada").iter().all(|bill| bill.status == BillStatus::Accepted));
    assert!(played.count(is_refused) > 0);
    assert_eq!(n_agreements(&played, "greedy"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_invoice_is_refused_that_asks_for_as_much_as_a_refused_debit_note() {
    // Twice of little: full use of all threads for the grace alone would cost more.
    let greedy = Behaviour { bill_factor: 2.0, ..Behaviour::default() };
    let played = Stage::new([strange("greedy", greedy), honest("ada")]).play().await;
    let end = played.end();
    assert_eq!((end.why, end.done), (StopReason::AllDone, 12));
    let bills = invoices(&played, "greedy");
    assert!(!bills.is_empty() && bills.iter().all(|bill| bill.status == BillStatus::Rejected), "{bills:?}");
    let refused_notes =
        played.count(|kind| matches!(kind, EventKind::BillRefused { bill: Bill::DebitNote(_), .. }));
    assert!(refused_notes > 0);
    assert!(invoices(&played, "ada").iter().all(|bill| bill.status == BillStatus::Accepted));
}

#[tokio::test(start_paused = true)]
async fn a_debit_note_above_what_is_owed_ends_the_rental() {
    let greedy = Behaviour { bill_factor: 40.0, debit_notes_every: Some(secs(15)), ..Behaviour::default() };
    let played = Stage::new([strange("greedy", greedy), honest("ada")]).tasks(30).play().await;
    played.assert_all_done(30).await;
    let greedy = played.node("greedy");
    let books = played.devnet.books();
    let its: Vec<_> = books.agreements.iter().filter(|row| row.provider == greedy).collect();
    assert!(!its.is_empty());
    for agreement in its {
        let reason = agreement.reason.clone().unwrap();
        assert_eq!(reason.extra["golem.requestor.code"], "IncorrectAmount", "{reason:?}");
        assert!(reason.message.contains("debit note"), "{reason:?}");
        let is_paid = |status| matches!(status, BillStatus::Accepted | BillStatus::Settled);
        let accepted =
            books.debit_notes.iter().any(|note| note.agreement == agreement.id && is_paid(note.status));
        assert!(!accepted);
    }
}

#[tokio::test(start_paused = true)]
async fn debit_notes_on_the_way_are_accepted_and_count_once() {
    let chatty = Behaviour { debit_notes_every: Some(secs(10)), ..Behaviour::default() };
    let played = Stage::new([strange("chatty", chatty)]).play().await;
    played.assert_all_done(12).await;
    let notes = played.devnet.books().debit_notes;
    assert!(notes.len() >= 5, "{notes:?}");
    assert!(notes.iter().all(|note| note.status == BillStatus::Accepted), "{notes:?}");
    let bill = &invoices(&played, "chatty")[0];
    assert_eq!((bill.status, bill.amount), (BillStatus::Accepted, played.end().cost));
}

#[tokio::test(start_paused = true)]
async fn one_that_never_invoices_is_awaited_for_a_bounded_time_and_named() {
    let forgetful = Behaviour { invoicing: InvoiceManner::Never, ..Behaviour::default() };
    let played = Stage::new([strange("forgetful", forgetful)]).play().await;
    played.assert_all_done(12).await;
    assert_eq!(played.end().unsettled, 1);
    assert_eq!(played.count(|kind| matches!(kind, EventKind::BillMissing { .. })), 1);
    assert!(played.took < secs(12 * 5 + 120 + 30), "{:?}", played.took);
}

#[tokio::test(start_paused = true)]
async fn the_second_of_two_invoices_is_refused() {
    let double = Behaviour { invoicing: InvoiceManner::Twice, ..Behaviour::default() };
    let played = Stage::new([strange("double", double)]).play().await;
    played.assert_all_done(12).await;
    let accepted =
        invoices(&played, "double").iter().filter(|bill| bill.status == BillStatus::Accepted).count();
    assert_eq!(accepted, 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_invoice_is_waited_for_and_paid() {
    let late = Behaviour { invoicing: InvoiceManner::After(secs(90)), ..Behaviour::default() };
    let played = Stage::new([strange("late", late)]).play().await;
    played.assert_all_done(12).await;
    assert_eq!(played.end().unsettled, 0);
    assert_eq!(invoices(&played, "late")[0].status, BillStatus::Accepted);
}

#[tokio::test(start_paused = true)]
async fn one_whose_usage_stands_still_while_its_bills_grow_is_refused() {
    let frozen = Behaviour { frozen_usage: true, debit_notes_every: Some(secs(10)), ..Behaviour::default() };
    let played = Stage::new([strange("frozen", frozen), honest("ada")]).tasks(30).play().await;
    played.assert_all_done(30).await;
    assert!(played.count(is_refused) > 0);
}

#[tokio::test(start_paused = true)]
async fn the_budget_ends_the_run_before_it_is_passed() {
    let priced = ProviderConfig::new("ada").priced(Prices::per_hour("0", "0", "3.6").unwrap());
    // 0.001 GLM a second: two minutes and a half of grace and horizon are spoken for at every moment.
    let budget: Glm = "0.5".parse().unwrap();
    let stage = Stage::new([priced]).tasks(1000).configured(|config| {
        config.budget = budget.into();
        config.strategy = at_any_price();
    });
    let played = stage.play().await;
    let end = played.end();
    assert_eq!(end.why, StopReason::BudgetReached, "{end:?}");
    assert!(end.done > 20 && end.unfinished > 0, "{end:?}");
    assert!(end.cost <= budget && end.unsettled == 0, "{end:?}");
    played.assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_too_small_for_any_agreement_signs_none_and_says_so() {
    let priced = ProviderConfig::new("ada").priced(Prices::per_hour("1", "0", "0.1").unwrap());
    let played = Stage::new([priced])
        .configured(|config| {
            config.budget = "0.5".parse().unwrap();
            config.strategy = at_any_price();
        })
        .play()
        .await;
    assert_eq!((played.end().why, played.end().done), (StopReason::BudgetReached, 0));
    assert!(played.devnet.books().agreements.is_empty());
    played.assert_sound().await;
}

/// A daemon that gets the last debit note and the invoice at once looks for each what was accepted before, and pays both.
#[tokio::test(start_paused = true)]
async fn a_debit_note_and_an_invoice_that_come_together_are_paid_once() {
    let mut stage = Stage::new([honest("ada"), honest("bob"), honest("cyd"), honest("dan")]);
    stage.devnet = stage.devnet.delays(Delays { settlement: None, ..Delays::real() });
    let played = stage.play().await;
    assert_eq!(played.end().why, StopReason::AllDone);
    let cost = played.end().cost;
    let (devnet, key) = (&played.devnet, &played.devnet.requestor().key);
    let client = Client::new(Arc::new(InProcessTransport::new(devnet.router(), key).unwrap()));
    let books = devnet.books();
    let rentals: Vec<_> = books.agreements.iter().map(|row| row.id.clone()).collect();
    let states = golem_sdk::payments::states(&client, &rentals, None).await.unwrap();
    assert_eq!(states.iter().map(|state| state.accepted).sum::<Glm>(), cost, "{states:?}");
    assert_eq!(books.allocations.iter().map(|row| row.spent).sum::<Glm>(), cost, "{:?}", books.allocations);
    played.assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_scheduled_and_then_paid() {
    let mut stage = Stage::new([honest("ada"), honest("bob"), honest("cyd"), honest("dan")]);
    let delays = Delays { settlement: Some(secs(7200)), ..Delays::none() };
    stage.devnet = stage.devnet.delays(delays);
    let played = stage.play().await;
    assert_eq!(played.end().why, StopReason::AllDone);
    let (devnet, key) = (&played.devnet, &played.devnet.requestor().key);
    let client = Client::new(Arc::new(InProcessTransport::new(devnet.router(), key).unwrap()));
    let rentals: Vec<_> = devnet.books().agreements.iter().map(|row| row.id.clone()).collect();
    let sums = async || {
        let states = golem_sdk::payments::states(&client, &rentals, None).await.unwrap();
        assert!(!states.is_empty() && states.iter().all(|state| state.failed.is_none()), "{states:?}");
        let sum = |of: fn(&PaymentState) -> Glm| states.iter().map(of).sum::<Glm>();
        (sum(|state| state.accepted), sum(|state| state.scheduled), sum(|state| state.paid))
    };
    let (accepted, ..) = sums().await;
    assert_eq!(accepted, played.end().cost, "the daemon has accepted what the run has");
    assert_eq!(sums().await, (accepted, Glm::ZERO, Glm::ZERO));
    tokio::time::sleep(secs(3600)).await;
    assert_eq!(sums().await, (accepted, accepted, Glm::ZERO));
    tokio::time::sleep(secs(3600)).await;
    assert_eq!(sums().await, (accepted, accepted, accepted));
}
