//! What pages and reports read of a run: its timeline, its spending, the times that tasks took, and its tasks in any order.

use std::time::Duration;

use golem_core::event::StopReason;
use golem_tasks::store::{
    LastAttempt, Span, Store, TaskOrder, TaskStatus, TasksWanted, Timeline, TimesTaken,
};

use crate::asking::answer;
use crate::grounds::Ground;
use crate::scene::{Scene, eventful, glm, new_run, provider, start};

const RUN: &str = "brave-otter-0001";

async fn eventful_store(ground: &Ground) -> Store {
    let store = ground.store().await;
    let run = store.create_run(&new_run(RUN)).await.unwrap();
    run.apply(&eventful()).await.unwrap();
    store
}

fn all_pace(timeline: &Timeline) -> (u64, u64) {
    timeline.pace.iter().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1))
}

pub(crate) async fn a_timeline_tells_the_same_one_by_one_and_added_up(ground: Ground) {
    let store = eventful_store(&ground).await;
    let each = store.timeline(RUN, None, 100, 1000).await.unwrap();
    assert!(each.one_by_one);
    assert_eq!(each.run, each.span);
    assert_eq!(each.run.from.as_microsecond(), start().as_microsecond());
    let names: Vec<_> = each.lanes.iter().map(|lane| lane.provider.name.as_str()).collect();
    assert_eq!(names, ["lively-lynx-1", "lively-lynx-2", "lively-lynx-8"]);
    let attempts: Vec<_> = each.lanes.iter().map(|lane| lane.pieces.len()).collect();
    assert_eq!((attempts, all_pace(&each)), (vec![3, 3, 0], (3, 2)));
    let refused = &each.lanes[2].stays[0];
    assert_eq!(refused.failure.as_deref(), Some("the provider didn't approve in time"));
    assert!(refused.approved.is_none() && refused.ended.is_some());
    // A result tells how long it took, whenever it was handed out.
    let first = &each.lanes[0].pieces[0];
    let took = yagna_api::time::between(first.from, first.until.unwrap());
    assert_eq!((took, first.outcome.as_deref()), (Duration::from_millis(250), Some("done")));

    let sums = store.timeline(RUN, None, 100, 0).await.unwrap();
    assert!(!sums.one_by_one);
    assert_eq!((sums.pace.clone(), sums.cell), (each.pace.clone(), each.cell));
    for (one, other) in each.lanes.iter().zip(&sums.lanes) {
        assert_eq!((one.attempts, &one.stays), (other.attempts, &other.stays));
        let count =
            |outcome| one.pieces.iter().filter(|piece| piece.outcome.as_deref() == Some(outcome)).count();
        let sum = |of: fn(&golem_tasks::store::Cell) -> u64| other.cells.iter().map(of).sum::<u64>();
        assert_eq!(u64::try_from(count("done")).unwrap(), sum(|cell| cell.done));
        assert_eq!(u64::try_from(count("failed")).unwrap(), sum(|cell| cell.failed));
        assert_eq!(u64::try_from(count("cancelled")).unwrap(), sum(|cell| cell.other));
        assert!(other.cells.iter().all(|cell| cell.at < 100 && (0.0..=1.0).contains(&cell.busy)));
    }
    // 6 of 68 s in which the second provider was busy.
    let busy: f64 = sums.lanes[1].cells.iter().map(|cell| cell.busy).sum();
    assert!((8.0..11.0).contains(&busy), "{busy}");
    store.close().await;
}

pub(crate) async fn a_part_of_a_timeline_has_what_ran_in_it(ground: Ground) {
    let store = eventful_store(&ground).await;
    let whole = store.timeline(RUN, None, 100, 1000).await.unwrap();
    let first = whole.lanes[0].pieces[0].clone();
    let part = Span { from: whole.run.from, until: first.until.unwrap() };
    for one_by_one in [0, 1000] {
        let told = store.timeline(RUN, Some(part), 50, one_by_one).await.unwrap();
        assert_eq!((told.span, told.run), (part, whole.run));
        // The attempts that begin at its end aren't in it.
        let attempts: Vec<_> = told.lanes.iter().map(|lane| lane.attempts).collect();
        assert_eq!((attempts, all_pace(&told)), (vec![1, 1, 0], (1, 1)), "{one_by_one}");
    }
    let nowhere = Span { from: part.until, until: part.from };
    assert_eq!(store.timeline(RUN, Some(nowhere), 50, 0).await.unwrap().span, whole.run);
    store.close().await;
}

pub(crate) async fn times_and_costs_are_summed_up(ground: Ground) {
    let store = eventful_store(&ground).await;
    let taken = |millis, done, count| TimesTaken { took: Duration::from_millis(millis), done, count };
    let times = store.times_taken(RUN).await.unwrap();
    assert_eq!(times, [taken(250, true, 3), taken(300, false, 1), taken(6000, false, 1)]);
    let spending = store.spending(RUN).await.unwrap();
    assert_eq!(spending.iter().map(|(_, cost)| *cost).collect::<Vec<_>>(), [glm("0.00123456")]);
    store.close().await;
}

