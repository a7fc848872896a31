//! Bills in virtual time: hours pass in milliseconds, amounts are exact to the eighteenth place.

use std::str::FromStr as _;
use std::time::Duration;

use golem_devnet::clock::DevnetClock;
use golem_devnet::devnet::Devnet;
use golem_devnet::node::Delays;
use golem_devnet::provider::Prices;
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

use crate::requestor::{Buyer, run, text};
use crate::{MINUTE, ada, one};

/// A demand that agrees to debit notes every `interval` and promises to accept them in time.
pub(crate) fn with_notes(buyer: &Buyer, lasts: Duration, interval: u64) -> Value {
    let mut properties = buyer.properties(lasts);
    properties["golem.com.payment.debit-notes.accept-timeout?"] = json!(240);
    properties["golem.com.scheme.payu.debit-note.interval-sec?"] = json!(interval);
    properties
}

fn decimal(value: &Value) -> Decimal {
    match value {
        Value::String(text) => Decimal::from_str(text).unwrap(),
        number => Decimal::from_str(&number.to_string())
            .or_else(|_| Decimal::from_scientific(&number.to_string()))
            .unwrap(),
    }
}

/// Prices times usage plus the start price, cut after 18 places, from what the agreement and the note say.
fn owed(coefficients: &Value, usage: &Value) -> Decimal {
    let prices: Vec<_> = coefficients.as_array().unwrap().iter().map(decimal).collect();
    let used: Vec<_> = usage.as_array().unwrap().iter().map(decimal).collect();
    let sum = prices[0] * used[0] + prices[1] * used[1] + prices[2];
    sum.round_dp_with_strategy(18, RoundingStrategy::ToZero)
}

