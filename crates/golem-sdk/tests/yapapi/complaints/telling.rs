//! The messages: no errors without a cause, and numbers that are right.

use std::sync::{Arc, Mutex};

use golem_core::event::EventKind;
use golem_devnet::node::Fault;
use golem_sdk::WorkContext;
use golem_sdk::executor::Tasks;
use golem_sdk::summary::LogSummary;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};

use crate::played::Played;
use crate::stage::{Outcome, Stage, do_one, secs, sevens};

/// Keeps what is logged as a warning or worse by our own crates.
#[derive(Clone, Default)]
struct Alarms(Arc<Mutex<Vec<(Level, String)>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.extend([field.name(), "=", &format!("{value:?} ")]);
    }
}

impl Subscriber for Alarms {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = ["golem_sdk::", "golem_core::", "yagna_client::"];
        *metadata.level() <= Level::WARN && ours.iter().any(|name| metadata.target().starts_with(name))
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push((*event.metadata().level(), text.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn what_mends_itself_is_no_error_in_the_log() {
    let alarms = Alarms::default();
    // While there is one subscriber alone, `tracing` asks the thread that first meets a log line whether anyone wants it, and other
    // tests' threads have no subscriber. With two, it asks both.
    let _second = tracing::Dispatch::new(alarms.clone());
    let _logging = tracing::subscriber::set_default(alarms.clone());
    let stage = Stage::new(&["ada", "bob"]).await;
    let submitted = stage.executor.submit(sevens, 0..40);
    for fault in [Fault::Status(408), Fault::Status(504), Fault::Status(500), Fault::Drop, Fault::LoseAnswer]
    {
        let n = stage.count(|kind| matches!(kind, EventKind::TaskDone { .. }));
        stage.until_seen(n + 2, |kind| matches!(kind, EventKind::TaskDone { .. })).await;
        stage.devnet.faults().for_a_while(secs(20), "", fault);
        tokio::time::sleep(secs(25)).await;
    }
    Outcome::of(submitted).await.assert_sevens(0..40);
    let played = Played::of(stage).await;
    let errors: Vec<_> =
        alarms.0.lock().unwrap().iter().filter(|(level, _)| *level == Level::ERROR).cloned().collect();
    assert!(errors.is_empty(), "{errors:#?}");
    // The same in what people are shown.
    let mut summary = LogSummary::new();
    let lines: Vec<_> = played.events.iter().flat_map(|event| summary.on(event)).collect();
    assert!(lines.iter().all(|line| line.level != Level::ERROR), "{lines:#?}");
    assert!(lines.iter().any(|line| line.level == Level::WARN), "nothing was told of the trouble");
}

#[tokio::test(start_paused = true)]
async fn the_summary_counts_accepted_results_and_nothing_else() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let worker = |ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            match task.data() % 4 {
                // Rejected once, and once for good.
                1 if task.attempt() == 1 => task.reject_result("blurred", true).await,
                2 => task.reject_result("no such frame", false).await,
                _ => do_one(&ctx, task).await?,
            }
        }
        Ok(())
    };
    let outcome = Outcome::of(stage.executor.submit(worker, 0..20)).await;
    assert_eq!((outcome.done.len(), outcome.error().failed().len()), (15, 5));
    let played = Played::of(stage).await;
    let mut summary = LogSummary::new();
    let lines: Vec<_> = played.events.iter().flat_map(|event| summary.on(event)).collect();
    for name in ["ada", "bob"] {
        let n = outcome.done.iter().filter(|task| task.provider().name == name).count();
        let told = lines.iter().find(|line| line.text.contains(&format!("Provider '{name}' computed")));
        let told = told.unwrap_or_else(|| panic!("{lines:#?}"));
        assert!(
            told.text.ends_with(&format!("computed {n} task{}", if n == 1 { "" } else { "s" })),
            "{told:?}, {n}"
        );
    }
}
