//! Why a run has no more providers at work, and what happened to a task, as the store tells it.

use golem_core::event::{EventKind, Provider};
use golem_core::raise::{AboveCap, CappedPrice};
use golem_tasks::store::{StoreError, WaitedFor};
use yagna_api::market::Reason;

use crate::asking::{answer, ask};
use crate::grounds::Ground;
use crate::scene::{Scene, eventful, glm, new_run, provider};

fn offered(provider: Provider) -> EventKind {
    EventKind::OfferReceived { provider, per_hour: glm("0.1"), start: glm("0.001") }
}

fn too_dear(provider: Provider, price: &str) -> EventKind {
    EventKind::OfferRefused {
        provider,
        reason: format!("{price} GLM an hour is above the cap of 0.02"),
        group: "above the cap of 0.02 GLM an hour".to_owned(),
        above: Some(AboveCap { of: CappedPrice::PerHour, price: glm(price), cap: glm("0.02") }),
    }
}

pub(crate) async fn each_provider_counts_once_however_often_its_offer_comes(ground: Ground) {
    let run = ground.run().await;
    let store = run.store().clone();
    let nothing = store.explain(run.run_id()).await.unwrap().explanation;
    assert_eq!((nothing.offers, nothing.published, nothing.advice()), (0, false, None));
    let mut scene = Scene::new();
    scene.opening().added(0..5);
    // The same commit, and later ones, speak of the same providers.
    scene.event(offered(provider(1))).event(EventKind::TermsAgreed { provider: provider(1) });
    scene
        .event(offered(provider(1)))
        .event(too_dear(provider(2), "0.05"))
        .event(too_dear(provider(2), "0.03"));
    run.apply(&std::mem::take(&mut scene.events)).await.unwrap();
    for number in 3..6 {
        scene.event(offered(provider(number)));
    }
    scene.event(EventKind::RefusedByProvider { provider: provider(3), reason: Some(Reason::new("busy")) });
    scene.event(too_dear(provider(2), "0.031")).event(too_dear(provider(6), "0.5"));
    // Refused at first, agreed later.
    scene.event(too_dear(provider(4), "0.9")).event(EventKind::TermsAgreed { provider: provider(4) });
    scene.rental(1, 1).started(0, 1, 1);
    run.apply(&std::mem::take(&mut scene.events)).await.unwrap();

    let explained = store.explain(run.run_id()).await.unwrap();
    let told = &explained.explanation;
    assert_eq!((told.offers, told.fitting(), told.negotiated, told.signed, told.working), (6, 4, 2, 1, 1));
    assert_eq!(told.refused_by_us.values().sum::<u64>(), 2);
    assert_eq!(told.refused_by_them.keys().collect::<Vec<_>>(), ["busy"]);
    assert_eq!(told.cheapest_refused, Some(glm("0.031")));
    let raise = told.raise.unwrap();
    assert_eq!((raise.from, raise.providers >= 1), (glm("0.02"), true), "{raise}");
    assert!(told.advice().unwrap().starts_with("raise max_price_per_hour from 0.02 to 0."), "{told:?}");
    assert_eq!((explained.tasks.running, explained.tasks.waiting), (1, 4));
    store.delete_runs(&[run.run_id()]).await.unwrap();
}

pub(crate) async fn a_task_has_its_attempts_waits_and_neighbours(ground: Ground) {
    let run = ground.run().await;
    let mut scene = Scene::new();
    scene.opening().added(0..4).wait(5000).rental(1, 1).rental(2, 2);
    // Tasks 0, 1 and 2 share a script; 0 fails and is tried elsewhere.
    scene.started(0, 1, 1).started(1, 1, 1).started(2, 1, 1).wait(3000).failed_once(0, 1, 1);
    scene.done(1, 1, 1, "one").done(2, 1, 1, "two").wait(10_000).started(3, 1, 1).wait(1000);
    scene.started(0, 2, 2).wait(2000).done(3, 1, 1, "three").done(0, 2, 2, "zero");
    scene.rental_ends(1, Some("0.4")).rental_ends(2, None);
    run.apply(&scene.events).await.unwrap();
    let store = run.store();
    let story = store.task_story(run.run_id(), "0").await.unwrap();
    let attempts: Vec<_> = story
        .attempts
        .iter()
        .map(|attempt| {
            let waited = (attempt.waited.time.as_secs_f64(), attempt.waited.what);
            (attempt.provider.name.as_str(), attempt.outcome.as_deref(), waited, attempt.neighbours.clone())
        })
        .collect();
    assert_eq!(
        attempts,
        [
            ("lively-lynx-1", Some("failed"), (5.0, WaitedFor::Provider), vec![1, 2]),
            ("lively-lynx-2", Some("done"), (11.0, WaitedFor::OtherProvider), vec![]),
        ]
    );
    assert!(story.attempts[0].reason.as_deref().unwrap().contains("exit code 1"));
    // The invoice of 0.4 GLM is shared by the time: 3 s of 0, and what the others took by themselves.
    let (cost, is_estimate) = (story.attempts[0].cost.unwrap(), story.attempts[0].is_estimate);
    assert!(!is_estimate && cost > glm("0.2") && cost < glm("0.4"), "{cost}");
    assert!(story.attempts[1].is_estimate, "no bill came for it");
    assert_eq!(store.task_story(run.run_id(), "3").await.unwrap().attempts[0].waited.what, WaitedFor::Turn);
    let none = store.task_story(run.run_id(), "4").await.unwrap_err();
    assert!(matches!(none, StoreError::NoSuchTask { known: 4, .. }), "{none}");

    // By its data, where that is a text.
    let named = store.create_run(&new_run("named")).await.unwrap();
    let data = serde_json::json!("scenes/shot \u{1f3ac} 02.blend");
    let task = golem_core::event::TaskId(0);
    let mut scene = Scene::new();
    scene.event(EventKind::TaskAdded { job: golem_core::event::JobId::FIRST, task, data, spawned: false });
    named.apply(&scene.events).await.unwrap();
    let story = store.task_story("named", "scenes/shot \u{1f3ac} 02.blend").await.unwrap();
    assert_eq!((story.task, story.attempts.len(), story.waits), (0, 0, None));
}

/// The same explanations, to the letter, from both databases.
pub(crate) async fn the_program_explains_the_same_on_every_database(ground: Ground) {
    let store = ground.store().await;
    let run = store.create_run(&new_run("brave-otter-0001")).await.unwrap();
    run.apply(&eventful()).await.unwrap();
    let mut text = String::new();
    for question in [
        &["explain"][..],
        &["explain", "--json"],
        &["explain", "1", "--run-id", "brave"],
        &["explain", "1", "--json"],
        &["explain", "2"],
        &["explain", "5"],
    ] {
        let answer = answer(&ground, question).await;
        text.extend(["$ golem-tasks ", &question.join(" "), "\n", &answer, "\n"]);
    }
    insta::assert_snapshot!("asked_explain", text);
    let unknown = ask(&ground, &["explain", "brave-otter-0001"]).await;
    assert_eq!(unknown.code, Some(2), "{}", unknown.err);
    assert!(unknown.err.contains("golem-tasks explain --run-id brave-otter-0001"), "{}", unknown.err);
    let unknown = ask(&ground, &["explain", "77"]).await;
    assert_eq!(unknown.code, Some(2), "{}", unknown.err);
    assert!(unknown.err.contains("its tasks have the numbers 0 to 5"), "{}", unknown.err);
    store.close().await;
}
