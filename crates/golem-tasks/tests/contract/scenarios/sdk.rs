//! The SDK as its users have it: an executor, workers, scripts, files. What it asks of the daemon and of providers is the
//! same everywhere, and so is what comes of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use golem_core::event::{EventKind, RunEnd};
use golem_core::payload::Payload;
use golem_devnet::provider::{Prices, ProviderConfig};
use golem_sdk::executor::{Executor, Finished, Tasks};
use golem_sdk::payload::{PayloadSpec, Vm};
use golem_sdk::{BatchEvent, MemoryJournal, ScriptError, WorkContext, WorkerError};
use serde_json::{Value, json};
use yagna_api::Glm;
use yagna_api::properties::name;

use super::restarts::settled_invoices;
use crate::hand::now;
use crate::stage::{Scene, Stage};

/// For one batch, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);
const WORK: &str = "/golem/work";

pub(super) async fn output_and_progress_are_followed(scene: Scene) {
    const SIZE: usize = 400_000;
    let (stage, executor) = open(scene, &["ada"], Payload::default()).await;
    let worker = |mut ctx: WorkContext, mut tasks: Tasks<(), Followed>| async move {
        while let Some(task) = tasks.next().await {
            let sent = ctx.send_bytes(vec![7; SIZE], format!("{WORK}/bytes"));
            let lines = ctx.shell("for n in 1 2 3; do echo line $n; sleep 0.4; done; echo last >&2");
            let mut followed = Followed::default();
            let mut streamed = ctx.commit_streamed(PATIENCE);
            while let Some(event) = streamed.next().await {
                match event? {
                    BatchEvent::Stdout(chunk) if chunk.command == lines => {
                        followed.pieces += 1;
                        followed.told.push_str(&chunk.text());
                    }
                    BatchEvent::Progress { command, progress } if command == sent => {
                        followed.transferred = Some(progress.progress.0);
                    }
                    _ => {}
                }
            }
            let done = streamed.finish().await?;
            followed.at_the_end = (done[lines].stdout().into_owned(), done[lines].stderr().into_owned());
            task.accept_result(followed).await;
        }
        Ok(())
    };
    let done: Vec<_> = executor.submit(worker, [()]).try_collect().await.expect("all is done");
    let followed = done[0].result();
    assert_eq!(followed.told, "line 1\nline 2\nline 3\n");
    assert!(followed.pieces >= 2, "it was told only at its end: {followed:?}");
    assert_eq!(followed.transferred, Some(SIZE as u64), "{followed:?}");
    assert_eq!(followed.at_the_end, (followed.told.clone(), "last\n".to_owned()));
    end(stage, executor).await;
}

pub(super) async fn a_local_image_is_published_and_fetched(scene: Scene) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("own.gvmi");
    let image: Vec<u8> = (0..150_001_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&path, &image).expect("it can be written");
    let (stage, executor) = open(scene, &["ada"], Vm::image_file(&path)).await;
    let size = image.len() as u64;
    let worker = move |mut ctx: WorkContext, mut tasks: Tasks<(), Vec<u8>>| async move {
        while let Some(task) = tasks.next().await {
            // `hash:sha3:<hash>:<address>`: fetched as a provider's own runtime would.
            let terms = ctx.terms().await?;
            let package = terms.demand.properties.text(name::TASK_PACKAGE).unwrap_or_default();
            let address = package.splitn(4, ':').nth(3).unwrap_or_default().to_owned();
            assert!(address.starts_with("gftp://"), "{package}");
            ctx.fetch(address, format!("{WORK}/image"));
            let image = ctx.download_bytes(format!("{WORK}/image"), size);
            let done = ctx.commit(PATIENCE).await?;
            let image = done.bytes(image)?.to_vec();
            task.accept_result(image).await;
        }
        Ok(())
    };
    let done: Vec<_> = executor.submit(worker, [()]).try_collect().await.expect("all is done");
    assert!(*done[0].result() == image, "{} other bytes have come", done[0].result().len());
    end(stage, executor).await;
}

pub(super) async fn several_activities_share_an_agreement_and_its_invoice(scene: Scene) {
    const TASKS: u64 = 4;
    let begun = now();
    let journal = Arc::new(MemoryJournal::new());
    let stage = scene.open([seller("ada")]).await;
    let builder = builder(&stage, Payload::default()).max_workers(1);
    let executor = builder.journal(Arc::clone(&journal) as _).start().await.expect("an executor");
    // Each worker does one task, and leaves the rest to the next.
    let worker = |mut ctx: WorkContext, mut tasks: Tasks<u64, (String, String)>| async move {
        if let Some(task) = tasks.next().await {
            // Every activity is a fresh machine.
            let seven = ctx.shell(format!(
                "test ! -e {WORK}/mark && touch {WORK}/mark && echo -n $(( {} * 7 ))",
                task.data()
            ));
            let done = ctx.commit(PATIENCE).await?;
            task.accept_result((done[seven].stdout().into_owned(), ctx.id().to_string())).await;
        }
        Ok(())
    };
    let done: Vec<Finished<_, _>> =
        executor.submit(worker, 0..TASKS).try_collect().await.expect("all is done");
    let activities: BTreeSet<_> = done.iter().map(|task| task.result().1.clone()).collect();
    assert_eq!(activities.len() as u64, TASKS);
    for task in &done {
        assert_eq!(task.result().0, (task.data() * 7).to_string());
    }
    let ended = executor.close().await.expect("it ends in order");
    assert_eq!((ended.done, ended.unsettled), (TASKS, 0), "{:#?}", journal.events());
    let agreements = |kind: &EventKind| matches!(kind, EventKind::AgreementApproved { .. });
    assert_eq!(journal.events().iter().filter(|event| agreements(&event.kind)).count(), 1);
    let invoices = settled_invoices(&stage.hand, begun).await;
    assert_eq!(invoices.len(), 1, "{invoices:#?}");
    assert_eq!(invoices[0].amount, ended.cost);
    stage.close().await;
}

