use std::sync::Arc;

use futures_util::future::BoxFuture;
use golem_core::event::{ActivityNo, RentalId, TaskOutput};
use golem_core::payload::Payload;
use golem_core::run::RunConfig;
use golem_devnet::clock::DevnetClock;
use golem_devnet::devnet::Devnet;
use golem_devnet::runtime::ScriptedRuntime;
use tokio::sync::mpsc;
use yagna_api::AppSessionId;
use yagna_api::activity::{CreateActivity, DestroyActivity, State, StatePair};
use yagna_client::InProcessTransport;

use super::*;
use crate::{MemoryJournal, Run, RunOptions, Tasks, Worker, WorkerError};

/// Opens another activity on its agreement, and starts it itself.
#[derive(Debug)]
struct Starter;

impl Worker for Starter {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            while let Some(task) = tasks.next().await {
                start_by_hand(&ctx.inner).await;
                task.done(TaskOutput::default()).await;
            }
            Ok(())
        })
    }
}

async fn start_by_hand(inner: &Inner) {
    let limit = Duration::from_secs(60);
    let agreement = inner.agreement.clone();
    // A provider has one at a time.
    let first = DestroyActivity { activity: inner.activity.clone(), wait: limit };
    inner.client.call(&first).await.unwrap();
    let create = CreateActivity { agreement: agreement.clone(), requestor_pub_key: None, wait: limit };
    let activity = inner.client.call(&create).await.unwrap().activity_id;
    let node = inner.provider.id.clone();
    let (client, provider) = (inner.client.clone(), inner.provider.clone());
    let (inputs, _unread) = mpsc::channel(16);
    let scripts = Arc::new(Scripts::new(RentalId(1), ActivityNo(1), inputs, None));
    let mut ctx =
        WorkContext::new(client, node, provider, agreement, activity.clone(), Arc::default(), scripts);
    ctx.make_ready(Preparation { deployment: None, limit }).await.unwrap();
    assert_eq!(ctx.state().await.unwrap().state, StatePair(State::Initialized, None));

    ctx.shell("true");
    let error = ctx.commit(limit).await.unwrap_err();
    assert!(error.to_string().contains("deploy() command is expected now"), "{error}");

    let deployed = ctx.deploy(Deploy::default());
    ctx.start(["--fast"]);
    let run = ctx.shell("true");
    let done = ctx.commit(limit).await.unwrap();
    assert_eq!((done[deployed].exit_code, done[run].exit_code), (Some(0), Some(0)));
    inner.client.call(&DestroyActivity { activity, wait: limit }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_activity_that_isnt_started_implicitly_is_started_by_its_worker() {
    let clock = DevnetClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let devnet = Devnet::builder()
        .clock(clock.clone())
        .runtime(ScriptedRuntime::new())
        .providers(1)
        .start()
        .await
        .unwrap();
    let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key).unwrap();
    let run = Run::new(
        Client::new(Arc::new(transport)),
        Arc::new(clock),
        Arc::new(MemoryJournal::new()),
        Arc::new(Starter),
        Box::new(std::iter::once(Ok(0.into()))),
        RunOptions::new(
            RunConfig::new(Payload::default(), devnet.payment_platform()).workers(1),
            "erc20",
            "hoodi",
            AppSessionId::new("starter"),
        ),
    );
    let end = run.run().await.unwrap();
    assert_eq!((end.done, end.failed), (1, 0), "{end:?}");
    devnet.stop().await;
}
