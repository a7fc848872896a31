//! Files to and from providers, over the daemon's bus.
//!
//! Each file of a script has an address on the bus: a provider asks there for pieces, or hands in pieces. An address
//! serves one file after another, for as long as its activity lasts. Pieces may come in any order and many at once. What
//! arrives is checked against the provider's hash. It appears under its name only when it is whole and the provider's
//! command has succeeded: a provider whose file is missing, or breaks off, brings what it has with a hash that fits, and
//! says only then that it failed.

mod address;
mod arrival;
mod error;
mod lasting;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use yagna_api::NodeId;
use yagna_client::Client;

use self::address::{Address, Answering, ServedFile};
pub(crate) use self::arrival::Arrival;
use self::arrival::ArrivalSlot;
pub use self::arrival::Arrivals;
pub use self::error::TransferError;
pub use self::lasting::serve_until_stopped;
pub use self::service::{Answers, Offer, Receipt};
pub use crate::fault::try_folder;
use crate::script::{Source, Target};

/// The time that a script's end waits until its files are off the bus.
const RELEASE: Duration = Duration::from_secs(5);

/// The most addresses that an activity keeps from one script to the next. Each holds a connection to the daemon.
const KEPT: usize = 16;

/// The transfers of one activity's scripts, on the bus of one daemon.
///
/// Dropping it gives all its addresses back, as [`Transfers::release`] does, only that nobody waits for it.
#[derive(Debug)]
pub(crate) struct Transfers {
    client: Client,
    node: NodeId,
    /// The tasks that serve the addresses; each ends with its address.
    services: TaskTracker,
    /// Addresses that serve nothing just now.
    idle: Arc<Mutex<Vec<Address>>>,
}

/// The transfers of one script.
///
/// Dropping it ends them as well as [`Served::finish`] does, only that nobody waits for it: each then gives its address
/// back to the daemon by itself, within the time that a call may take.
#[derive(Debug)]
pub(crate) struct Served {
    addresses: Vec<Address>,
    received: Vec<(usize, oneshot::Receiver<Bytes>)>,
    files: Vec<(usize, ArrivalSlot)>,
    n_steps: usize,
    seen: Arc<Mutex<Seen>>,
    /// Under which name each command's file is served.
    names: Vec<(u32, String)>,
    idle: Arc<Mutex<Vec<Address>>>,
}

/// The state of a script's transfers when it is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Each of them is over: nobody asks for anything any more.
    Over,
    /// One may go on, or may have left requests on their way.
    Unknown,
}

/// The name under which a file is served.
#[derive(Debug)]
pub(crate) enum Name {
    /// One that nobody has.
    New,
    /// The one that an earlier process gave it.
    Known(String),
}

/// The data that the transfers of a script brought.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    /// The data received into memory, by place in the script.
    pub(crate) bytes: Vec<Option<Bytes>>,
    /// Files that were received whole, by place in the script. They don't have their names yet.
    pub(crate) files: BTreeMap<usize, Arrival>,
    /// The outcomes of transfers, as seen from here.
    pub(crate) seen: Seen,
}

/// The outcomes of transfers, by place in the script.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The transfers that were received whole.
    pub(crate) whole: BTreeSet<usize>,
    /// The reasons why we refused a request or data of a provider.
    pub(crate) refused: BTreeMap<usize, String>,
    /// Those among them that were our own trouble, and for how many bytes there was no room.
    pub(crate) ours: BTreeMap<usize, (TransferError, u64)>,
}

impl Served {
    /// Transfers that are none yet.
    pub(crate) fn none(n_steps: usize) -> Self {
        Self::new(n_steps, Arc::default())
    }

    fn new(n_steps: usize, idle: Arc<Mutex<Vec<Address>>>) -> Self {
        Self {
            addresses: Vec::new(),
            received: Vec::new(),
            files: Vec::new(),
            n_steps,
            seen: Arc::default(),
            names: Vec::new(),
            idle,
        }
    }

    /// Under which name each command's file is served.
    pub(crate) fn names(&self) -> Vec<(u32, String)> {
        self.names.clone()
    }

    /// Serves no more, and gives what was received. Addresses that nobody asks any more are kept for the next script, a few
    /// at the most; the others are given back.
    pub(crate) async fn finish(mut self, rest: Rest) -> Brought {
        let mut bytes = vec![None; self.n_steps];
        for (place, mut received) in self.received.drain(..) {
            bytes[place] = received.try_recv().ok();
        }
        let addresses = std::mem::take(&mut self.addresses);
        let (kept, given_back) = match rest {
            Rest::Over => split(addresses, KEPT),
            Rest::Unknown => (Vec::new(), addresses),
        };
        let all = async {
            tokio::join!(
                join_all(kept.into_iter().map(Address::rested)),
                join_all(given_back.into_iter().map(Address::end))
            )
        };
        // With a daemon that doesn't answer they are through later, by themselves.
        if let Ok((rested, _)) = timeout(RELEASE, all).await {
            lock(&self.idle).extend(rested.into_iter().flatten());
        } else {
            tracing::debug!("files are still being taken off the bus");
        }
        let seen = std::mem::take(&mut *lock(&self.seen));
        let files =
            self.files.drain(..).filter_map(|(place, slot)| Some((place, lock(&slot).take()?))).collect();
        Brought { bytes, files, seen }
    }
}

impl Transfers {
    pub(crate) fn new(client: Client, node: NodeId) -> Self {
        Self { client, node, services: TaskTracker::new(), idle: Arc::default() }
    }

    /// A script's transfers; there are none yet.
    pub(crate) fn begin(&self, n_steps: usize) -> Served {
        Served::new(n_steps, Arc::clone(&self.idle))
    }

    /// Gives the addresses back that serve nothing.
    pub(crate) async fn release(&self) {
        let idle = std::mem::take(&mut *lock(&self.idle));
        if timeout(RELEASE, join_all(idle.into_iter().map(Address::end))).await.is_err() {
            tracing::debug!("addresses are still being taken off the bus");
        }
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

    async fn serve(
        &self,
        served: &mut Served,
        place: usize,
        answers: impl Into<Answering>,
        name: Name,
    ) -> Result<String, TransferError> {
        let mut file = ServedFile { answers: answers.into(), place, seen: Arc::clone(&served.seen) };
        // The latest that was put back is the likeliest to be whole.
        let is_new = matches!(name, Name::New);
        while let Some(address) = is_new.then(|| self.take_idle()).flatten() {
            match address.serve(file).await {
                Ok(()) => return Ok(self.hand_out(served, place, address)),
                Err(back) => file = back,
            }
        }
        let address = Address::bind(&self.services, &self.client, name, file).await?;
        Ok(self.hand_out(served, place, address))
    }

    fn take_idle(&self) -> Option<Address> {
        lock(&self.idle).pop()
    }

    fn hand_out(&self, served: &mut Served, place: usize, address: Address) -> String {
        let id = address.id().to_owned();
        let url = format!("gftp://{}/{id}", self.node);
        served.names.push((u32::try_from(place).unwrap_or(u32::MAX), id));
        served.addresses.push(address);
        url
    }
}

/// The first so many, and the others.
fn split(mut addresses: Vec<Address>, most: usize) -> (Vec<Address>, Vec<Address>) {
    let others = addresses.split_off(most.min(addresses.len()));
    (addresses, others)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
