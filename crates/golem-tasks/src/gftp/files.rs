//! The files that are served, by the names they have on the bus.
//!
//! A published file is called by the hash of its content, a file to come by chance. The same content is served once,
//! however often it was published, and until it was taken back as often.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use golem_sdk::transfer::{Answers, Offer, Receipt, TransferError};
use yagna_api::NodeId;
use yagna_api::gsb::Listen;
use yagna_api::identity::GetMe;
use yagna_client::{BusSession, Client, ClientError};

use super::service::Service;

/// As long as those that Golem's program makes up.
const NAME: usize = 65;

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The reasons why a file isn't served.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilesError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] TransferError),
    /// The daemon's part.
    #[error("the daemon at {address} doesn't serve the file")]
    Daemon {
        /// The address of the daemon.
        address: String,
        /// The error of the request.
        source: ClientError,
    },
}

/// All files of one process, at one daemon.
#[derive(Debug)]
pub(super) struct Files {
    client: Client,
    node: Option<NodeId>,
    services: HashMap<String, Service>,
    /// The name for the content of each hash.
    names: HashMap<String, String>,
}

impl Files {
    pub(super) fn new(client: Client) -> Self {
        Self { client, node: None, services: HashMap::new(), names: HashMap::new() }
    }

    /// Publishes a file; the answer is its name.
    pub(super) async fn publish(&mut self, path: &Path) -> Result<String, FilesError> {
        let mut offer = Offer::file(path).await?;
        let hash = offer.hash().await?;
        if let Some(name) = self.names.get(&hash)
            && let Some(service) = self.services.get_mut(name)
        {
            service.published_again(offer).await;
            return Ok(name.clone());
        }
        let (name, session) = match self.bind::<Offer>(&hash).await {
            Ok(session) => (hash.clone(), session),
            // Another process publishes the same, or one did and was killed. Both would be asked at that address.
            Err(error) if is_taken(&error) => {
                let name = random_name();
                let session = self.bind::<Offer>(&name).await.map_err(|error| self.refused(error))?;
                (name, session)
            }
            Err(error) => return Err(self.refused(error)),
        };
        self.names.insert(hash.clone(), name.clone());
        self.services.insert(name.clone(), Service::offer(session, offer, hash));
        Ok(name)
    }

    /// Waits for a file; the answer is the name by which it is handed in.
    pub(super) async fn receive(&mut self, path: &Path) -> Result<String, FilesError> {
        // The target of a link is meant, not the link.
        let path = tokio::fs::canonicalize(path).await.unwrap_or_else(|_| PathBuf::from(path));
        let receipt = Receipt::file(path).await?;
        let name = random_name();
        let session = self.bind::<Receipt>(&name).await.map_err(|error| self.refused(error))?;
        self.services.insert(name.clone(), Service::receipt(session, receipt));
        Ok(name)
    }

    /// Takes a file back; `false` if there is none. It is served on while others have published it too.
    pub(super) async fn close(&mut self, name: &str) -> bool {
        let Some(service) = self.services.get_mut(name) else {
            return false;
        };
        service.users -= 1;
        if service.users == 0
            && let Some(service) = self.services.remove(name)
        {
            if let Some(hash) = &service.hash {
                self.names.remove(hash);
            }
            service.close().await;
        }
        true
    }

    /// Takes all of them back.
    pub(super) async fn close_all(&mut self) {
        self.names.clear();
        join_all(self.services.drain().map(|(_, service)| service.close())).await;
    }

    /// The owner of the daemon's key: files have their addresses there.
    pub(super) async fn node(&mut self) -> Result<NodeId, FilesError> {
        if let Some(node) = &self.node {
            return Ok(node.clone());
        }
        let me = self.client.call(&GetMe).await.map_err(|error| self.refused(error))?;
        Ok(self.node.insert(me.identity).clone())
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    async fn bind<A: Answers>(&self, name: &str) -> Result<BusSession, ClientError> {
        let components = A::COMPONENTS.iter().map(|&component| component.to_owned()).collect();
        self.client.serve_bus(Listen { on: format!("/public/gftp/{name}"), components }).await
    }

    fn refused(&self, source: ClientError) -> FilesError {
        FilesError::Daemon { address: self.client.address().to_owned(), source }
    }
}

fn is_taken(error: &ClientError) -> bool {
    error.api().is_some_and(|error| error.message.contains("Duplicated service"))
}

/// A name that nobody can guess: who knows it may hand a file in.
fn random_name() -> String {
    let mut name = String::with_capacity(NAME);
    while name.len() < NAME {
        // Bytes 6 and 8 of a random UUID aren't all random. The rest is used as far as it is fair to every letter.
        let uuid = uuid::Uuid::new_v4().into_bytes();
        let random = uuid.iter().enumerate().filter(|(place, byte)| !matches!(place, 6 | 8) && **byte < 248);
        name.extend(
            random.map(|(_, byte)| char::from(LETTERS[usize::from(byte % 62)])).take(NAME - name.len()),
        );
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn random_names_are_long_and_never_the_same() {
        let names: HashSet<_> = (0..1000).map(|_| random_name()).collect();
        assert_eq!(names.len(), 1000);
        assert!(
            names
                .iter()
                .all(|name| name.len() == NAME && name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        );
        let used: HashSet<_> = names.iter().flat_map(|name| name.bytes()).collect();
        assert_eq!(used.len(), LETTERS.len());
    }
}
