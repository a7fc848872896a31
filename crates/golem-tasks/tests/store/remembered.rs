//! What is remembered of providers across runs, with a clock that is moved, and who is blocked.

use std::time::Duration;

use golem_core::event::{EventKind, Provider, RentalId, StopReason, TaskOutput};
use golem_core::standing::Known;
use golem_tasks::store::{RememberedProvider, Store, StoreError};
use serde_json::{Value, json};
use yagna_api::time::after;
use yagna_api::{ProposalId, Timestamp};

use crate::asking::{answer, ask};
use crate::grounds::Ground;
use crate::scene::{Scene, attempt, eventful, glm, new_run, provider, start};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn done(scene: &mut Scene, task: u64, rental: u64, took: Duration) {
    scene.started(task, 1, rental).event(EventKind::TaskDone {
        attempt: attempt(task, 1),
        rental: RentalId(rental),
        output: TaskOutput {
            result: json!(null),
            stdout: golem_core::event::Printed::default(),
            stderr: golem_core::event::Printed::default(),
            ends_run: false,
            no_result: false,
        },
        took,
    });
}

/// Node 1 takes 10 s where node 2 takes 21, and half of the money; node 3 fails, node 4 doesn't approve.
fn race() -> Scene {
    let mut scene = Scene::new();
    scene.opening().added(0..10).rental(1, 1).rental(2, 2).rental(3, 3);
    for task in 0..4 {
        done(&mut scene, task, 1, Duration::from_secs(10 + task % 3));
    }
    for task in 4..9 {
        done(&mut scene, task, 2, Duration::from_secs(20 + task % 3));
    }
    scene
        .wait(3_600_000)
        .started(9, 1, 3)
        .failed_once(9, 1, 3)
        .event(EventKind::ActivityEnded {
            rental: RentalId(3),
            usage: None,
            failure: Some("it died".to_owned()),
            complete: false,
        })
        .event(EventKind::AgreementIntended {
            rental: RentalId(4),
            provider: provider(4),
            proposal: ProposalId::new("R-4"),
            per_hour: glm("0.1"),
            start: glm("0.001"),
            terms: Box::default(),
        })
        .event(EventKind::AgreementFailed { rental: RentalId(4), reason: "no answer".to_owned() })
        .rental_ends(1, Some("0.04"))
        .rental_ends(2, Some("0.1"));
    scene
}

async fn write(store: &Store, run_id: &str, scene: &Scene) {
    let run = store.create_run(&new_run(run_id)).await.unwrap();
    run.apply(&scene.events).await.unwrap();
}

async fn known(store: &Store, n: u64, now: Timestamp) -> Known {
    store.known_providers(now).await.unwrap().of(&provider(n).id).known
}

fn is(value: f64, expected: f64) -> bool {
    (value / expected - 1.0).abs() < 1e-3
}

pub(crate) async fn providers_are_remembered_across_runs_and_fade(ground: Ground) {
    let store = ground.store().await;
    let mut first = race();
    first.wait(1).stops(StopReason::Cancelled).ends(StopReason::Cancelled, (9, 0, 1), "0.14", 2);
    write(&store, "first", &first).await;
    let now = after(start(), Duration::from_secs(3600));
    let one = known(&store, 1, now).await;
    assert!(is(one.speed.unwrap(), 21.0 / 10.0), "{one:?}");
    assert!(is(one.dearness.unwrap(), 0.5) && one.handicap() < 0.8, "{one:?}");
    assert_eq!((one.cost_per_task, one.rentals, one.is_set_back()), (Some(glm("0.01")), 1, false));
    assert!(is(one.tasks_done, 4.0) && is(one.approved, 1.0), "{one:?}");
    // What an hour of its activity costs is by the activity's own time, not by the meter.
    let hourly: f64 = one.cost_per_hour.unwrap().to_string().parse().unwrap();
    assert!(is(hourly, 0.04), "{hourly}");
    let three = known(&store, 3, now).await;
    assert!(
        is(three.failures_in_a_row, 1.0) && is(three.tasks_failed, 1.0) && three.is_set_back(),
        "{three:?}"
    );
    let four = known(&store, 4, now).await;
    assert!(is(four.not_approved_in_a_row, 1.0) && four.failures == 0.0, "{four:?}");
    assert_eq!(known(&store, 9, now).await, Known::default());

    // A run that was killed counts as well, in whatever order they are read.
    write(&store, "killed", &race()).await;
    let one = known(&store, 1, now).await;
    assert!(is(one.tasks_done, 8.0) && one.rentals == 2, "{one:?}");
    assert!(is(known(&store, 3, now).await.failures_in_a_row, 2.0));

    for (days, weight) in [(3, 0.5), (6, 0.25)] {
        let then = known(&store, 3, after(now, DAY * days)).await;
        assert!(is(then.failures_in_a_row, 2.0 * weight), "{days}: {then:?}");
        assert!(is(known(&store, 1, after(now, DAY * days)).await.tasks_done, 8.0 * weight));
    }
    let forgotten = after(now, Known::FORGOTTEN_AFTER + DAY);
    assert_eq!(store.known_providers(forgotten).await.unwrap().known_rentals(), 0);
    // For people everything is still there.
    let rows = store.remembered_providers(forgotten).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.tasks_done).sum::<u64>(), 18);
    assert!(rows.iter().all(|row| row.standing() == "ok"));
    store.close().await;
}

