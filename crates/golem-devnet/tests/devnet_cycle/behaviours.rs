//! One test for each way in which a provider can stray, and for each rule by which it ends an agreement.

use std::time::Duration;

use golem_devnet::devnet::Devnet;
use golem_devnet::provider::{
    ApprovalManner, Behaviour, InvoiceManner, OfferFlaw, ProviderConfig, Vanishing,
};
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use yagna_api::market::Reason;

use crate::billing::with_notes;
use crate::requestor::{Buyer, run, text};
use crate::{MINUTE, ada, one};

const SECOND: Duration = Duration::from_secs(1);

async fn bad(behaviour: Behaviour) -> (Devnet, Buyer) {
    let devnet = one(ada().behaving(behaviour)).start().await.unwrap();
    let buyer = Buyer::of(&devnet);
    (devnet, buyer)
}

async fn proposed(buyer: &Buyer) -> String {
    let demand = buyer.demand(&buyer.properties(20 * MINUTE)).await;
    let initial = buyer.proposal(&demand, "Initial").await;
    buyer.counter(&demand, &initial).await;
    let draft = buyer.proposal(&demand, "Draft").await;
    buyer.propose(&draft).await
}

#[tokio::test(start_paused = true)]
async fn one_that_never_approves() {
    let (devnet, buyer) = bad(Behaviour { approval: ApprovalManner::Never, ..Behaviour::default() }).await;
    let agreement = proposed(&buyer).await;
    assert_eq!(buyer.decision(&agreement, 300).await.status, 408);
    let cancel = format!("/market-api/v1/agreements/{agreement}/cancel");
    assert_eq!(buyer.post(&cancel, json!({"message": "too slow"})).await.status, 200);
    assert_eq!(buyer.agreement(&agreement).await["state"], "Cancelled");
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_approves_late() {
    let approval = ApprovalManner::After(30 * SECOND);
    let (devnet, buyer) = bad(Behaviour { approval, ..Behaviour::default() }).await;
    let agreement = proposed(&buyer).await;
    assert_eq!(buyer.decision(&agreement, 25).await.status, 408);
    assert_eq!(buyer.decision(&agreement, 25).await.status, 204);
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_approval_that_comes_too_late_takes_no_slot() {
    let approval = ApprovalManner::After(30 * SECOND);
    let (devnet, buyer) = bad(Behaviour { approval, ..Behaviour::default() }).await;
    let agreement = proposed(&buyer).await;
    let cancel = format!("/market-api/v1/agreements/{agreement}/cancel");
    assert_eq!(buyer.post(&cancel, Value::Null).await.status, 200);
    sleep(MINUTE).await;
    let next = proposed(&buyer).await;
    assert_eq!(buyer.decision(&next, 60).await.status, 204);
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_rejects_agreements() {
    let (devnet, buyer) = bad(Behaviour { approval: ApprovalManner::Rejects, ..Behaviour::default() }).await;
    let agreement = proposed(&buyer).await;
    let decision = buyer.decision(&agreement, 30).await;
    assert_eq!((decision.status, &decision.body["message"]), (410, &json!("Rejected")));
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_vanishes_after_two_commands() {
    let vanishes = Some(Vanishing::AfterCommands(2));
    let (devnet, buyer) = bad(Behaviour { vanishes, ..Behaviour::default() }).await;
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let activity = buyer.ready(&agreement).await;
    for _ in 0..2 {
        assert_eq!(buyer.run(&activity, json!([run("/bin/work", &[])])).await[0]["result"], "Ok");
    }
    let batch = buyer.send_script(&activity, json!([run("/bin/work", &[])])).await;
    let began = Instant::now();
    let lost = loop {
        let answer = buyer.results(&activity, &batch, 5).await;
        if answer.status >= 500 {
            break answer;
        }
        assert!(began.elapsed() < MINUTE, "its exe-unit is still there: {answer:?}");
    };
    assert!(text(&lost.body["message"]).contains("endpoint address not found"), "{lost:?}");
    // It neither ends the agreement nor sends bills.
    sleep(10 * MINUTE).await;
    assert_eq!(buyer.agreement(&agreement).await["state"], "Approved");
    buyer.terminate(&agreement).await;
    sleep(10 * MINUTE).await;
    assert!(buyer.bills("invoices", &agreement).await.is_empty());
    assert!(devnet.provider("ada").unwrap().is_gone());
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_vanishes_after_a_time_and_comes_back() {
    let vanishes = Some(Vanishing::After(3 * MINUTE));
    let (devnet, buyer) = bad(Behaviour { vanishes, ..Behaviour::default() }).await;
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    buyer.ready(&agreement).await;
    sleep(2 * MINUTE).await;
    let ada = devnet.provider("ada").unwrap();
    assert!(!ada.is_gone());
    sleep(MINUTE + SECOND).await;
    assert!(ada.is_gone());
    let create = buyer.post("/activity-api/v1/activity?timeout=5", json!({"agreementId": agreement})).await;
    assert_eq!(create.status, 408);
    ada.change(|behaviour| behaviour.vanishes = None);
    ada.restart();
    ada.published().await;
    buyer.agree(&buyer.properties(20 * MINUTE)).await;
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_whose_agent_dies_while_its_exe_unit_works_on_and_its_old_offer_stays() {
    let vanishes = Some(Vanishing::AgentAfter(3 * MINUTE));
    let (devnet, buyer) = bad(Behaviour { vanishes, ..Behaviour::default() }).await;
    let (_, agreement) = buyer.agree(&with_notes(&buyer, 60 * MINUTE, 120)).await;
    let activity = buyer.ready(&agreement).await;
    let ada = devnet.provider("ada").unwrap();
    sleep(3 * MINUTE + SECOND).await;
    assert!(ada.is_gone());
    let notes = buyer.bills("debitNotes", &agreement).await.len();
    // Commands that run there continue, and it takes more work.
    assert_eq!(buyer.run(&activity, json!([run("/bin/work", &[])])).await[0]["result"], "Ok");
    assert_eq!(buyer.state(&activity).await["state"], json!(["Ready", null]));
    // But nobody sends bills, ends activities, or minds that notes aren't accepted.
    sleep(20 * MINUTE).await;
    assert_eq!(buyer.bills("debitNotes", &agreement).await.len(), notes);
    assert_eq!(buyer.agreement(&agreement).await["state"], "Approved");
    let destroyed = buyer.delete(&format!("/activity-api/v1/activity/{activity}?timeout=5")).await;
    assert_eq!(destroyed.status, 408);
    assert_eq!(buyer.state(&activity).await["state"], json!(["Ready", null]));
    // The offer is found and never answered.
    let demand = buyer.demand(&buyer.properties(20 * MINUTE)).await;
    let initial = buyer.proposal(&demand, "Initial").await;
    buyer.counter(&demand, &initial).await;
    let events = format!("/market-api/v1/demands/{}/events?timeout=60&maxEvents=10", demand.id);
    assert_eq!(buyer.get(&events).await.ok(), json!([]));
    buyer.terminate(&agreement).await;
    // The next agent knows nothing of the last one: not its agreement, and not its offer.
    ada.change(|behaviour| behaviour.vanishes = None);
    ada.restart();
    ada.published().await;
    let demand = buyer.demand(&buyer.properties(20 * MINUTE)).await;
    let (one, other) = (buyer.proposal(&demand, "Initial").await, buyer.proposal(&demand, "Initial").await);
    assert_ne!(one, other);
    sleep(10 * MINUTE).await;
    assert!(buyer.bills("invoices", &agreement).await.is_empty());
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_exe_unit_that_ends_with_its_daemon() {
    let (devnet, buyer) = bad(Behaviour::default()).await;
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let activity = buyer.ready(&agreement).await;
    let batch = buyer.send_script(&activity, json!([run("/bin/work", &[])])).await;
    let waiting = async {
        let began = Instant::now();
        let lost = buyer.results(&activity, &batch, 5).await;
        assert_eq!((lost.status, began.elapsed().as_secs()), (408, 6), "{lost:?}");
    };
    let ada = devnet.provider("ada").unwrap();
    let restart = async {
        sleep(2 * SECOND).await;
        ada.restart_daemon();
    };
    tokio::join!(waiting, restart);
    let lost = buyer.results(&activity, &batch, 5).await;
    assert!(text(&lost.body["message"]).contains("endpoint address not found"), "{lost:?}");
    assert_eq!(buyer.state(&activity).await["state"], json!(["Terminated", null]));
    // The agreement lives and takes another one; what ran is billed.
    let next = buyer.ready(&agreement).await;
    assert_eq!(buyer.run(&next, json!([run("/bin/work", &[])])).await[0]["result"], "Ok");
    buyer.destroy(&next).await;
    buyer.terminate(&agreement).await;
    let invoices = buyer.wait_bills("invoices", &agreement, 1).await;
    assert_eq!(invoices[0]["activityIds"].as_array().unwrap().len(), 2);
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_every_command() {
    let (devnet, buyer) = bad(Behaviour { fails_commands: Some(3), ..Behaviour::default() }).await;
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let activity = buyer.ready(&agreement).await;
    let results = buyer.run(&activity, json!([run("/bin/work", &[]), run("/bin/work", &[])])).await;
    assert_eq!(results.len(), 1);
    assert_eq!(
        (&results[0]["result"], &results[0]["message"]),
        (&json!("Error"), &json!("ExeScript command exited with code 3"))
    );
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_cant_deploy() {
    let (devnet, buyer) = bad(Behaviour { fails_deploy: true, ..Behaviour::default() }).await;
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let activity = buyer.activity(&agreement).await;
    let results = buyer.run(&activity, json!([{"deploy": {}}, {"start": {"args": []}}])).await;
    assert_eq!((results.len(), &results[0]["result"]), (1, &json!("Error")));
    assert!(text(&results[0]["message"]).contains("no space left"), "{results:?}");
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_slow() {
    let (devnet, buyer) = bad(Behaviour { slowdown: 6.0, ..Behaviour::default() }).await;
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let activity = buyer.ready(&agreement).await;
    let began = Instant::now();
    buyer.run(&activity, json!([run("/bin/work", &[])])).await;
    assert_eq!(began.elapsed(), MINUTE);
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_bills_too_much() {
    let (devnet, buyer) = bad(Behaviour { bill_factor: 1.5, ..Behaviour::default() }).await;
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let activity = buyer.ready(&agreement).await;
    buyer.run(&activity, json!([run("/bin/work", &[])])).await;
    buyer.destroy(&activity).await;
    buyer.terminate(&agreement).await;
    let invoices = buyer.wait_bills("invoices", &agreement, 1).await;
    assert_eq!(invoices[0]["amount"], "0.75165");
    assert_eq!(buyer.bills("debitNotes", &agreement).await[0]["usageCounterVector"], json!([10.0, 10.0]));
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_whose_bills_grow_without_its_usage() {
    let (devnet, buyer) = bad(Behaviour { frozen_usage: true, ..Behaviour::default() }).await;
    let (_, agreement) = buyer.agree(&with_notes(&buyer, 60 * MINUTE, 30)).await;
    buyer.ready(&agreement).await;
    let notes = buyer.wait_bills("debitNotes", &agreement, 3).await;
    assert_eq!(notes[0]["usageCounterVector"], notes[2]["usageCounterVector"]);
    assert_ne!(notes[0]["totalAmountDue"], notes[2]["totalAmountDue"]);
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ones_that_send_no_invoice_or_two_or_a_late_one() {
    for (invoicing, soon, later) in
        [(InvoiceManner::Never, 0, 0), (InvoiceManner::Twice, 2, 2), (InvoiceManner::After(5 * MINUTE), 0, 1)]
    {
        let (devnet, buyer) = bad(Behaviour { invoicing, ..Behaviour::default() }).await;
        let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
        let activity = buyer.ready(&agreement).await;
        buyer.destroy(&activity).await;
        buyer.terminate(&agreement).await;
        sleep(4 * MINUTE).await;
        assert_eq!(buyer.bills("invoices", &agreement).await.len(), soon, "{invoicing:?}");
        sleep(10 * MINUTE).await;
        assert_eq!(buyer.bills("invoices", &agreement).await.len(), later, "{invoicing:?}");
        devnet.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn malformed_offers_stand_among_good_ones() {
    let flawed = |name: &str, flaw| {
        let behaviour = Behaviour { offer_flaw: Some(flaw), ..Behaviour::default() };
        ProviderConfig::new(name).behaving(behaviour)
    };
    let devnet = one(ada())
        .provider(flawed("text", OfferFlaw::PricesAsText))
        .provider(flawed("nan", OfferFlaw::PriceNotANumber))
        .provider(flawed("whole", OfferFlaw::WholePrices))
        .start()
        .await
        .unwrap();
    let buyer = Buyer::of(&devnet);
    let demand = buyer.demand(&buyer.properties(20 * MINUTE)).await;
    let mut prices = serde_json::Map::new();
    for _ in 0..4 {
        let event = buyer.event(&demand, |event| event["proposal"]["state"] == "Initial").await;
        let said = &event["proposal"]["properties"];
        let coefficients = &said["golem.com.pricing.model.linear.coeffs"];
        prices.insert(text(&said["golem.node.id.name"]), coefficients[0].clone());
    }
    assert!(prices["text"].is_string());
    assert_eq!(prices["nan"], "NaN");
    assert_eq!(prices["whole"], json!(0));
    assert_eq!(prices["ada"], json!(0.00001));
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_agreements_on_a_whim() {
    let reason = Reason::new("My holidays begin").with("golem.provider.code", "Shutdown");
    let (devnet, buyer) =
        bad(Behaviour { terminates: Some((40 * SECOND, reason)), ..Behaviour::default() }).await;
    let began = Instant::now();
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let activity = buyer.ready(&agreement).await;
    let end = buyer.end(&agreement).await;
    assert_eq!(end["reason"], json!({"message": "My holidays begin", "golem.provider.code": "Shutdown"}));
    assert!((40 * SECOND..42 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(buyer.state(&activity).await["state"], json!(["Terminated", null]));
    buyer.wait_bills("invoices", &agreement, 1).await;
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_sends_too_many_debit_notes() {
    let (devnet, buyer) = bad(Behaviour { debit_notes_every: Some(SECOND), ..Behaviour::default() }).await;
    let (_, agreement) = buyer.agree(&with_notes(&buyer, 60 * MINUTE, 120)).await;
    buyer.ready(&agreement).await;
    sleep(20 * SECOND).await;
    let count = buyer.bills("debitNotes", &agreement).await.len();
    assert!((19..=21).contains(&count), "{count} notes in 20 s");
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn manners_change_while_an_activity_runs() {
    let (devnet, buyer) = bad(Behaviour::default()).await;
    let (_, agreement) = buyer.agree(&with_notes(&buyer, 60 * MINUTE, 600)).await;
    let activity = buyer.ready(&agreement).await;
    let ada = devnet.provider("ada").unwrap();
    ada.change(|behaviour| behaviour.debit_notes_every = Some(5 * SECOND));
    buyer.wait_bills("debitNotes", &agreement, 2).await;
    ada.change(|behaviour| behaviour.fails_commands = Some(9));
    assert_eq!(buyer.run(&activity, json!([run("/bin/work", &[])])).await[0]["result"], "Error");
    assert_eq!(ada.behaviour().fails_commands, Some(9));
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_frozen_provider_hears_everything_later() {
    let (devnet, buyer) = bad(Behaviour::default()).await;
    let ada = devnet.provider("ada").unwrap();
    ada.freeze();
    let demand = buyer.demand(&buyer.properties(20 * MINUTE)).await;
    let initial = buyer.proposal(&demand, "Initial").await;
    buyer.counter(&demand, &initial).await;
    let path = format!("/market-api/v1/demands/{}/events?timeout=60&maxEvents=5", demand.id);
    assert_eq!(buyer.get(&path).await.ok(), json!([]));
    ada.thaw();
    let draft = buyer.proposal(&demand, "Draft").await;
    let agreement = buyer.propose(&draft).await;
    assert_eq!(buyer.decision(&agreement, 30).await.status, 204);
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_provider_leaves_nothing_behind() {
    let (devnet, buyer) = bad(Behaviour::default()).await;
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let activity = buyer.ready(&agreement).await;
    let batch = buyer.send_script(&activity, json!([run("/bin/work", &[])])).await;
    devnet.provider("ada").unwrap().kill();
    let began = Instant::now();
    while buyer.results(&activity, &batch, 5).await.status != 500 {
        assert!(began.elapsed() < MINUTE, "its exe-unit is still there");
    }
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agreement_without_activity_is_broken_after_90_seconds() {
    let (devnet, buyer) = bad(Behaviour::default()).await;
    let began = Instant::now();
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let end = buyer.end(&agreement).await;
    assert_eq!(
        end["reason"],
        json!({"message": "No activity created within 90s", "golem.provider.code": "NoActivity"})
    );
    assert!((90 * SECOND..91 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
    let invoices = buyer.wait_bills("invoices", &agreement, 1).await;
    assert_eq!((&invoices[0]["amount"], &invoices[0]["activityIds"]), (&json!("0"), &json!([])));
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn idle_time_counts_anew_after_each_activity() {
    let (devnet, buyer) = bad(Behaviour::default()).await;
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    for _ in 0..3 {
        sleep(80 * SECOND).await;
        let activity = buyer.ready(&agreement).await;
        buyer.destroy(&activity).await;
    }
    assert_eq!(buyer.agreement(&agreement).await["state"], "Approved");
    assert_eq!(buyer.end(&agreement).await["reason"]["golem.provider.code"], "NoActivity");
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agreement_ends_when_its_demand_runs_out() {
    let (devnet, buyer) = bad(Behaviour::default()).await;
    let (_, agreement) = buyer.agree(&buyer.properties(6 * MINUTE)).await;
    buyer.ready(&agreement).await;
    let end = buyer.end(&agreement).await;
    assert_eq!(end["reason"]["golem.provider.code"], "Expired");
    assert_eq!(end["reason"]["message"], "Agreement expired @ 2026-01-01T00:06:00Z");
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_demand_for_one_activity_gets_no_second() {
    let (devnet, buyer) = bad(Behaviour::default()).await;
    let mut properties = buyer.properties(20 * MINUTE);
    properties["golem.srv.caps.multi-activity"] = Value::Bool(false);
    let (_, agreement) = buyer.agree(&properties).await;
    let activity = buyer.ready(&agreement).await;
    buyer.destroy(&activity).await;
    let end = buyer.end(&agreement).await;
    assert_eq!(end["reason"], json!({"message": "Finished with success.", "golem.provider.code": "Success"}));
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_activities_at_a_time_are_one_too_many() {
    let (devnet, buyer) = bad(Behaviour::default()).await;
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let first = buyer.ready(&agreement).await;
    let second = buyer.post("/activity-api/v1/activity?timeout=30", json!({"agreementId": agreement})).await;
    assert_eq!(second.status, 500);
    let message = text(&second.body["message"]);
    assert!(message.contains("Can't create 2 simultaneous Activities."), "{message}");
    assert_eq!(buyer.run(&first, json!([run("/bin/work", &[])])).await[0]["result"], "Ok");
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agreement_outlives_a_dead_exe_unit() {
    let runtime = ScriptedRuntime::new().on("/bin/crash", &[], ScriptedAnswer::die());
    let devnet = one(ada()).runtime(runtime).start().await.unwrap();
    let buyer = Buyer::of(&devnet);
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let activity = buyer.ready(&agreement).await;
    let batch = buyer.send_script(&activity, json!([run("/bin/crash", &[])])).await;
    let began = Instant::now();
    while buyer.results(&activity, &batch, 5).await.status != 500 {
        assert!(began.elapsed() < MINUTE, "its exe-unit is still there");
    }
    let state = buyer.state(&activity).await;
    assert_eq!(
        (&state["state"], &state["reason"]),
        (&json!(["Terminated", null]), &json!("execution aborted"))
    );
    let next = buyer.ready(&agreement).await;
    buyer.destroy(&next).await;
    buyer.terminate(&agreement).await;
    let invoices = buyer.wait_bills("invoices", &agreement, 1).await;
    assert_eq!(invoices[0]["activityIds"].as_array().unwrap().len(), 2);
    devnet.stop().await;
}
