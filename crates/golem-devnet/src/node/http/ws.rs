//! Each WebSocket as the daemon speaks it: frames of at most 65,536 bytes, and none that is continued in another.
//!
//! A client that breaks one of these rules loses its connection without a word. axum's own implementation would put the
//! pieces of a message together, and that would hide the mistake.

use std::io;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};

use crate::node::World;
use crate::node::refusal::Refusal;

/// The most bytes that a frame of a client may carry.
pub(super) const MAX_FRAME: usize = 65_536;
/// The text that the protocol joins to a client's key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// The bit of a frame that ends its message.
const FIN: u8 = 0x80;
/// The bit of a frame whose bytes are masked.
const MASKED: u8 = 0x80;

/// The connection under a WebSocket.
type Upgraded = TokioIo<hyper::upgrade::Upgraded>;
/// Both halves of a WebSocket with a client.
type Halves = (Receiver<Upgraded>, Sender<Upgraded>);

/// A request that asks for a WebSocket.
#[derive(Debug)]
pub(super) struct Upgrade {
    accept: HeaderValue,
    on_upgrade: OnUpgrade,
}

/// The receiving half of a WebSocket.
#[derive(Debug)]
pub(super) struct Receiver<S> {
    stream: ReadHalf<S>,
    buffer: BytesMut,
}

/// The sending half of a WebSocket.
#[derive(Debug)]
pub(super) struct Sender<S> {
    stream: WriteHalf<S>,
}

/// The frames of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Bytes, or text, which is as good.
    Data(Bytes),
    /// A ping, to be answered with the same bytes.
    Ping(Bytes),
    /// A sign of life.
    Pong,
}

impl FromRequestParts<World> for Upgrade {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _world: &World) -> Result<Self, Refusal> {
        let headers = &parts.headers;
        let asks = parts.method == Method::GET
            && has_word(headers, &CONNECTION, "upgrade")
            && has_word(headers, &UPGRADE, "websocket");
        let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| asks).cloned();
        let on_upgrade = parts.extensions.remove::<OnUpgrade>();
        let (Some(key), Some(on_upgrade)) = (key, on_upgrade) else {
            return Err(Refusal::empty(400));
        };
        let mut hash = Sha1::new();
        hash.update(key.as_bytes());
        hash.update(GUID);
        let accept = HeaderValue::try_from(STANDARD.encode(hash.finalize()));
        let accept = accept.map_err(|_| Refusal::empty(400))?;
        Ok(Self { accept, on_upgrade })
    }
}

impl Upgrade {
    /// The answer that opens the WebSocket, and both of its halves, once the client has the answer.
    pub(super) fn accept(self) -> (Response, impl Future<Output = io::Result<Halves>> + Send) {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        let on_upgrade = self.on_upgrade;
        let opened = async move {
            let stream = TokioIo::new(on_upgrade.await.map_err(io::Error::other)?);
            Ok(halves(stream))
        };
        (answer, opened)
    }
}

/// Both halves of a WebSocket over a stream.
fn halves<S: AsyncRead + AsyncWrite>(stream: S) -> (Receiver<S>, Sender<S>) {
    let (reader, writer) = split(stream);
    (Receiver { stream: reader, buffer: BytesMut::new() }, Sender { stream: writer })
}

impl<S: AsyncRead> Receiver<S> {
    /// The client's next frame; `None` when it has closed, gone, or broken the rules. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        loop {
            match self.parse() {
                Parsed::Frame(opcode, data) => match opcode {
                    TEXT | BINARY => return Some(Heard::Data(data)),
                    PING => return Some(Heard::Ping(data)),
                    PONG => return Some(Heard::Pong),
                    _ => return None,
                },
                Parsed::Broken => return None,
                Parsed::More => {}
            }
            if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {
                return None;
            }
        }
    }

    fn parse(&mut self) -> Parsed {
        let Some([head, second]) = self.buffer.first_chunk::<2>().copied() else { return Parsed::More };
        let opcode = head & 0x0f;
        // Nothing is continued, no extension was agreed on, and clients mask what they send.
        if head & !0x0f != FIN
            || !matches!(opcode, TEXT | BINARY | CLOSE | PING | PONG)
            || second & MASKED == 0
        {
            return Parsed::Broken;
        }
        let (length, at) = match second & !MASKED {
            126 => match self.buffer.get(2..4).and_then(<[u8]>::first_chunk) {
                Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 4),
                None => return Parsed::More,
            },
            127 => match self.buffer.get(2..10).and_then(<[u8]>::first_chunk) {
                Some(bytes) => (u64::from_be_bytes(*bytes), 10),
                None => return Parsed::More,
            },
            length => (u64::from(length), 2),
        };
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= MAX_FRAME) else {
            return Parsed::Broken;
        };
        let Some(mask) = self.buffer.get(at..).and_then(<[u8]>::first_chunk::<4>).copied() else {
            return Parsed::More;
        };
        let whole = at + mask.len() + length;
        if self.buffer.len() < whole {
            self.buffer.reserve(whole - self.buffer.len());
            return Parsed::More;
        }
        self.buffer.advance(at + mask.len());
        let mut data = self.buffer.split_to(length);
        for (byte, mask) in data.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        Parsed::Frame(opcode, data.freeze())
    }
}

