//! The default logger over a whole run: what it keeps, and what it never does.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use golem_core::event::TaskOutput;
use golem_core::payload::Payload;
use golem_core::run::RunConfig;
use golem_devnet::devnet::Devnet;
use golem_sdk::EventConsumer as _;
use golem_sdk::log::{LogError, LogOptions, enable_default_logger, log_event_repr, log_summary, only};
use golem_sdk::{MemoryJournal, Run, RunOptions, SystemClock, Tasks, WorkContext, Worker, WorkerError};
use tracing::level_filters::LevelFilter;
use yagna_client::{Client, InProcessTransport};

#[derive(Debug)]
struct Echo;

impl Worker for Echo {
    fn work<'a>(
        &'a self,
        _ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            while let Some(task) = tasks.next().await {
                let result = task.data().clone();
                task.done(TaskOutput { result, ..TaskOutput::default() }).await;
            }
            Ok(())
        })
    }
}

// One test, for a program has one logger.
#[tokio::test]
async fn a_run_is_kept_in_the_file_without_the_app_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golem.log");
    std::fs::write(&path, "the run before").unwrap();
    let options = LogOptions::default().file(&path).file_level(LevelFilter::TRACE);
    enable_default_logger(&options).unwrap();
    let again = enable_default_logger(&options);
    assert!(matches!(again, Err(LogError::AlreadySet)), "{again:?}");

    let devnet = Devnet::builder().providers(1).start().await.unwrap();
    let key = devnet.requestor().key.clone();
    let transport = InProcessTransport::new(devnet.router(), &key).unwrap();
    let mut run = Run::new(
        Client::new(Arc::new(transport)),
        Arc::new(SystemClock),
        Arc::new(MemoryJournal::new()),
        Arc::new(Echo),
        Box::new((0..3).map(|n| Ok(n.into()))),
        RunOptions::new(
            RunConfig::new(Payload::default(), devnet.payment_platform()).workers(1),
            "erc20",
            "hoodi",
            yagna_api::AppSessionId::new("echoes"),
        ),
    );
    let mut events = run.events();
    let (mut summary, mut ends) = (log_summary(), only(&["run_ended"], log_event_repr).unwrap());
    let consumed = async {
        while let Some(happened) = events.next().await {
            for event in happened.iter() {
                summary.on_event(event);
                ends.on_event(event);
            }
        }
    };
    let (end, ()) = tokio::join!(run.run(), consumed);
    assert_eq!(end.unwrap().done, 3);
    devnet.stop().await;

    let log = std::fs::read_to_string(&path).unwrap();
    for wanted in [
        "INFO golem_sdk::summary: [Job 0] Task finished by provider",
        "Total cost: ",
        "DEBUG golem_sdk::events: {\"at\":",
    ] {
        assert!(log.contains(wanted), "{wanted} in {log}");
    }
    assert_eq!(log.matches("golem_sdk::events").count(), 1, "{log}");
    assert!(!log.contains(key.expose()), "the app key is in the log");
    assert_eq!(std::fs::read_to_string(folder.path().join("golem.log.1")).unwrap(), "the run before");
}
