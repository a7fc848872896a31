//! Files to and from providers, over the daemon's bus.
//!
//! Each file is a small service on the bus for as long as its script runs: a provider asks it for pieces, or
//! hands it pieces. Pieces may come in any order and many at once. What arrives is checked against the
//! provider's hash. It appears under its name only when it is whole and the provider's command has succeeded: a provider
//! whose file is missing, or breaks off, brings what it has with a hash that fits, and says only then that it failed.

mod arrival;
mod lasting;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use yagna_api::NodeId;
use yagna_api::gsb::Listen;
use yagna_client::{BusFault, BusSession, BusValue, Client, ClientError};

pub(crate) use self::arrival::Arrival;
use self::arrival::ArrivalSlot;
pub use self::arrival::Arrivals;
pub use self::lasting::serve_until_stopped;
pub use self::service::{Answers, Offer, Receipt};
pub use crate::fault::try_folder;
use crate::script::{Source, Target};

/// How long a script's end waits until its files are off the bus.
const RELEASE: Duration = Duration::from_secs(5);

/// One piece of a file is read or written within this, or its transfer fails: a file system may never answer.
const ANSWERING: Duration = Duration::from_secs(60);

/// The message that ends what a provider brings.
const LAST_OF_UPLOAD: &str = "UploadFinished";

/// Why a file couldn't be offered or received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A file to be sent can't be read.
    #[error("{path} can't be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file to be received can't be written.
    #[error("{path} can't be written")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The daemon doesn't offer its bus.
    #[error("the daemon doesn't pass the file on")]
    Bus(#[source] ClientError),
    /// What serves the file has panicked: a bug.
    #[error("the file's service broke")]
    Broken,
}

/// Opens transfers on the bus of one daemon.
#[derive(Debug)]
pub(crate) struct Transfers {
    client: Client,
    node: NodeId,
}

/// The transfers of one script.
///
/// Dropping it ends them as well as [`Served::finish`] does, only that nobody waits for it: each then gives its address
/// back to the daemon by itself, within the time that a call may take.
#[derive(Debug)]
pub(crate) struct Served {
    services: TaskTracker,
    done: CancellationToken,
    _guard: DropGuard,
    received: Vec<(usize, oneshot::Receiver<Bytes>)>,
    files: Vec<(usize, ArrivalSlot)>,
    n_steps: usize,
    seen: Arc<Mutex<Seen>>,
    /// Under which name each command's file is served.
    names: Vec<(u32, String)>,
}

/// The name under which a file is served.
#[derive(Debug)]
pub(crate) enum Name {
    /// One that nobody has.
    New,
    /// The one that an earlier process gave it.
    Known(String),
}

/// What the transfers of a script brought.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    /// What was received into memory, by place in the script.
    pub(crate) bytes: Vec<Option<Bytes>>,
    /// Files that were received whole, by place in the script. They don't have their names yet.
    pub(crate) files: BTreeMap<usize, Arrival>,
    /// How transfers ended, as seen from here.
    pub(crate) seen: Seen,
}

/// How transfers ended, by place in the script.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// What has been received whole.
    pub(crate) whole: BTreeSet<usize>,
    /// Why we refused something that a provider asked or brought.
    pub(crate) refused: BTreeMap<usize, String>,
    /// Those among them that were our own trouble, and for how many bytes there was no room.
    pub(crate) ours: BTreeMap<usize, (TransferError, u64)>,
}

impl Served {
    pub(crate) fn new(n_steps: usize) -> Self {
        let done = CancellationToken::new();
        Self {
            services: TaskTracker::new(),
            _guard: done.clone().drop_guard(),
            done,
            received: Vec::new(),
            files: Vec::new(),
            n_steps,
            seen: Arc::default(),
            names: Vec::new(),
        }
    }

    /// Under which name each command's file is served.
    pub(crate) fn names(&self) -> Vec<(u32, String)> {
        self.names.clone()
    }

    /// Takes the services off the bus and gives what was received.
    pub(crate) async fn finish(mut self) -> Brought {
        let mut bytes = vec![None; self.n_steps];
        for (place, mut received) in self.received.drain(..) {
            bytes[place] = received.try_recv().ok();
        }
        self.done.cancel();
        self.services.close();
        // With a daemon that doesn't answer they are through later, by themselves.
        if timeout(RELEASE, self.services.wait()).await.is_err() {
            tracing::debug!("files are still being taken off the bus");
        }
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let taken = |slot: ArrivalSlot| slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let files = self.files.drain(..).filter_map(|(place, slot)| Some((place, taken(slot)?))).collect();
        Brought { bytes, files, seen }
    }
}

