use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

const HASH: &str = "e5f5ddfd649525dbe25d93d9ed51d1bdd0849933d9a5720adb4b5810";

/// A registry and a server of images in one.
async fn serve() -> (String, JoinSet<()>) {
    let info = json!({"http": "http://images.example/a.gvmi", "https": "https://images.example/a.gvmi", "sha3": HASH});
    let router = Router::new()
        .route("/v1/image/info", get(|| async { Json(info) }))
        .route("/image.gvmi", get(|| async { "squash" }))
        .route("/gone.gvmi", get(|| async { StatusCode::GONE }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, server)
}

fn package(payload: &Payload) -> String {
    payload.properties().text(name::TASK_PACKAGE).unwrap_or_default().to_owned()
}

async fn problem(spec: PayloadSpec) -> String {
    crate::text::chain(&spec.resolve().await.unwrap_err())
}

#[tokio::test]
async fn an_image_from_the_registry_is_in_the_demand() {
    let (address, _server) = serve().await;
    let registry = Registry::at(&address);
    let payload = Vm::image_tag("golem/blender:latest")
        .min_mem_gib(4.0)
        .min_storage_gib(10.5)
        .min_cpu_threads(2)
        .min_cpu_cores(2)
        .capabilities(["vpn", "inet"])
        .capabilities(["vpn"])
        .registry(registry.clone())
        .resolve()
        .await
        .unwrap();
    assert_eq!(package(&payload), format!("hash:sha3:{HASH}:http://images.example/a.gvmi"));
    assert_eq!(payload.properties().text(name::VM_PACKAGE_FORMAT), Some("gvmkit-squash"));
    assert_eq!(
        payload.constraints().to_string(),
        "(&(golem.inf.mem.gib>=4)(golem.inf.storage.gib>=10.5)(golem.inf.cpu.threads>=2)(golem.inf.cpu.cores>=2)\
         (golem.runtime.capabilities=vpn)(golem.runtime.capabilities=inet)(golem.runtime.name=vm))"
    );
    let by_hash = Vm::image_hash(HASH).https(true).registry(registry).resolve().await.unwrap();
    assert_eq!(package(&by_hash), format!("hash:sha3:{HASH}:https://images.example/a.gvmi"));
    assert_eq!(
        by_hash.constraints().to_string(),
        "(&(golem.inf.mem.gib>=0.5)(golem.inf.storage.gib>=2)(golem.inf.cpu.threads>=1)(golem.runtime.name=vm))"
    );
}

#[tokio::test]
async fn an_image_elsewhere_is_looked_for_and_needs_its_hash() {
    let (address, _server) = serve().await;
    let url = format!("{address}/image.gvmi");
    let payload = Vm::image_url(&url, format!("sha3:{HASH}")).resolve().await.unwrap();
    assert_eq!(package(&payload), format!("hash:sha3:{HASH}:{url}"));
    assert_eq!(
        problem(Vm::image_url(&url, " ")).await,
        format!("the image at {url} needs its hash: providers check what they fetched")
    );
    assert!(problem(Vm::image_url(&url, "55aa")).await.starts_with("`55aa` is not a valid image hash"));
    assert_eq!(
        problem(Vm::image_url(format!("{address}/gone.gvmi"), HASH)).await,
        format!("there is no image at {address}/gone.gvmi: it answers 410")
    );
}

#[tokio::test]
async fn what_is_wrong_with_the_machine_is_told_before_anybody_is_asked() {
    // Nobody is there to be asked.
    let vm = || Vm::image_tag("golem/alpine:latest").registry(Registry::at("http://127.0.0.1:1"));
    for (spec, words) in [
        (vm().min_mem_gib(-1.0), "-1 is not a valid amount of memory"),
        (vm().constraint("(a=1"), "the constraint `(a=1` can't be read"),
        (vm().capabilities(["a b)"]), "the capability `a b)` must be a plain word"),
        (vm().version_at_least("0.5"), "`0.5` is not a valid runtime version: it has three parts"),
        (vm(), "the registry at http://127.0.0.1:1 can't be asked"),
        (Vm::image_tag("alpine").registry(Registry::devnet()), "`alpine` is not a valid image tag"),
        (Vm::image_file("alpine.gvmi"), "the image alpine.gvmi is to be served to providers: use `prepare`"),
    ] {
        let problem = problem(spec).await;
        assert!(problem.starts_with(words), "{problem}");
    }
}

#[tokio::test]
async fn any_runtime_takes_what_it_is_given() {
    let payload = PayloadSpec::runtime("wasmtime")
        .version_at_least("0.3.0")
        .version_below("0.10.0")
        .task_package("hash:sha3:55aa:http://modules.example/hello.ywasi")
        .property("golem.example.share", 0.25)
        .property("golem.example.list", json!([1, "two"]))
        .constraint("(|(golem.inf.cpu.architecture=x86_64)(golem.inf.cpu.architecture=aarch64))")
        .resolve()
        .await
        .unwrap();
    assert_eq!(
        payload.constraints().to_string(),
        "(&(golem.runtime.name=wasmtime)(|(golem.inf.cpu.architecture=x86_64)(golem.inf.cpu.architecture=aarch64))\
         (golem.runtime.version$v>=0.3.0)(golem.runtime.version$v<0.10.0))"
    );
    assert_eq!(
        serde_json::to_value(payload.properties()).unwrap(),
        json!({
            "golem.example.share": 0.25,
            "golem.example.list": [1, "two"],
            "golem.srv.comp.task_package": "hash:sha3:55aa:http://modules.example/hello.ywasi",
        })
    );
    let gpu =
        Vm::image_hash(HASH).on_runtime("vm-nvidia").registry(Registry::devnet()).resolve().await.unwrap();
    assert!(gpu.constraints().to_string().ends_with("(golem.runtime.name=vm-nvidia))"));
}

#[cfg(feature = "manifest")]
#[tokio::test]
async fn a_manifest_asks_for_what_it_needs_and_brings_its_own_image() {
    use yagna_api::Clock;

    use crate::SystemClock;
    use crate::manifest::Manifest;

    let image = Image { hash: HASH.into(), url: "http://images.example/a.gvmi".into() };
    let manifest = Manifest::new(&image, SystemClock.now()).outbound(["https://api.example.com"]);
    let sealed = manifest.seal().unwrap();
    let payload = Vm::manifest(sealed.clone()).capabilities(["vpn", "inet"]).resolve().await.unwrap();
    assert_eq!(payload.capabilities, ["vpn", "inet", "manifest-support"]);
    let properties = payload.properties();
    assert_eq!(properties.text("golem.srv.comp.payload"), Some(sealed.encoded()));
    assert_eq!(properties.text(name::VM_PACKAGE_FORMAT), Some("gvmkit-squash"));
    // Providers take the image of the manifest.
    assert_eq!(properties.get(name::TASK_PACKAGE), None);

    let over = manifest.expires("2001-01-01T00:00:00Z".parse().unwrap());
    let over = Manifest { created_at: "2000-01-01T00:00:00Z".parse().unwrap(), ..over };
    let problem = problem(Vm::manifest(over.seal().unwrap())).await;
    assert_eq!(problem, "the manifest isn't right: it expired at 2001-01-01T00:00:00Z");
}

#[cfg(feature = "manifest")]
#[tokio::test]
async fn addresses_on_the_internet_make_a_manifest_of_the_image() {
    let payload = Vm::image_tag("golem/curl:latest")
        .registry(Registry::devnet())
        .outbound(["https://api.weather.example"])
        .resolve()
        .await
        .unwrap();
    assert_eq!(payload.capabilities, ["inet", "manifest-support"]);
    assert_eq!(payload.image, None);
    assert!(payload.properties.text("golem.srv.comp.payload").is_some(), "{:?}", payload.properties);
    let error = PayloadSpec::runtime("wasmtime").outbound(["https://a.example"]).resolve().await.unwrap_err();
    assert!(matches!(error, PayloadError::OutboundWithoutImage), "{error}");
}
