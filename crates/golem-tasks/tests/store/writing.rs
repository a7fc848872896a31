//! What a store promises about what is written and read back.

use futures_util::{StreamExt, TryStreamExt};
use golem_core::event::{
    AttemptFailure, Event, EventKind, FailureKind, JobEnd, JobEndReason, JobId, Printed, TaskId, TaskOutput,
};
use golem_sdk::journal::Journal;
use golem_tasks::store::{RunStore, StoreError, TaskRow, TaskStatus};
use serde_json::{Value, json};

use crate::grounds::{Ground, Kind};
use crate::scene::{Scene, attempt, eventful, glm, new_run};

pub(crate) async fn tasks(run: &RunStore) -> Vec<TaskRow> {
    run.store().tasks(run.run_id()).try_collect().await.unwrap()
}

async fn commit(run: &RunStore, scene: &mut Scene) {
    run.commit(&std::mem::take(&mut scene.events)).await.unwrap();
}

pub(crate) async fn a_run_is_kept_and_found_again(ground: Ground) {
    let store = ground.store().await;
    assert_eq!(store.latest_run().await.unwrap(), None);
    let run = store.create_run(&new_run("first")).await.unwrap();
    run.commit(&eventful()).await.unwrap();
    store.create_run(&new_run("second")).await.unwrap();
    let summary = store.run_summary("first").await.unwrap();
    store.close().await;

    let again = ground.store().await;
    assert_eq!(again.latest_run().await.unwrap().as_deref(), Some("second"));
    assert_eq!(again.run_summary("first").await.unwrap(), summary);
    assert_eq!(again.run_summary("second").await.unwrap().tasks.total(), 0);
    let refused = again.create_run(&new_run("first")).await.unwrap_err();
    assert!(matches!(refused, StoreError::RunExists { .. }), "{refused}");
    let unknown = again.run_summary("third").await.unwrap_err();
    assert!(matches!(unknown, StoreError::NoSuchRun { .. }), "{unknown}");
    let unknown = again.tasks("third").next().await.unwrap().unwrap_err();
    assert!(matches!(unknown, StoreError::NoSuchRun { .. }), "{unknown}");
}

pub(crate) async fn tasks_are_read_with_what_became_of_them(ground: Ground) {
    let run = ground.run().await;
    run.commit(&eventful()).await.unwrap();
    let rows = tasks(&run).await;
    let states: Vec<_> = rows.iter().map(|row| (row.task.0, row.status, row.attempts)).collect();
    assert_eq!(
        states,
        [
            (0, TaskStatus::Done, 1),
            (1, TaskStatus::Done, 2),
            (2, TaskStatus::Failed, 1),
            (3, TaskStatus::Failed, 1),
            (4, TaskStatus::Done, 2),
            (5, TaskStatus::Waiting, 0),
        ]
    );
    assert_eq!((rows[1].stdout.as_text().unwrap(), &rows[1].data), ("seven\neight\n", &json!(10)));
    assert_eq!(rows[1].provider.as_deref(), Some("lively-lynx-1"));
    assert_eq!(rows[1].took.unwrap().as_millis(), 250);
    assert_eq!(rows[2].failure.as_ref().unwrap().kind, FailureKind::CommandFailed);
    assert_eq!(rows[2].took.unwrap().as_millis(), 6000);
    assert!(rows[2].stderr.to_text().contains("not found"));
    assert_eq!((&rows[3].provider, rows[3].took), (&None, None));
}

