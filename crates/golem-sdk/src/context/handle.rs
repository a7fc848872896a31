//! The value that queueing a command returns: a claim to its result, good for that batch alone.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// The id of the queue that a command was put into. No two queues of a process are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct QueueId(u64);

impl QueueId {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A queued command: finds its result in the batch that it becomes part of, and nothing in any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Command {
    pub(crate) queue: QueueId,
    pub(crate) place: usize,
}

impl Command {
    /// Its place in its batch, from 0.
    pub fn place(self) -> usize {
        self.place
    }
}

/// A JSON document, as the kind of a [`Download`].
#[derive(Debug, Clone, Copy)]
pub struct Json;

/// A queued download: [`Download<Bytes>`], [`Download<Json>`] or, into a file, [`Download<PathBuf>`].
///
/// It is a [`Command`] as well, wherever one is taken.
pub struct Download<T> {
    pub(crate) command: Command,
    kind: PhantomData<fn() -> T>,
}

impl<T> Download<T> {
    pub(crate) fn new(command: Command) -> Self {
        Self { command, kind: PhantomData }
    }
}

impl<T> Clone for Download<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Download<T> {}

impl<T> fmt::Debug for Download<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Download").field(&self.command).finish()
    }
}

impl From<Download<Bytes>> for Command {
    fn from(download: Download<Bytes>) -> Self {
        download.command
    }
}

impl From<Download<Json>> for Command {
    fn from(download: Download<Json>) -> Self {
        download.command
    }
}

impl From<Download<PathBuf>> for Command {
    fn from(download: Download<PathBuf>) -> Self {
        download.command
    }
}