enum Parsed {
    Frame(u8, Bytes),
    More,
    Broken,
}

impl<S: AsyncWrite> Sender<S> {
    /// Sends bytes.
    pub(super) async fn data(&mut self, data: &[u8]) -> io::Result<()> {
        self.send(BINARY, data).await
    }

    /// Asks for a sign of life.
    pub(super) async fn ping(&mut self) -> io::Result<()> {
        self.send(PING, &[]).await
    }

    /// Answers a ping.
    pub(super) async fn pong(&mut self, data: &[u8]) -> io::Result<()> {
        self.send(PONG, data).await
    }

    async fn send(&mut self, opcode: u8, data: &[u8]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(data.len() + 10);
        frame.push(FIN | opcode);
        match u16::try_from(data.len()) {
            Ok(length) if length < 126 => frame.extend(&length.to_be_bytes()[1..]),
            Ok(length) => {
                frame.push(126);
                frame.extend(length.to_be_bytes());
            }
            Err(_) => {
                frame.push(127);
                frame.extend((data.len() as u64).to_be_bytes());
            }
        }
        frame.extend(data);
        self.stream.write_all(&frame).await?;
        self.stream.flush().await
    }
}

/// True if a header names a word, among others or alone.
fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// A frame as clients send it.
    fn frame(head: u8, data: &[u8]) -> Vec<u8> {
        let mut frame = vec![head, MASKED | 127];
        frame.extend((data.len() as u64).to_be_bytes());
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(data.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    async fn heard(bytes: &[u8]) -> Vec<Heard> {
        let (client, server) = duplex(1 << 20);
        let (mut receiver, _sender) = halves(server);
        let mut client = client;
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        while let Some(frame) = receiver.next().await {
            heard.push(frame);
        }
        heard
    }

    #[tokio::test]
    async fn frames_of_clients_are_read_up_to_the_daemons_limit() {
        let largest = vec![7; MAX_FRAME];
        let bytes = [
            frame(FIN | BINARY, b"one"),
            frame(FIN | TEXT, b"two"),
            frame(FIN | PING, b"p"),
            frame(FIN | PONG, b""),
            frame(FIN | BINARY, &largest),
        ];
        let expected = [
            Heard::Data(Bytes::from_static(b"one")),
            Heard::Data(Bytes::from_static(b"two")),
            Heard::Ping(Bytes::from_static(b"p")),
            Heard::Pong,
            Heard::Data(Bytes::from(largest)),
        ];
        assert_eq!(heard(&bytes.concat()).await, expected);
    }

    #[tokio::test]
    async fn what_the_daemon_does_not_take_ends_the_connection() {
        let mut unmasked = frame(FIN | BINARY, b"x");
        unmasked[1] &= !MASKED;
        for bad in [
            frame(FIN | BINARY, &vec![0; MAX_FRAME + 1]),
            frame(BINARY, b"begun"),
            frame(FIN, b"continued"),
            frame(FIN | CLOSE, b""),
            unmasked,
        ] {
            let bytes = [frame(FIN | BINARY, b"good"), bad, frame(FIN | BINARY, b"late")].concat();
            assert_eq!(heard(&bytes).await, [Heard::Data(Bytes::from_static(b"good"))]);
        }
    }

    #[tokio::test]
    async fn frames_of_the_daemon_have_the_shortest_head() {
        for (length, head) in [
            (5, vec![0x82, 5]),
            (200, vec![0x82, 126, 0, 200]),
            (70_000, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]),
        ] {
            let (mut client, server) = duplex(1 << 20);
            let (_receiver, mut sender) = halves(server);
            sender.data(&vec![9; length]).await.unwrap();
            let mut got = vec![0; head.len() + length];
            client.read_exact(&mut got).await.unwrap();
            assert_eq!(got[..head.len()], head);
        }
    }
}