/// Invariant 3: a task's result is recorded once, and an outcome of an old attempt is dropped.
pub(crate) async fn invariant_3_an_outcome_of_an_old_attempt_is_dropped(ground: Ground) {
    let run = ground.run().await;
    let mut scene = Scene::new();
    scene.opening().added(0..3).rental(1, 1).rental(2, 2);
    scene.started(0, 1, 1).started(1, 1, 1).started(2, 1, 1);
    scene.cancelled(0, 1, 1);
    commit(&run, &mut scene).await;
    scene.started(0, 2, 2).started(1, 2, 2);
    commit(&run, &mut scene).await;

    // Late news of the first attempts, each in a commit of its own.
    scene.done(0, 1, 1, "old");
    commit(&run, &mut scene).await;
    scene.failed(1, 1, Some(1));
    commit(&run, &mut scene).await;
    let running: Vec<_> = tasks(&run).await.iter().map(|row| (row.status, row.attempts)).collect();
    assert_eq!(running, [(TaskStatus::Running, 2), (TaskStatus::Running, 2), (TaskStatus::Running, 1)]);

    scene.done(0, 2, 2, "new").done(1, 2, 2, "other").done(2, 1, 1, "third");
    commit(&run, &mut scene).await;
    // What comes once there is a result changes nothing, whichever try it is of.
    scene.done(0, 1, 1, "old").done(1, 2, 2, "twice").failed(2, 1, Some(1)).started(0, 3, 1);
    commit(&run, &mut scene).await;
    scene.done(0, 3, 1, "once more").failed_once(1, 2, 2);
    commit(&run, &mut scene).await;
    let rows = tasks(&run).await;
    let results: Vec<_> =
        rows.iter().map(|row| (row.status, row.attempts, row.stdout.as_text().unwrap())).collect();
    assert_eq!(
        results,
        [(TaskStatus::Done, 2, "new"), (TaskStatus::Done, 2, "other"), (TaskStatus::Done, 1, "third"),]
    );
    let summary = run.store().run_summary(run.run_id()).await.unwrap();
    let done: Vec<_> = summary.providers.iter().map(|provider| provider.tasks_done).collect();
    assert_eq!((summary.tasks.done, done), (3, vec![2, 1]));
}

pub(crate) async fn a_commit_may_hold_several_attempts_of_one_task(ground: Ground) {
    let together = ground.run().await;
    let one_by_one = together.store().create_run(&new_run("one-by-one")).await.unwrap();
    let mut scene = Scene::new();
    scene.added(0..2).rental(1, 1);
    scene.started(0, 1, 1).wait(10).failed_once(0, 1, 1).started(0, 2, 1).wait(10).failed_once(0, 2, 1);
    scene.started(0, 3, 1).done(0, 3, 1, "at last").started(1, 1, 1).cancelled(1, 1, 1);
    together.commit(&scene.events).await.unwrap();
    for event in &scene.events {
        one_by_one.commit(std::slice::from_ref(event)).await.unwrap();
    }
    let rows = tasks(&together).await;
    assert_eq!(
        (rows[0].status, rows[0].attempts, rows[0].stdout.as_text().unwrap()),
        (TaskStatus::Done, 3, "at last")
    );
    assert_eq!((rows[1].status, rows[1].attempts), (TaskStatus::Waiting, 1));
    assert_eq!(rows, tasks(&one_by_one).await);
    let summary = together.store().run_summary(together.run_id()).await.unwrap();
    assert_eq!(summary.providers[0].failed_attempts, 2);
    let mut other = one_by_one.store().run_summary(one_by_one.run_id()).await.unwrap();
    other.run_id.clone_from(&summary.run_id);
    assert_eq!(summary, other);
}

pub(crate) async fn a_commit_is_all_or_nothing(ground: Ground) {
    let run = ground.run().await;
    let mut scene = Scene::new();
    // The second of two equal rentals can't be written.
    scene.added(0..3).rental(1, 1).rental(1, 1);
    let error = run.commit(&scene.events).await.unwrap_err();
    assert!(error.to_string().contains(run.store().place()), "{error}");
    assert!(tasks(&run).await.is_empty());
    assert!(run.store().run_summary(run.run_id()).await.unwrap().providers.is_empty());
}

