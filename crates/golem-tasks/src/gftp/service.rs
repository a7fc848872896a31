//! One file on the daemon's bus, served until it is taken back, whatever happens to the daemon meanwhile.

use std::time::Duration;

use golem_sdk::transfer::{Answers, Offer, Receipt, serve_until_stopped};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use yagna_client::BusSession;

/// The time that a daemon may take to forget a service.
const CLOSING: Duration = Duration::from_secs(3);

/// A file that is served. Dropping it ends that, but leaves its address bound in the daemon.
#[derive(Debug)]
pub(super) struct Service {
    /// The number of times that it was published.
    pub(super) users: usize,
    /// The hash it is published by; none if a file is to come in.
    pub(super) hash: Option<String>,
    newer: mpsc::Sender<Offer>,
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Service {
    /// Gives a file away.
    pub(super) fn offer(session: BusSession, offer: Offer, hash: String) -> Self {
        let (newer, replacements) = mpsc::channel(1);
        Self::start(session, offer, Some(hash), newer, replacements)
    }

    /// Takes a file in.
    pub(super) fn receipt(session: BusSession, receipt: Receipt) -> Self {
        let (newer, _) = mpsc::channel(1);
        let (_, replacements) = mpsc::channel(1);
        Self::start(session, receipt, None, newer, replacements)
    }

    /// Another file with the same content has been published. It is the one to read from now on: the earlier one may
    /// have been written over since.
    pub(super) async fn published_again(&mut self, offer: Offer) {
        self.users += 1;
        if self.newer.send(offer).await.is_err() {
            tracing::warn!(hash = self.hash, "a published file isn't served any more");
        }
    }

    /// Takes it off the bus.
    pub(super) async fn close(mut self) {
        self.stop.cancel();
        let ended = timeout(CLOSING, async { while self.task.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::debug!("the daemon doesn't say whether it has forgotten a file");
        }
    }

    fn start<A: Answers + 'static>(
        session: BusSession,
        answers: A,
        hash: Option<String>,
        newer: mpsc::Sender<Offer>,
        replacements: mpsc::Receiver<A>,
    ) -> Self {
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(serve_until_stopped(session, answers, replacements, stop.clone()));
        Self { users: 1, hash, newer, stop, task }
    }
}