/// What is remembered but for the number of rentals.
async fn seen(store: &Store) -> Vec<RememberedProvider> {
    store.remembered_providers(after(start(), DAY)).await.unwrap()
}

pub(crate) async fn a_run_tells_the_same_before_and_after_its_end_however_it_is_written(ground: Ground) {
    let store = ground.store().await;
    let events = eventful();
    let (end, before) = events.split_last().unwrap();
    let run = store.create_run(&new_run("a")).await.unwrap();
    run.apply(before).await.unwrap();
    let unended = seen(&store).await;
    assert_eq!(unended.iter().map(|row| row.tasks_done).sum::<u64>(), 3);
    assert_eq!(unended.iter().map(|row| row.failed_attempts).sum::<u64>(), 2);
    // The end, and the same end again.
    for _ in 0..2 {
        run.apply(std::slice::from_ref(end)).await.unwrap();
        assert_eq!(seen(&store).await, unended);
    }
    // All at once, and event by event: as much again.
    store.create_run(&new_run("b")).await.unwrap().apply(&events).await.unwrap();
    let run = store.create_run(&new_run("c")).await.unwrap();
    for event in &events {
        run.apply(std::slice::from_ref(event)).await.unwrap();
    }
    for (row, once) in seen(&store).await.iter().zip(&unended) {
        assert_eq!(row.provider, once.provider);
        let counts = |row: &RememberedProvider| {
            [
                row.agreements,
                row.not_approved,
                row.failures,
                row.tasks_done,
                row.failed_attempts,
                row.known.rentals,
            ]
        };
        assert_eq!(counts(row), counts(once).map(|n| 3 * n));
        assert_eq!((row.known.speed, row.known.last_seen), (once.known.speed, once.known.last_seen));
    }
    store.close().await;
}

pub(crate) async fn who_did_not_approve_while_the_run_was_stopping_is_not_to_blame(ground: Ground) {
    let store = ground.store().await;
    let intended = |rental| EventKind::AgreementIntended {
        rental: RentalId(rental),
        provider: provider(rental),
        proposal: ProposalId::new("R"),
        per_hour: glm("0.1"),
        start: glm("0"),
        terms: Box::default(),
    };
    let failed = |rental| EventKind::AgreementFailed { rental: RentalId(rental), reason: "no".to_owned() };
    let mut scene = Scene::new();
    scene.opening().event(intended(1)).event(intended(2)).wait(10).event(failed(1)).wait(10);
    scene.stops(StopReason::Cancelled).wait(10).event(failed(2));
    write(&store, "r", &scene).await;
    let now = after(start(), Duration::from_secs(1));
    assert!(known(&store, 1, now).await.is_set_back());
    assert!(!known(&store, 2, now).await.is_set_back());
    store.close().await;
}