/// Invariant 1 needs that an intent is there once `commit` returns, whatever happens to the process then.
pub(crate) async fn invariant_1_what_was_committed_is_seen_by_another_process_at_once(ground: Ground) {
    let store = ground.store().await;
    let run = store.create_run(&new_run("r")).await.unwrap();
    let mut scene = Scene::new();
    scene.opening().rental(1, 1);
    let intents = scene
        .events
        .iter()
        .position(|event| matches!(event.kind, EventKind::AgreementIntended { .. }))
        .unwrap();
    run.commit(&scene.events[..=intents]).await.unwrap();
    // The writer never closed anything.
    assert_eq!(ground.texts("SELECT status || ' ' || proposal_id FROM rentals").await, ["intended R-1"]);
    assert_eq!(
        ground.texts("SELECT status || ' ' || allocation_id FROM allocations").await,
        ["created allocation-1"]
    );
}

pub(crate) async fn everything_an_event_says_has_a_column(ground: Ground) {
    let run = ground.run().await;
    let mut scene = Scene::new();
    let deadline = yagna_api::time::after(crate::scene::start(), std::time::Duration::from_secs(60));
    scene.event(EventKind::JobAdded { job: JobId(0), deadline: Some(deadline), retries: 3 });
    scene.events.extend(eventful());
    let end = JobEnd {
        why: JobEndReason::NothingRuns,
        done: 3,
        failed: 2,
        cancelled: 1,
        expired: 0,
        unfinished: 0,
    };
    scene
        .event(EventKind::TaskCancelled { task: TaskId(5) })
        .event(EventKind::JobEnded { job: JobId(0), end });
    commit(&run, &mut scene).await;
    for (sql, expected) in [
        (
            "SELECT status || ' ' || platform || ' ' || amount || ' ' || (released_at > created_at) FROM allocations",
            &["released erc20-hoodi-tglm 1 true"][..],
        ),
        (
            "SELECT why FROM demands WHERE ended_at > published_at AND expires_at IS NOT NULL",
            &["the run is over"],
        ),
        (
            "SELECT rental_no || ' ' || status || ' ' || per_hour || ' ' || start_price || ' ' || cost || ' ' \
             || coalesce(ended_by, '-') || ' ' || coalesce(final_bill, '-') || ' ' || (bill_missing_at IS NOT NULL) \
             || ' ' || coalesce(failure, '-') FROM rentals ORDER BY rental_no",
            &[
                "1 ended 0.1 0.001 0.00123456 requestor accepted false -",
                "2 ended 0.1 0.001 0 provider - true -",
                "3 failed 0.1 0.001 0 - - false the provider didn't approve in time",
            ],
        ),
        (
            "SELECT agreement_id FROM rentals WHERE created_at IS NOT NULL ORDER BY 1",
            &["agreement-1", "agreement-2"],
        ),
        (
            "SELECT activity_id || ' ' || activity_no || ' ' || job_no || ' ' || status || ' ' \
             || coalesce(failure, '-') FROM activities ORDER BY rental_no",
            &["activity-1 1 0 ended -", "activity-2 1 0 ended the provider vanished"],
        ),
        (
            "SELECT bill_id || ' ' || kind || ' ' || status || ' ' || amount || ' ' || coalesce(rental_no, 0) || ' ' \
             || coalesce(activity_no, 0) || ' ' || (accepting_at IS NOT NULL) || ' ' || coalesce(reason, '-') \
             FROM bills ORDER BY bill_id",
            &[
                "invoice-1 invoice accepted 0.00123456 1 0 true -",
                "note-1 debit_note refused 0.5 2 1 false it is more than usage times price",
                "stray invoice refused 7 0 0 false it is for no agreement of ours",
            ],
        ),
        (
            "SELECT task_no || ' ' || number || ' ' || rental_no || ' ' || activity_no || ' ' || outcome || ' ' \
             || took_us || ' ' || coalesce(failure_kind, '-') FROM attempts ORDER BY task_no, number",
            &[
                "0 1 1 1 done 250000 -",
                "1 1 2 1 failed 300000 command_failed",
                "1 2 1 1 done 250000 -",
                "2 1 2 1 failed 6000000 command_failed",
                "4 1 2 1 cancelled 100000 -",
                "4 2 1 1 done 250000 -",
            ],
        ),
        (
            "SELECT status FROM tasks ORDER BY task_no",
            &["done", "done", "failed", "failed", "done", "cancelled"],
        ),
        (
            "SELECT status || ' ' || stop_reason || ' ' || (stopping_at <= ended_at) FROM runs",
            &["ended nothing_runs true"],
        ),
        (
            "SELECT job_no || ' ' || end_reason || ' ' || (deadline_at > added_at) FROM jobs",
            &["0 nothing_runs true"],
        ),
        // Nothing is stored twice: what has a row of its own leaves no note.
        (
            "SELECT DISTINCT kind || ' ' || (until_at IS NOT NULL) FROM notes ORDER BY 1",
            &["offer_refused false", "provider_set_back true", "refused_by_provider false", "trouble false"],
        ),
    ] {
        // SQLite's truth is 0 and 1.
        let texts = match ground.kind {
            Kind::Postgres => ground.texts(sql).await,
            _ => ground.texts(&truths(sql)).await,
        };
        assert_eq!(texts, expected, "{sql}");
    }
    let (usage, reason) = match ground.kind {
        Kind::Postgres => ("usage ->> 1", "end_reason ->> 'message'"),
        _ => ("usage ->> '$[1]'", "end_reason ->> '$.message'"),
    };
    let usage =
        ground.texts(&format!("SELECT CAST({usage} AS text) FROM activities WHERE usage IS NOT NULL")).await;
    assert_eq!(usage, ["0.25"]);
    let reasons =
        ground.texts(&format!("SELECT {reason} FROM rentals WHERE rental_no < 3 ORDER BY rental_no")).await;
    assert_eq!(reasons, ["all tasks are done", "NoActivity"]);
}

