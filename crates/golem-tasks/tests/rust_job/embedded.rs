//! Jobs inside of another program, and what a worker does with tasks that were written down for another one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use golem_devnet::devnet::Devnet;
use golem_tasks::Runner;
use golem_tasks::exit::Exit;
use golem_tasks::golem_sdk::event::{EventKind, FailureKind, StopReason};
use golem_tasks::golem_sdk::payload::Payload;
use golem_tasks::golem_sdk::run::RunConfig;
use golem_tasks::golem_sdk::{MemoryJournal, Run, RunOptions, SystemClock};
use golem_tasks::store::{Dsn, Store};
use golem_tasks::work::JobWorker;
use libtest_mimic::Trial;
use serde_json::json;
use yagna_client::{Client, InProcessTransport};

use crate::jobs::{Echoes, Endless, Lengths};
use crate::stage::{Home, PATIENCE};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_runner_is_stopped_by_its_token", a_runner_is_stopped_by_its_token),
        trial("a_runner_that_makes_no_sense_is_refused", a_runner_that_makes_no_sense_is_refused),
        trial(
            "a_pile_that_may_change_may_hold_only_what_is_left",
            a_pile_that_may_change_may_hold_only_what_is_left,
        ),
        trial("tasks_of_another_type_fail_for_good", tasks_of_another_type_fail_for_good),
    ]
}

async fn a_runner_is_stopped_by_its_token() {
    let home = Home::new();
    let dsn = format!("sqlite:{}", home.database().display());
    let runner = Runner::new(Endless).dsn(&dsn).run_id("embedded").devnet(2).workers(2);
    let stop = runner.stopper();
    let store = Store::open(&Dsn::parse(&dsn).unwrap()).await.unwrap();
    let enough = async {
        loop {
            let summary = store.run_summary("embedded").await;
            if summary.is_ok_and(|summary| summary.tasks.done >= 5) {
                return stop.cancel();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let both = async { tokio::join!(runner.run(), enough) };
    let (summary, ()) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    let summary = summary.unwrap();
    assert_eq!(summary.ended.unwrap().end.why, StopReason::Cancelled);
    assert_eq!(summary.unsettled, 0);
    let tasks: Vec<_> = store.tasks("embedded").try_collect().await.unwrap();
    assert_eq!(tasks[3].result, Some(json!(6)));
    store.close().await;
}

async fn a_runner_that_makes_no_sense_is_refused() {
    let home = Home::new();
    let dsn = format!("sqlite:{}", home.database().display());
    let runner = || Runner::new(Lengths).dsn(&dsn).devnet(1);
    for (runner, told) in [
        (runner().workers(0), "the number of workers is wrong: it can't be 0"),
        (runner().results(0), "the number of results is wrong: it can't be 0"),
        (runner().run_id("two words"), "the run id is wrong: expected at most 64 letters"),
        (
            runner().budget(golem_sdk::Budget::in_all(golem_sdk::Glm::ZERO)),
            "the budget is wrong: nothing can be bought",
        ),
        (runner().dsn("oracle:here"), "oracle"),
    ] {
        let failure = runner.run().await.unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage, "{failure}");
        assert!(failure.to_string().contains(told), "{failure}");
    }
    assert!(!home.database().exists());
}

async fn a_pile_that_may_change_may_hold_only_what_is_left() {
    let home = Home::new();
    let dsn = format!("sqlite:{}", home.database().display());
    let run = async |tasks: &'static [u64], may_change| {
        let job = Echoes { tasks, may_change };
        Runner::new(job).dsn(&dsn).run_id("rest").devnet(1).workers(1).run().await
    };
    assert_eq!(run(&[1, 2, 3], true).await.unwrap().tasks.done, 3);
    // What is done stays done, what is new is done, and what is no longer there doesn't matter.
    assert_eq!(run(&[4, 3], true).await.unwrap().tasks.done, 4);
    let failure = run(&[9], false).await.unwrap_err();
    assert!(failure.to_string().contains("has read"), "{failure}");
    let store = Store::open(&Dsn::parse(&dsn).unwrap()).await.unwrap();
    let tasks: Vec<_> = store.tasks("rest").try_collect().await.unwrap();
    let results: Vec<_> = tasks.into_iter().map(|task| task.result).collect();
    assert_eq!(results, [1, 2, 3, 4].map(|number| Some(json!(number))));
    store.close().await;
}

/// As after a new version of the program has resumed a run of an old one.
async fn tasks_of_another_type_fail_for_good() {
    let devnet = Devnet::builder().providers(1).start().await.unwrap();
    let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key).unwrap();
    let journal = Arc::new(MemoryJournal::new());
    let written = [json!({ "word": "five5" }), json!({ "wort": "x" }), json!(7)];
    let run = Run::new(
        Client::new(Arc::new(transport)),
        Arc::new(SystemClock),
        Arc::<MemoryJournal>::clone(&journal),
        Arc::new(JobWorker::new(Arc::new(Lengths))),
        Box::new(written.into_iter().map(Ok)),
        RunOptions::new(
            RunConfig::new(Payload::default(), devnet.payment_platform()).workers(1),
            "erc20",
            "hoodi",
            yagna_api::AppSessionId::new("another-type"),
        ),
    );
    let end = run.run().await.unwrap();
    assert_eq!((end.done, end.failed), (1, 2));
    let failures: Vec<_> = journal
        .events()
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::TaskFailed { attempt, failure, .. } => Some((attempt.number, failure)),
            _ => None,
        })
        .collect();
    for (attempts, failure) in failures {
        assert_eq!((attempts, failure.kind), (1, FailureKind::Invalid), "no other provider could mend that");
        assert!(failure.message.contains("doesn't fit the job"), "{failure:?}");
    }
    devnet.stop().await;
}
