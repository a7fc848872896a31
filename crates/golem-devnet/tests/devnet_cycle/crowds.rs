//! Many requestors among many providers, in virtual time: whatever they do, the books are in order at the end.

use std::time::Duration;

use golem_devnet::clock::DevnetClock;
use golem_devnet::devnet::Devnet;
use golem_devnet::node::Delays;
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;
use yagna_api::Glm;
use yagna_api::payment::BillStatus;

use crate::MINUTE;
use crate::billing::{pay, with_notes};
use crate::requestor::{Buyer, run, text};

/// A few agreements one after the other, with a few activities each.
async fn shop(buyer: Buyer, mut random: fastrand::Rng) -> usize {
    let allocation = buyer.allocate("100").await;
    let agreements = random.usize(1..=3);
    for _ in 0..agreements {
        let agreement = compete(&buyer).await;
        let work = async {
            for _ in 0..random.usize(1..=3) {
                let activity = buyer.ready(&agreement).await;
                for _ in 0..random.usize(0..=4) {
                    let program = ["/bin/quick", "/bin/slow", "/bin/false"][random.usize(..3)];
                    buyer.run(&activity, json!([run(program, &[])])).await;
                    sleep(Duration::from_millis(random.u64(..30_000))).await;
                }
                if random.bool() {
                    buyer.destroy(&activity).await;
                } else {
                    // Left to the provider, which ends it with the agreement.
                    break;
                }
            }
            buyer.terminate(&agreement).await;
        };
        tokio::join!(pay(&buyer, &agreement, &allocation), work);
    }
    let released = buyer.delete(&format!("/payment-api/v1/allocations/{allocation}")).await;
    assert_eq!(released.status, 200);
    agreements
}

/// An agreement in force with whichever provider is free first; others want one too.
async fn compete(buyer: &Buyer) -> String {
    for _ in 0..1000 {
        let demand = buyer.demand(&with_notes(buyer, 60 * MINUTE, 60)).await;
        let events = format!("/market-api/v1/demands/{}/events?timeout=30&maxEvents=1", demand.id);
        while let Some(event) = buyer.get(&events).await.ok().as_array().unwrap().first() {
            let proposal = &event["proposal"];
            if proposal["state"] == "Initial" {
                buyer.counter(&demand, &text(&proposal["proposalId"])).await;
            } else if proposal["state"] == "Draft" {
                let agreement = buyer.propose(&text(&proposal["proposalId"])).await;
                let decision = buyer.decision(&agreement, 30).await;
                if decision.status == 204 {
                    // Its other proposals are nobody's business any more.
                    assert_eq!(
                        buyer.delete(&format!("/market-api/v1/demands/{}", demand.id)).await.status,
                        204
                    );
                    return agreement;
                }
                assert_eq!((decision.status, &decision.body["message"]), (410, &json!("Rejected")));
            }
        }
        assert_eq!(buyer.delete(&format!("/market-api/v1/demands/{}", demand.id)).await.status, 204);
    }
    panic!("no provider is ever free");
}

#[tokio::test(start_paused = true)]
async fn the_books_are_in_order_whatever_the_crowd_did() {
    for seed in 0..6 {
        let runtime = ScriptedRuntime::new()
            .on("/bin/quick", &[], ScriptedAnswer::ok().taking(Duration::from_millis(20)))
            .on("/bin/slow", &[], ScriptedAnswer::ok().taking(Duration::from_secs(95)))
            .on("/bin/false", &[], ScriptedAnswer::exit(1));
        let devnet = Devnet::builder()
            .clock(DevnetClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()))
            .seed(seed)
            .delays(if seed % 2 == 0 { Delays::real() } else { Delays::none() })
            .providers(3)
            .runtime(runtime)
            .start()
            .await
            .unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut shoppers = JoinSet::new();
        for name in ["ann", "bob", "cid", "dot", "eve"] {
            let buyer = Buyer::new(&devnet, &devnet.add_requestor(name));
            shoppers.spawn(shop(buyer, random.fork()));
        }
        let agreements: usize = shoppers.join_all().await.into_iter().sum();
        let books = devnet.books();
        assert_eq!(books.open_agreements().count(), 0, "seed {seed}");
        assert_eq!(books.running_activities().count(), 0, "seed {seed}");
        assert_eq!(books.invoices.len(), agreements, "seed {seed}");
        let paid = [BillStatus::Accepted, BillStatus::Settled];
        assert!(books.invoices.iter().all(|invoice| paid.contains(&invoice.status)), "seed {seed}");
        let billed: Glm = books.invoices.iter().map(|invoice| invoice.amount).sum();
        let spent: Glm = books.allocations.iter().map(|allocation| allocation.spent).sum();
        assert_eq!(billed, spent, "seed {seed}");
        assert!(books.allocations.iter().all(|allocation| allocation.released), "seed {seed}");
        for invoice in &books.invoices {
            let mut activities: Vec<_> =
                books.activities.iter().filter(|activity| activity.agreement == invoice.agreement).collect();
            activities.sort_by(|a, b| a.id.cmp(&b.id));
            let last_notes: Glm = activities
                .iter()
                .filter_map(|activity| {
                    let own =
                        |note: &&golem_devnet::node::BillRow| note.activity.as_ref() == Some(&activity.id);
                    books.debit_notes.iter().rev().find(own)
                })
                .map(|note| note.amount)
                .sum();
            assert_eq!(
                invoice.amount, last_notes,
                "an invoice is the sum of its activities' last notes, seed {seed}"
            );
        }
        devnet.stop().await;
    }
}