pub(crate) async fn tasks_are_found_by_state_text_and_provider_in_any_order(ground: Ground) {
    let store = eventful_store(&ground).await;
    let find = async |wanted: TasksWanted| store.task_numbers(RUN, &wanted).await.unwrap();
    let by_text = |text: &str| TasksWanted { text: text.to_owned(), ..TasksWanted::default() };
    assert_eq!(find(TasksWanted::default()).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(find(by_text(" EIGHT ")).await, [1]);
    assert_eq!(find(by_text("not found")).await, [2, 3]);
    assert_eq!(find(by_text("5")).await, [5], "by its number, and by its data 50");
    assert_eq!(find(by_text("100%")).await, Vec::<u64>::new());
    assert_eq!(find(by_text("_")).await, Vec::<u64>::new(), "a text is no pattern");
    let failed = TasksWanted { status: "failed".to_owned(), ..TasksWanted::default() };
    assert_eq!(find(failed).await, [2, 3]);
    let of = TasksWanted { provider: provider(1).id.to_string(), ..TasksWanted::default() };
    assert_eq!(find(of.clone()).await, [0, 1, 4]);
    let newest = find(TasksWanted { order: TaskOrder::Newest, ..of }).await;
    assert_eq!(newest, [4, 1, 0]);
    let slowest = find(TasksWanted { order: TaskOrder::Slowest, ..TasksWanted::default() }).await;
    assert_eq!((slowest[0], slowest.len()), (2, 6));

    let rows = store.tasks_numbered(RUN, &[4, 99, 1]).await.unwrap();
    let rows: Vec<_> =
        rows.iter().map(|row| (row.task.task.0, row.task.stdout.to_text().into_owned())).collect();
    assert_eq!(rows, [(4, String::new()), (1, "seven\neight\n".to_owned())]);
    let one = store.whole_task(RUN, 1).await.unwrap().unwrap();
    assert_eq!((one.task.status, one.provider), (TaskStatus::Done, Some(provider(1))));
    assert!(store.whole_task(RUN, 99).await.unwrap().is_none());
    let attempts = store.attempts(RUN, 1).await.unwrap();
    let told: Vec<_> =
        attempts.iter().map(|one| (one.number, one.outcome.as_deref().unwrap_or("-"))).collect();
    assert_eq!(told, [(1, "failed"), (2, "done")]);
    assert_eq!(attempts[0].failure.as_deref(), Some("the command ended with exit code 1"));
    store.close().await;
}

pub(crate) async fn the_last_attempts_are_read_a_page_at_a_time(ground: Ground) {
    let store = ground.store().await;
    let run = store.create_run(&new_run(RUN)).await.unwrap();
    let mut scene = Scene::new();
    scene.opening().added(0..1200).rental(1, 1);
    for task in 0..1100 {
        scene.started(task, 1, 1).done(task, 1, 1, "x\n");
    }
    run.apply(&scene.events).await.unwrap();
    let mut seen: Vec<LastAttempt> = Vec::new();
    loop {
        let page = store.last_attempts(RUN, seen.last().map(|last| last.task)).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 500);
        seen.extend(page);
    }
    assert!(seen.iter().map(|last| last.task).eq(0..1100));
    assert!(seen.iter().all(|last| last.printed == 2));
    store.close().await;
}

pub(crate) async fn a_pulse_tells_that_something_was_written(ground: Ground) {
    let store = ground.store().await;
    let run = store.create_run(&new_run(RUN)).await.unwrap();
    let mut scene = Scene::new();
    scene.opening().added(0..3);
    run.apply(&scene.events).await.unwrap();
    let before = store.pulse(RUN).await.unwrap();
    assert!(before.is_same(&store.pulse(RUN).await.unwrap()));
    let mut more = Scene::new();
    more.wait(1000).stops(StopReason::Cancelled);
    run.apply(&more.events).await.unwrap();
    let after = store.pulse(RUN).await.unwrap();
    assert!(!before.is_same(&after), "{before:?} {after:?}");
    assert!(after.now >= before.now);
    assert!(store.pulse("nobody").await.is_err());
    store.close().await;
}

pub(crate) async fn a_job_log_has_the_columns_of_gnu_parallel(ground: Ground) {
    let store = eventful_store(&ground).await;
    let log = answer(&ground, &["results", "--joblog", "-"]).await;
    let rows: Vec<Vec<&str>> = log.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        rows[0],
        ["Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive", "Exitval", "Signal", "Command"]
    );
    let told: Vec<_> = rows[1..].iter().map(|row| (row[0], row[1], row[3], row[5], row[6], row[8])).collect();
    assert_eq!(told.len(), 4);
    assert_eq!(told[1], ("2", "lively-lynx-1", "0.250", "12", "0", "10"));
    assert_eq!((told[2].0, told[2].1), ("3", "lively-lynx-2"));
    assert_ne!(told[2].4, "0", "it failed");
    store.close().await;
}
