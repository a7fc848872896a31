//! An address on the bus that serves one file after another.
//!
//! To bind an address, to open the socket that serves it and to give it back are three requests to the daemon, which notes a
//! warning for each socket that is closed. So an activity keeps its addresses from one script to the next. One address can't
//! serve several files at once: the daemon passes on what is asked, and not at which address below the bound one.
//!
//! An address serves another file only when nobody can still ask for the one before: all commands that moved files are
//! known to have succeeded. It belongs to one activity, so that nobody else ever knew its name.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use yagna_api::gsb::Listen;
use yagna_client::{BusFault, BusRequest, BusSession, BusValue, Client, ClientError};

use super::{Answers, Name, Offer, Receipt, Seen, TransferError, lock};

/// One piece of a file is read or written within this, or its transfer fails: a file system may never answer.
const ANSWERING: Duration = Duration::from_secs(60);

/// The message that ends what a provider brings.
const LAST_OF_UPLOAD: &str = "UploadFinished";

/// A bound address. Dropping it gives it back to the daemon, without waiting for that.
#[derive(Debug)]
pub(super) struct Address {
    id: String,
    turns: mpsc::Sender<Turn>,
    /// Closed when the address has been given back.
    gone: oneshot::Receiver<()>,
    end: DropGuard,
}

/// The next role of an address.
#[derive(Debug)]
enum Turn {
    Serve(Box<ServedFile>),
    /// Nothing; it says when the file is let go.
    Rest(oneshot::Sender<()>),
}

/// A file at an address.
#[derive(Debug)]
pub(super) struct ServedFile {
    pub(super) answers: Answering,
    pub(super) place: usize,
    pub(super) seen: Arc<Mutex<Seen>>,
}

/// A file that is given away, or one that is taken in.
#[derive(Debug)]
pub(super) enum Answering {
    Offer(Offer),
    Receipt(Receipt),
}

impl From<Offer> for Answering {
    fn from(offer: Offer) -> Self {
        Self::Offer(offer)
    }
}

impl From<Receipt> for Answering {
    fn from(receipt: Receipt) -> Self {
        Self::Receipt(receipt)
    }
}

impl Address {
    /// Binds an address that serves this file first.
    pub(super) async fn bind(
        services: &TaskTracker,
        client: &Client,
        name: Name,
        file: ServedFile,
    ) -> Result<Self, TransferError> {
        let (id, again) = match name {
            Name::New => (uuid::Uuid::new_v4().simple().to_string(), false),
            Name::Known(id) => (id, true),
        };
        let components = [Offer::COMPONENTS, Receipt::COMPONENTS].concat();
        let components = components.into_iter().map(str::to_owned).collect();
        let listen = Listen { on: format!("/public/gftp/{id}"), components };
        let (turns, next) = mpsc::channel(1);
        let (ready, bound) = oneshot::channel();
        let (going, gone) = oneshot::channel();
        let done = CancellationToken::new();
        let (client, end) = (client.clone(), done.clone().drop_guard());
        // Bound in there, so that nothing stays bound when whoever waits for it is dropped.
        services.spawn(async move {
            let session =
                if again { client.serve_bus_again(listen).await } else { client.serve_bus(listen).await };
            match session {
                Ok(session) => {
                    drop(ready.send(Ok(())));
                    serve(session, file, next, done).await;
                }
                Err(error) => drop(ready.send(Err::<(), ClientError>(error))),
            }
            drop(going);
        });
        match bound.await {
            Ok(Ok(())) => Ok(Self { id, turns, gone, end }),
            Ok(Err(error)) => Err(TransferError::Bus(error)),
            Err(_) => Err(TransferError::Broken),
        }
    }

    /// The last part of the address.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Serves another file from now on; where the address has lost its way to the daemon, the file comes back.
    pub(super) async fn serve(&self, file: ServedFile) -> Result<(), ServedFile> {
        match self.turns.reserve().await {
            Ok(turn) => {
                turn.send(Turn::Serve(Box::new(file)));
                Ok(())
            }
            Err(_) => Err(file),
        }
    }

    /// Lets go of its file and serves nothing. `None` where it has lost its way to the daemon.
    pub(super) async fn rested(self) -> Option<Self> {
        let (rested, rests) = oneshot::channel();
        self.turns.send(Turn::Rest(rested)).await.ok()?;
        rests.await.ok()?;
        Some(self)
    }

    /// Gives the address back.
    pub(super) async fn end(self) {
        let Self { turns, gone, end, .. } = self;
        drop((turns, end));
        // Nothing is ever sent: it is closed at the end.
        gone.await.ok();
    }
}

/// Serves until told to stop, then takes the address off the bus.
async fn serve(
    mut session: BusSession,
    file: ServedFile,
    mut turns: mpsc::Receiver<Turn>,
    done: CancellationToken,
) {
    let mut current = Some(file);
    loop {
        let request = tokio::select! {
            // The files to serve are known before they are asked for.
            biased;
            () = done.cancelled() => break,
            Some(turn) = turns.recv() => {
                match turn {
                    Turn::Serve(file) => current = Some(*file),
                    Turn::Rest(rested) => {
                        current = None;
                        rested.send(()).ok();
                    }
                }
                continue;
            }
            request = session.next() => request,
        };
        match request {
            Ok(request) => {
                let answer = tokio::select! {
                    () = done.cancelled() => break,
                    answer = answer(current.as_mut(), session.address(), &request) => answer,
                };
                session.reply(&request.id, answer).await;
            }
            Err(error) => {
                if current.is_some() {
                    // The provider's transfer will fail by itself, and the script with it.
                    tracing::warn!(address = session.address(), %error, "a transfer lost its connection to the daemon");
                }
                break;
            }
        }
    }
    // A half received file is removed before anybody learns that this is over.
    drop(current);
    if let Err(error) = session.close().await {
        tracing::debug!(%error, "a transfer's address couldn't be unbound");
    }
}

async fn answer(
    current: Option<&mut ServedFile>,
    address: &str,
    request: &BusRequest,
) -> Result<BusValue, BusFault> {
    let Some(file) = current else {
        return Err(BusFault::new("ReadError", "no file is served here just now"));
    };
    let answered = match &mut file.answers {
        Answering::Offer(offer) => {
            timeout(ANSWERING, offer.answer(&request.component, &request.payload)).await
        }
        Answering::Receipt(receipt) => {
            timeout(ANSWERING, receipt.answer(&request.component, &request.payload)).await
        }
    };
    let answer = answered.unwrap_or_else(|_| {
        let words = format!("a file of the requestor's didn't answer within {} s", ANSWERING.as_secs());
        Err(BusFault::new("ReadError", words))
    });
    file.note(address, &request.component, &answer);
    answer
}

impl ServedFile {
    /// Before the reply: the script may be over as soon as that is sent.
    fn note(&mut self, address: &str, component: &str, answer: &Result<BusValue, BusFault>) {
        let ours = match &mut self.answers {
            Answering::Offer(offer) => offer.own_fault(),
            Answering::Receipt(receipt) => receipt.own_fault(),
        };
        let mut seen = lock(&self.seen);
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
