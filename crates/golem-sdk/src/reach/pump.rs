//! The task behind a tunnel: it moves bytes between the queues of the tunnel and the WebSocket, and keeps the WebSocket
//! alive whether or not anybody reads or writes.

use std::net::SocketAddrV4;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt as _};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval_at, sleep};
use yagna_api::net::LARGEST_FRAME;
use yagna_client::{Socket, TransportError};

use super::error::TunnelEnd;
use super::pacing::Pacing;
use super::pipe::Pipe;

/// The interval of our own pings. The daemon drops a connection on which it has heard nothing for ten seconds.
const PING: Duration = Duration::from_secs(4);
/// The longest silence of a daemon that sends a ping every five seconds and answers ours.
const SILENCE: Duration = Duration::from_secs(40);
/// The frames that are moved before others get their turn.
const AT_ONCE: usize = 32;

/// One future that reads and writes a WebSocket. Both happen in the same poll: a write that waits never keeps the reading up,
/// which is what the daemon may be waiting for.
pub(super) struct Pump {
    socket: Socket,
    pipe: Arc<Pipe>,
    target: SocketAddrV4,
    pacing: Pacing,
    /// The time that the reader may take nothing while its queue is full.
    patience: Duration,
    ping: Interval,
    ping_is_due: bool,
    /// The pause that the pacing demands, while one lasts.
    pause: Option<Pin<Box<Sleep>>>,
    /// While the reader's queue is full: how much the reader had taken when the waiting began, and its end.
    stuck: Option<(u64, Pin<Box<Sleep>>)>,
    unflushed: bool,
}

impl Pump {
    pub(super) fn new(
        socket: Socket,
        pipe: Arc<Pipe>,
        target: SocketAddrV4,
        pacing: Pacing,
        patience: Duration,
    ) -> Self {
        let mut ping = interval_at(Instant::now() + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            socket,
            pipe,
            target,
            pacing,
            patience,
            ping,
            ping_is_due: false,
            pause: None,
            stuck: None,
            unflushed: false,
        }
    }

    /// Moves bytes until the connection ends, and tells the tunnel.
    pub(super) async fn run(mut self) {
        let end = std::future::poll_fn(|cx| self.poll(cx)).await;
        tracing::debug!(target = %self.target, %end, "a connection into a network ended");
        self.pipe.finish(end);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        self.pipe.watch(cx);
        if let Some(end) = self.read(cx).or_else(|| self.watch_reader(cx)).or_else(|| self.tick(cx)) {
            return Poll::Ready(end);
        }
        match self.write(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(TunnelEnd::reset(self.target, &error)),
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Option<TunnelEnd> {
        for _ in 0..AT_ONCE {
            if !self.pipe.has_room() {
                return None;
            }
            match self.socket.poll_next_unpin(cx) {
                Poll::Pending => return None,
                Poll::Ready(Some(Ok(frame))) => self.pipe.push_down(frame),
                Poll::Ready(Some(Err(error))) => return Some(TunnelEnd::reset(self.target, &error)),
                Poll::Ready(None) => return Some(TunnelEnd::Closed { target: self.target }),
            }
        }
        cx.waker().wake_by_ref();
        None
    }

    /// Gives up a reader that takes nothing while its queue is full.
    fn watch_reader(&mut self, cx: &mut Context<'_>) -> Option<TunnelEnd> {
        if self.pipe.has_room() {
            self.stuck = None;
            return None;
        }
        let taken = self.pipe.taken();
        if self.stuck.as_ref().is_none_or(|(before, _)| *before != taken) {
            self.stuck = Some((taken, Box::pin(sleep(self.patience))));
        }
        let (_, waited) = self.stuck.as_mut()?;
        let over = waited.as_mut().poll(cx).is_ready();
        over.then_some(TunnelEnd::Stuck { target: self.target, after: self.patience })
    }

    fn tick(&mut self, cx: &mut Context<'_>) -> Option<TunnelEnd> {
        while self.ping.poll_tick(cx).is_ready() {
            self.ping_is_due = true;
        }
        // What waits in the socket while the reader's queue is full isn't heard yet.
        let silent = self.stuck.is_none() && self.socket.last_heard().elapsed() > SILENCE;
        silent.then_some(TunnelEnd::Silent { target: self.target, after: SILENCE })
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), TransportError> {
        if self.ping_is_due && self.socket.poll_ping(cx)?.is_ready() {
            self.ping_is_due = false;
            self.unflushed = true;
        }
        for sent in 0.. {
            if sent == AT_ONCE {
                cx.waker().wake_by_ref();
                break;
            }
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    break;
                }
                self.pause = None;
            }
            if self.socket.poll_ready_unpin(cx)?.is_pending() {
                break;
            }
            let Some(frame) = self.pipe.take_up(LARGEST_FRAME) else { break };
            let pause = self.pacing.count(frame.len());
            self.socket.start_send_unpin(frame)?;
            self.unflushed = true;
            if !pause.is_zero() {
                self.pause = Some(Box::pin(sleep(pause)));
            }
        }
        if self.unflushed && SinkExt::<Bytes>::poll_flush_unpin(&mut self.socket, cx)?.is_ready() {
            self.unflushed = false;
            self.pipe.flushed();
        }
        Ok(())
    }
}