impl Transfers {
    pub(crate) fn new(client: Client, node: NodeId) -> Self {
        Self { client, node }
    }

    /// Offers something to providers; the answer is where they fetch it.
    pub(crate) async fn offer(
        &self,
        served: &mut Served,
        place: usize,
        source: Source,
        name: Name,
    ) -> Result<String, TransferError> {
        let offer = match source {
            Source::Bytes(bytes) => Offer::bytes(bytes),
            Source::File(path) => Offer::file(path).await?,
        };
        self.serve(served, place, offer, name).await
    }

    /// Waits for something from a provider; the answer is where it is handed in.
    pub(crate) async fn receive(
        &self,
        served: &mut Served,
        place: usize,
        target: Target,
        name: Name,
    ) -> Result<String, TransferError> {
        let receipt = match target {
            Target::Memory { limit } => {
                let (sender, receiver) = oneshot::channel();
                served.received.push((place, receiver));
                Receipt::memory(limit, sender)
            }
            Target::File(path) => {
                let slot = ArrivalSlot::default();
                served.files.push((place, Arc::clone(&slot)));
                Receipt::unnamed(path, slot).await?
            }
        };
        self.serve(served, place, receipt, name).await
    }

    async fn serve<A: Answers + 'static>(
        &self,
        served: &mut Served,
        place: usize,
        answers: A,
        name: Name,
    ) -> Result<String, TransferError> {
        let (id, again) = match name {
            Name::New => (uuid::Uuid::new_v4().simple().to_string(), false),
            Name::Known(id) => (id, true),
        };
        served.names.push((u32::try_from(place).unwrap_or(u32::MAX), id.clone()));
        let listen = Listen {
            on: format!("/public/gftp/{id}"),
            components: A::COMPONENTS.iter().map(|&component| component.to_owned()).collect(),
        };
        let (client, done) = (self.client.clone(), served.done.clone());
        let service = Service { answers, place, seen: Arc::clone(&served.seen) };
        let (ready, bound) = oneshot::channel();
        // Bound in there, so that nothing stays bound when whoever waits for it is dropped.
        served.services.spawn(async move {
            let session =
                if again { client.serve_bus_again(listen).await } else { client.serve_bus(listen).await };
            match session {
                Ok(session) => {
                    drop(ready.send(Ok(())));
                    service.serve(session, done).await;
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
        match bound.await {
            Ok(Ok(())) => Ok(format!("gftp://{}/{id}", self.node)),
            Ok(Err(error)) => Err(TransferError::Bus(error)),
            Err(_) => Err(TransferError::Broken),
        }
    }
}

/// One file on the bus.
struct Service<A> {
    answers: A,
    place: usize,
    seen: Arc<Mutex<Seen>>,
}

impl<A: Answers> Service<A> {
    /// Serves until told to stop, then takes the service off the bus.
    async fn serve(mut self, mut session: BusSession, done: CancellationToken) {
        loop {
            let request = tokio::select! {
                () = done.cancelled() => break,
                request = session.next() => request,
            };
            match request {
                Ok(request) => {
                    let answered = tokio::select! {
                        () = done.cancelled() => break,
                        answered = timeout(ANSWERING, self.answers.answer(&request.component, &request.payload)) => answered,
                    };
                    let answer = answered.unwrap_or_else(|_| {
                        let words = format!(
                            "a file of the requestor's didn't answer within {} s",
                            ANSWERING.as_secs()
                        );
                        Err(BusFault::new("ReadError", words))
                    });
                    let ours = self.answers.own_fault();
                    self.note(session.address(), &request.component, &answer, ours);
                    session.reply(&request.id, answer).await;
                }
                Err(error) => {
                    // The provider's transfer will fail by itself, and the script with it.
                    tracing::warn!(address = session.address(), %error, "a transfer lost its way to the daemon");
                    break;
                }
            }
        }
        if let Err(error) = session.close().await {
            tracing::debug!(%error, "a transfer's address couldn't be unbound");
        }
    }

    /// Before the reply: the script may be over as soon as that is sent.
    fn note(
        &self,
        address: &str,
        component: &str,
        answer: &Result<BusValue, BusFault>,
        ours: Option<(TransferError, u64)>,
    ) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(_) if component == LAST_OF_UPLOAD => {
                seen.whole.insert(self.place);
            }
            Ok(_) => {}
            Err(fault) => {
                tracing::warn!(address, kind = fault.kind, message = fault.message, "a transfer failed");
                seen.refused.insert(self.place, fault.message.clone());
                if let Some(ours) = ours {
                    seen.ours.insert(self.place, ours);
                }
            }
        }
    }
}
