//! Files to and from providers, over the bus: the SDK's own services on this side, the exe-unit on the other.

use std::time::Duration;

use futures_util::StreamExt as _;
use golem_devnet::provider::ProviderConfig;
use golem_sdk::transfer::{Answers, Offer, Receipt};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use yagna_api::activity::{
    Command, CommandResult, Outcome, Progress, ProgressArgs, RuntimeEventKind, Transfer,
};
use yagna_api::gsb::Listen;
use yagna_api::{ActivityId, AgreementId, BatchId, DemandId};
use yagna_client::{BusFault, BusValue};

use crate::hand::Hand;
use crate::rental::{Terms, agree, destroy, exec, leave, ready, results, run, shell};
use crate::stage::{Scene, Stage};

const BASE: &str = "/activity-api/v1/activity";
/// What is asked for at once.
const CHUNK: usize = 40 * 1024;
/// For all that a transfer tells.
const PATIENCE: Duration = Duration::from_secs(40);

pub(super) async fn files_of_all_sizes(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 9 * CHUNK + 7] {
        let content = noise(size);
        let offer = serve(hand, Offer::bytes(content.clone())).await;
        let (sender, received) = oneshot::channel();
        let receipt = serve(hand, Receipt::memory(size as u64, sender)).await;
        let script = vec![
            transfer(&offer.url, "container:/golem/work/file"),
            shell("wc -c < /golem/work/file"),
            transfer("container:/golem/work/file", &receipt.url),
        ];
        let batch = exec(hand, &hired.activity, script).await;
        results(hand, &hired.activity, &batch).await;
        let path = format!("{BASE}/{}/exec/{batch}", hired.activity);
        stage.look(&format!("{size} bytes, there and back"), &hand.get(&path).await);
        let received = received.await.expect("the file has come");
        assert!(received == content, "{size} bytes came back as {} others", received.len());
        offer.end().await;
        receipt.end().await;
    }
    hired.end(stage).await;
}

pub(super) async fn a_large_file_there_and_back(scene: Scene) {
    const SIZE: usize = 20_000_000;
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    let folder = tempfile::tempdir().expect("a folder");
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    std::fs::write(&there, noise(SIZE)).expect("it can be written");
    let mut original = Offer::file(there).await.expect("it can be read");
    let hash = original.hash().await.expect("it can be read");
    let offer = serve(hand, original).await;
    let receipt = serve(hand, Receipt::file(back.clone()).await.expect("it can be made")).await;
    let script = vec![
        transfer(&offer.url, "container:/golem/work/in/file"),
        shell("cp /golem/work/in/file /golem/work/copy"),
        transfer("container:/golem/work/copy", &receipt.url),
    ];
    let done = run(hand, &hired.activity, script).await;
    assert!(done.len() == 3 && done.iter().all(|result| result.result == Outcome::Ok), "{done:?}");
    let mut copy = Offer::file(back).await.expect("it has come");
    assert_eq!(copy.size(), SIZE as u64);
    assert_eq!(copy.hash().await.expect("it can be read"), hash);
    offer.end().await;
    receipt.end().await;
    hired.end(stage).await;
}

pub(super) async fn several_take_the_same_file(scene: Scene) {
    let names = ["one", "two", "three"];
    let stage = scene.open(names.map(ProviderConfig::new)).await;
    let hand = &stage.hand;
    let content = noise(12 * CHUNK + 5);
    let offer = serve(hand, Offer::bytes(content.clone())).await;
    let hired = futures_util::future::join_all(names.map(|name| {
        let mut terms = Terms::usual(&stage);
        terms.constraints = format!("(&{}(golem.node.id.name={name}))", terms.constraints);
        async move {
            let (demand, agreement) = agree(hand, &terms).await;
            let activity = ready(hand, &agreement).await;
            Hired { demand, agreement, activity }
        }
    }))
    .await;
    let taken = futures_util::future::join_all(hired.iter().map(|hired| async {
        let (sender, received) = oneshot::channel();
        let receipt = serve(hand, Receipt::memory(content.len() as u64, sender)).await;
        let file = "container:/golem/work/file";
        let script = vec![transfer(&offer.url, file), transfer(file, &receipt.url)];
        let done = run(hand, &hired.activity, script).await;
        assert!(done.iter().all(|result| result.result == Outcome::Ok), "{done:?}");
        let received = received.await.expect("the file has come");
        receipt.end().await;
        received == content
    }));
    assert_eq!(taken.await, [true; 3], "each has the same file");
    offer.end().await;
    for hired in &hired {
        destroy(hand, &hired.activity).await;
        leave(hand, &hired.demand, &hired.agreement).await;
    }
    stage.close().await;
}

