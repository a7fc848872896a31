//! One TCP connection into a virtual network.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;
use yagna_api::NetworkId;
use yagna_api::net::tcp_path;
use yagna_client::Client;

use super::error::{ReachError, TunnelEnd};
use super::pacing::Pacing;
use super::pipe::Pipe;
use super::pump::Pump;

/// The operation in errors of the daemon.
const OPERATION: &str = "connect to a place in a network";

/// The settings of a [`Tunnel`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TunnelConfig {
    /// The pace of writes. Tunnels with clones of one configuration share it.
    pub pacing: Pacing,
    /// The time that the reader on this side may take nothing while bytes wait for it. Then the connection is given up,
    /// because the daemon serves no other connection of the network meanwhile.
    pub patience: Duration,
    /// The bytes that are kept for a reader that is slower than the network.
    pub buffer: usize,
}

impl Default for TunnelConfig {
    fn default() -> Self {
        Self { pacing: Pacing::default(), patience: Duration::from_secs(15), buffer: 1024 * 1024 }
    }
}

impl TunnelConfig {
    /// Sets the pace of writes.
    #[must_use]
    pub fn pacing(mut self, pacing: Pacing) -> Self {
        self.pacing = pacing;
        self
    }

    /// Sets the time that the reader may take nothing.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets the bytes that are kept for a slow reader.
    #[must_use]
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }
}

/// A TCP connection to a place in a network.
///
/// Reading and writing are as with a `TcpStream`, with these differences:
///
/// - A flush waits until the bytes have left for the daemon. A tunnel that is dropped without a flush or a shutdown may lose
///   the last bytes that were written.
/// - A shutdown ends the writing on this side, but the program at the other end doesn't see it: the network can't carry it.
///   Nor does it carry that a program closes its end. Only a reset is seen, as an error of reading and writing.
/// - A reader that takes nothing while bytes wait for it loses the connection after
///   [`patience`](TunnelConfig::patience).
pub struct Tunnel {
    pipe: Arc<Pipe>,
    target: SocketAddrV4,
    /// The rest of the piece that is being read.
    piece: Bytes,
    /// The pump lives as long as the tunnel.
    _pump: JoinSet<()>,
}

/// Connects to an address and port in a network.
///
/// The daemon gives a machine five seconds to answer.
///
/// **Errors**: [`ReachError`] says in words who didn't answer, and why.
///
/// **Cancel safety**: dropping the future leaves no connection open.
pub async fn connect(
    client: &Client,
    network: &NetworkId,
    ip: Ipv4Addr,
    port: u16,
) -> Result<Tunnel, ReachError> {
    connect_with(client, network, ip, port, &TunnelConfig::default()).await
}

/// Connects to an address and port in a network, as [`connect`] does, with settings.
pub async fn connect_with(
    client: &Client,
    network: &NetworkId,
    ip: Ipv4Addr,
    port: u16,
    config: &TunnelConfig,
) -> Result<Tunnel, ReachError> {
    let target = SocketAddrV4::new(ip, port);
    let invalid = |reason: &str| Err(ReachError::Invalid { target, reason: reason.to_owned() });
    if port == 0 {
        return invalid("port 0 can't be connected to");
    }
    if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast() {
        return invalid("the address is not one of a machine in a network");
    }
    let path = tcp_path(network, &ip.to_string(), port);
    let socket =
        client.socket(OPERATION, &path, None).await.map_err(|error| ReachError::of(target, error))?;
    let pipe = Arc::new(Pipe::new(config.buffer));
    let pump = Pump::new(socket, Arc::clone(&pipe), target, config.pacing.clone(), config.patience);
    let mut tasks = JoinSet::new();
    tasks.spawn(pump.run());
    Ok(Tunnel { pipe, target, piece: Bytes::new(), _pump: tasks })
}

impl Tunnel {
    /// The address and port at the other end.
    pub fn target(&self) -> SocketAddrV4 {
        self.target
    }

    /// The end of the connection, if it has ended. Bytes that came before may still be read.
    pub fn end(&self) -> Option<TunnelEnd> {
        self.pipe.end()
    }
}

impl Tunnel {
    /// A second handle that writes, for use beside one that reads.
    pub(super) fn writer(&self) -> TunnelWriter {
        TunnelWriter(Arc::clone(&self.pipe))
    }

    /// Puts bytes that were read back in front of those that come.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.piece =
            if self.piece.is_empty() { bytes } else { [&bytes[..], &self.piece[..]].concat().into() };
    }
}

/// The writing side of a tunnel.
#[derive(Debug)]
pub(super) struct TunnelWriter(Arc<Pipe>);

impl AsyncWrite for TunnelWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.end_writing();
        self.0.poll_flush(cx)
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("target", &self.target)
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}

impl AsyncBufRead for Tunnel {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.piece.is_empty()
            && let Some(piece) = ready!(this.pipe.poll_piece(cx))?
        {
            this.piece = piece;
        }
        Poll::Ready(Ok(&this.piece))
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        let this = self.get_mut();
        this.piece.advance(count);
        if this.piece.is_empty() {
            // What it was a part of is given back.
            this.piece = Bytes::new();
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let piece = ready!(self.as_mut().poll_fill_buf(cx))?;
        let count = piece.len().min(buffer.remaining());
        buffer.put_slice(&piece[..count]);
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.pipe.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.end_writing();
        self.pipe.poll_flush(cx)
    }
}
