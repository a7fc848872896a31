//! The full cycle on a devnet, driven by a requestor that shares no code with ours.

#![expect(clippy::unwrap_used, reason = "what a helper can't unwrap has failed its test")]

#[path = "devnet_cycle/behaviours.rs"]
mod behaviours;
#[path = "devnet_cycle/billing.rs"]
mod billing;
#[path = "devnet_cycle/crowds.rs"]
mod crowds;
#[cfg(target_os = "linux")]
#[path = "devnet_cycle/networks.rs"]
mod networks;
#[path = "devnet_cycle/news.rs"]
mod news;
#[path = "devnet_cycle/processes.rs"]
mod processes;
#[path = "devnet_cycle/requestor.rs"]
mod requestor;

use std::time::Duration;

use golem_devnet::clock::DevnetClock;
use golem_devnet::devnet::{Devnet, DevnetBuilder, DevnetError};
use golem_devnet::provider::{Prices, ProviderConfig};
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use serde_json::{Value, json};

use crate::requestor::{Buyer, run, text};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A devnet of one scripted provider, `ada`, at 36 mGLM an hour, 360 mGLM a CPU hour and half a GLM to start.
pub(crate) fn one(config: ProviderConfig) -> DevnetBuilder {
    let runtime = ScriptedRuntime::new()
        .on("/bin/echo", &["hello"], ScriptedAnswer::ok().stdout("hello\n"))
        .on("/bin/work", &[], ScriptedAnswer::ok().taking(Duration::from_secs(10)))
        .on("/bin/false", &[], ScriptedAnswer::exit(1));
    Devnet::builder()
        .clock(DevnetClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()))
        .runtime(runtime)
        .provider(config)
}

