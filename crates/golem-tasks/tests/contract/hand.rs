//! A requestor's hand: its key at its daemon, for calls by the client under test and for calls as raw as can be.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use yagna_api::identity::GetMe;
use yagna_api::{Endpoint, Method, NodeId, Request, Timestamp};
use yagna_client::{Client, ClientError, Transport};

/// No raw call of a scenario waits longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// One requestor.
#[derive(Debug, Clone)]
pub(crate) struct Hand {
    /// The client under test.
    pub(crate) client: Client,
    transport: Arc<dyn Transport>,
    node: Option<NodeId>,
}

/// A daemon's answer as it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) text: String,
}

impl Hand {
    /// A requestor whose key the daemon knows.
    pub(crate) async fn new(transport: Arc<dyn Transport>) -> Self {
        let mut hand = Self::stranger(transport);
        hand.node = Some(hand.call(&GetMe).await.identity);
        hand
    }

    /// Somebody with a key of whatever kind.
    pub(crate) fn stranger(transport: Arc<dyn Transport>) -> Self {
        Self { client: Client::new(Arc::clone(&transport)), transport, node: None }
    }

    /// Its node.
    pub(crate) fn node(&self) -> &NodeId {
        self.node.as_ref().expect("a stranger has no node")
    }

    /// A call that must succeed.
    #[track_caller]
    pub(crate) fn call<E: Endpoint>(&self, endpoint: &E) -> impl Future<Output = E::Answer> {
        let place = std::panic::Location::caller();
        async move {
            self.client
                .call_once(endpoint)
                .await
                .unwrap_or_else(|error| panic!("{place}: {}: {error:?}", E::NAME))
        }
    }

    /// A call that may fail.
    pub(crate) async fn try_call<E: Endpoint>(&self, endpoint: &E) -> Result<E::Answer, ClientError> {
        self.client.call_once(endpoint).await
    }

    /// `GET` with the path and query as given.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::new(Method::Get, path)).await
    }

    /// `POST` with a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Request::new(Method::Post, path).json(body)).await
    }

    /// `POST` without a body.
    pub(crate) async fn post_nothing(&self, path: &str) -> Reply {
        self.send(Request::new(Method::Post, path)).await
    }

    /// `PUT` with a JSON body.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(Request::new(Method::Put, path).json(body)).await
    }

    /// `DELETE`.
    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Request::new(Method::Delete, path)).await
    }

    /// Any request.
    pub(crate) async fn send(&self, request: Request) -> Reply {
        let what = format!("{} {}", request.method.as_str(), request.path);
        let answer = tokio::time::timeout(PATIENCE, self.transport.send(request))
            .await
            .unwrap_or_else(|_| panic!("no answer to {what} within {PATIENCE:?}"))
            .unwrap_or_else(|error| panic!("no answer to {what}: {error:?}"));
        let content_type =
            answer.headers.get("content-type").map_or("", |value| value.to_str().unwrap_or("?"));
        Reply {
            status: answer.status,
            content_type: content_type.to_owned(),
            text: String::from_utf8_lossy(&answer.body).into_owned(),
        }
    }
}

impl Reply {
    /// The body.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The body, a JSON string.
    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.json().as_str().unwrap_or_else(|| panic!("no string: {self:?}")).to_owned()
    }

    /// Itself, when its status is this.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// The hour.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// The hour, this much later.
pub(crate) fn in_time(time: Duration) -> Timestamp {
    yagna_api::time::after(now(), time)
}