pub(super) async fn files_that_are_none(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    let file = "container:/golem/work/file";
    let nobody = format!("gftp://{}/{}", hand.node(), "0".repeat(32));
    for (what, from, to) in [
        ("a file that isn't there", "container:/golem/work/none", nobody.as_str()),
        ("no node", "gftp://nobody/0123", file),
        ("no place", "elsewhere", file),
        ("a scheme that isn't known", "ftp://127.0.0.1/x", file),
        ("a folder", "container:/golem/work", nobody.as_str()),
    ] {
        let result = only(run(hand, &hired.activity, vec![transfer(from, to)]).await);
        assert_eq!(result.result, Outcome::Error, "{what}: {result:?}");
        stage.note(&format!("{what}: {}", result.message.as_deref().expect("a reason")));
    }
    hired.end(stage).await;
}

/// What the provider is told of it isn't the same everywhere: the real daemon's way for bulk data passes no failures on.
pub(super) async fn files_that_nobody_serves(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    let nobody = format!("gftp://{}/{}", hand.node(), "0".repeat(32));
    let file = "container:/golem/work/file";
    let result = only(run(hand, &hired.activity, vec![transfer(&nobody, file)]).await);
    assert_eq!(result.result, Outcome::Error);
    assert!(result.message.as_deref().is_some_and(|told| told.contains(&nobody)), "{result:?}");
    let done =
        run(hand, &hired.activity, vec![shell("echo x > /golem/work/file"), transfer(file, &nobody)]).await;
    assert_eq!((done.len(), done[1].result), (2, Outcome::Error), "{done:?}");
    let after = only(run(hand, &hired.activity, vec![shell("cat /golem/work/file")]).await);
    assert_eq!(after.exit_code(), Some(0), "the activity is as usable as before");
    hired.end(stage).await;
}

pub(super) async fn a_file_that_is_refused(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    for (what, refused, kind) in [
        ("at once", "GetMetadata", "ReadError"),
        ("in the midst of it", "GetChunk", "ReadError"),
        ("for another reason", "GetChunk", "InternalError"),
    ] {
        let offer = serve(hand, Moody { inner: Offer::bytes(noise(3 * CHUNK)), refused, kind }).await;
        let script = vec![transfer(&offer.url, "container:/golem/work/file")];
        let result = only(run(hand, &hired.activity, script).await);
        assert_eq!(result.result, Outcome::Error);
        stage.note(&format!("{what}: {}", result.message.as_deref().expect("a reason")));
        offer.end().await;
    }
    for (what, refused, kind) in
        [("a chunk", "UploadChunk", "WriteError"), ("the end", "UploadFinished", "IntegrityError")]
    {
        let (sender, received) = oneshot::channel();
        let inner = Receipt::memory(1 << 20, sender);
        let receipt = serve(hand, Moody { inner, refused, kind }).await;
        let script = vec![shell("echo x > /golem/work/f"), transfer("container:/golem/work/f", &receipt.url)];
        let done = run(hand, &hired.activity, script).await;
        assert_eq!((done.len(), done[1].result), (2, Outcome::Error));
        stage.note(&format!("{what}: {}", done[1].message.as_deref().expect("a reason")));
        receipt.end().await;
        assert!(received.await.is_err(), "nothing has come");
    }
    hired.end(stage).await;
}

/// A byte that changes on its way is found by the hash at the end of the file.
pub(super) async fn a_wrong_hash_is_found(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    let (sender, received) = oneshot::channel();
    let receipt = serve(hand, Forger(Receipt::memory(1 << 20, sender))).await;
    let script = vec![shell("echo abc > /golem/work/f"), transfer("container:/golem/work/f", &receipt.url)];
    let done = run(hand, &hired.activity, script).await;
    assert_eq!(done[1].result, Outcome::Error, "{done:?}");
    assert!(done[1].message.as_deref().is_some_and(|told| told.contains("IntegrityError")), "{done:?}");
    receipt.end().await;
    assert!(received.await.is_err(), "what isn't right hasn't come");
    hired.end(stage).await;
}

