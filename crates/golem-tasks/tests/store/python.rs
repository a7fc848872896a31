//! For those who come from golem-tasks-python: its tables are recognised, and what was asked of them is answered.

use golem_core::event::{Bill, EventKind, RentalId};
use golem_tasks::store::{Store, StoreError};
use yagna_api::DebitNoteId;

use crate::grounds::Ground;
use crate::scene::{Scene, glm, new_run};

pub(crate) async fn its_tables_are_recognised_and_left_alone(ground: Ground) {
    ground
        .execute(
            "CREATE SCHEMA tasks; CREATE TABLE tasks.run (id text PRIMARY KEY, created_ts timestamp); \
             CREATE TABLE tasks.results (id int, run_id text, cnt int); \
             CREATE TABLE tasks.get_activity_errors (id int); INSERT INTO tasks.run VALUES ('theirs', now())",
        )
        .await;
    let refused = Store::open(&ground.dsn()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Python { .. }), "{refused:?}");
    let advice = refused.advice().unwrap();
    assert!(advice.contains("ALTER SCHEMA tasks RENAME TO tasks_python"), "{advice}");
    assert_eq!(ground.texts("SELECT id FROM tasks.run").await, ["theirs"]);
    // The advice helps.
    ground.execute("ALTER SCHEMA tasks RENAME TO tasks_python").await;
    ground.store().await;
    assert_eq!(ground.texts("SELECT id FROM tasks_python.run").await, ["theirs"]);
    assert!(ground.texts("SELECT id FROM tasks.run").await.is_empty());
}

/// The columns and functions that its users' queries rest on.
pub(crate) async fn its_queries_work_and_mean_the_same(ground: Ground) {
    let store = ground.store().await;
    store.create_run(&new_run("empty")).await.unwrap();
    let run = store.create_run(&new_run("full")).await.unwrap();
    let mut scene = Scene::new();
    scene.opening().added(0..5).rental(1, 1).rental(2, 2).rental(3, 3);
    scene.started(0, 1, 1).started(1, 1, 2).wait(100).done(0, 1, 1, "").wait(100).done(1, 1, 2, "");
    scene.started(2, 1, 1).started(3, 1, 2).wait(100).done(2, 1, 1, "").failed_once(3, 1, 2);
    for (note, rental, amount) in [("n1", 1, "0.25"), ("n2", 1, "0.75"), ("n3", 2, "0.5")] {
        let (rental, bill) = (RentalId(rental), Bill::DebitNote(DebitNoteId::new(note)));
        let amount = glm(amount);
        scene
            .event(EventKind::BillReceived { rental: Some(rental), bill: bill.clone(), amount, told: None })
            .event(EventKind::BillAccepting {
                rental,
                bill: bill.clone(),
                amount,
                increase: amount,
                measured: None,
            })
            .event(EventKind::BillAccepted { rental, bill, amount, total: amount });
    }
    scene.rental_ends(2, None);
    run.apply(&scene.events).await.unwrap();

    let activities = [
        "demand-1 R-1 agreement-1 activity-1",
        "demand-1 R-2 agreement-2 activity-2",
        "demand-1 R-3 agreement-3 activity-3",
    ];
    for (sql, expected) in [
        // The newest run; two that began at the same moment are as good as each other there.
        (
            "SELECT id FROM tasks.run WHERE app_session_id = 'session-1' ORDER BY created_ts DESC, id DESC LIMIT 1",
            &["full"][..],
        ),
        // How many results there are: the newest count.
        (
            "SELECT cnt::text FROM tasks.results WHERE run_id = 'full' ORDER BY created_ts DESC LIMIT 1",
            &["3"],
        ),
        ("SELECT cnt::text FROM tasks.results WHERE run_id = 'full' ORDER BY id", &["0", "1", "2", "3"]),
        (
            "SELECT cnt::text FROM tasks.results WHERE run_id = 'empty' ORDER BY created_ts DESC LIMIT 1",
            &["0"],
        ),
        ("SELECT id || ' ' || run_id FROM tasks.allocation", &["allocation-1 full"]),
        ("SELECT id || ' ' || run_id FROM tasks.demand", &["demand-1 full"]),
        (
            "SELECT id || ' ' || demand_id FROM tasks.proposal WHERE data IS NULL ORDER BY 1",
            &["R-1 demand-1", "R-2 demand-1", "R-3 demand-1"],
        ),
        (
            "SELECT id || ' ' || proposal_id FROM tasks.agreement ORDER BY 1",
            &["agreement-1 R-1", "agreement-2 R-2", "agreement-3 R-3"],
        ),
        (
            "SELECT concat_ws(' ', id, agreement_id, status, stop_reason) FROM tasks.activity ORDER BY created_ts, id",
            &[
                "activity-1 agreement-1 READY",
                "activity-2 agreement-2 STOPPED all tasks are done",
                "activity-3 agreement-3 READY",
            ],
        ),
        (
            "SELECT concat_ws(' ', demand_id, proposal_id, agreement_id, activity_id) FROM tasks.activities('full') ORDER BY 1",
            &activities,
        ),
        ("SELECT activity_id FROM tasks.activities('empty')", &[]),
        // Batches and the dearest debit note of each activity.
        (
            "SELECT concat_ws(' ', b.activity_id, count(DISTINCT b.batch_id)) FROM tasks.batches('full') AS b GROUP BY b.activity_id ORDER BY 1",
            &["activity-1 2", "activity-2 2"],
        ),
        (
            "SELECT concat_ws(' ', f.activity_id, max(n.amount)) FROM tasks.debit_notes('full') AS f JOIN tasks.debit_note AS n \
             ON n.id = f.debit_note_id GROUP BY f.activity_id ORDER BY 1",
            &["activity-1 0.75", "activity-2 0.5"],
        ),
        (
            "SELECT round(sum(amount), 2)::text FROM tasks.debit_note WHERE created_ts + interval '1 hour' > '2026-11-21T12:00:00Z'",
            &["1.50"],
        ),
        ("SELECT concat_ws(' ', error_type, error_str, traceback) FROM tasks.get_activity_errors", &[]),
        (
            "SELECT proposal_id FROM tasks.proposals('full') NATURAL JOIN tasks.demands('full') NATURAL JOIN tasks.agreements('full') ORDER BY 1",
            &["R-1", "R-2", "R-3"],
        ),
    ] {
        assert_eq!(ground.texts(sql).await, expected, "{sql}");
    }
    let mut scene = Scene::new();
    scene
        .event(EventKind::ActivityIntended { rental: RentalId(2), job: golem_core::event::JobId::FIRST })
        .event(EventKind::ActivityEnded {
            rental: RentalId(2),
            usage: None,
            failure: Some("it never came up".to_owned()),
            complete: false,
        });
    run.apply(&scene.events).await.unwrap();
    assert_eq!(
        ground.texts("SELECT concat_ws(' ', run_id, agreement_id, error_type, error_str) FROM tasks.get_activity_errors").await,
        ["full agreement-2 ActivityFailed it never came up"]
    );
}