/// Accepts every debit note that comes until the invoice has come, and accepts that; gives all bills.
pub(crate) async fn pay(buyer: &Buyer, agreement: &str, allocation: &str) -> (Vec<Value>, Value) {
    let (mut notes, mut cursor) = (Vec::new(), "2026-01-01T00:00:00Z".to_owned());
    loop {
        let path =
            format!("/payment-api/v1/debitNoteEvents?timeout=30&afterTimestamp={cursor}&appSessionId=run-1");
        for event in buyer.get(&path).await.ok().as_array().unwrap() {
            assert_eq!(event["eventType"], "DebitNoteReceivedEvent");
            cursor = text(&event["eventDate"]);
            let note =
                buyer.get(&format!("/payment-api/v1/debitNotes/{}", text(&event["debitNoteId"]))).await.ok();
            assert_eq!(buyer.accept("debitNotes", &note, allocation).await.status, 200);
            notes.push(note);
        }
        if let Some(invoice) = buyer.bills("invoices", agreement).await.first() {
            assert_eq!(buyer.accept("invoices", invoice, allocation).await.status, 200);
            return (notes, invoice.clone());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_debit_notes_is_accepted_to_the_eighteenth_place() {
    // Prices that don't divide by 3600 without a rest.
    let config = ada().priced(Prices::per_hour("0.001234567890123", "0.07", "0.011").unwrap());
    let runtime = ScriptedRuntime::new().on("/bin/render", &[], ScriptedAnswer::ok().taking(50 * MINUTE));
    let devnet = Devnet::builder()
        .clock(DevnetClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()))
        .runtime(runtime)
        .delays(Delays::real())
        .provider(config)
        .start()
        .await
        .unwrap();
    let buyer = Buyer::of(&devnet);
    let allocation = buyer.allocate("1").await;
    let (_, agreement) = buyer.agree(&with_notes(&buyer, 70 * MINUTE, 120)).await;
    let work = async {
        let activity = buyer.ready(&agreement).await;
        let batch = buyer.send_script(&activity, json!([run("/bin/render", &[])])).await;
        tokio::time::sleep(59 * MINUTE + MINUTE / 2).await;
        let results = buyer.results(&activity, &batch, 5).await.ok();
        assert_eq!(results[0]["isBatchFinished"], true);
        buyer.destroy(&activity).await;
        buyer.terminate(&agreement).await;
    };
    let ((notes, invoice), ()) = tokio::join!(pay(&buyer, &agreement, &allocation), work);
    let coefficients =
        buyer.agreement(&agreement).await["offer"]["properties"]["golem.com.pricing.model.linear.coeffs"]
            .clone();
    assert_eq!(notes.len(), 30, "one every two minutes and one at the end");
    for (note, next) in notes.iter().zip(&notes[1..]) {
        assert!(decimal(&note["totalAmountDue"]) < decimal(&next["totalAmountDue"]));
        assert_eq!(next["previousDebitNoteId"], note["debitNoteId"]);
    }
    for note in &notes {
        assert_eq!(
            decimal(&note["totalAmountDue"]),
            owed(&coefficients, &note["usageCounterVector"]),
            "{note}"
        );
    }
    let last = notes.last().unwrap();
    assert_eq!(invoice["amount"], last["totalAmountDue"]);
    let usage = last["usageCounterVector"].as_array().unwrap();
    assert!((3570.0..3600.0).contains(&usage[0].as_f64().unwrap()), "{usage:?}");
    assert_eq!(usage[1].as_f64(), Some(3000.0));
    let spent = buyer.get(&format!("/payment-api/v1/allocations/{allocation}")).await.ok();
    assert_eq!(decimal(&spent["spentAmount"]), decimal(&invoice["amount"]));
    let books = devnet.books();
    assert_eq!(books.unanswered_invoices().count() + books.running_activities().count(), 0);
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_note_that_nobody_accepts_ends_the_agreement() {
    let devnet = one(ada()).start().await.unwrap();
    let buyer = Buyer::of(&devnet);
    let (_, agreement) = buyer.agree(&with_notes(&buyer, 60 * MINUTE, 60)).await;
    let activity = buyer.ready(&agreement).await;
    let end = buyer.end(&agreement).await;
    assert_eq!(
        (&end["terminator"], &end["reason"]["golem.provider.code"]),
        (&json!("Provider"), &json!("DebitNotesDeadline"))
    );
    assert_eq!(end["reason"]["message"], "Requestor isn't accepting DebitNotes in time (4m)");
    assert_eq!(buyer.state(&activity).await["state"], json!(["Terminated", null]));
    // It gets its invoice all the same.
    buyer.wait_bills("invoices", &agreement, 1).await;
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn notes_are_payable_only_where_that_was_agreed_and_must_then_be_paid() {
    let devnet = one(ada()).start().await.unwrap();
    let buyer = Buyer::of(&devnet);
    let allocation = buyer.allocate("10").await;
    let mut properties = with_notes(&buyer, 60 * MINUTE, 30);
    properties["golem.com.scheme.payu.payment-timeout-sec?"] = json!(100);
    let (_, agreement) = buyer.agree(&properties).await;
    buyer.ready(&agreement).await;
    let paying = pay(&buyer, &agreement, &allocation);
    let (end, (notes, _)) = tokio::join!(buyer.end(&agreement), paying);
    assert_eq!(end["reason"]["golem.provider.code"], "DebitNoteNotPaid");
    let payable: Vec<_> = notes.iter().map(|note| note.get("paymentDueDate").is_some()).collect();
    assert_eq!(payable[..6], [false, false, false, true, false, false], "{payable:?}");
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agreement_whose_notes_are_paid_in_time_lives_on() {
    let delays = Delays { settlement: Some(Duration::from_secs(30)), ..Delays::none() };
    let devnet = one(ada()).delays(delays).start().await.unwrap();
    let buyer = Buyer::of(&devnet);
    let allocation = buyer.allocate("10").await;
    let mut properties = with_notes(&buyer, 700 * MINUTE, 60);
    properties["golem.com.scheme.payu.payment-timeout-sec?"] = json!(100);
    let (_, agreement) = buyer.agree(&properties).await;
    let work = async {
        let activity = buyer.ready(&agreement).await;
        tokio::time::sleep(30 * MINUTE).await;
        assert_eq!(buyer.agreement(&agreement).await["state"], "Approved");
        buyer.destroy(&activity).await;
        buyer.terminate(&agreement).await;
    };
    let ((notes, invoice), ()) = tokio::join!(pay(&buyer, &agreement, &allocation), work);
    assert!(notes.iter().filter(|note| note.get("paymentDueDate").is_some()).count() > 10);
    tokio::time::sleep(MINUTE).await;
    let paid = buyer.get(&format!("/payment-api/v1/invoices/{}", text(&invoice["invoiceId"]))).await.ok();
    assert_eq!(paid["status"], "SETTLED");
    devnet.stop().await;
}

/// The payments for an agreement's invoice: amounts for activities and amounts for the agreement, in order.
async fn paid(buyer: &Buyer, invoice: &Value) -> Vec<(&'static str, Decimal)> {
    let path = format!("/payment-api/v1/invoices/{}/payments", text(&invoice["invoiceId"]));
    let payments = buyer.get(&path).await.ok();
    let parts = |payment: &Value| {
        let of = |kind: &'static str| {
            let parts = payment["payload"][kind].as_array().unwrap().clone();
            parts.into_iter().map(move |part| (kind, decimal(&part["amount"]))).collect::<Vec<_>>()
        };
        [of("activityPayments"), of("agreementPayments")].concat()
    };
    payments.as_array().unwrap().iter().flat_map(parts).collect()
}

#[tokio::test(start_paused = true)]
async fn accepted_notes_without_a_date_are_paid_in_the_next_cycle_and_the_invoice_only_what_is_left() {
    for accepts_the_last_note in [true, false] {
        let delays = Delays { settlement: Some(Duration::from_secs(30)), ..Delays::none() };
        let devnet = one(ada()).delays(delays).start().await.unwrap();
        let buyer = Buyer::of(&devnet);
        let allocation = buyer.allocate("10").await;
        let (_, agreement) = buyer.agree(&with_notes(&buyer, 60 * MINUTE, 120)).await;
        let activity = buyer.ready(&agreement).await;
        let mut increases = Vec::new();
        let mut before = Decimal::ZERO;
        for n in 1..=2 {
            let notes = buyer.wait_bills("debitNotes", &agreement, n).await;
            assert_eq!(notes[n - 1].get("paymentDueDate"), None);
            assert_eq!(buyer.accept("debitNotes", &notes[n - 1], &allocation).await.status, 200);
            let amount = decimal(&notes[n - 1]["totalAmountDue"]);
            increases.push(("activityPayments", amount - before));
            before = amount;
            // Each in a cycle of its own, while the agreement goes on.
            tokio::time::sleep(MINUTE).await;
            assert_eq!(buyer.bills("debitNotes", &agreement).await[n - 1]["status"], "SETTLED");
        }
        buyer.destroy(&activity).await;
        buyer.terminate(&agreement).await;
        let invoice = buyer.wait_bills("invoices", &agreement, 1).await[0].clone();
        let last = buyer.bills("debitNotes", &agreement).await.pop().unwrap();
        assert_eq!(invoice["amount"], last["totalAmountDue"], "the last note is all that is owed");
        let rest = decimal(&invoice["amount"]) - before;
        assert!(rest > Decimal::ZERO);
        if accepts_the_last_note {
            assert_eq!(buyer.accept("debitNotes", &last, &allocation).await.status, 200);
        }
        assert_eq!(buyer.accept("invoices", &invoice, &allocation).await.status, 200);
        tokio::time::sleep(2 * MINUTE).await;
        // An invoice that equals the last accepted note is paid by the payments of its activity alone.
        let kind = if accepts_the_last_note { "activityPayments" } else { "agreementPayments" };
        increases.push((kind, rest));
        assert_eq!(paid(&buyer, &invoice).await, increases);
        assert_eq!(buyer.bills("invoices", &agreement).await[0]["status"], "SETTLED");
        devnet.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_activities_of_one_agreement_are_billed_one_by_one_and_together() {
    let devnet = one(ada()).start().await.unwrap();
    let buyer = Buyer::of(&devnet);
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    for _ in 0..2 {
        let activity = buyer.ready(&agreement).await;
        buyer.run(&activity, json!([run("/bin/work", &[])])).await;
        buyer.destroy(&activity).await;
    }
    buyer.terminate(&agreement).await;
    let invoices = buyer.wait_bills("invoices", &agreement, 1).await;
    assert_eq!(invoices[0]["amount"], "1.0022");
    assert_eq!(invoices[0]["activityIds"].as_array().unwrap().len(), 2);
    let notes = buyer.bills("debitNotes", &agreement).await;
    let amounts: Vec<_> = notes.iter().map(|note| text(&note["totalAmountDue"])).collect();
    assert_eq!(amounts, ["0.5011", "0.5011"]);
    devnet.stop().await;
}
