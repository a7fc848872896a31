//! Files to and from providers, over the daemon's bus.
//!
//! Each file is a small service on the bus for as long as its script runs: a provider asks it for pieces, or
//! hands it pieces. Pieces may come in any order and many at once. What arrives is checked against the
//! provider's hash and appears under its name only when it is whole.

mod service;

use std::path::PathBuf;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use yagna_api::NodeId;
use yagna_api::gsb::Listen;
use yagna_client::{BusSession, Client, ClientError};

pub use self::service::{Answers, Offer, Receipt};
use crate::script::{Source, Target};

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
}

/// Opens transfers on the bus of one daemon.
#[derive(Debug)]
pub(crate) struct Transfers {
    client: Client,
    node: NodeId,
}

/// The transfers of one script. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Served {
    services: JoinSet<()>,
    done: CancellationToken,
    received: Vec<(usize, oneshot::Receiver<Bytes>)>,
    n_steps: usize,
}

impl Served {
    pub(crate) fn new(n_steps: usize) -> Self {
        Self { services: JoinSet::new(), done: CancellationToken::new(), received: Vec::new(), n_steps }
    }

    /// Takes the services off the bus and gives what was received into memory, by place in the script.
    pub(crate) async fn finish(mut self) -> Vec<Option<Bytes>> {
        let mut downloads = vec![None; self.n_steps];
        for (place, mut received) in self.received.drain(..) {
            downloads[place] = received.try_recv().ok();
        }
        self.done.cancel();
        while self.services.join_next().await.is_some() {}
        downloads
    }
}

impl Transfers {
    pub(crate) fn new(client: Client, node: NodeId) -> Self {
        Self { client, node }
    }

    /// Offers something to providers; the answer is where they fetch it.
    pub(crate) async fn offer(&self, served: &mut Served, source: Source) -> Result<String, TransferError> {
        let offer = match source {
            Source::Bytes(bytes) => Offer::bytes(bytes),
            Source::File(path) => Offer::file(path).await?,
        };
        let (session, url) = self.bind(Offer::COMPONENTS).await?;
        let done = served.done.clone();
        served.services.spawn(async move { serve(session, done, offer).await });
        Ok(url)
    }

    /// Waits for something from a provider; the answer is where it is handed in.
    pub(crate) async fn receive(
        &self,
        served: &mut Served,
        place: usize,
        target: Target,
    ) -> Result<String, TransferError> {
        let receipt = match target {
            Target::Memory { limit } => {
                let (sender, receiver) = oneshot::channel();
                served.received.push((place, receiver));
                Receipt::memory(limit, sender)
            }
            Target::File(path) => Receipt::file(path).await?,
        };
        let (session, url) = self.bind(Receipt::COMPONENTS).await?;
        let done = served.done.clone();
        served.services.spawn(async move { serve(session, done, receipt).await });
        Ok(url)
    }

    async fn bind(&self, components: &[&str]) -> Result<(BusSession, String), TransferError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let listen = Listen {
            on: format!("/public/gftp/{id}"),
            components: components.iter().map(|&component| component.to_owned()).collect(),
        };
        let session = self.client.serve_bus(listen).await.map_err(TransferError::Bus)?;
        Ok((session, format!("gftp://{}/{id}", self.node)))
    }
}

/// Serves until told to stop, then takes the service off the bus.
async fn serve(mut session: BusSession, done: CancellationToken, mut answers: impl Answers) {
    loop {
        let request = tokio::select! {
            () = done.cancelled() => break,
            request = session.next() => request,
        };
        match request {
            Ok(request) => {
                let answer = answers.answer(&request.component, &request.payload).await;
                if let Err(fault) = &answer {
                    tracing::warn!(
                        address = session.address(),
                        kind = fault.kind,
                        message = fault.message,
                        "a transfer failed"
                    );
                }
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
