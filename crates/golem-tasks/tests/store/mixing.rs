//! Whatever happens, in whatever groups it is written: all stores say the same of it, and so do the events.

use futures_util::TryStreamExt;
use golem_core::event::{EventKind, TaskId};
use golem_tasks::store::{RunSummary, TaskRow};
use golem_tasks::view::SummaryFold;

use crate::grounds::{Ground, Kind};
use crate::scene::{Scene, eventful, start};

const RUN: &str = "brave-otter-0001";

pub(crate) async fn both_counts_agree_after_every_event(ground: Ground) {
    let run = ground.run().await;
    let mut fold = SummaryFold::new(RUN, start());
    for event in eventful() {
        run.apply(std::slice::from_ref(&event)).await.unwrap();
        fold.apply(&event);
        assert_eq!(run.store().run_summary(RUN).await.unwrap(), fold.summary(), "after {event:?}");
    }
}

#[expect(clippy::print_stdout, reason = "the seed, to play the same again")]
pub(crate) async fn random_events_in_random_groups_read_back_the_same_everywhere(postgres: Ground) {
    let mut chance = fastrand::Rng::new();
    let seed = std::env::var("GOLEM_SEED").ok().map_or_else(|| chance.u64(..), |seed| seed.parse().unwrap());
    println!("GOLEM_SEED={seed}");
    chance.seed(seed);
    for round in 0..8 {
        let scene = random_scene(&mut chance);
        let mut kept: Vec<(Kind, RunSummary, Vec<TaskRow>)> = Vec::new();
        for kind in Kind::ALL {
            let ground = if *kind == Kind::Postgres { postgres.clone() } else { Ground::new(*kind).await };
            let store = ground.store().await;
            let run_id = format!("round-{round}");
            let run = store.create_run(&crate::scene::new_run(&run_id)).await.unwrap();
            let mut rest = scene.events.as_slice();
            while !rest.is_empty() {
                let (group, others) = rest.split_at(chance.usize(1..=rest.len().min(40)));
                run.apply(group).await.unwrap();
                rest = others;
            }
            let summary = store.run_summary(&run_id).await.unwrap();
            kept.push((*kind, summary, store.tasks(&run_id).try_collect().await.unwrap()));
            store.close().await;
        }
        let mut fold = SummaryFold::new(format!("round-{round}"), start());
        scene.events.iter().for_each(|event| fold.apply(event));
        let mut counted = fold.summary();
        for (kind, mut summary, tasks) in kept.clone() {
            assert_eq!(tasks, kept[0].2, "{kind}, GOLEM_SEED={seed}");
            assert_eq!(summary, kept[0].1, "{kind}, GOLEM_SEED={seed}");
            // Where a task failed whose last attempt isn't the one that is named, the two may name another provider.
            for failure in summary.failures.iter_mut().chain(&mut counted.failures) {
                failure.provider = None;
            }
            assert_eq!(summary, counted, "{kind}, GOLEM_SEED={seed}");
        }
    }
}

fn random_scene(chance: &mut fastrand::Rng) -> Scene {
    let mut scene = Scene::new();
    scene.opening().rental(1, 1).rental(2, 2).rental(3, 1).added(0..12);
    for _ in 0..200 {
        let (task, number, rental) = (chance.u64(0..12), chance.u32(1..6), chance.u64(1..4));
        scene.wait(chance.u64(0..3));
        match chance.u8(0..12) {
            0..5 => scene.started(task, number, rental),
            5 => scene.done(task, number, rental, "x\0y"),
            6 => scene.failed_once(task, number, rental),
            7 => scene.cancelled(task, number, rental),
            8 if chance.u8(0..6) == 0 => scene.failed(task, number, Some(rental).filter(|_| chance.bool())),
            9 if chance.u8(0..10) == 0 => scene.event(EventKind::TaskCancelled { task: TaskId(task) }),
            10 if chance.u8(0..10) == 0 => scene.event(EventKind::TaskExpired { task: TaskId(task) }),
            11 if chance.u8(0..4) == 0 => scene.event(EventKind::Trouble {
                doing: "read the bills".to_owned(),
                problem: format!("problem {number}"),
            }),
            _ => &mut scene,
        };
    }
    scene.rental_ends(1, Some("0.000000000000000001")).rental_ends(3, Some("123456789.987654321"));
    scene.rental_ends(2, None).closing();
    scene
}
