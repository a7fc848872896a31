//! How a request gets to the daemon: the [`Transport`] trait and what travels over it.
//!
//! A transport moves bytes and puts the app key in their head. It knows nothing of endpoints, retries or
//! deadlines: those belong to [`Client`](crate::Client).

use std::fmt;
use std::io;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http::HeaderMap;
use yagna_api::Request;

pub(crate) mod apis;
mod handshake;
pub(crate) mod http1;
pub(crate) mod in_process;
pub(crate) mod socket;

pub use self::socket::Socket;

/// A cause that has no better type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer that comes bit by bit.
pub type ByteStream = BoxStream<'static, Result<Bytes, TransportError>>;

/// A way to a daemon.
///
/// Every method may be dropped at any moment; the exchange is then given up, and whether the daemon has taken
/// the request isn't known. No method has a deadline of its own beyond that of making a connection.
pub trait Transport: Send + Sync + fmt::Debug {
    /// The daemon's address, for people: `http://127.0.0.1:7465`.
    fn address(&self) -> &str;

    /// Sends a request and reads its whole answer.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>>;

    /// Sends a request whose answer's body is read as it comes.
    fn open_stream(&self, request: Request) -> BoxFuture<'_, Result<StreamAnswer, TransportError>>;

    /// Opens a WebSocket at a path that begins with `/`.
    fn open_socket(
        &self,
        path: &str,
        subprotocol: Option<&'static str>,
    ) -> BoxFuture<'_, Result<SocketAnswer, TransportError>>;
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// An answer whose body is still coming.
pub struct StreamAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body. It ends with an error when it is cut short.
    pub body: ByteStream,
}

impl fmt::Debug for StreamAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamAnswer")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// The answer to a request for a WebSocket.
#[derive(Debug)]
pub enum SocketAnswer {
    /// It is open.
    Open(Socket),
    /// The daemon answered like to any other request.
    Refused(Response),
}

/// The reasons why there was no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection could be made: the daemon has surely not seen the request.
    #[error("no daemon at {address}")]
    Unreachable {
        /// The address that was tried.
        address: String,
        /// The obstacle.
        source: BoxError,
    },
    /// The connection broke off: the daemon may have seen the request.
    #[error("the connection to the daemon broke off")]
    Lost {
        /// The way in which it failed.
        source: BoxError,
    },
    /// The request can't be put into HTTP.
    #[error("the request can't be sent")]
    Unsendable {
        /// The error in it.
        source: BoxError,
    },
}

impl TransportError {
    /// A broken connection.
    pub fn lost(source: impl Into<BoxError>) -> Self {
        Self::Lost { source: source.into() }
    }

    /// A request that HTTP has no form for.
    pub fn unsendable(source: impl Into<BoxError>) -> Self {
        Self::Unsendable { source: source.into() }
    }

    /// True if the request certainly never reached the daemon, so a retry is safe.
    pub fn never_arrived(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unsendable { .. })
    }
}

impl From<TransportError> for io::Error {
    fn from(error: TransportError) -> Self {
        let kind = match error {
            TransportError::Unreachable { .. } => io::ErrorKind::NotConnected,
            TransportError::Lost { .. } => io::ErrorKind::ConnectionAborted,
            TransportError::Unsendable { .. } => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// The reasons why a transport couldn't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The daemon speaks HTTP only.
    #[error("`{0}` is not a valid address of a daemon: expected http:// or https://")]
    Address(String),
    /// The app key has characters that a header can't hold.
    #[error("the app key holds characters that no app key has")]
    Key,
    /// TLS or the resolver couldn't be set up.
    #[error("the HTTP client can't be set up")]
    Client {
        /// The cause.
        source: BoxError,
    },
}
