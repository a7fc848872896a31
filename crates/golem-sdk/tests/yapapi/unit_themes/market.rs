//! Choosing offers, ending agreements, and what is said on the way.

use golem_core::event::EventKind;
use golem_devnet::devnet::Devnet;
use golem_devnet::provider::{Behaviour, Prices, ProviderConfig};
use golem_sdk::executor::Executor;
use golem_sdk::run::platform;
use serde_json::{Value, json};
use yagna_api::Glm;
use yagna_api::market::Reason;

use crate::played::Played;
use crate::stage::{Outcome, Stage, client, honest, scripted, secs, sevens, wait_for};

#[tokio::test(start_paused = true)]
async fn of_a_hundred_offers_the_cheapest_are_taken_in_order() {
    let mut chance = fastrand::Rng::with_seed(4);
    let mut thousandths: Vec<u64> = (1..=100).collect();
    chance.shuffle(&mut thousandths);
    let providers = thousandths.iter().enumerate().map(|(n, price)| {
        let price = format!("0.{price:03}");
        ProviderConfig::new(format!("p{n}")).priced(Prices::per_hour("0", "0", &price).unwrap())
    });
    let stage = Stage::on(scripted(), providers, |builder| {
        builder.max_workers(5).configure(|config| config.selection_window = secs(60))
    })
    .await;
    Outcome::of(stage.executor.submit(sevens, 0..20)).await.assert_sevens(0..20);
    let played = Played::of(stage).await;
    let price = |kind: &EventKind| match kind {
        EventKind::AgreementIntended { per_hour, .. } => Some(per_hour.to_string()),
        _ => None,
    };
    let prices: Vec<_> = played.kinds().filter_map(price).collect();
    assert_eq!(prices, ["0.001", "0.002", "0.003", "0.004", "0.005"]);
    let agreed = played.count(|kind| matches!(kind, EventKind::TermsAgreed { .. }));
    assert_eq!(agreed, 100, "all of them were there to choose from");
}

#[tokio::test(start_paused = true)]
async fn an_agreement_may_end_from_both_sides_at_any_moment() {
    for quarters in 40..100 {
        let lasts = std::time::Duration::from_millis(quarters * 250);
        let bye = Some((lasts, Reason::new("maintenance")));
        let moody = honest("moody").behaving(Behaviour { terminates: bye, ..Behaviour::default() });
        let stage = Stage::on(scripted(), [moody, honest("ada")], |builder| builder.retries(10)).await;
        Outcome::of(stage.executor.submit(sevens, 0..5)).await.assert_sevens(0..5);
        let played = Played::of(stage).await;
        played.assert_all_paid();
        for row in &played.books.agreements {
            let ended = |kind: &EventKind| matches!(kind, EventKind::AgreementEnded { agreement, .. } if *agreement == row.id);
            assert_eq!(played.count(ended), 1, "{lasts:?}: its end is told once");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_is_money_on_mainnets_and_a_test_token_elsewhere() {
    for (network, token) in
        [("mainnet", "glm"), ("polygon", "glm"), ("hoodi", "tglm"), ("sepolia", "tglm"), ("holesky", "tglm")]
    {
        let expected = format!("erc20-{network}-{token}");
        assert_eq!(platform("erc20", network), expected);
        let devnet = Devnet::builder().payment_platform(&expected).provider(honest("ada")).start();
        let devnet = devnet.await.unwrap();
        let journal = std::sync::Arc::new(golem_sdk::MemoryJournal::new());
        let builder = Executor::builder(golem_core::payload::Payload::default())
            .client(client(&devnet))
            .network(network.to_uppercase())
            .journal(std::sync::Arc::clone(&journal) as _);
        builder.start().await.unwrap().close().await.unwrap();
        let set_aside = journal.events().into_iter().find_map(|event| match event.kind {
            EventKind::AllocationIntended { platform, .. } => Some(platform),
            _ => None,
        });
        assert_eq!(set_aside, Some(expected));
        devnet.stop().await;
    }
}

/// A market event as it may come, and then some of it isn't what it should be.
fn odd_event(chance: &mut fastrand::Rng) -> Value {
    let mut event = json!({
        "eventType": "ProposalEvent",
        "eventDate": "2026-01-01T00:00:05.5Z",
        "proposal": {
            "properties": {
                "golem.node.id.name": "odd",
                "golem.inf.cpu.threads": 4,
                "golem.com.scheme": "payu",
                "golem.com.pricing.model": "linear",
                "golem.com.pricing.model.linear.coeffs": [0.00001, 0.0001, 0.0],
                "golem.com.usage.vector": ["golem.usage.duration_sec", "golem.usage.cpu_sec"],
                "golem.com.payment.platform.erc20-hoodi-tglm.address": "0x00000000000000000000000000000000000000ff",
            },
            "constraints": "(golem.srv.comp.expiration>0)",
            "proposalId": format!("R-{:064x}", chance.u64(..)),
            "issuerId": format!("0x{:040x}", chance.u64(..)),
            "state": if chance.bool() { "Initial" } else { "Draft" },
            "timestamp": "2026-01-01T00:00:05Z",
        },
    });
    let junk = [
        Value::Null,
        json!(-1),
        json!(1e300),
        json!("\u{0}\u{1b}[2J"),
        json!([]),
        json!({}),
        json!([[["deep"]]]),
        json!(true),
        json!("NaN"),
    ];
    for _ in 0..chance.usize(1..4) {
        let spoilt = junk[chance.usize(..junk.len())].clone();
        let place = match chance.u8(0..3) {
            0 => Some(&mut event),
            1 => event.get_mut("proposal"),
            _ => event.pointer_mut("/proposal/properties"),
        };
        let Some(Value::Object(fields)) = place else { continue };
        let names: Vec<String> = fields.keys().cloned().collect();
        if let Some(name) = names.get(chance.usize(..names.len().max(1))) {
            fields.insert(name.clone(), spoilt);
        }
    }
    event
}

#[tokio::test(start_paused = true)]
async fn any_event_on_the_market_is_survived() {
    for seed in 0..20 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let stage = Stage::new(&["ada", "bob"]).await;
        let submitted = stage.executor.submit(sevens, 0..10);
        wait_for("the demand", || stage.devnet.books().demands > 0).await;
        let me = stage.devnet.requestor().node.clone();
        for _ in 0..100 {
            stage.devnet.faults().inject_event_for(&me, &odd_event(&mut chance));
        }
        Outcome::of(submitted).await.assert_sevens(0..10);
        let played = Played::of(stage).await;
        played.assert_all_paid();
        let told = played.count(|kind| {
            matches!(kind, EventKind::Trouble { doing, .. } if doing == "read an offer")
                || matches!(kind, EventKind::OfferRefused { .. } | EventKind::AgreementFailed { .. })
        });
        assert!(told > 0, "seed {seed}: nobody noticed");
        assert!(played.end.cost < "0.1".parse::<Glm>().unwrap(), "seed {seed}: {:?}", played.end);
    }
}
