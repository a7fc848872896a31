//! Batches: polled or followed, through a daemon that fails, with files on the way.

use std::path::Path;
use std::sync::Arc;

use futures_util::TryStreamExt;
use golem_core::event::{EventKind, FailureKind};
use golem_devnet::node::Fault;
use golem_devnet::runtime::ScriptedAnswer;
use golem_sdk::executor::Tasks;
use golem_sdk::{MemoryJournal, Program, ScriptError, WorkContext, WorkerError};
use yagna_client::{Client, InProcessTransport};

use crate::played::Played;
use crate::stage::{Outcome, Stage, TASK_TAKES, builder, devnet, honest, scripted, secs, wait_for};
use crate::wire::Wire;

/// All that is told of commands up to a failure, and the failure itself.
async fn told(ctx: &mut WorkContext, last: &str, streamed: bool) -> Vec<String> {
    ctx.run("quiet", [""; 0]);
    ctx.run("say", [""; 0]);
    ctx.run(last, [""; 0]);
    let done =
        if streamed { ctx.commit_streamed(secs(60)).finish().await } else { ctx.commit(secs(60)).await };
    let mut told = Vec::new();
    let batch = match &done {
        Ok(batch) => batch,
        Err(ScriptError::CommandFailed(failure)) => {
            told.push(format!("{} {:?} {}", failure.command, failure.exit_code, failure.stderr));
            &failure.so_far
        }
        Err(other) => panic!("{other:?}"),
    };
    told.extend(batch.results().iter().map(|result| {
        format!("{} {:?} {:?} {:?}", result.command, result.exit_code, result.stdout(), result.stderr())
    }));
    told
}

#[tokio::test(start_paused = true)]
async fn a_command_has_the_same_result_polled_and_streamed() {
    let runtime = scripted()
        .on("quiet", &[], ScriptedAnswer::ok())
        .on("say", &[], ScriptedAnswer::ok().stdout("zażółć\n").stderr("half"))
        .on("fail", &[], ScriptedAnswer::exit(9).stdout("so far").stderr("no more\n").taking(TASK_TAKES));
    let stage = Stage::on(runtime, [honest("ada")], |builder| builder.max_workers(1)).await;
    let worker = |mut ctx: WorkContext, mut tasks: Tasks<&'static str, [Vec<String>; 2]>| async move {
        while let Some(task) = tasks.next().await {
            let polled = told(&mut ctx, task.data(), false).await;
            let streamed = told(&mut ctx, task.data(), true).await;
            task.accept_result([polled, streamed]).await;
        }
        Ok(())
    };
    let done: Vec<_> = stage.executor.submit(worker, ["say", "fail"]).try_collect().await.unwrap();
    for task in &done {
        let [polled, streamed] = task.result();
        assert_eq!(polled, streamed, "{}", task.data());
        assert_eq!(polled.len(), if *task.data() == "say" { 3 } else { 4 });
    }
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn passing_errors_of_polls_harm_no_batch() {
    let faults =
        [408, 500, 502, 503, 504].map(Fault::Status).into_iter().chain([Fault::Drop, Fault::LoseAnswer]);
    for (fault, streamed) in faults.flat_map(|fault| [(fault, false), (fault, true)]) {
        let stage = Stage::with(&["ada"], |builder| builder.max_workers(1)).await;
        let worker = move |mut ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
            while let Some(task) = tasks.next().await {
                let work = ctx.run("work", [task.data().to_string()]);
                let done = if streamed {
                    ctx.commit_streamed(secs(60)).finish().await?
                } else {
                    ctx.commit(secs(60)).await?
                };
                task.accept_result(done[work].stdout().into_owned()).await;
            }
            Ok(())
        };
        let submitted = stage.executor.submit(worker, 0..6);
        stage.until_seen(1, |kind| matches!(kind, EventKind::TaskStarted { .. })).await;
        for _ in 0..3 {
            stage.devnet.faults().for_a_while(secs(8), "GET /activity-api/v1/activity/", fault);
            tokio::time::sleep(secs(10)).await;
        }
        Outcome::of(submitted).await.assert_sevens(0..6);
        let played = Played::of(stage).await;
        let failed = played.count(|kind| matches!(kind, EventKind::AttemptFailed { .. }));
        assert_eq!(failed, 0, "{fault:?}, streamed: {streamed}: {:#?}", played.events);
        played.assert_all_paid();
    }
}

