//! Providers of the devnet that carry out whatever a test tells them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use golem_core::event::TaskOutput;
use golem_core::payload::Payload;
use golem_core::run::RunConfig;
use golem_sdk::{
    MemoryJournal, Run, RunOptions, Script, SystemClock, Tasks, WorkContext, Worker, WorkerError,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use yagna_api::AppSessionId;
use yagna_api::activity::{Command, Outcome, Transfer};
use yagna_client::{Client, InProcessTransport};

use crate::server::{PATIENCE, Stage};

type Order = (Script, oneshot::Sender<Result<(), String>>);

/// A provider with an activity, for as long as this lives.
pub(crate) struct Provider(mpsc::Sender<Order>);

impl Provider {
    /// Carries out a script; an error is what the provider said of the command that failed.
    pub(crate) async fn run(&self, script: Script) -> Result<(), String> {
        let (sender, result) = oneshot::channel();
        self.0.send((script, sender)).await.unwrap();
        timeout(PATIENCE, result).await.expect("the script ends").unwrap()
    }

    /// Moves one file.
    pub(crate) async fn transfer(&self, from: &str, to: &str) -> Result<(), String> {
        let transfer = Transfer { from: from.to_owned(), to: to.to_owned(), ..Transfer::default() };
        self.run(Script::new().command(Command::Transfer(transfer))).await
    }

    /// Fetches a file and brings it back.
    pub(crate) async fn there_and_back(&self, from: &str, to: &str) -> Result<(), String> {
        self.transfer(from, "container:/golem/work/file").await?;
        self.transfer("container:/golem/work/file", to).await
    }
}

/// Rents providers. They work in the tasks of the given set.
pub(crate) async fn rent(stage: &Stage, count: usize, running: &mut JoinSet<()>) -> Vec<Provider> {
    let transport = InProcessTransport::new(stage.devnet.router(), &stage.devnet.requestor().key).unwrap();
    let (ready, mut rented) = mpsc::channel(count);
    let workers = u32::try_from(count).unwrap();
    let run = Run::new(
        Client::new(Arc::new(transport)),
        Arc::new(SystemClock),
        Arc::new(MemoryJournal::new()),
        Arc::new(OnCall { ready: Mutex::new(ready) }),
        Box::new((0..count).map(|n| Ok(n.into()))),
        RunOptions::new(
            RunConfig::new(Payload::default(), stage.devnet.payment_platform()).workers(workers),
            "erc20",
            "hoodi",
            AppSessionId::new("gftp"),
        ),
    );
    running.spawn(async move {
        run.run().await.unwrap();
    });
    let mut providers = Vec::new();
    while providers.len() < count {
        providers.push(timeout(PATIENCE, rented.recv()).await.expect("it is rented").unwrap());
    }
    providers
}

#[derive(Debug)]
struct OnCall {
    ready: Mutex<mpsc::Sender<Provider>>,
}

impl Worker for OnCall {
    fn work<'a>(
        &'a self,
        ctx: &'a WorkContext,
        tasks: &'a mut Tasks,
    ) -> BoxFuture<'a, Result<(), WorkerError>> {
        Box::pin(async move {
            while let Some(task) = tasks.next().await {
                let (sender, mut orders) = mpsc::channel::<Order>(1);
                let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).clone();
                ready.send(Provider(sender)).await.ok();
                while let Some((script, done)) = orders.recv().await {
                    let execution = ctx.execute(script, Duration::from_secs(60)).await?;
                    let failed = execution.results.iter().find(|result| result.result != Outcome::Ok);
                    let failure = failed.map(|result| result.message.clone().unwrap_or_default());
                    done.send(failure.map_or(Ok(()), Err)).ok();
                }
                task.done(TaskOutput::default()).await;
            }
            Ok(())
        })
    }
}
