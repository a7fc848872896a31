//! On a devnet, seen by a provider: what its exe-unit asks of the bus.

use std::sync::Arc;
use std::time::Duration;

use golem_devnet::clock::DevnetClock;
use golem_devnet::devnet::Devnet;
use golem_devnet::node::LocalPort;
use golem_devnet::port::{BusError, BusValue, Port};
use tokio::time::{sleep, timeout};
use yagna_api::properties::name;
use yagna_api::{AppKey, NodeId};
use yagna_client::InProcessTransport;

use super::super::{PayloadSpec, PreparedPayload, Vm};
use super::*;

/// The pieces that exe-units ask for.
const PIECE: u64 = 40 * 1024;

struct Scene {
    devnet: Devnet,
    client: Client,
    provider: LocalPort,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn open() -> Self {
        let clock = DevnetClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let devnet = Devnet::builder().clock(clock).start().await.unwrap();
        let client = client(&devnet, &devnet.requestor().key);
        let provider = devnet.world().add_provider("visitor");
        Self { devnet, client, provider, folder: tempfile::tempdir().unwrap() }
    }

    /// An image whose size is no multiple of a piece.
    fn image(&self) -> (PathBuf, Vec<u8>) {
        let mut random = fastrand::Rng::with_seed(7);
        let content: Vec<u8> = (0..3 * PIECE + 1234).map(|_| random.u8(..)).collect();
        let path = self.folder.path().join("alpine.gvmi");
        std::fs::write(&path, &content).unwrap();
        (path, content)
    }

    async fn prepare(&self, spec: &PayloadSpec) -> PreparedPayload {
        spec.prepare(&self.client).await.unwrap()
    }

    /// All of what is at an address, as a provider fetches it.
    async fn fetch(&self, url: &str) -> Result<Vec<u8>, BusError> {
        let (node, id) = url.strip_prefix("gftp://").and_then(|rest| rest.split_once('/')).unwrap();
        let (node, address): (NodeId, _) = (node.parse().unwrap(), format!("/public/gftp/{id}"));
        let ask = |component: &'static str, payload| {
            let (provider, node, address) = (&self.provider, &node, &address);
            async move { provider.call_bus(node, address, component, payload).await }
        };
        let metadata = ask("GetMetadata", BusValue::Map(Vec::new())).await?;
        let size = metadata.field("fileSize").and_then(BusValue::as_u64).unwrap();
        let mut content = Vec::new();
        while (content.len() as u64) < size {
            let offset = content.len() as u64;
            let piece = vec![
                ("offset".to_owned(), BusValue::UInt(offset)),
                ("size".to_owned(), BusValue::UInt(PIECE)),
            ];
            let answer = ask("GetChunk", BusValue::Map(piece)).await?;
            assert_eq!(answer.field("offset").and_then(BusValue::as_u64), Some(offset));
            match answer.field("content") {
                Some(BusValue::Bytes(bytes)) if !bytes.is_empty() => content.extend(bytes),
                other => panic!("no piece: {other:?}"),
            }
        }
        Ok(content)
    }
}

fn client(devnet: &Devnet, key: &AppKey) -> Client {
    Client::new(Arc::new(InProcessTransport::new(devnet.router(), key).unwrap()))
}

#[tokio::test]
async fn a_local_image_is_served_to_providers_byte_for_byte() {
    let scene = Scene::open().await;
    let (path, content) = scene.image();
    let prepared = scene.prepare(&Vm::image_file(&path).min_mem_gib(1.0)).await;
    let served = prepared.serving.as_ref().unwrap();
    let image = served.image();
    assert_eq!(served.size(), content.len() as u64);
    assert_eq!(image.hash, hex::encode(Sha3_224::digest(&content)));
    assert_eq!(image.url, format!("gftp://{}/{}", scene.devnet.requestor().node, image.hash));
    assert_eq!(
        prepared.payload.properties().text(name::TASK_PACKAGE),
        Some(format!("hash:sha3:{}:{}", image.hash, image.url).as_str())
    );
    assert!(prepared.payload.constraints().to_string().contains("(golem.inf.mem.gib>=1)"));
    assert!(scene.fetch(&image.url).await.unwrap() == content);
    assert!(scene.fetch(&image.url).await.unwrap() == content, "a second provider gets it as well");

    let url = image.url.clone();
    prepared.serving.unwrap().stop().await;
    let gone = scene.fetch(&url).await.unwrap_err();
    assert!(matches!(gone, BusError::NoEndpoint(_)), "{gone}");
}

#[tokio::test]
async fn an_image_has_the_hash_that_gvmkit_says() {
    let scene = Scene::open().await;
    let path = scene.folder.path().join("abc");
    // The example of the standard, FIPS 202.
    std::fs::write(&path, "abc").unwrap();
    let prepared = scene.prepare(&Vm::image_file(path)).await;
    assert_eq!(
        prepared.payload.image.unwrap().hash,
        "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"
    );
}

#[tokio::test]
async fn the_same_image_may_be_served_twice_and_keeps_its_address_for_the_next_run() {
    let scene = Scene::open().await;
    let (path, content) = scene.image();
    let spec = Vm::image_file(&path);
    let [first, second] = [scene.prepare(&spec).await, scene.prepare(&spec).await];
    let url = |prepared: &PreparedPayload| prepared.payload.image.clone().unwrap().url;
    assert_ne!(url(&first), url(&second));
    assert!(scene.fetch(&url(&second)).await.unwrap() == content);
    let usual = url(&first);
    first.serving.unwrap().stop().await;
    assert!(scene.fetch(&url(&second)).await.unwrap() == content, "the second one doesn't need the first");
    assert_eq!(url(&scene.prepare(&spec).await), usual);
}

#[tokio::test(start_paused = true)]
async fn an_image_is_served_again_when_the_daemon_is_back() {
    let scene = Scene::open().await;
    let (path, content) = scene.image();
    let prepared = scene.prepare(&Vm::image_file(&path)).await;
    let url = prepared.payload.image.clone().unwrap().url;
    // Longer than the client tries by itself.
    scene.devnet.faults().restart(Duration::from_secs(600));
    let fetched = timeout(Duration::from_secs(1200), async {
        loop {
            match timeout(Duration::from_secs(5), scene.fetch(&url)).await {
                Ok(Ok(fetched)) => break fetched,
                _ => sleep(Duration::from_secs(1)).await,
            }
        }
    });
    assert!(fetched.await.unwrap() == content);
}

#[tokio::test]
async fn an_image_that_cant_be_served_says_why() {
    let scene = Scene::open().await;
    let (path, _) = scene.image();
    for file in [scene.folder.path().to_owned(), scene.folder.path().join("none.gvmi")] {
        let problem = Vm::image_file(&file).prepare(&scene.client).await.unwrap_err();
        assert_eq!(problem.to_string(), format!("{} can't be read", file.display()));
    }
    let stranger = client(&scene.devnet, &AppKey::new("no such key"));
    let problem = Vm::image_file(&path).prepare(&stranger).await.unwrap_err();
    assert!(matches!(problem, PayloadError::NotServed(_)), "{problem}");
    let wrong = Vm::image_file(&path).min_mem_gib(f64::NAN).prepare(&scene.client).await.unwrap_err();
    assert!(matches!(wrong, PayloadError::Problem(_)), "{wrong}");
}
