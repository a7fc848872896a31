//! Finds VM images in Golem's registry: by hash or by tag, to a hash and an address that providers can fetch.

use std::time::Duration;

use golem_core::payload::Image;
use serde::Deserialize;

/// Where Golem's registry is, unless `GOLEM_REGISTRY_URL` says otherwise.
pub const REGISTRY: &str = "https://registry.golem.network";

/// How an image is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageName {
    /// By the SHA3 hash of its content, in hex.
    Hash(String),
    /// By a tag such as `golem/alpine:latest`.
    Tag(String),
}

/// Why an image couldn't be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The registry has no such image.
    #[error("the registry at {registry} has no image {name}")]
    NotFound {
        /// Where it was looked for.
        registry: String,
        /// What was looked for.
        name: String,
    },
    /// The registry couldn't be asked.
    #[error("the registry at {registry} can't be asked for the image {name}")]
    Unreachable {
        /// Where it was looked for.
        registry: String,
        /// What was looked for.
        name: String,
        /// What went wrong.
        source: reqwest::Error,
    },
}

#[derive(Deserialize)]
struct Info {
    http: String,
    sha3: String,
}

/// Asks a registry for an image.
///
/// **Errors**: the registry doesn't know it, or doesn't answer within half a minute. The answer's address is the
/// plain HTTP one: every provider can fetch it, and the hash guards it.
///
/// **Source**: `GET /v1/image/info?hash=..|tag=..&count=true`, as Golem's own SDKs ask it.
pub async fn find(registry: &str, name: &ImageName) -> Result<Image, ImageError> {
    let registry = registry.trim_end_matches('/').to_owned();
    let (key, name) = match name {
        ImageName::Hash(hash) => ("hash", hash.clone()),
        ImageName::Tag(tag) => ("tag", tag.clone()),
    };
    // Another part of the process may have chosen a provider of cryptography before us; any will do.
    rustls::crypto::ring::default_provider().install_default().ok();
    let ask = async {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        let mut url = reqwest::Url::parse(&format!("{registry}/v1/image/info")).ok();
        let address = match &mut url {
            Some(url) => {
                url.query_pairs_mut().append_pair(key, &name).append_pair("count", "true");
                url.to_string()
            }
            None => registry.clone(),
        };
        let answer = client.get(address).send().await?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let body = answer.error_for_status()?.bytes().await?;
        Ok(serde_json::from_slice::<Info>(&body).ok())
    };
    match ask.await {
        Ok(Some(info)) => Ok(Image { hash: info.sha3, url: info.http }),
        Ok(None) => Err(ImageError::NotFound { registry, name }),
        Err(source) => Err(ImageError::Unreachable { registry, name, source }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use axum::extract::Query;
    use axum::http::StatusCode;
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::{Value, json};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    async fn info(Query(query): Query<HashMap<String, String>>) -> Result<Json<Value>, StatusCode> {
        assert_eq!(query["count"], "true");
        match (query.get("hash").map(String::as_str), query.get("tag").map(String::as_str)) {
            (Some("abc"), None) | (None, Some("golem/alpine:latest")) => {
                Ok(Json(json!({"http": "http://x/abc", "https": "https://x/abc", "sha3": "abc", "size": 1})))
            }
            _ => Err(StatusCode::NOT_FOUND),
        }
    }

    #[tokio::test]
    async fn images_are_found_by_hash_and_tag() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = format!("http://{}/", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move {
            axum::serve(listener, Router::new().route("/v1/image/info", get(info))).await.unwrap();
        });
        let expected = Image { hash: "abc".into(), url: "http://x/abc".into() };
        let by_hash = find(&registry, &ImageName::Hash("abc".into())).await.unwrap();
        let by_tag = find(&registry, &ImageName::Tag("golem/alpine:latest".into())).await.unwrap();
        assert_eq!((by_hash, by_tag), (expected.clone(), expected));
        let missing = find(&registry, &ImageName::Hash("nope".into())).await.unwrap_err();
        assert!(matches!(missing, ImageError::NotFound { .. }), "{missing}");
        server.shutdown().await;
        let gone = find(&registry, &ImageName::Hash("abc".into())).await.unwrap_err();
        assert!(matches!(gone, ImageError::Unreachable { .. }), "{gone}");
    }
}
