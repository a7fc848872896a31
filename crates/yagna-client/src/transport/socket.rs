//! A WebSocket as a stream and a sink of frames.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::TransportError;

/// The number of bytes that one read of a connection brings at most. Many connections are idle, and each keeps a buffer
/// of this size.
const READ_AT_ONCE: usize = 16 * 1024;

/// Bytes both ways.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// An open WebSocket.
///
/// It is a stream of the daemon's frames and a sink for ours, which go out as binary ones. Pings are answered
/// while the stream is read. It ends when either side closes it; [`close_reason`](Self::close_reason) then
/// tells why the daemon did. Reading is cancel safe.
pub struct Socket {
    frames: Box<WebSocketStream<Box<dyn Io>>>,
    closed: Option<(u16, String)>,
    heard: Instant,
    /// The tasks that serve the connection; they live as long as the connection.
    _service: JoinSet<()>,
}

impl Socket {
    pub(super) async fn over(io: Box<dyn Io>, service: JoinSet<()>) -> Self {
        let config = WebSocketConfig::default().read_buffer_size(READ_AT_ONCE);
        Self {
            frames: Box::new(WebSocketStream::from_raw_socket(io, Role::Client, Some(config)).await),
            closed: None,
            heard: Instant::now(),
            _service: service,
        }
    }

    /// The code and the words the daemon closed with, once it has.
    pub fn close_reason(&self) -> Option<(u16, &str)> {
        self.closed.as_ref().map(|(code, words)| (*code, words.as_str()))
    }

    /// The moment at which the last frame of the daemon was read, pings and pongs included; at first, the moment at which
    /// the socket was opened.
    pub fn last_heard(&self) -> Instant {
        self.heard
    }

    /// Puts a ping into the queue of frames to send, once there is room for it; a flush of the sink sends it.
    pub fn poll_ping(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        ready!(self.frames.poll_ready_unpin(cx)).map_err(TransportError::lost)?;
        Poll::Ready(self.frames.start_send_unpin(Message::Ping(Bytes::new())).map_err(TransportError::lost))
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("closed", &self.closed).finish_non_exhaustive()
    }
}

impl Stream for Socket {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.closed.is_some() {
                return Poll::Ready(None);
            }
            let frame = ready!(self.frames.poll_next_unpin(cx));
            if matches!(frame, Some(Ok(_))) {
                self.heard = Instant::now();
            }
            match frame {
                Some(Ok(Message::Binary(frame))) => return Poll::Ready(Some(Ok(frame))),
                Some(Ok(Message::Text(text))) => return Poll::Ready(Some(Ok(text.into()))),
                Some(Ok(Message::Close(frame))) => {
                    self.closed = Some(frame.map_or((1005, String::new()), |frame| {
                        (frame.code.into(), frame.reason.to_string())
                    }));
                    // The daemon leaves the connection open after its farewell: there is no end to wait for. Ours
                    // goes out if it can at once.
                    drop(self.frames.poll_flush_unpin(cx));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(TransportError::lost(error)))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Sink<Bytes> for Socket {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.frames.poll_ready_unpin(cx).map_err(TransportError::lost)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> Result<(), Self::Error> {
        self.frames.start_send_unpin(Message::Binary(frame)).map_err(TransportError::lost)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.frames.poll_flush_unpin(cx).map_err(TransportError::lost)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.frames.poll_close_unpin(cx).map_err(TransportError::lost)
    }
}
