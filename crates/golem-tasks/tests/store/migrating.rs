//! What earlier versions of the program wrote is carried over.

use futures_util::TryStreamExt;
use golem_core::event::StopReason;
use golem_tasks::store::{Holder, Installed, Store, TaskRow, TaskStatus};

use crate::grounds::Ground;
use crate::scene::{Scene, glm};

/// `version-1.sql` is a dump of what the program wrote when its tables were of version 1: a run that ended, one that
/// was cancelled, and one that was killed in the middle.
pub(crate) async fn runs_of_version_1_are_carried_over(ground: Ground) {
    ground.execute(include_str!("version-1.sql")).await;
    let Installed { before, now, .. } = Store::install(&ground.dsn()).await.unwrap();
    assert_eq!((before, now), (Some(1), 2));

    let store = ground.store().await;
    assert_eq!(store.latest_run().await.unwrap().as_deref(), Some("killed"));
    let ended = store.run_summary("ended").await.unwrap();
    assert_eq!((ended.tasks.done, ended.tasks.failed, ended.unsettled), (5, 1, 0));
    assert_eq!(ended.cost, glm("0.001006476304166583"));
    assert_eq!(ended.cost, ended.ended.as_ref().unwrap().end.cost);
    assert_eq!(ended.failures[0].stderr, "no luck\n");
    let cancelled = store.run_summary("cancelled").await.unwrap();
    assert_eq!((cancelled.tasks.done, cancelled.tasks.waiting), (1, 3));
    assert_eq!(cancelled.ended.unwrap().end.why, StopReason::Cancelled);
    let rows: Vec<TaskRow> = store.tasks("killed").try_collect().await.unwrap();
    let states: Vec<_> = rows.iter().map(|row| row.status).collect();
    assert_eq!(states, [TaskStatus::Done, TaskStatus::Running, TaskStatus::Running, TaskStatus::Running]);
    assert_eq!(
        ground.texts("SELECT run_id || ' ' || coalesce(stop_reason, '-') FROM runs ORDER BY run_no").await,
        ["ended all_done", "cancelled cancelled", "killed -"]
    );
    let orphans = "SELECT count(*) || '' FROM attempts WHERE activity_no IS NULL";
    assert_eq!(ground.texts(orphans).await, ["0"]);
    let notes = "SELECT kind || ' ' || coalesce(activity_no, '-') FROM bills ORDER BY kind LIMIT 1";
    assert_eq!(ground.texts(notes).await, ["debit_note 1"]);

    // Who worked in those that ended is remembered as if they had been of this version.
    let tallied = "SELECT r.run_id || ' ' || sum(t.done) || ' ' || sum(t.failed) FROM tallies AS t \
        JOIN runs AS r ON r.run_no = t.run_no GROUP BY r.run_id ORDER BY r.run_id";
    let counted = "SELECT r.run_id || ' ' || sum(a.outcome = 'done') || ' ' || sum(a.outcome = 'failed') \
        FROM attempts AS a JOIN runs AS r ON r.run_no = a.run_no WHERE r.status = 'ended' \
        GROUP BY r.run_id ORDER BY r.run_id";
    let tallied = ground.texts(tallied).await;
    assert_eq!(tallied, ground.texts(counted).await);
    assert_eq!(tallied.len(), 2, "{tallied:?}");

    // The killed run can be taken and written on.
    let lease = store.take("killed", &Holder::here()).await.unwrap();
    let mut scene = Scene::new();
    scene.cancelled(1, 1, 2).started(1, 2, 2).wait(10).done(1, 2, 2, "at last");
    lease.run().apply(&scene.events).await.unwrap();
    assert_eq!(store.run_summary("killed").await.unwrap().tasks.done, 2);
    let violations = ground.texts("SELECT \"table\" FROM pragma_foreign_key_check").await;
    assert!(violations.is_empty(), "{violations:?}");
}
