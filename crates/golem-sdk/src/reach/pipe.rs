//! The two queues between a tunnel, which its user polls, and the pump that moves their bytes over the WebSocket.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use super::error::TunnelEnd;

/// The bytes that a writer may be ahead of the pump.
const UP: usize = 256 * 1024;

/// The state that a tunnel and its pump share.
#[derive(Debug)]
pub(super) struct Pipe {
    /// The bytes that the pump may be ahead of the reader.
    down_limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    up: BytesMut,
    /// The writer is done.
    up_over: bool,
    /// Bytes that the pump has taken and that may not have left this process.
    up_unflushed: bool,
    down: VecDeque<Bytes>,
    down_len: usize,
    /// The number of pieces that the reader has taken.
    taken: u64,
    end: Option<TunnelEnd>,
    writer: Option<Waker>,
    reader: Option<Waker>,
    pump: Option<Waker>,
}

impl State {
    fn wake_pump(&mut self) {
        if let Some(pump) = self.pump.take() {
            pump.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn broken(&self) -> io::Result<()> {
        self.end.clone().map_or(Ok(()), |end| Err(end.into()))
    }
}

impl Pipe {
    pub(super) fn new(down_limit: usize) -> Self {
        Self { down_limit: down_limit.max(1), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next piece that came; nothing at the end of the stream.
    pub(super) fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let mut state = self.state();
        if let Some(piece) = state.down.pop_front() {
            let was_full = state.down_len >= self.down_limit;
            state.down_len -= piece.len();
            state.taken += 1;
            if was_full && state.down_len < self.down_limit {
                state.wake_pump();
            }
            return Poll::Ready(Ok(Some(piece)));
        }
        match &state.end {
            Some(TunnelEnd::Closed { .. }) => Poll::Ready(Ok(None)),
            Some(end) => Poll::Ready(Err(end.clone().into())),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Queues as much of these bytes as there is room for.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        state.broken()?;
        if state.up_over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = UP.saturating_sub(state.up.len());
        if room == 0 && !bytes.is_empty() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = room.min(bytes.len());
        state.up.extend_from_slice(&bytes[..count]);
        state.wake_pump();
        Poll::Ready(Ok(count))
    }

    /// Waits until everything that was written has left for the daemon.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.up.is_empty() && !state.up_unflushed {
            return Poll::Ready(Ok(()));
        }
        state.broken()?;
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ends the writing.
    pub(super) fn end_writing(&self) {
        self.state().up_over = true;
    }

    /// The end of the connection, if it has ended.
    pub(super) fn end(&self) -> Option<TunnelEnd> {
        self.state().end.clone()
    }

    /// For the pump: be woken when there is something to do.
    pub(super) fn watch(&self, cx: &mut Context<'_>) {
        self.state().pump = Some(cx.waker().clone());
    }

    /// For the pump: a piece of so many bytes at most, of what is to be sent.
    pub(super) fn take_up(&self, most: usize) -> Option<Bytes> {
        let mut state = self.state();
        if state.up.is_empty() {
            return None;
        }
        let count = most.min(state.up.len());
        let piece = state.up.split_to(count).freeze();
        if state.up.is_empty() {
            // An idle connection keeps no buffer.
            state.up = BytesMut::new();
        }
        state.up_unflushed = true;
        state.wake_writer();
        Some(piece)
    }

    /// For the pump: everything that it took has left.
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        state.up_unflushed = false;
        state.wake_writer();
    }

    /// For the pump: true if the reader may be given more.
    pub(super) fn has_room(&self) -> bool {
        self.state().down_len < self.down_limit
    }

    /// For the pump: the number of pieces that the reader has taken.
    pub(super) fn taken(&self) -> u64 {
        self.state().taken
    }

    /// For the pump: a piece has come.
    pub(super) fn push_down(&self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        let mut state = self.state();
        state.down_len += piece.len();
        state.down.push_back(piece);
        state.wake_reader();
    }

    /// For the pump: it is over.
    pub(super) fn finish(&self, end: TunnelEnd) {
        let mut state = self.state();
        state.end.get_or_insert(end);
        state.wake_reader();
        state.wake_writer();
    }
}