/// A query with its conditions in brackets made words, as PostgreSQL prints them.
fn truths(sql: &str) -> String {
    let is_condition = regex::Regex::new(r"\((\w+ (?:IS NOT NULL|<= \w+|> \w+))\)").unwrap();
    is_condition.replace_all(sql, "(CASE WHEN $1 THEN 'true' ELSE 'false' END)").into_owned()
}

pub(crate) async fn a_bill_that_was_decided_stays_decided(ground: Ground) {
    let run = ground.run().await;
    let mut scene = Scene::new();
    scene.rental(1, 1).rental_ends(1, Some("0.5"));
    commit(&run, &mut scene).await;
    // The daemon tells of the same invoice again, after a restart for example.
    scene.rental_ends(1, Some("0.5"));
    let repeated: Vec<Event> = scene
        .events
        .iter()
        .filter(|event| {
            matches!(event.kind, EventKind::BillReceived { .. } | EventKind::BillAccepting { .. })
        })
        .cloned()
        .collect();
    run.commit(&repeated).await.unwrap();
    let summary = run.store().run_summary(run.run_id()).await.unwrap();
    assert_eq!((summary.cost, summary.unsettled, summary.bills_refused), (glm("0.5"), 0, 0));
}

pub(crate) async fn an_activity_can_follow_another_one_in_the_same_rental(ground: Ground) {
    let run = ground.run().await;
    let mut scene = Scene::new();
    scene.rental(1, 1);
    let renewed: Vec<Event> = scene
        .events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::ActivityIntended { .. }))
        .cloned()
        .collect();
    commit(&run, &mut scene).await;
    scene.event(EventKind::ActivityEnded {
        rental: golem_core::event::RentalId(1),
        usage: None,
        failure: Some("it died".to_owned()),
        complete: false,
    });
    commit(&run, &mut scene).await;
    run.commit(&renewed).await.unwrap();
    let summary = run.store().run_summary(run.run_id()).await.unwrap();
    // The failure of the first one is still there: the second one has a row of its own.
    assert_eq!(summary.rentals_failed.get("it died"), Some(&1));
}