pub(crate) async fn providers_are_blocked_by_id_or_name_and_unblocked(ground: Ground) {
    let store = ground.store().await;
    let mut scene = race();
    // Another one with the name of the first.
    let twin = Provider { id: provider(77).id, name: provider(1).name };
    scene.event(EventKind::OfferRefused {
        provider: twin.clone(),
        reason: "too dear".to_owned(),
        group: String::new(),
        above: None,
    });
    write(&store, "r", &scene).await;

    assert_eq!(store.find_provider(" lively-lynx-2 ").await.unwrap(), provider(2));
    let id = provider(1).id.as_str().to_ascii_uppercase().replace("0X", "0x");
    assert_eq!(store.find_provider(&id).await.unwrap(), provider(1));
    let stranger = Provider { id: provider(500).id, name: String::new() };
    assert_eq!(store.find_provider(stranger.id.as_str()).await.unwrap(), stranger);
    let several = store.find_provider("lively-lynx-1").await.unwrap_err();
    assert!(several.advice().unwrap().contains(twin.id.as_str()), "{several:?}");
    assert!(several.advice().unwrap().contains(provider(1).id.as_str()));
    let unknown = store.find_provider("lively-lnyx-3").await.unwrap_err();
    assert!(
        matches!(&unknown, StoreError::NoSuchProvider { nearest, .. } if nearest[0] == "lively-lynx-3"),
        "{unknown:?}"
    );
    assert!(store.find_blocked("lively-lynx-2").await.is_err(), "it isn't blocked");

    let now = after(start(), DAY);
    store.block_providers(&[provider(2), stranger.clone()], Some("too loud"), now).await.unwrap();
    // Again, with another reason: it has been blocked since the first time.
    store.block_providers(&[provider(2)], None, after(now, DAY)).await.unwrap();
    let blocked = store.blocked_providers().await.unwrap();
    let seen: Vec<_> =
        blocked.iter().map(|block| (block.provider.clone(), block.reason.as_deref(), block.at)).collect();
    assert_eq!(seen.len(), 2);
    assert!(seen.contains(&(provider(2), None, blocked[0].at)), "{seen:?}");
    assert!(seen.contains(&(stranger.clone(), Some("too loud"), blocked[0].at)), "{seen:?}");
    let rows = store.remembered_providers(now).await.unwrap();
    let standing = |n: u64| rows.iter().find(|row| row.provider.id == provider(n).id).unwrap().standing();
    assert_eq!([1, 2, 3, 4, 500].map(standing), ["ok", "blocked", "set back", "set back", "blocked"]);

    let found = store.find_blocked("lively-lynx-2").await.unwrap();
    store.unblock_providers(&[found, stranger]).await.unwrap();
    assert_eq!(store.blocked_providers().await.unwrap(), []);
    store.close().await;
}