pub(super) async fn a_transfer_tells_its_progress(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    let size = 10 * CHUNK + 1;
    let offer = serve(hand, Offer::bytes(noise(size))).await;
    let args = ProgressArgs { update_interval: None, update_step: Some(3 * CHUNK as u64) };
    let Command::Transfer(plain) = transfer(&offer.url, "container:/golem/work/file") else {
        unreachable!("it is a transfer");
    };
    let script = vec![Command::Transfer(Transfer { progress: Some(args), ..plain })];
    let batch = exec(hand, &hired.activity, script).await;
    let told = progress(hand, &hired.activity, &batch).await;
    let steps: Vec<_> = told.iter().map(|told| (told.step, told.progress, told.unit.as_deref())).collect();
    let (step, size) = (3 * CHUNK as u64, size as u64);
    let bytes = |done| ((0, 1), (done, Some(size)), Some("Bytes"));
    assert_eq!(
        steps,
        [bytes(step), bytes(2 * step), bytes(3 * step), ((1, 1), (size, Some(size)), Some("Bytes"))]
    );
    offer.end().await;
    hired.end(stage).await;
}

/// The daemon keeps requests until somebody serves them.
pub(super) async fn a_file_that_is_served_late(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    let on = "/public/gftp/served-late";
    let body = json!({"listen": {"on": on, "components": ["GetMetadata", "GetChunk"]}});
    let bound = hand.post("/gsb-api/v1/services", &body).await.expect(201).json();
    let url = format!("gftp://{}/served-late", hand.node());
    let batch = exec(hand, &hired.activity, vec![transfer(&url, "container:/golem/work/file")]).await;
    let path = format!("{BASE}/{}/exec/{batch}", hired.activity);
    stage.look("it waits", &hand.get(&format!("{path}?timeout=0.3&commandIndex=0")).await);
    let id = bound["servicesId"].as_str().expect("an id");
    let mut socket = hand.socket(&format!("/gsb-api/v1/services/{id}"), None).await.expect("a socket");
    let mut asked = Vec::new();
    while asked.len() < 2 {
        let frame = tokio::time::timeout(PATIENCE, socket.next()).await.expect("a request comes in time");
        let request = BusValue::decode(&frame.expect("it is open").expect("a frame")).expect("a value");
        asked.push(request.get("component").and_then(BusValue::as_text).expect("its name").to_owned());
        let payload = match asked.len() {
            1 => BusValue::map([("fileSize", BusValue::UInt(3))]),
            _ => BusValue::map([
                ("offset", BusValue::UInt(0)),
                ("content", BusValue::Bytes(b"abc".to_vec().into())),
            ]),
        };
        let answer = BusValue::map([("id", request.get("id").expect("an id").clone()), ("payload", payload)]);
        futures_util::SinkExt::send(&mut socket, answer.encode()).await.expect("it is open");
    }
    assert_eq!(asked, ["GetMetadata", "GetChunk"]);
    let done = results(hand, &hired.activity, &batch).await;
    assert_eq!(done[0].result, Outcome::Ok, "{done:?}");
    hand.delete(&format!("/gsb-api/v1/services/{id}")).await.expect(200);
    hired.end(stage).await;
}

/// What the provider was about to ask is refused when the services go.
pub(super) async fn a_file_that_goes_midway(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    let on = "/public/gftp/gone-midway";
    let body = json!({"listen": {"on": on, "components": ["GetMetadata", "GetChunk"]}});
    let bound = hand.post("/gsb-api/v1/services", &body).await.expect(201).json();
    let id = bound["servicesId"].as_str().expect("an id");
    let url = format!("gftp://{}/gone-midway", hand.node());
    let mut socket = hand.socket(&format!("/gsb-api/v1/services/{id}"), None).await.expect("a socket");
    let batch = exec(hand, &hired.activity, vec![transfer(&url, "container:/golem/work/file")]).await;
    let asked = tokio::time::timeout(PATIENCE, socket.next()).await.expect("a request comes in time");
    assert!(matches!(asked, Some(Ok(_))), "{asked:?}");
    hand.delete(&format!("/gsb-api/v1/services/{id}")).await.expect(200);
    let result = only(results(hand, &hired.activity, &batch).await);
    assert_eq!(result.result, Outcome::Error, "{result:?}");
    hired.end(stage).await;
}

