//! A local image that we serve to providers ourselves, over the daemon's bus, for as long as it is kept.

use std::io::Read;
use std::path::{Path, PathBuf};

use golem_core::payload::Image;
use sha3::{Digest, Sha3_224};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;
use yagna_api::gsb::Listen;
use yagna_api::identity::GetMe;
use yagna_client::{BusSession, Client, ClientError};

use super::PayloadError;
use crate::transfer::{Answers as _, Offer, TransferError, serve_until_stopped};

/// A local image that providers can fetch.
///
/// It lives through restarts of the daemon. Dropping it ends the service at once, and leaves its address with the
/// daemon; [`Published::stop`] gives that back as well.
#[derive(Debug)]
pub struct Published {
    image: Image,
    size: u64,
    stop: CancellationToken,
    service: JoinSet<()>,
}

impl Published {
    pub(super) async fn open(client: &Client, path: &Path) -> Result<Self, PayloadError> {
        let (hash, read) = digest(path.to_owned()).await?;
        let offer = Offer::file(path).await?;
        if offer.size() != read {
            return Err(PayloadError::Changing { path: path.to_owned() });
        }
        let node = client.call(&GetMe).await.map_err(PayloadError::NotServed)?.identity;
        let (session, id) = bind(client, &hash).await.map_err(PayloadError::NotServed)?;
        let stop = CancellationToken::new();
        let mut service = JoinSet::new();
        // There is never a newer one.
        let (_, newer) = mpsc::channel(1);
        service.spawn(serve_until_stopped(session, offer, newer, stop.clone()));
        Ok(Self { image: Image { hash, url: format!("gftp://{node}/{id}") }, size: read, stop, service })
    }

    /// Its hash, and where providers fetch it.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Ends the service and gives its address back to the daemon.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.service.join_next().await.is_some() {}
    }
}

/// Binds an address by the image's hash, since providers keep images by the end of their address: another run that
/// serves the same image finds it there. Where that address is taken, any will do.
async fn bind(client: &Client, hash: &str) -> Result<(BusSession, String), ClientError> {
    let listen = |id: &str| Listen {
        on: format!("/public/gftp/{id}"),
        components: Offer::COMPONENTS.iter().map(|&component| component.to_owned()).collect(),
    };
    match client.serve_bus(listen(hash)).await {
        Ok(session) => Ok((session, hash.to_owned())),
        Err(error) if error.api().is_some_and(|error| error.message.contains("Duplicated service")) => {
            let id = format!("{hash}-{}", uuid::Uuid::new_v4().simple());
            Ok((client.serve_bus(listen(&id)).await?, id))
        }
        Err(error) => Err(error),
    }
}

/// The SHA3-224 of a file, and how many bytes that was. An image may be larger than memory.
async fn digest(path: PathBuf) -> Result<(String, u64), PayloadError> {
    let file = path.clone();
    let reading = spawn_blocking(move || {
        let mut file = std::fs::File::open(file)?;
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("it isn't a regular file"));
        }
        let mut hasher = Sha3_224::new();
        let mut buffer = vec![0; 256 * 1024];
        let mut size = 0;
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok((hex::encode(hasher.finalize()), size)),
                n => {
                    hasher.update(&buffer[..n]);
                    size += n as u64;
                }
            }
        }
    });
    let read = reading.await.unwrap_or_else(|broken| Err(std::io::Error::other(broken)));
    read.map_err(|source| PayloadError::File(TransferError::Unreadable { path, source }))
}

#[cfg(test)]
mod tests;
