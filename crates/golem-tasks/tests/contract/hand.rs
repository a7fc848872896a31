//! A requestor's hand: its key at its daemon, for calls by the client under test and for calls as raw as can be.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::HeaderMap;
use serde_json::Value;
use yagna_api::identity::GetMe;
use yagna_api::{Clock as _, Endpoint, Method, NodeId, Request, Timestamp};
use yagna_client::{ByteStream, Client, ClientError, Socket, SocketAnswer, Transport, TransportError};

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

/// A daemon's answer that comes bit by bit.
pub(crate) struct Stream {
    /// What has come of it so far.
    pub(crate) reply: Reply,
    body: ByteStream,
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
        let answer = in_time_for(&what, self.transport.send(request)).await;
        Reply::of(answer.status, &answer.headers, &answer.body)
    }

    /// Any request whose answer may never end.
    pub(crate) async fn stream(&self, request: Request) -> Stream {
        let what = format!("{} {}", request.method.as_str(), request.path);
        let answer = in_time_for(&what, self.transport.open_stream(request)).await;
        Stream { reply: Reply::of(answer.status, &answer.headers, &[]), body: answer.body }
    }

    /// A WebSocket, or the refusal of it.
    pub(crate) async fn socket(
        &self,
        path: &str,
        subprotocol: Option<&'static str>,
    ) -> Result<Socket, Reply> {
        match in_time_for(path, self.transport.open_socket(path, subprotocol)).await {
            SocketAnswer::Open(socket) => Ok(socket),
            SocketAnswer::Refused(answer) => Err(Reply::of(answer.status, &answer.headers, &answer.body)),
        }
    }
}

impl Stream {
    /// Reads on until what has come is as wanted; gives it.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&str) -> bool) -> &Reply {
        let Self { reply, body } = self;
        let read = async {
            while !wanted(&reply.text) {
                let piece = body.next().await.unwrap_or_else(|| panic!("the stream ended: {reply:?}"));
                let piece = piece.unwrap_or_else(|error| panic!("the stream broke off: {error:?}"));
                reply.text.push_str(std::str::from_utf8(&piece).expect("the pieces are text"));
            }
        };
        let read = tokio::time::timeout(PATIENCE, read).await;
        assert!(read.is_ok(), "no more comes of the stream: {reply:?}");
        reply
    }

    /// Reads on until it ends.
    pub(crate) async fn end(mut self) -> Reply {
        let Self { reply, body } = &mut self;
        let read = async {
            while let Some(piece) = body.next().await {
                let piece = piece.unwrap_or_else(|error| panic!("the stream broke off: {error:?}"));
                reply.text.push_str(&String::from_utf8_lossy(&piece));
            }
        };
        let read = tokio::time::timeout(PATIENCE, read).await;
        assert!(read.is_ok(), "the stream doesn't end: {reply:?}");
        self.reply
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("reply", &self.reply).finish_non_exhaustive()
    }
}

async fn in_time_for<T>(what: &str, answer: impl Future<Output = Result<T, TransportError>>) -> T {
    tokio::time::timeout(PATIENCE, answer)
        .await
        .unwrap_or_else(|_| panic!("no answer to {what} within {PATIENCE:?}"))
        .unwrap_or_else(|error| panic!("no answer to {what}: {error:?}"))
}

impl Reply {
    fn of(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let content_type = headers.get("content-type").map_or("", |value| value.to_str().unwrap_or("?"));
        Self {
            status,
            content_type: content_type.to_owned(),
            text: String::from_utf8_lossy(body).into_owned(),
        }
    }

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

    /// The same list without the items that aren't wanted.
    #[track_caller]
    pub(crate) fn keep(mut self, wanted: impl Fn(&Value) -> bool) -> Self {
        let mut body = self.json();
        let list = body.as_array_mut().unwrap_or_else(|| panic!("no list: {self:?}"));
        list.retain(wanted);
        self.text = body.to_string();
        self
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
    golem_sdk::SystemClock.now()
}

/// The hour, this much later.
pub(crate) fn in_time(time: Duration) -> Timestamp {
    yagna_api::time::after(now(), time)
}