pub(super) async fn files_and_documents_travel_within_their_limits(scene: Scene) {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, output) = (folder.path().join("in"), folder.path().join("new").join("out"));
    let content: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&input, &content).expect("it can be written");
    let (stage, executor) = open(scene, &["ada"], Payload::default()).await;
    let to = output.clone();
    let worker = move |mut ctx: WorkContext, mut tasks: Tasks<Value, Value>| {
        let (input, output) = (input.clone(), to.clone());
        async move {
            while let Some(task) = tasks.next().await {
                ctx.send_file(&input, format!("{WORK}/file"));
                ctx.send_json(task.data(), format!("{WORK}/in.json"))?;
                ctx.shell(format!(
                    "cat {WORK}/file {WORK}/file >{WORK}/twice; cp {WORK}/in.json {WORK}/out.json"
                ));
                ctx.download_file(format!("{WORK}/twice"), &output);
                let document = ctx.download_json(format!("{WORK}/out.json"), 1000);
                let done = ctx.commit(PATIENCE).await?;
                let document = done.json(document)?;
                // One byte too many is an error, and nothing is cut off; the activity is as good as before.
                past_its_limit(&mut ctx, 199_999).await?;
                ctx.download_bytes(format!("{WORK}/twice"), 200_000);
                ctx.commit(PATIENCE).await?;
                task.accept_result(document).await;
            }
            Ok(())
        }
    };
    let document = json!({"text": "zażółć \u{1f980}", "numbers": [1, 2.5, -3], "nothing": null});
    let done: Vec<_> = executor.submit(worker, [document.clone()]).try_collect().await.expect("all is done");
    assert_eq!((done[0].result(), done[0].attempts()), (&document, 1));
    assert_file(&output, &[content.as_slice(), &content].concat());
    end(stage, executor).await;
}

pub(super) async fn a_rejected_task_is_done_elsewhere(scene: Scene) {
    let (stage, executor) = open(scene, &["ada", "bob"], Payload::default()).await;
    let rejected_on = Arc::new(Mutex::new(None));
    let first = Arc::clone(&rejected_on);
    let worker = move |mut ctx: WorkContext, mut tasks: Tasks<u64, String>| {
        let first = Arc::clone(&first);
        async move {
            while let Some(task) = tasks.next().await {
                let name = ctx.shell(format!("sleep 0.2; echo -n {}", task.data()));
                let done = ctx.commit(PATIENCE).await?;
                if *task.data() == 2 && task.attempt() == 1 {
                    *first.lock().expect("nobody panics with it") = Some(ctx.provider_id().clone());
                    task.reject_result("blurred", true).await;
                } else {
                    task.accept_result(done[name].stdout().into_owned()).await;
                }
            }
            Ok(())
        }
    };
    let done: Vec<_> = executor.submit(worker, 0..8).try_collect().await.expect("all is done");
    assert_eq!(done.len(), 8);
    let again = done.iter().find(|task| *task.data() == 2).expect("it is among them");
    assert_eq!((again.attempts(), again.result().as_str()), (2, "2"));
    let rejected_on = rejected_on.lock().expect("nobody panics with it").clone();
    assert_ne!(Some(again.provider().id.clone()), rejected_on, "it was tried elsewhere");
    end(stage, executor).await;
}

/// What is told of a batch while it goes on, and at its end.
#[derive(Debug, Default)]
struct Followed {
    told: String,
    pieces: usize,
    transferred: Option<u64>,
    at_the_end: (String, String),
}

async fn past_its_limit(ctx: &mut WorkContext, limit: u64) -> Result<(), WorkerError> {
    ctx.download_bytes(format!("{WORK}/twice"), limit);
    match ctx.commit(PATIENCE).await {
        Err(ScriptError::TransferFailed(_)) => Ok(()),
        other => Err(WorkerError::other(format!("a download past its limit ended as {other:?}"))),
    }
}

fn assert_file(path: &Path, expected: &[u8]) {
    let found = std::fs::read(path).expect("the file has come");
    assert!(found == expected, "{} other bytes have come", found.len());
}

/// An honest provider with small prices.
fn seller(name: &str) -> ProviderConfig {
    ProviderConfig::new(name).priced(Prices::per_hour("0.01", "0.36", "0.036").expect("prices"))
}

fn builder(stage: &Stage, payload: impl Into<PayloadSpec>) -> golem_sdk::executor::ExecutorBuilder {
    Executor::builder(payload)
        .client(stage.hand.client.clone())
        .driver("erc20")
        .network("hoodi")
        .subnet_tag(stage.subnet.as_str())
        .budget("2")
        .configure(|config| config.selection_window = Duration::from_millis(200))
}

async fn open(scene: Scene, names: &[&str], payload: impl Into<PayloadSpec>) -> (Stage, Executor) {
    let stage = scene.open(names.iter().map(|name| seller(name))).await;
    let workers = u32::try_from(names.len()).expect("a few");
    let executor = builder(&stage, payload).max_workers(workers).start().await.expect("an executor");
    (stage, executor)
}

/// Ends both, and all must be paid.
async fn end(stage: Stage, executor: Executor) {
    let RunEnd { failed, unfinished, unsettled, cost, .. } =
        executor.close().await.expect("it ends in order");
    assert_eq!((failed, unfinished, unsettled), (0, 0, 0));
    assert!(cost > Glm::ZERO);
    stage.close().await;
}
