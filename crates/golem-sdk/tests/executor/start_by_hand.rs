//! Workers that deploy and start their activities themselves.

use golem_core::event::FailureKind;
use golem_devnet::devnet::Devnet;
use golem_sdk::executor::{EndCause, Executor, Tasks};
use golem_sdk::{Program, WorkContext};
use yagna_api::activity::{Deploy, Volumes};
use yagna_client::{Client, InProcessTransport};

use crate::stage::{Outcome, Stage, secs};

#[tokio::test]
async fn a_worker_that_deploys_has_its_volumes_and_sets_variables_with_each_command() {
    // Commands that really run.
    let devnet = Devnet::builder().providers(1).start().await.unwrap();
    let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key).unwrap();
    let executor = Executor::builder(golem_core::payload::Payload::default())
        .client(Client::new(std::sync::Arc::new(transport)))
        .implicit_start(false)
        .start()
        .await
        .unwrap();
    let worker = |mut ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        // Providers don't heed the variables of a deployment.
        let env = [("GREETING".to_owned(), "nobody hears it".to_owned())].into();
        let volumes = Some(Volumes::Paths(vec!["/golem/own".to_owned()]));
        ctx.deploy(Deploy { env, volumes, ..Deploy::default() });
        ctx.start([""; 0]);
        ctx.commit(secs(60)).await?;
        while let Some(task) = tasks.next().await {
            let line = "echo good >/golem/own/word && echo $(cat /golem/own/word) $PART$GREETING";
            let said = ctx.add(Program::shell(line).env("PART", "morning"));
            let done = ctx.commit(secs(60)).await?;
            task.accept_result(done[said].stdout().trim().to_owned()).await;
        }
        Ok(())
    };
    let outcome = Outcome::of(executor.submit(worker, 0..3)).await;
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    assert!(outcome.done.iter().all(|task| task.result() == "good morning"), "{:?}", outcome.done);
    executor.close().await.unwrap();
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_command_before_the_start_fails_and_says_what_comes_first() {
    let stage =
        Stage::with(&["ada"], |builder| builder.implicit_start(false).max_workers(1).retries(0)).await;
    let worker = |mut ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            ctx.run("work", ["1"]);
            let error = ctx.commit(secs(60)).await.unwrap_err();
            assert_eq!(error.kind(), FailureKind::CommandFailed);
            task.reject_result(error.to_string(), false).await;
        }
        Ok(())
    };
    let outcome = Outcome::of(stage.executor.submit(worker, [1])).await;
    let error = outcome.error();
    assert!(matches!(error.cause(), EndCause::TasksFailed), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("deploy() command is expected now"), "{said}");
    stage.close().await;
}