pub(crate) async fn ten_thousand_tasks_are_written_in_batches_and_counted_right(ground: Ground) {
    const TASKS: u64 = 10_000;
    let store = ground.store().await;
    let run = store.create_run(&new_run("r")).await.unwrap();
    let mut scene = Scene::new();
    for rental in 1..=10 {
        scene.rental(rental, rental);
    }
    commit(&run, &mut scene).await;
    for first in (0..TASKS).step_by(200) {
        let batch = first..first + 200;
        scene.added(batch.clone());
        for task in batch.clone() {
            scene.started(task, 1, task % 10 + 1);
        }
        // Half of each batch ends in the commit it began in, half in the next one.
        let (now, later): (Vec<_>, Vec<_>) = batch.partition(|task| task % 2 == 0);
        for task in now {
            scene.done(task, 1, task % 10 + 1, "x");
        }
        commit(&run, &mut scene).await;
        for task in later {
            if task % 1000 == 1 {
                scene.failed(task, 1, Some(task % 10 + 1));
            } else {
                scene.done(task, 1, task % 10 + 1, "x");
            }
        }
    }
    commit(&run, &mut scene).await;
    let summary = store.run_summary("r").await.unwrap();
    assert_eq!((summary.tasks.done, summary.tasks.failed, summary.tasks.unfinished()), (9990, 10, 0));
    assert_eq!(summary.failures.len(), 10);
    assert_eq!(summary.failures[1].task, 1001);
    let by_provider: Vec<_> = summary.providers.iter().map(|provider| provider.tasks_done).collect();
    assert_eq!(by_provider, [1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 990]);
    // Read back in pages, in order, none twice.
    let numbers: Vec<_> = store.tasks("r").map_ok(|row| row.task).try_collect().await.unwrap();
    assert_eq!(numbers, (0..TASKS).map(TaskId).collect::<Vec<_>>());
}

pub(crate) async fn tasks_given_up_with_their_job_are_told_apart(ground: Ground) {
    let run = ground.run().await;
    let mut scene = Scene::new();
    scene.rental(1, 1).added(0..4).started(0, 1, 1).started(1, 1, 1).wait(100).done(1, 1, 1, "x");
    commit(&run, &mut scene).await;
    scene.event(EventKind::TaskCancelled { task: TaskId(0) });
    scene.event(EventKind::TaskCancelled { task: TaskId(1) }); // has its result: nothing changes
    scene.event(EventKind::TaskExpired { task: TaskId(2) });
    scene.wait(10).done(0, 1, 1, "late").started(2, 1, 1);
    commit(&run, &mut scene).await;
    let states: Vec<_> = tasks(&run).await.iter().map(|row| (row.status, row.attempts)).collect();
    assert_eq!(
        states,
        [
            (TaskStatus::Cancelled, 1),
            (TaskStatus::Done, 1),
            (TaskStatus::Expired, 0),
            (TaskStatus::Waiting, 0)
        ]
    );
    let counts = run.store().run_summary(run.run_id()).await.unwrap().tasks;
    assert_eq!((counts.done, counts.cancelled, counts.expired, counts.waiting), (1, 1, 1, 1));
    assert_eq!((counts.unfinished(), counts.total()), (3, 4));
}

