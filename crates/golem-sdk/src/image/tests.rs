use std::collections::HashMap;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

fn hash(digit: char) -> String {
    digit.to_string().repeat(56)
}

/// A registry that knows one good image, and answers nonsense for some others.
async fn info(Query(query): Query<HashMap<String, String>>) -> Response {
    let at = |hash: &str| {
        json!({"http": "http://images.example/a.gvmi", "https": "https://images.example/a.gvmi",
               "sha3": hash, "size": 1})
    };
    let counted = query.get("count").map(String::as_str) == Some("true");
    let uncounted = query.get("dev").map(String::as_str) == Some("true");
    assert!(counted != uncounted, "{query:?}");
    let known = [query.get("hash"), query.get("tag")];
    match known.map(|text| text.map_or("", String::as_str)) {
        [text, ""] if text == hash('a') => Json(at(text)).into_response(),
        [text, ""] if text == hash('b') => Json(at(&hash('a'))).into_response(),
        ["", "golem/alpine:latest"] => Json(at(&hash('a').to_uppercase())).into_response(),
        ["", "golem/dev:latest"] if uncounted => Json(at(&hash('a'))).into_response(),
        ["", "golem/plain:latest"] => {
            Json(json!({"http": "http://images.example/a.gvmi", "sha3": hash('a')})).into_response()
        }
        ["", "golem/nowhere:latest"] => {
            Json(json!({"http": "images/a.gvmi", "sha3": hash('a')})).into_response()
        }
        ["", "golem/unhashed:latest"] => Json(at("55aa")).into_response(),
        ["", "golem/page:latest"] => "<html>".into_response(),
        ["", "golem/broken:latest"] => StatusCode::BAD_GATEWAY.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn serve(router: Router) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, server)
}

fn tag(text: &str) -> ImageName {
    ImageName::Tag(text.to_owned())
}

#[tokio::test]
async fn images_are_found_by_hash_and_tag() {
    let (address, _server) = serve(Router::new().route("/v1/image/info", get(info))).await;
    let http = Image { hash: hash('a'), url: "http://images.example/a.gvmi".into() };
    let https = Image { hash: hash('a'), url: "https://images.example/a.gvmi".into() };
    let registry = Registry::at(format!("{address}/"));
    for name in [hash('a'), hash('A'), format!("sha3:{}", hash('a'))] {
        assert_eq!(registry.find(&ImageName::Hash(name)).await.unwrap(), http);
    }
    let alpine = tag("golem/alpine:latest");
    assert_eq!(registry.find(&alpine).await.unwrap(), http);
    assert_eq!(find(&address, &alpine).await.unwrap(), http);
    assert_eq!(registry.clone().https(true).find(&alpine).await.unwrap(), https);
    let missing = registry.find(&tag("golem/dev:latest")).await.unwrap_err();
    assert!(matches!(missing, ImageError::NotFound { .. }), "{missing}");
    assert_eq!(registry.counted(false).find(&tag("golem/dev:latest")).await.unwrap(), http);
}

#[tokio::test]
async fn each_way_not_to_find_an_image_has_its_own_words() {
    let (address, mut server) = serve(Router::new().route("/v1/image/info", get(info))).await;
    let registry = Registry::at(&address);
    let wrong = [
        (
            tag("golem/alpin:latest"),
            "has no image golem/alpin:latest: check the name, or publish the image with `gvmkit-build --push-to",
        ),
        (ImageName::Hash(hash('b')), "names another image"),
        (tag("golem/page:latest"), "gave no readable answer for the image golem/page:latest: expected value"),
        (tag("golem/nowhere:latest"), "`images/a.gvmi` is not a valid address"),
        (tag("golem/unhashed:latest"), "`55aa` is not a valid hash"),
        (tag("golem/broken:latest"), "can't be asked for the image golem/broken:latest"),
        (tag("alpine"), "`alpine` is not a valid image tag: it has the form `user/name:tag`"),
        (ImageName::Hash("55aa".into()), "`55aa` is not a valid image hash: it has 56 hexadecimal digits"),
        (ImageName::Hash(hash('g')), "is not a valid image hash"),
    ];
    for (name, words) in wrong {
        let problem = registry.find(&name).await.unwrap_err().to_string();
        assert!(problem.contains(words), "{problem}");
    }
    let plain = registry.clone().https(true).find(&tag("golem/plain:latest")).await.unwrap_err();
    assert!(plain.to_string().ends_with("it has no address for https"), "{plain}");
    server.shutdown().await;
    let gone = registry.find(&tag("golem/alpine:latest")).await.unwrap_err();
    assert!(matches!(gone, ImageError::Unreachable { .. }), "{gone}");
    let nowhere = Registry::at("registry.example").find(&tag("golem/alpine:latest")).await.unwrap_err();
    assert_eq!(
        nowhere.to_string(),
        "`registry.example` is not an address that starts with http:// or https://"
    );
}

#[tokio::test]
async fn a_devnets_registry_has_every_image_and_asks_nobody() {
    let registry = Registry::devnet();
    let by_hash = registry.find(&ImageName::Hash(hash('a'))).await.unwrap();
    assert_eq!(by_hash.hash, hash('a'));
    let by_tag = registry.find(&tag("golem/blender:latest")).await.unwrap();
    assert_eq!(plain_hash(&by_tag.hash).unwrap(), by_tag.hash);
    assert_ne!(by_tag.hash, registry.find(&tag("golem/blender:2")).await.unwrap().hash);
    assert!(matches!(registry.find(&tag("blender")).await, Err(ImageError::Tag(_))));
}

#[test]
fn a_tag_has_three_parts() {
    for good in ["golem/alpine:latest", "some-one/a.b_c:1.0-rc1"] {
        assert_eq!(good.parse::<ImageName>().unwrap(), tag(good));
    }
    assert_eq!(hash('A').parse::<ImageName>().unwrap(), ImageName::Hash(hash('a')));
    for bad in
        ["golem/alpine", "/alpine:latest", "golem/:latest", "golem/alpine:", "a/b/c:d", "a/b:c:d", "a /b:c"]
    {
        assert!(matches!(bad.parse::<ImageName>(), Err(ImageError::Tag(_))), "{bad}");
    }
    for bad in ["alpine:latest", "alpine", "", &hash('a')[1..]] {
        assert!(matches!(bad.parse::<ImageName>(), Err(ImageError::Hash(_))), "{bad}");
    }
}

#[tokio::test]
async fn an_address_is_looked_at_before_anybody_is_sent_there() {
    let images = Router::new()
        .route("/image.gvmi", get(|| async { "squash" }))
        .route("/moved.gvmi", get(|| async { Redirect::temporary("/image.gvmi") }))
        .route("/empty.gvmi", get(|| async { StatusCode::NO_CONTENT }));
    let (address, mut server) = serve(images).await;
    reach(&format!("{address}/image.gvmi")).await.unwrap();
    reach(&format!("{address}/moved.gvmi")).await.unwrap();
    for (path, status) in [("empty.gvmi", 204), ("gone.gvmi", 404)] {
        let url = format!("{address}/{path}");
        let problem = reach(&url).await.unwrap_err();
        assert_eq!(problem.to_string(), format!("there is no image at {url}: it answers {status}"));
    }
    server.shutdown().await;
    let gone = reach(&format!("{address}/image.gvmi")).await.unwrap_err();
    assert!(matches!(gone, ImageError::ImageUnreachable { .. }), "{gone}");
    for bad in ["ftp://images.example/a", "image.gvmi"] {
        assert!(matches!(reach(bad).await, Err(ImageError::Address(_))), "{bad}");
    }
}