pub(crate) fn ada() -> ProviderConfig {
    ProviderConfig::new("ada").priced(Prices::per_hour("0.5", "0.36", "0.036").unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_full_cycle_ends_with_an_accepted_invoice_and_nothing_running() {
    let devnet = one(ada()).start().await.unwrap();
    let buyer = Buyer::of(&devnet);
    let version = buyer.get("/version/get").await.ok();
    assert_eq!(version["current"]["version"], "0.17.6");
    assert_eq!(buyer.get("/me").await.ok()["identity"], buyer.node);
    let allocation = buyer.allocate("10").await;
    let decorations = format!("/payment-api/v1/demandDecorations?allocationIds={allocation}");
    let decorations = buyer.get(&decorations).await.ok();
    assert_eq!(decorations["constraints"][0], "(golem.com.payment.platform.erc20-hoodi-tglm.address=*)");

    let (demand, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let details = buyer.agreement(&agreement).await;
    assert_eq!((&details["state"], &details["appSessionId"]), (&json!("Approved"), &json!("run-1")));
    assert_eq!(details["offer"]["properties"]["golem.node.id.name"], "ada");
    // The demand lacks the terms of debit notes, so the provider dropped them.
    for dropped in
        ["golem.com.payment.debit-notes.accept-timeout?", "golem.com.scheme.payu.debit-note.interval-sec?"]
    {
        assert_eq!(details["offer"]["properties"].get(dropped), None, "{dropped}");
    }

    let activity = buyer.ready(&agreement).await;
    assert_eq!(buyer.state(&activity).await["state"], json!(["Ready", null]));
    let results = buyer.run(&activity, json!([run("/bin/work", &[]), run("/bin/echo", &["hello"])])).await;
    assert_eq!(results.len(), 2);
    assert_eq!((&results[1]["stdout"], &results[1]["result"]), (&json!("hello\n"), &json!("Ok")));
    buyer.destroy(&activity).await;
    assert_eq!(buyer.state(&activity).await["state"], json!(["Terminated", null]));
    buyer.terminate(&agreement).await;
    assert_eq!(buyer.end(&agreement).await["terminator"], "Requestor");

    let invoices = buyer.wait_bills("invoices", &agreement, 1).await;
    // Ten seconds on one CPU: 10 s x 0.00001 + 10 s x 0.0001 + 0.5.
    assert_eq!((&invoices[0]["amount"], &invoices[0]["status"]), (&json!("0.5011"), &json!("RECEIVED")));
    assert_eq!(invoices[0]["activityIds"], json!([activity]));
    let notes = buyer.bills("debitNotes", &agreement).await;
    assert_eq!(notes.len(), 1, "one last debit note: {notes:?}");
    assert_eq!((&notes[0]["totalAmountDue"], notes[0].get("paymentDueDate")), (&json!("0.5011"), None));
    assert_eq!(buyer.accept("invoices", &invoices[0], &allocation).await.status, 200);
    let spent = buyer.get(&format!("/payment-api/v1/allocations/{allocation}")).await.ok();
    assert_eq!(spent["spentAmount"], "0.5011");

    // The offer is proposed again to the demand that still lives.
    buyer.proposal(&demand, "Initial").await;
    let books = devnet.books();
    assert_eq!(books.open_agreements().count() + books.running_activities().count(), 0);
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_provider_drafts_anew_when_its_slot_is_free() {
    let devnet = one(ada()).start().await.unwrap();
    let buyer = Buyer::of(&devnet);
    let (_, first) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let demand = buyer.demand(&buyer.properties(20 * MINUTE)).await;
    let initial = buyer.proposal(&demand, "Initial").await;
    let ours = buyer.counter(&demand, &initial).await;
    let refusal = buyer.event(&demand, |event| event["eventType"] == "ProposalRejectedEvent").await;
    assert_eq!(refusal["proposalId"], ours);
    assert_eq!(
        refusal["reason"],
        json!({"message": "No capacity available. Reached Agreements limit: 1",
            "golem.proposal.rejection.is-final": false})
    );
    buyer.terminate(&first).await;
    let draft = buyer.event(&demand, |event| event["proposal"]["state"] == "Draft").await;
    assert_eq!(draft["proposal"]["prevProposalId"], ours);
    let second = buyer.propose(&text(&draft["proposal"]["proposalId"])).await;
    assert_eq!(buyer.decision(&second, 30).await.status, 204);
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_confirmed_drafts_only_the_first_is_approved() {
    let devnet = one(ada()).start().await.unwrap();
    let buyer = Buyer::of(&devnet);
    let mut drafts = Vec::new();
    for _ in 0..2 {
        let demand = buyer.demand(&buyer.properties(20 * MINUTE)).await;
        let initial = buyer.proposal(&demand, "Initial").await;
        buyer.counter(&demand, &initial).await;
        drafts.push(buyer.proposal(&demand, "Draft").await);
    }
    let first = buyer.propose(&drafts[0]).await;
    assert_eq!(buyer.decision(&first, 30).await.status, 204);
    let second = buyer.propose(&drafts[1]).await;
    let refused = buyer.decision(&second, 30).await;
    assert_eq!((refused.status, &refused.body["message"]), (410, &json!("Rejected")));
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_counter_without_a_platform_is_refused_with_the_reason_and_may_be_mended() {
    let devnet = one(ada()).start().await.unwrap();
    let buyer = Buyer::of(&devnet);
    let demand = buyer.demand(&buyer.properties(20 * MINUTE)).await;
    let initial = buyer.proposal(&demand, "Initial").await;
    let mut poor = demand.clone();
    drop(poor.properties.as_object_mut().unwrap().remove("golem.com.payment.chosen-platform"));
    buyer.counter(&poor, &initial).await;
    let refusal = buyer.event(&demand, |event| event["eventType"] == "ProposalRejectedEvent").await;
    assert_eq!(
        refusal["reason"],
        json!({"message": "Missing fields: /golem/com/payment/chosen-platform",
            "golem.proposal.rejection.is-final": false})
    );
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn offers_live_longer_than_their_subscriptions() {
    let devnet = one(ada()).start().await.unwrap();
    let buyer = Buyer::of(&devnet);
    for _ in 0..3 {
        let demand = buyer.demand(&buyer.properties(20 * MINUTE)).await;
        buyer.proposal(&demand, "Initial").await;
        tokio::time::sleep(45 * MINUTE).await;
    }
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crowd_is_on_the_market_at_once() {
    let devnet =
        Devnet::builder().providers(12).seed(3).runtime(ScriptedRuntime::new()).start().await.unwrap();
    let buyer = Buyer::of(&devnet);
    let demand = buyer.demand(&buyer.properties(20 * MINUTE)).await;
    let path = format!("/market-api/v1/demands/{}/events?timeout=5&maxEvents=100", demand.id);
    let events = buyer.get(&path).await.ok();
    let mut names: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| text(&event["proposal"]["properties"]["golem.node.id.name"]))
        .collect();
    names.sort();
    let mut expected: Vec<_> = devnet.providers().map(|provider| provider.name().to_owned()).collect();
    expected.sort();
    assert_eq!(names, expected);
    assert_eq!(names.len(), 12);
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_providers_of_one_name_are_refused() {
    let refused = one(ada()).provider(ada()).start().await;
    assert!(matches!(refused, Err(DevnetError::SameName(name)) if name == "ada"));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_makes_the_same_devnet() {
    let mut sights = Vec::new();
    for _ in 0..2 {
        let devnet =
            Devnet::builder().providers(3).seed(11).runtime(ScriptedRuntime::new()).start().await.unwrap();
        let nodes: Vec<Value> =
            devnet.providers().map(|provider| json!([provider.name(), provider.node()])).collect();
        sights.push((nodes, devnet.requestor().key.expose().to_owned()));
        devnet.stop().await;
    }
    assert_eq!(sights[0], sights[1]);
}
