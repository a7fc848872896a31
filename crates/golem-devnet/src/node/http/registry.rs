//! The registry of images, as far as requestors ask it: where an image is, and whether something is there.
//!
//! Beside the daemon's API, not a part of it: it wants no key and fails with no fault. It knows every image whose name
//! is well formed, since the devnet's providers fetch none; what it hands out is a note that says so.

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use sha3::{Digest as _, Sha3_224};

use super::extract::Params;
use crate::node::World;
use crate::node::negotiation::is_hex;

/// The text that stands in place of every image.
const IMAGE: &str = "No image: the devnet's providers run programs of its own machine.\n";
/// Digits of an image's hash, which is a SHA3-224.
const HASH_DIGITS: usize = 56;

pub(super) fn routes() -> Router<World> {
    Router::new().route("/v1/image/info", get(info)).route("/v1/image/file/{name}", get(image))
}

/// `count` and `dev` are about its statistics, which nobody keeps here.
async fn info(params: Params, headers: HeaderMap) -> Response {
    let named = (params.text("hash"), params.text("tag"));
    let hash = match named {
        (Ok(Some(hash)), Ok(None)) => is_hex(&hash, HASH_DIGITS).then(|| hash.to_ascii_lowercase()),
        (Ok(None), Ok(Some(tag))) => is_tag(&tag).then(|| hash_of(&tag)),
        _ => return (StatusCode::BAD_REQUEST, "name one image, by `hash` or by `tag`").into_response(),
    };
    let Some(sha3) = hash else {
        return (StatusCode::NOT_FOUND, "no such image").into_response();
    };
    // However the client has found its way here, it finds it again.
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return (StatusCode::BAD_REQUEST, "no Host is named").into_response();
    };
    let url = format!("http://{host}/v1/image/file/{sha3}.gvmi");
    // There is no TLS here: who asks for the other address gets the one that works.
    let known = json!({"http": url, "https": url, "sha3": sha3, "size": IMAGE.len()});
    ([(CONTENT_TYPE, "application/json")], known.to_string()).into_response()
}

async fn image(Path(name): Path<String>) -> Response {
    if name.strip_suffix(".gvmi").is_some_and(|hash| is_hex(hash, HASH_DIGITS)) {
        ([(CONTENT_TYPE, "application/octet-stream")], IMAGE).into_response()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

/// `user/name:tag`
fn is_tag(text: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphanumeric())
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let parts = text.split_once('/').and_then(|(user, rest)| Some((user, rest.split_once(':')?)));
    parts.is_some_and(|(user, (name, tag))| [user, name, tag].into_iter().all(is_word))
}

/// Makes the hash of a tag: each tag has its own, for its image never changes.
fn hash_of(tag: &str) -> String {
    hex::encode(Sha3_224::digest(tag))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;
    use crate::clock::DevnetClock;
    use crate::node::Delays;

    const HASH: &str = "9A3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae";

    /// The answer's status, how long it says its body is, and its body.
    async fn ask(method: &str, url: &str) -> (u16, Option<usize>, String) {
        let world = World::new(DevnetClock::real(), 7, Delays::none());
        let request = Request::builder().method(method).uri(url).header(HOST, "devnet:7465");
        let answer = routes().with_state(world).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let length = answer.headers().get("content-length").map(|n| n.to_str().unwrap().parse().unwrap());
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, length, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn known(query: &str) -> Value {
        let (status, _, body) = ask("GET", &format!("/v1/image/info?{query}")).await;
        assert_eq!(status, 200, "{query}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    #[tokio::test]
    async fn every_well_formed_name_leads_to_an_image_that_is_there() {
        let by_hash = known(&format!("hash={HASH}&count=true")).await;
        assert_eq!(by_hash["sha3"], HASH.to_ascii_lowercase());
        let by_tag = known("count=true&tag=golem/alpine:latest").await;
        assert_eq!(by_tag, known("dev=true&tag=golem%2Falpine%3Alatest").await);
        assert_ne!(by_tag["sha3"], known("tag=golem/alpine:other").await["sha3"]);
        for image in [by_hash, by_tag] {
            assert_eq!(image["sha3"].as_str().unwrap().len(), HASH_DIGITS);
            assert_eq!(image["http"], image["https"]);
            let url = image["http"].as_str().unwrap();
            assert!(url.starts_with("http://devnet:7465/"), "{url}");
            let path = url.trim_start_matches("http://devnet:7465");
            let size = usize::try_from(image["size"].as_u64().unwrap()).unwrap();
            assert_eq!(ask("HEAD", path).await, (200, Some(size), String::new()));
            assert_eq!(ask("GET", path).await, (200, Some(size), IMAGE.to_owned()));
        }
    }

    #[tokio::test]
    async fn what_names_no_image_has_none() {
        let long = "a".repeat(HASH_DIGITS + 8);
        for (query, status) in [
            ("tag=alpine", 404),
            ("hash=nope", 404),
            (&format!("hash={long}"), 404),
            (&format!("hash=sha3:{HASH}"), 404),
            ("count=true", 400),
            ("tag=a/b:c&tag=a/b:d", 400),
            (&format!("tag=a/b:c&hash={HASH}"), 400),
        ] {
            assert_eq!(ask("GET", &format!("/v1/image/info?{query}")).await.0, status, "{query}");
        }
        assert_eq!(ask("HEAD", "/v1/image/file/nope.gvmi").await.0, 404);
        assert_eq!(ask("GET", &format!("/v1/image/file/{HASH}")).await.0, 404);
    }

    #[test]
    fn a_tag_has_a_user_a_name_and_a_tag() {
        for tag in ["golem/alpine:latest", "a/b:0.1-rc.2", "Some_One/x.y:3"] {
            assert!(is_tag(tag), "{tag}");
        }
        for tag in [
            "",
            "alpine",
            "golem/alpine",
            "alpine:latest",
            "/alpine:latest",
            "golem/:latest",
            "golem/alpine:",
            "a/b/c:d",
            "a/b:c:d",
            "a b/c:d",
            "a/../b:c",
            "-a/b:c",
            "ż/b:c",
        ] {
            assert!(!is_tag(tag), "{tag}");
        }
    }
}