/// A service on the bus, served meanwhile.
struct Served {
    url: String,
    done: CancellationToken,
    tasks: JoinSet<()>,
}

impl Served {
    async fn end(mut self) {
        self.done.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("serving doesn't panic");
        }
    }
}

async fn serve<A: Answers + 'static>(hand: &Hand, mut answers: A) -> Served {
    let id = format!("{:032x}", fastrand::u128(..));
    let components = A::COMPONENTS.iter().map(|&component| component.to_owned()).collect();
    let listen = Listen { on: format!("/public/gftp/{id}"), components };
    let mut session = hand.client.serve_bus(listen).await.expect("a service on the bus");
    let done = CancellationToken::new();
    let over = done.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(request) = over.run_until_cancelled(session.next()).await {
            let request = request.expect("the bus holds");
            let answer = answers.answer(&request.component, &request.payload).await;
            session.reply(&request.id, answer).await;
        }
        session.close().await.expect("it is ours to close");
    });
    Served { url: format!("gftp://{}/{id}", hand.node()), done, tasks }
}

/// Refuses one kind of message.
struct Moody<A> {
    inner: A,
    refused: &'static str,
    kind: &'static str,
}

impl<A: Answers> Answers for Moody<A> {
    const COMPONENTS: &'static [&'static str] = A::COMPONENTS;

    async fn answer(&mut self, component: &str, payload: &BusValue) -> Result<BusValue, BusFault> {
        if component == self.refused {
            return Err(BusFault::new(self.kind, "not in the mood"));
        }
        self.inner.answer(component, payload).await
    }
}

/// Passes on chunks with one byte changed.
struct Forger(Receipt);

impl Answers for Forger {
    const COMPONENTS: &'static [&'static str] = Receipt::COMPONENTS;

    async fn answer(&mut self, component: &str, payload: &BusValue) -> Result<BusValue, BusFault> {
        let Some(chunk) = payload.get("chunk") else {
            return self.0.answer(component, payload).await;
        };
        let mut content = chunk.get("content").and_then(BusValue::to_bytes).expect("a content").to_vec();
        content[0] ^= 1;
        let offset = chunk.get("offset").expect("an offset").clone();
        let chunk = BusValue::map([("offset", offset), ("content", BusValue::Bytes(content.into()))]);
        self.0.answer(component, &BusValue::map([("chunk", chunk)])).await
    }
}

/// One provider, an agreement with it, and an activity that runs.
struct Hired {
    demand: DemandId,
    agreement: AgreementId,
    activity: ActivityId,
}

async fn hire(scene: Scene) -> (Stage, Hired) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let (demand, agreement) = agree(&stage.hand, &Terms::usual(&stage)).await;
    let activity = ready(&stage.hand, &agreement).await;
    (stage, Hired { demand, agreement, activity })
}

impl Hired {
    async fn end(self, stage: Stage) {
        destroy(&stage.hand, &self.activity).await;
        leave(&stage.hand, &self.demand, &self.agreement).await;
        stage.close().await;
    }
}

fn transfer(from: &str, to: &str) -> Command {
    Command::Transfer(Transfer { from: from.into(), to: to.into(), ..Transfer::default() })
}

#[track_caller]
fn only(mut results: Vec<CommandResult>) -> CommandResult {
    assert_eq!(results.len(), 1, "{results:?}");
    results.remove(0)
}

/// Bytes without any pattern, the same each time.
fn noise(size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(size as u64);
    let mut bytes = vec![0; size];
    random.fill(&mut bytes);
    bytes
}

/// What a transfer tells of its progress until it is done.
async fn progress(hand: &Hand, activity: &ActivityId, batch: &BatchId) -> Vec<Progress> {
    let mut events = hand.client.batch_events(activity.clone(), batch.clone());
    let mut told = Vec::new();
    let follow = async {
        while let Some(event) = events.next().await {
            match event.expect("the stream goes on").kind {
                RuntimeEventKind::Progress(progress) => told.push(progress),
                RuntimeEventKind::Finished { return_code, .. } => {
                    assert_eq!(return_code, 0, "the transfer failed");
                    return;
                }
                _ => {}
            }
        }
    };
    let done = tokio::time::timeout(PATIENCE, follow).await;
    assert!(done.is_ok(), "the end isn't told within {PATIENCE:?}: {told:?}");
    told
}
