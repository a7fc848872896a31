//! A way to the daemon without an app key, which no client under test would take.

use std::fmt;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use golem_devnet::devnet::Devnet;
use http::header::AUTHORIZATION;
use tower::util::MapRequest;
use yagna_api::{AppKey, Request};
use yagna_client::{
    InProcessBody, InProcessTransport, Response, SocketAnswer, StreamAnswer, Transport, TransportError, Url,
};

/// Requests over TCP whose headers are the given ones and no others.
pub(crate) struct Keyless {
    client: reqwest::Client,
    url: Url,
}

impl Keyless {
    /// To the daemon at this address.
    pub(crate) fn new(url: Url) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        Self { client, url }
    }
}

/// The same to a devnet in this process.
pub(crate) fn within(devnet: &Devnet) -> impl Transport + use<> {
    let bare = MapRequest::new(devnet.router(), |mut request: http::Request<InProcessBody>| {
        request.headers_mut().remove(AUTHORIZATION);
        request
    });
    InProcessTransport::new(bare, &AppKey::new("none")).expect("a key that fits a header")
}

impl Transport for Keyless {
    fn address(&self) -> &str {
        self.url.as_str()
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        async move {
            let method =
                request.method.as_str().parse::<reqwest::Method>().map_err(TransportError::unsendable)?;
            let url = self.url.join(&request.path).map_err(TransportError::unsendable)?;
            let mut asked = self.client.request(method, url);
            for (name, value) in request.headers {
                asked = asked.header(name, value);
            }
            if let Some(body) = request.body {
                asked = asked.header("content-type", "application/json").body(body);
            }
            let answer = asked.send().await.map_err(TransportError::lost)?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            Ok(Response { status, headers, body: answer.bytes().await.map_err(TransportError::lost)? })
        }
        .boxed()
    }

    fn open_stream(&self, _request: Request) -> BoxFuture<'_, Result<StreamAnswer, TransportError>> {
        async { Err(TransportError::unsendable("nobody streams without a key")) }.boxed()
    }

    fn open_socket(
        &self,
        _path: &str,
        _subprotocol: Option<&'static str>,
    ) -> BoxFuture<'_, Result<SocketAnswer, TransportError>> {
        async { Err(TransportError::unsendable("nobody opens a socket without a key")) }.boxed()
    }
}

impl fmt::Debug for Keyless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyless").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}
