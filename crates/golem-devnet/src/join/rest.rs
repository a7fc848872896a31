//! The daemon's REST API over HTTP: sends requests, reads refusals, and never waits without a deadline.
//!
//! Which requests there are is the business of [`calls`](super::calls).

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use tracing::warn;
use yagna_api::endpoint::{Listed, empty_answer, json_answer, list_answer};
use yagna_api::error::chain;
use yagna_api::{AnswerError, ApiError, AppKey, Request};

use crate::port::PortResult;

const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// The daemon drops a connection that was idle for a minute; one used at that very moment would be lost.
const IDLE: Duration = Duration::from_secs(20);
/// The time beyond a request's own patience for which we wait for its answer.
const MARGIN: Duration = Duration::from_secs(10);
/// The pause after a list in which nothing could be read: its cursor can't move, so it would come again at once.
const REST: Duration = Duration::from_secs(1);

/// The reasons why a daemon's REST API can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestError {
    #[error("no address of a daemon")]
    Address,
    #[error("the app key has characters that no key has")]
    Key,
    #[error("no HTTP client")]
    Client(#[source] reqwest::Error),
}

/// A daemon's REST API, in the name of one identity. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Rest {
    client: reqwest::Client,
    /// Without a slash at its end.
    base: String,
    bearer: HeaderValue,
}

impl Rest {
    pub(crate) fn new(api: &str, key: &AppKey) -> Result<Self, RestError> {
        let url = Url::parse(api).map_err(|_| RestError::Address)?;
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some()
        {
            return Err(RestError::Address);
        }
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| RestError::Key)?;
        bearer.set_sensitive(true);
        // Somebody else may have installed one already, which serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = reqwest::Client::builder()
            .http1_only()
            // The key goes to the given address and nowhere else.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_PATIENCE)
            .pool_idle_timeout(IDLE);
        let builder = if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        let client = builder.build().map_err(RestError::Client)?;
        Ok(Self { client, base: url.as_str().trim_end_matches('/').to_owned(), bearer })
    }

    /// Gives access to the same daemon under another identity.
    pub(crate) fn with_key(&self, key: &AppKey) -> Result<Self, RestError> {
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| RestError::Key)?;
        bearer.set_sensitive(true);
        Ok(Self { bearer, ..self.clone() })
    }

    /// The address of the daemon.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request and reads the JSON of its answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: Request) -> PortResult<T> {
        let (status, body) = self.send(request).await?;
        json_answer(status, &body).map_err(refusal)
    }

    /// Sends a request whose answer is its status.
    pub(crate) async fn done(&self, request: Request) -> PortResult<()> {
        let (status, body) = self.send(request).await?;
        empty_answer(status, &body).map_err(refusal)
    }

    /// Polls a list; what can't be read spoils only itself.
    pub(crate) async fn list<T: DeserializeOwned>(&self, request: Request) -> PortResult<Vec<T>> {
        let path = request.path.clone();
        let (status, body) = self.send(request).await?;
        let Listed { items, unreadable } = list_answer(status, &body).map_err(refusal)?;
        for item in &unreadable {
            let path = path.split('?').next().unwrap_or_default();
            warn!(path, value = %item.value, problem = item.problem, "the daemon sent what can't be read");
        }
        if items.is_empty() && !unreadable.is_empty() {
            tokio::time::sleep(REST).await;
        }
        Ok(items)
    }

    /// A daemon that isn't there answers 503, one that doesn't answer in time 504: both may pass.
    async fn send(&self, request: Request) -> PortResult<(u16, Bytes)> {
        let patience = request.patience + MARGIN;
        let exchange = async {
            let response = self.request(request).send().await?;
            let status = response.status().as_u16();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        };
        match tokio::time::timeout(patience, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(own(503, format!("no answer: {}", chain(&error.without_url())))),
            Err(_) => Err(own(504, format!("no answer in {patience:?}"))),
        }
    }

    fn request(&self, request: Request) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(request.method.as_str().as_bytes())
            .expect("the daemon's verbs are those of HTTP");
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.bearer.clone());
        for (name, value) in request.headers {
            let value = HeaderValue::from_str(&value).expect("our own headers are plain words");
            headers.insert(HeaderName::from_static(name), value);
        }
        let mut builder = self.client.request(method, format!("{}{}", self.base, request.path));
        if let Some(body) = request.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            builder = builder.body(body);
        }
        builder.headers(headers)
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").field("base", &self.base).finish_non_exhaustive()
    }
}

/// An error that isn't the daemon's own.
pub(crate) fn own(status: u16, message: String) -> ApiError {
    ApiError { status, message, problem: None }
}

fn refusal(error: AnswerError) -> ApiError {
    match error {
        AnswerError::Api(error) => error,
        AnswerError::Unreadable { status, sample, problem } => {
            own(status, format!("the answer can't be read: {problem}: {sample}"))
        }
    }
}