/// A proxy's "time-out" says nothing about what was done before.
#[tokio::test(start_paused = true)]
async fn a_poll_that_times_out_takes_nothing_back() {
    for streamed in [false, true] {
        let runtime = scripted().on("hang", &[], ScriptedAnswer::hang());
        let stage = Stage::on(runtime, [honest("ada")], |builder| builder.max_workers(1)).await;
        let worker = move |mut ctx: WorkContext, mut tasks: Tasks<u64, Vec<String>>| async move {
            if let Some(task) = tasks.next().await {
                ctx.run("work", ["1"]);
                ctx.run("work", ["2"]);
                ctx.run("hang", [""; 0]);
                let done = if streamed {
                    ctx.commit_streamed(secs(60)).finish().await
                } else {
                    ctx.commit(secs(60)).await
                };
                let Err(ScriptError::Expired(expiry)) = done else {
                    return Err(WorkerError::other(format!("it ended as {done:?}")));
                };
                let kept = expiry.so_far.results().iter().map(|result| result.stdout().into_owned());
                task.accept_result(kept.collect()).await;
            }
            Ok(())
        };
        let submitted = stage.executor.submit(worker, [0]);
        stage.until_seen(1, |kind| matches!(kind, EventKind::TaskStarted { .. })).await;
        tokio::time::sleep(secs(40)).await;
        stage.devnet.faults().for_a_while(secs(40), "/exec/", Fault::Status(408));
        let done: Vec<_> = submitted.try_collect().await.unwrap();
        assert_eq!(*done[0].result(), ["7", "14"], "streamed: {streamed}");
        stage.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_script_that_nobody_can_be_sent_fails_its_task_at_once() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let worker = |mut ctx: WorkContext, mut tasks: Tasks<u64, String>| async move {
        while let Some(task) = tasks.next().await {
            let n = *task.data();
            let program = Program::new("work").arg(n.to_string());
            let work = ctx.add(if n == 2 { program.env("no=name", "value") } else { program });
            let done = ctx.commit(secs(60)).await?;
            task.accept_result(done[work].stdout().into_owned()).await;
        }
        Ok(())
    };
    let outcome = Outcome::of(stage.executor.submit(worker, 0..6)).await;
    assert_eq!(outcome.done.len(), 5);
    let [failed] = outcome.error().failed() else { panic!("{:?}", outcome.error()) };
    assert_eq!((*failed.data(), failed.attempts()), (2, 1), "it is no use to try it elsewhere");
    assert_eq!(failed.failure().kind, FailureKind::Invalid);
    Played::of(stage).await.assert_all_paid();
}

fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// A hundred batches with files on five providers, some of which fail.
#[tokio::test(start_paused = true)]
async fn five_workers_with_many_transfers_leave_no_files_and_no_addresses() {
    const TASKS: u64 = 100;
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    std::fs::create_dir(&output).unwrap();
    std::fs::write(&input, vec![7; 30_000]).unwrap();
    let runtime = scripted().on("fail", &[], ScriptedAnswer::exit(1));
    let names = ["ada", "bob", "eve", "joe", "kim"];
    let devnet = Arc::new(devnet(runtime, names.map(honest)).start().await.unwrap());
    let inner = InProcessTransport::new(devnet.router(), &devnet.requestor().key).unwrap();
    let wire = Arc::new(Wire::new(inner));
    let journal = Arc::new(MemoryJournal::new());
    let executor = builder(&devnet)
        .client(Client::new(Arc::clone(&wire) as _).with_chance(fastrand::Rng::with_seed(7)))
        .journal(Arc::clone(&journal) as _)
        .max_workers(5)
        .start();
    let stage = Stage { executor: executor.await.unwrap(), devnet, journal };
    let (from, to) = (input.clone(), output.clone());
    let worker = move |mut ctx: WorkContext, mut tasks: Tasks<u64, usize>| {
        let (from, to) = (from.clone(), to.clone());
        async move {
            while let Some(task) = tasks.next().await {
                let n = *task.data();
                ctx.send_file(&from, "/golem/work/file");
                ctx.send_bytes(vec![1; 10_000], "/golem/work/bytes");
                let fails = n % 7 == 3 && task.attempt() == 1;
                ctx.run(if fails { "fail" } else { "true" }, [""; 0]);
                let bytes = ctx.download_bytes("/golem/work/bytes", 10_000);
                ctx.download_file("/golem/work/file", to.join(n.to_string()));
                match ctx.commit(secs(60)).await {
                    Ok(batch) => {
                        let len = batch.bytes(bytes)?.len();
                        task.accept_result(len).await;
                    }
                    Err(ScriptError::CommandFailed(_)) => task.reject_result("it failed", true).await,
                    Err(other) => return Err(other.into()),
                }
            }
            Ok(())
        }
    };
    let done: Vec<_> = stage.executor.submit(worker, 0..TASKS).try_collect().await.unwrap();
    assert_eq!(done.len(), 100);
    assert!(done.iter().all(|task| *task.result() == 10_000));
    wait_for("the addresses to be given back", || wire.bound() == 0).await;
    assert!(wire.count("POST /gsb-api") >= 5, "hardly anything was sent");
    assert_eq!((files_in(folder.path()), files_in(&output)), (2, 100));
    Played::of(stage).await.assert_all_paid();
}