pub(crate) async fn the_program_lists_blocks_and_unblocks_providers(ground: Ground) {
    // Somebody may be blocked before anything was ever run.
    let early = provider(600).id;
    let told = answer(&ground, &["providers", "block", early.as_str()]).await;
    assert!(told.starts_with(early.as_str()) && told.contains("is blocked"), "{told}");
    let store = ground.store().await;
    write(&store, "r", &race()).await;

    let told = answer(
        &ground,
        &["providers", "block", "lively-lynx-2", "lively-lynx-3", "--reason", "wrong results"],
    )
    .await;
    assert_eq!(told.lines().count(), 2, "{told}");
    let table = answer(&ground, &["providers"]).await;
    let titles = ["provider", "done", "failed", "GLM/task", "speed", "last seen", "standing"];
    assert!(titles.iter().all(|title| table.lines().next().unwrap().contains(title)), "{table}");
    let line = table.lines().find(|line| line.starts_with("lively-lynx-2")).unwrap();
    assert!(
        line.contains("blocked: wrong results") && line.contains("0.0200") && line.contains("1.00x"),
        "{table}"
    );
    assert_eq!(table.lines().count(), 6, "{table}");

    let json: Value = serde_json::from_str(&answer(&ground, &["providers", "--json"]).await).unwrap();
    assert_eq!((&json["type"], &json["version"]), (&json!("known_providers"), &json!(1)));
    let of = |n: u64| {
        let id = json!(provider(n).id);
        json["providers"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap()
    };
    assert_eq!(
        (&of(2)["standing"], &of(2)["blocked"]["reason"]),
        (&json!("blocked"), &json!("wrong results"))
    );
    assert_eq!((&of(1)["tasks_done"], &of(1)["cost_per_result"]), (&json!(4), &json!("0.01")));
    assert!(of(1)["speed"].as_f64().unwrap() > 1.5, "{json}");
    assert_eq!((&of(600)["last_seen"], &of(600)["name"]), (&Value::Null, &json!("")));

    // None where one isn't known.
    let told = ask(&ground, &["providers", "block", "lively-lynx-4", "lively-lnyx-1"]).await;
    assert_eq!((told.code, told.out.as_str()), (Some(2), ""), "{}", told.err);
    assert!(told.err.contains("did you mean `lively-lynx-1`"), "{}", told.err);
    let told = ask(&ground, &["providers", "unblock", "lively-lynx-4"]).await;
    assert_eq!(told.code, Some(2));
    assert!(told.err.contains("no blocked provider is called `lively-lynx-4`"), "{}", told.err);
    let told = ask(&ground, &["providers", "block"]).await;
    assert_eq!(told.code, Some(2), "nobody is named");

    answer(&ground, &["providers", "unblock", "lively-lynx-2", "lively-lynx-3", early.as_str()]).await;
    assert_eq!(store.blocked_providers().await.unwrap(), []);
    store.close().await;
}

pub(crate) async fn what_a_deleted_run_told_is_forgotten_and_blocks_stay(ground: Ground) {
    let store = ground.store().await;
    let mut scene = race();
    scene.ends(StopReason::AllDone, (9, 0, 1), "0.14", 2);
    write(&store, "gone", &scene).await;
    let mut scene = Scene::new();
    scene.opening().added(0..1).rental(1, 1);
    done(&mut scene, 0, 1, Duration::from_secs(1));
    write(&store, "kept", &scene).await;
    store.block_providers(&[provider(2)], None, start()).await.unwrap();
    let pragma = if ground.kind == crate::grounds::Kind::Sqlite { "PRAGMA foreign_keys = OFF; " } else { "" };
    ground.execute(&format!("{pragma}DELETE FROM runs WHERE run_id = 'gone'")).await;
    let rows = store.remembered_providers(after(start(), DAY)).await.unwrap();
    let seen: Vec<_> =
        rows.iter().map(|row| (row.provider.id.clone(), row.tasks_done, row.standing())).collect();
    assert_eq!(seen, [(provider(1).id, 1, "ok"), (provider(2).id, 0, "blocked")]);
    assert_eq!(ground.texts("SELECT CAST(count(*) AS text) FROM tallies").await, ["0"]);
    store.close().await;
}

pub(crate) async fn who_fails_other_runs_is_heard_of_while_they_go_on(ground: Ground) {
    let store = ground.store().await;
    let set_back = |scene: &mut Scene, n: u64| {
        let until = after(start(), DAY);
        let reason = "it failed".to_owned();
        scene.wait(1000).event(EventKind::ProviderSetBack { provider: provider(n), until, reason });
    };
    let mut over = race();
    set_back(&mut over, 1);
    over.stops(StopReason::Cancelled).ends(StopReason::Cancelled, (9, 0, 1), "0.14", 2);
    write(&store, "over", &over).await;
    let last = |scene: &Scene| scene.events.last().unwrap().at;
    let begins = after(last(&over), Duration::from_secs(60));
    let told = async || {
        let mut told: Vec<_> = store.set_back_by_others("mine", begins).await.unwrap().into_iter().collect();
        told.sort();
        told
    };
    assert_eq!(told().await, []);

    let mut other = Scene::new();
    other.opening().wait(24 * 3_600_000);
    set_back(&mut other, 2);
    set_back(&mut other, 2);
    set_back(&mut other, 3);
    write(&store, "other", &other).await;
    write(&store, "mine", &{
        let mut mine = Scene::new();
        mine.opening().wait(24 * 3_600_000);
        set_back(&mut mine, 4);
        mine
    })
    .await;
    assert_eq!(told().await, [(provider(2).id, 2), (provider(3).id, 1)], "one's own is no news");
    let later = after(last(&other), Duration::from_secs(1));
    assert!(store.set_back_by_others("mine", later).await.unwrap().is_empty());
    store.close().await;
}