pub(crate) async fn any_text_and_any_number_come_back_as_they_were(ground: Ground) {
    let run = ground.run().await;
    let odd = "nul \0, stand-in \u{E000}0\u{E000}\0, quotes '\"\\ \\u0000, lines\r\n, \u{1F980}";
    let data = json!({
        odd: [odd, "\u{0}"],
        "numbers": [0, -1, u64::MAX, i64::MIN, 0.1, -0.5, 1e16, 1e-7, 123_456.789e3, 1e21],
        "nested": [[[null, true, {}]], ""],
    });
    let mut scene = Scene::new();
    scene.rental(1, 1);
    for (task, data) in
        [data.clone(), Value::Null, json!(1e16), json!(odd), json!([])].into_iter().enumerate()
    {
        scene.event(EventKind::TaskAdded {
            job: JobId::FIRST,
            task: TaskId(task as u64),
            data,
            spawned: false,
        });
    }
    scene.started(0, 1, 1).started(1, 1, 1);
    scene.event(EventKind::TaskDone {
        attempt: attempt(0, 1),
        rental: golem_core::event::RentalId(1),
        output: TaskOutput {
            result: data.clone(),
            stdout: odd.into(),
            stderr: "\0".into(),
            ends_run: true,
            no_result: false,
        },
        took: std::time::Duration::from_micros(1),
    });
    scene.event(EventKind::TaskFailed {
        attempt: attempt(1, 1),
        rental: Some(golem_core::event::RentalId(1)),
        failure: AttemptFailure {
            stderr: odd.into(),
            ..AttemptFailure::new(FailureKind::CommandFailed, odd)
        },
    });
    commit(&run, &mut scene).await;
    let rows = tasks(&run).await;
    assert_eq!((&rows[0].data, rows[0].result.as_ref()), (&data, Some(&data)));
    assert_eq!((rows[0].stdout.as_text().unwrap(), rows[0].stderr.as_text().unwrap()), (odd, "\0"));
    assert_eq!(
        (rows[1].stderr.as_text().unwrap(), rows[1].failure.as_ref().unwrap().message.as_str()),
        (odd, odd)
    );
    let others: Vec<_> = rows[1..].iter().map(|row| row.data.clone()).collect();
    assert_eq!(others, [Value::Null, json!(1e16), json!(odd), json!([])]);
    // Equal isn't enough: 1e16 as an integer would be another text in a template.
    assert_eq!(rows[2].data.to_string(), json!(1e16).to_string());
}

pub(crate) async fn any_bytes_that_were_printed_come_back_as_they_were(ground: Ground) {
    let run = ground.run().await;
    let samples: [&[u8]; 7] =
        [b"caf\xc3\xa9\xff", b"", b"text\n", b"\0", b"\xff\0\xfe\0", b"\xe2\x82", "\u{e000}0\0é".as_bytes()];
    let n = u64::try_from(samples.len()).unwrap();
    let mut scene = Scene::new();
    scene.rental(1, 1).added(0..2 * n);
    for (task, sample) in (0..).zip(samples) {
        scene.started(task, 1, 1).started(n + task, 1, 1);
        let (stdout, stderr) = (Printed::from(sample.to_vec()), Printed::from([sample, b"\xfe"].concat()));
        scene.event(EventKind::TaskDone {
            attempt: attempt(task, 1),
            rental: golem_core::event::RentalId(1),
            output: TaskOutput { stdout: stdout.clone(), stderr, ..TaskOutput::default() },
            took: std::time::Duration::from_micros(1),
        });
        scene.event(EventKind::TaskFailed {
            attempt: attempt(n + task, 1),
            rental: Some(golem_core::event::RentalId(1)),
            failure: AttemptFailure {
                stderr: stdout,
                ..AttemptFailure::new(FailureKind::CommandFailed, format!("no {task}"))
            },
        });
    }
    // All of them in one commit: text and bytes share their statements.
    commit(&run, &mut scene).await;
    let rows = tasks(&run).await;
    let store = run.store();
    let errors: Vec<_> = store.errors(run.run_id()).try_collect().await.unwrap();
    let summary = store.run_summary(run.run_id()).await.unwrap();
    for (task, sample) in samples.into_iter().enumerate() {
        assert_eq!(rows[task].stdout.as_bytes(), sample);
        assert_eq!(rows[task].stderr.as_bytes(), [sample, b"\xfe"].concat());
        let failed = &rows[samples.len() + task];
        assert_eq!(failed.stderr.as_bytes(), sample);
        let error = errors.iter().find(|error| error.reason == format!("no {task}")).unwrap();
        assert_eq!(error.stderr.as_bytes(), sample);
        assert_eq!(summary.failures[task].stderr.as_bytes(), sample);
    }
}
