//! Carries bytes between a connection of this machine and one into a network, which knows no end of a stream.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until};

use super::tunnel::{Tunnel, TunnelWriter};

/// The bytes that one read of a local connection brings at most.
const PIECE: usize = 16 * 1024;

/// The rules by which a carried connection ends. The network doesn't carry that one side has closed its connection, so
/// that the other side can't be told, and no end can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CarryPolicy {
    /// The time without a byte from the network after which a connection ends whose local side has sent everything. A local
    /// program that closes its connection and one that has only sent the last of its request look the same, so this is the
    /// time for the rest of the answer.
    pub after_last: Duration,
    /// The time without a byte either way after which any connection ends. The daemon itself ends connections to machines
    /// that are gone, so this is a last resort and may be long.
    pub idle: Duration,
}

impl Default for CarryPolicy {
    fn default() -> Self {
        Self { after_last: Duration::from_secs(10), idle: Duration::from_secs(24 * 3600) }
    }
}

impl CarryPolicy {
    /// Sets the time for the rest of an answer once the local side has sent everything.
    #[must_use]
    pub fn after_last(mut self, time: Duration) -> Self {
        self.after_last = time;
        self
    }

    /// Sets the time without a byte after which any connection ends.
    #[must_use]
    pub fn idle(mut self, time: Duration) -> Self {
        self.idle = time;
        self
    }
}

/// The reason why a carried connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum CarryEnd {
    /// The local side has sent everything, and nothing came from the network for a while.
    LocalDone,
    /// The local side broke off.
    LocalGone(io::Error),
    /// The network's side closed in order.
    FarDone,
    /// The network's side broke off.
    FarGone(io::Error),
    /// Nothing has moved for too long.
    Idle,
}

impl fmt::Display for CarryEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalDone => f.write_str("the program on this machine was done, and no more came"),
            Self::LocalGone(error) => write!(f, "the program on this machine went away: {error}"),
            Self::FarDone => f.write_str("the other end was done"),
            Self::FarGone(error) => error.fmt(f),
            Self::Idle => f.write_str("nothing moved for too long"),
        }
    }
}

/// The bytes that were carried, and how it ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Carried {
    /// The bytes that went into the network.
    pub up: u64,
    /// The bytes that came from it.
    pub down: u64,
    /// The reason of the end.
    pub end: CarryEnd,
}

/// The bytes of one direction, and the time of the last of them.
struct Meter {
    began: Instant,
    bytes: AtomicU64,
    /// Milliseconds since the begin.
    last: AtomicU64,
}

impl Meter {
    fn new(began: Instant) -> Self {
        Self { began, bytes: AtomicU64::new(0), last: AtomicU64::new(0) }
    }

    fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Carries bytes both ways between a connection of this machine, or the standard streams, and a tunnel, until one side or the
/// policy ends it.
///
/// **Cancel safety**: both sides are dropped with the future, and bytes on their way are lost.
pub async fn carry<L>(local: L, mut far: Tunnel, policy: CarryPolicy) -> Carried
where
    L: AsyncRead + AsyncWrite,
{
    let began = Instant::now();
    let (up, down) = (Meter::new(began), Meter::new(began));
    let (from_local, to_local) = tokio::io::split(local);
    let end = {
        let sending = send(from_local, far.writer(), &up);
        let receiving = receive(&mut far, to_local, &down);
        tokio::pin!(sending, receiving);
        let mut sent_all: Option<Instant> = None;
        loop {
            let deadline = match sent_all {
                Some(at) => down.last().max(at) + policy.after_last,
                None => up.last().max(down.last()) + policy.idle,
            };
            tokio::select! {
                biased;
                end = &mut receiving => break end,
                sent = &mut sending, if sent_all.is_none() => match sent {
                    Ok(()) => sent_all = Some(Instant::now()),
                    Err(end) => break end,
                },
                () = sleep_until(deadline) => {
                    let (moved, limit, end) = match sent_all {
                        Some(at) => (down.last().max(at), policy.after_last, CarryEnd::LocalDone),
                        None => (up.last().max(down.last()), policy.idle, CarryEnd::Idle),
                    };
                    if moved + limit <= Instant::now() {
                        break end;
                    }
                }
            }
        }
    };
    Carried { up: up.bytes(), down: down.bytes(), end }
}

/// Carries what the local side sends, until it has sent everything and all of that is on its way.
async fn send<R: AsyncRead + Unpin>(
    mut from: R,
    mut to: TunnelWriter,
    meter: &Meter,
) -> Result<(), CarryEnd> {
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).await.map_err(CarryEnd::LocalGone)?;
        if count == 0 {
            return to.flush().await.map_err(CarryEnd::FarGone);
        }
        to.write_all(&piece[..count]).await.map_err(CarryEnd::FarGone)?;
        meter.count(count);
    }
}

/// Carries what comes from the network, until it ends.
async fn receive<W: AsyncWrite + Unpin>(from: &mut Tunnel, mut to: W, meter: &Meter) -> CarryEnd {
    loop {
        let piece = match from.fill_buf().await {
            Ok(piece) => piece,
            Err(error) => return CarryEnd::FarGone(error),
        };
        if piece.is_empty() {
            return to.shutdown().await.map_or_else(CarryEnd::LocalGone, |()| CarryEnd::FarDone);
        }
        let written = match to.write(piece).await {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => to.flush().await.map(|()| count),
            Err(error) => Err(error),
        };
        match written {
            Ok(count) => {
                from.consume(count);
                meter.count(count);
            }
            Err(error) => return CarryEnd::LocalGone(error),
        }
    }
}
