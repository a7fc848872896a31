//! The transport over HTTP/1.1 and TCP, with TLS where the address asks for it.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{ClientBuilder, Url};
use tokio::task::JoinSet;
use yagna_api::{AppKey, Request};

use super::apis::ApiUrls;
use super::handshake::{Handshake, bearer, headers};
use super::{Response, SetupError, Socket, SocketAnswer, StreamAnswer, Transport, TransportError};
use crate::proxy::{self, NamedProxy};

/// The daemon drops a connection that was idle for 60 seconds; one used at that very moment would be lost.
const IDLE: Duration = Duration::from_secs(20);

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// A daemon behind a URL.
///
/// Connections are kept alive and reused, as many as there are requests at the same time. No proxy of the
/// environment is used and no redirect followed: the app key goes to the given address and nowhere else.
#[derive(Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
    /// For upgrades. None of its connections is used twice: the daemon closes one after it refused an upgrade, and
    /// doesn't say so.
    upgrades: reqwest::Client,
    bearer: HeaderValue,
    /// Without a slash at its end.
    base: String,
    /// Other addresses of single APIs: the base that is replaced, and its replacement without a slash at its end.
    elsewhere: Vec<(&'static str, String)>,
}

impl HttpTransport {
    /// A way to the daemon at `base_url`; a path in it goes before every request's own.
    pub fn new(base_url: &Url, key: &AppKey) -> Result<Self, SetupError> {
        Self::with_apis(base_url, &ApiUrls::default(), key)
    }

    /// Makes a transport with other addresses for single APIs of the daemon. All of them get the app key.
    pub fn with_apis(base_url: &Url, apis: &ApiUrls, key: &AppKey) -> Result<Self, SetupError> {
        let base = bare(base_url)?;
        let elsewhere = apis.bases().map(|(api, url)| Ok((api, bare(url)?)));
        let elsewhere = elsewhere.collect::<Result<Vec<_>, SetupError>>()?;
        let all_plain = || elsewhere.iter().all(|(_, url)| url.scheme() == "http");
        // The first of several transports wins; all would install the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let build = |builder: ClientBuilder| match base.scheme() {
            // Machines without any certificate authority can still talk to the daemon beside them.
            "http" if all_plain() => builder.tls_certs_only([]).build().map_err(setup),
            _ => builder.build().map_err(setup),
        };
        Ok(Self {
            client: build(builder().pool_idle_timeout(IDLE))?,
            upgrades: build(builder().pool_max_idle_per_host(0))?,
            bearer: bearer(key)?,
            base: without_slash(&base),
            elsewhere: elsewhere.iter().map(|(api, url)| (*api, without_slash(url))).collect(),
        })
    }

    /// The one place that knows which base a path belongs to.
    fn url(&self, path: &str) -> Result<Url, TransportError> {
        let (base, path) = self.place(path);
        Url::parse(&format!("{base}{path}")).map_err(TransportError::unsendable)
    }

    /// The base that a path belongs to, and the rest of the path.
    fn place<'a>(&'a self, path: &'a str) -> (&'a str, &'a str) {
        let own = self.elsewhere.iter().find_map(|(api, base)| {
            let rest = path.strip_prefix(api)?;
            (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((base.as_str(), rest))
        });
        own.unwrap_or((&self.base, path))
    }

    async fn execute(
        &self,
        client: &reqwest::Client,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Option<Vec<u8>>,
    ) -> Result<reqwest::Response, TransportError> {
        let mut request = client.request(method, self.url(path)?).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        request.send().await.map_err(|error| Self::problem(error, self.place(path).0))
    }

    async fn exchange(&self, request: Request) -> Result<reqwest::Response, TransportError> {
        let headers = headers(&request, &self.bearer)?;
        let method =
            Method::from_bytes(request.method.as_str().as_bytes()).map_err(TransportError::unsendable)?;
        self.execute(&self.client, method, &request.path, headers, request.body).await
    }

    async fn whole(response: reqwest::Response) -> Result<Response, TransportError> {
        Ok(Response {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.map_err(lost)?,
        })
    }

    fn problem(error: reqwest::Error, base: &str) -> TransportError {
        let error = error.without_url();
        if error.is_connect() {
            let url = Url::parse(base).ok();
            let proxy = url.and_then(|url| proxy::named_for(&url, |name| std::env::var(name).ok()));
            let source = match proxy {
                Some(proxy) => Direct { proxy, source: error }.into(),
                None => error.into(),
            };
            TransportError::Unreachable { address: base.to_owned(), source }
        } else if error.is_builder() {
            TransportError::unsendable(error)
        } else {
            TransportError::lost(error)
        }
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Transport for HttpTransport {
    fn address(&self) -> &str {
        &self.base
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        async move {
            let response = self.exchange(request).await?;
            Self::whole(response).await
        }
        .boxed()
    }

    fn open_stream(&self, request: Request) -> BoxFuture<'_, Result<StreamAnswer, TransportError>> {
        async move {
            let response = self.exchange(request).await?;
            Ok(StreamAnswer {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: Box::pin(
                    response.bytes_stream().map_err(|error| TransportError::lost(error.without_url())),
                ),
            })
        }
        .boxed()
    }

    fn open_socket(
        &self,
        path: &str,
        subprotocol: Option<&'static str>,
    ) -> BoxFuture<'_, Result<SocketAnswer, TransportError>> {
        let path = path.to_owned();
        async move {
            let handshake = Handshake::new();
            let headers = handshake.headers(&self.bearer, subprotocol)?;
            let response = self.execute(&self.upgrades, Method::GET, &path, headers, None).await?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Self::whole(response).await.map(SocketAnswer::Refused);
            }
            handshake.check(response.headers())?;
            let io = response.upgrade().await.map_err(lost)?;
            Ok(SocketAnswer::Open(Socket::over(Box::new(io), JoinSet::new()).await))
        }
        .boxed()
    }
}

/// The daemon was asked directly, where the environment names a proxy that might have reached it.
#[derive(Debug, thiserror::Error)]
#[error(
    "it was asked directly, and not through the proxy {} that {} names: the daemon's key goes to nobody else",
    proxy.address,
    proxy.variable
)]
struct Direct {
    proxy: NamedProxy,
    source: reqwest::Error,
}

fn builder() -> ClientBuilder {
    reqwest::Client::builder()
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_DEADLINE)
}

fn lost(error: reqwest::Error) -> TransportError {
    TransportError::lost(error.without_url())
}

/// An address that requests may go to: nothing but scheme, host and path.
fn bare(url: &Url) -> Result<Url, SetupError> {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let is_http = matches!(url.scheme(), "http" | "https");
    // A user in the URL would become a second `Authorization`.
    if !is_http || url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err(SetupError::Address(url.to_string()));
    }
    Ok(url)
}

fn without_slash(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

fn setup(source: reqwest::Error) -> SetupError {
    SetupError::Client { source: source.into() }
}
