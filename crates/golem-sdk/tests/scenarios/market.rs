//! The market: offers that can't be used, none at all, and how much is bought.

use golem_core::event::{EventKind, StopReason};
use golem_core::explain::Explanation;
use golem_devnet::provider::{Behaviour, OfferFlaw, Prices, ProviderConfig};

use crate::books::n_agreements;
use crate::stage::{Live, Played, Stage, Task, at_any_price, config, honest, options, secs, strange};

fn last_explanation(played: &Played) -> &Explanation {
    let explanations = played.kinds().filter_map(|kind| match kind {
        EventKind::Waiting { explanation } => Some(explanation),
        _ => None,
    });
    explanations.last().unwrap()
}

#[tokio::test(start_paused = true)]
async fn malformed_offers_fail_only_themselves() {
    for flaw in [
        OfferFlaw::PricesAsText,
        OfferFlaw::PriceNotANumber,
        OfferFlaw::PriceNull,
        OfferFlaw::PriceNegative,
        OfferFlaw::TooFewPrices,
        OfferFlaw::NoPrices,
        OfferFlaw::NoUsageVector,
    ] {
        let odd = Behaviour { offer_flaw: Some(flaw), ..Behaviour::default() };
        let played = Stage::new([strange("odd", odd), honest("ada")]).play().await;
        played.assert_all_done(12).await;
        assert_eq!(n_agreements(&played, "odd"), 0, "{flaw:?}");
        let refused = played.kinds().any(
            |kind| matches!(kind, EventKind::OfferRefused { provider, .. } if provider.id == played.node("odd")),
        );
        assert!(refused, "{flaw:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whole_prices_and_odd_names_are_no_fault() {
    for flaw in [OfferFlaw::WholePrices, OfferFlaw::NameAsNumber] {
        let odd = Behaviour { offer_flaw: Some(flaw), ..Behaviour::default() };
        let stage = Stage::new([strange("odd", odd)]).configured(|config| {
            config.strategy = at_any_price();
            config.budget = "10000".parse().unwrap();
        });
        stage.play().await.assert_all_done(12).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_event_among_good_ones_is_told_and_passed_over() {
    let live = Stage::new(["ada"].map(honest)).tasks(30).start().await;
    live.until_seen(2, |kind| matches!(kind, EventKind::TaskDone { .. })).await;
    let me = live.devnet.requestor().node.clone();
    live.devnet
        .faults()
        .inject_event_for(&me, &serde_json::json!({"eventType": "ProposalEvent", "proposal": 7}));
    let played = live.end().await;
    played.assert_all_done(30).await;
    let told =
        |kind: &EventKind| matches!(kind, EventKind::Trouble { doing, .. } if doing == "read an offer");
    assert_eq!(played.count(told), 1);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_too_dear_the_run_ends_with_the_numbers_and_the_cap() {
    let dear = |name: &str| ProviderConfig::new(name).priced(Prices::per_hour("0", "5", "1").unwrap());
    let played = Stage::new(["ada", "bob", "eve"].map(dear)).play().await;
    let end = played.end();
    assert_eq!((end.why, end.done, end.unfinished), (StopReason::NothingRuns, 0, 12));
    played.assert_sound().await;
    assert!(played.devnet.books().agreements.is_empty());
    let told = last_explanation(&played).to_string();
    assert!(told.contains("12 tasks waiting"), "{told}");
    assert!(told.contains("3 offers seen; 3 refused by us"), "{told}");
    assert!(told.contains("above the cap of 2") && told.contains("21 GLM an hour"), "{told}");
    assert!(played.took >= secs(600) && played.took < secs(660), "{:?}", played.took);
}

#[tokio::test(start_paused = true)]
async fn without_offers_the_run_says_so_again_and_again_and_gives_up() {
    let played = Stage::new([]).play().await;
    assert_eq!((played.end().why, played.end().unfinished), (StopReason::NothingRuns, 12));
    played.assert_sound().await;
    assert!(last_explanation(&played).to_string().contains("no offer matches the demand"));
    assert!(played.count(|kind| matches!(kind, EventKind::Waiting { .. })) > 10, "never a silent wait");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_comes_late_is_found() {
    let live = Stage::new([honest("late")]).start().await;
    live.provider("late").kill();
    live.until_seen(1, |kind| matches!(kind, EventKind::Waiting { .. })).await;
    live.provider("late").restart();
    live.end().await.assert_all_done(12).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_agreements_are_made_than_there_is_work_for() {
    let names: Vec<_> = (0..10).map(|n| format!("p{n}")).collect();
    let played = Stage::new(names.iter().map(|name| honest(name)))
        .tasks(2)
        .configured(|c| c.workers = 10)
        .play()
        .await;
    played.assert_all_done(2).await;
    assert_eq!(played.devnet.books().agreements.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_more_providers_work_at_once_than_are_wanted() {
    let names: Vec<_> = (0..10).map(|n| format!("p{n}")).collect();
    let played = Stage::new(names.iter().map(|name| honest(name)))
        .tasks(60)
        .configured(|c| c.workers = 3)
        .play()
        .await;
    played.assert_all_done(60).await;
    let mut live = std::collections::HashSet::new();
    let mut most = 0;
    for kind in played.kinds() {
        match kind {
            EventKind::AgreementIntended { rental, .. } => drop(live.insert(*rental)),
            EventKind::AgreementFailed { rental, .. } | EventKind::ActivityEnded { rental, .. } => {
                live.remove(rental);
            }
            _ => {}
        }
        most = most.max(live.len());
    }
    assert_eq!(most, 3);
}

#[tokio::test(start_paused = true)]
async fn the_cheapest_of_many_are_taken() {
    let priced = |(name, hour): (&str, &str)| {
        ProviderConfig::new(name).priced(Prices::per_hour("0", hour, "0").unwrap())
    };
    let providers = [("dear", "0.4"), ("cheap", "0.01"), ("middling", "0.1")].map(priced);
    let played = Stage::new(providers).configured(|config| config.workers = 2).play().await;
    played.assert_all_done(12).await;
    assert_eq!(n_agreements(&played, "dear"), 0);
    assert!(n_agreements(&played, "cheap") > 0 && n_agreements(&played, "middling") > 0);
}

#[tokio::test(start_paused = true)]
async fn two_runs_at_once_dont_see_each_others_rentals_and_bills() {
    let names: Vec<_> = (0..6).map(|n| format!("p{n}")).collect();
    let one = Stage::new(names.iter().map(|name| honest(name))).start().await;
    let worker = std::sync::Arc::new(crate::hands::Hands::default());
    let task = Task { tasks: 12, worker, session: "run-2" };
    let kept = std::sync::Arc::new(golem_sdk::MemoryJournal::new());
    let journal = std::sync::Arc::clone(&kept);
    let settings = options(config(), golem_sdk::Timing::default(), "run-2");
    let two = Live::begin(std::sync::Arc::clone(&one.devnet), task, settings, journal, kept);
    let (one, two) = tokio::join!(one.end(), two.end());
    for played in [&one, &two] {
        played.assert_all_done(12).await;
        assert_eq!(played.end().unsettled, 0);
        let strange = |kind: &EventKind| {
            matches!(kind, EventKind::BillReceived { rental: None, .. } | EventKind::BillRefused { .. })
        };
        assert_eq!(played.count(strange), 0);
    }
}
