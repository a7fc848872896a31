//! The numbers: counted from the events and from the database they must be the same.

use golem_core::event::{Event, EventKind, StopReason};
use golem_core::explain::Explanation;
use golem_sdk::journal::Journal;
use golem_tasks::store::RunSummary;
use golem_tasks::view::SummaryFold;

use crate::scene::{Scene, eventful, glm, memory_run, start};

fn counted(events: &[Event]) -> RunSummary {
    let mut fold = SummaryFold::new("brave-otter-0001", start());
    for event in events {
        fold.apply(event);
    }
    fold.summary()
}

#[tokio::test]
async fn both_counts_agree_after_every_event() {
    let run = memory_run().await;
    let mut scene = Scene::new();
    let (until, missing) = (start(), glm("0.25"));
    let explanation = Explanation { paused_until: Some(until), ..Explanation::default() };
    scene
        .event(EventKind::Paused { until, missing })
        .event(EventKind::Waiting { explanation: Box::new(explanation) });
    scene.event(EventKind::PauseEnded);
    let mut events = scene.events;
    events.extend(eventful());
    for (number, event) in events.iter().enumerate() {
        run.commit(std::slice::from_ref(event)).await.unwrap();
        let kept = run.store().run_summary(run.run_id()).await.unwrap();
        assert_eq!(kept, counted(&events[..=number]), "after {event:?}");
    }
    let summary = counted(&events);
    assert_eq!((summary.tasks.done, summary.tasks.failed, summary.tasks.unfinished()), (3, 2, 1));
    assert_eq!((summary.cost, summary.unsettled, summary.bills_refused), (glm("0.00123456"), 1, 2));
}

#[tokio::test]
async fn both_counts_agree_on_any_order_of_news_of_tasks() {
    let mut chance = fastrand::Rng::new();
    let seed = chance.u64(..);
    println!("seed {seed}");
    chance.seed(seed);
    for _ in 0..20 {
        let run = memory_run().await;
        let mut scene = Scene::new();
        scene.rental(1, 1).rental(2, 2).added(0..4);
        for _ in 0..60 {
            let (task, number, rental) = (chance.u64(0..4), chance.u32(1..5), chance.u64(1..3));
            scene.wait(chance.u64(0..3));
            match chance.u8(0..7) {
                0..3 => scene.started(task, number, rental),
                3 => scene.done(task, number, rental, "x"),
                4 => scene.failed_once(task, number, rental),
                5 => scene.cancelled(task, number, rental),
                _ if chance.u8(0..4) == 0 => {
                    scene.failed(task, number, Some(rental).filter(|_| chance.bool()))
                }
                _ => &mut scene,
            };
        }
        let mut rest = scene.events.as_slice();
        while !rest.is_empty() {
            let (batch, others) = rest.split_at(chance.usize(1..=rest.len().min(20)));
            run.commit(batch).await.unwrap();
            rest = others;
        }
        let mut kept = run.store().run_summary(run.run_id()).await.unwrap();
        let mut counted = counted(&scene.events);
        // Where a task failed whose last attempt isn't the one that is named, the two may name another provider.
        for failure in kept.failures.iter_mut().chain(&mut counted.failures) {
            failure.provider = None;
        }
        assert_eq!(kept, counted, "seed {seed}");
    }
}

#[test]
fn the_lists_are_bounded_and_the_counts_are_not() {
    let mut scene = Scene::new();
    scene.added(0..1000);
    for task in (0..1000).rev() {
        scene.failed(task, 1, None);
    }
    scene.ends(StopReason::AllDone, (0, 1000, 0), "0", 0);
    let summary = counted(&scene.events);
    let listed: Vec<_> = summary.failures.iter().map(|failure| failure.task).collect();
    assert_eq!((summary.tasks.failed, listed), (1000, (0..10).collect()));
}
