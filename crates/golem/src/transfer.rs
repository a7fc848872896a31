//! Files to and from providers, over the daemon's bus.
//!
//! Each file is a small service on the bus for as long as its script runs: a provider asks it for pieces, or
//! hands it pieces. Pieces may come in any order and many at once. What arrives is checked against the
//! provider's hash and appears under its name only when it is whole.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use sha3::{Digest, Sha3_256};
use tempfile::NamedTempFile;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use yagna_api::NodeId;
use yagna_api::gsb::Listen;
use yagna_client::{BusFault, BusSession, BusValue, Client, ClientError};

use crate::script::{Source, Target};

/// The most bytes a provider may ask for at once.
const MOST_AT_ONCE: u64 = 4 << 20;

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
        let content = match source {
            Source::Bytes(bytes) => Content::Bytes(bytes),
            Source::File(path) => Content::open(path).await?,
        };
        let (session, url) = self.bind(&["GetMetadata", "GetChunk"]).await?;
        let done = served.done.clone();
        served.services.spawn(async move { serve(session, done, Offer(content)).await });
        Ok(url)
    }

    /// Waits for something from a provider; the answer is where it is handed in.
    pub(crate) async fn receive(
        &self,
        served: &mut Served,
        place: usize,
        target: Target,
    ) -> Result<String, TransferError> {
        let store = match target {
            Target::Memory { limit } => {
                let (sender, receiver) = oneshot::channel();
                served.received.push((place, receiver));
                Store::Memory { limit, bytes: BytesMut::new(), arrived: 0, sender: Some(sender) }
            }
            Target::File(path) => Store::create(path).await?,
        };
        let (session, url) = self.bind(&["UploadChunk", "UploadFinished"]).await?;
        let done = served.done.clone();
        served.services.spawn(async move { serve(session, done, Receipt(store)).await });
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

/// Answers the requests of one service.
trait Answers: Send {
    fn answer(
        &mut self,
        component: &str,
        payload: &BusValue,
    ) -> impl Future<Output = Result<BusValue, BusFault>> + Send;
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

#[derive(Debug)]
enum Content {
    Bytes(Bytes),
    File { path: PathBuf, file: File, size: u64 },
}

impl Content {
    async fn open(path: PathBuf) -> Result<Self, TransferError> {
        let opened = async {
            let file = File::open(&path).await?;
            let metadata = file.metadata().await?;
            if !metadata.is_file() {
                return Err(std::io::Error::other("it isn't a regular file"));
            }
            Ok((file, metadata.len()))
        };
        match opened.await {
            Ok((file, size)) => Ok(Self::File { path, file, size }),
            Err(source) => Err(TransferError::Unreadable { path, source }),
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    async fn read(&mut self, offset: u64, size: u64) -> Result<Bytes, BusFault> {
        if offset > self.size() {
            let message = format!("offset {offset} is past the end at {}", self.size());
            return Err(BusFault::new("ReadError", message));
        }
        let size = size.min(MOST_AT_ONCE).min(self.size() - offset);
        match self {
            Self::Bytes(bytes) => {
                let from = usize::try_from(offset).unwrap_or(bytes.len());
                let to = from + usize::try_from(size).unwrap_or_default();
                Ok(bytes.slice(from..to))
            }
            Self::File { path, file, .. } => {
                let mut chunk = vec![0; usize::try_from(size).unwrap_or_default()];
                let read = async {
                    file.seek(SeekFrom::Start(offset)).await?;
                    file.read_exact(&mut chunk).await
                };
                match read.await {
                    Ok(_) => Ok(chunk.into()),
                    Err(error) => Err(BusFault::new("ReadError", format!("{}: {error}", path.display()))),
                }
            }
        }
    }
}

struct Offer(Content);

impl Answers for Offer {
    async fn answer(&mut self, component: &str, payload: &BusValue) -> Result<BusValue, BusFault> {
        match component {
            "GetMetadata" => Ok(BusValue::map([("fileSize", BusValue::UInt(self.0.size()))])),
            "GetChunk" => {
                let field = |name| {
                    let missing = || BusFault::new("ReadError", format!("the request has no {name}"));
                    payload.get(name).and_then(BusValue::as_u64).ok_or_else(missing)
                };
                let offset = field("offset")?;
                let content = self.0.read(offset, field("size")?).await?;
                Ok(BusValue::map([("offset", BusValue::UInt(offset)), ("content", BusValue::Bytes(content))]))
            }
            _ => Err(unknown(component)),
        }
    }
}

enum Store {
    Memory { limit: u64, bytes: BytesMut, arrived: u64, sender: Option<oneshot::Sender<Bytes>> },
    File { path: PathBuf, partial: Option<NamedTempFile>, file: File, arrived: u64, end: u64 },
}

impl Store {
    async fn create(path: PathBuf) -> Result<Self, TransferError> {
        let create = async {
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
                _ => PathBuf::from("."),
            };
            tokio::fs::create_dir_all(&folder).await?;
            // Beside its target, so that giving it its name is one step that can't be half done.
            let partial = partial(&folder)?;
            let file = File::from_std(partial.reopen()?);
            Ok((partial, file))
        };
        match create.await {
            Ok((partial, file)) => Ok(Self::File { path, partial: Some(partial), file, arrived: 0, end: 0 }),
            Err(source) => Err(TransferError::Unwritable { path, source }),
        }
    }

    async fn write(&mut self, offset: u64, content: &[u8]) -> Result<(), BusFault> {
        let too_far = || BusFault::new("WriteError", format!("offset {offset} is out of range"));
        let end = offset.checked_add(content.len() as u64).ok_or_else(too_far)?;
        match self {
            Self::Memory { limit, bytes, arrived, .. } => {
                if end > *limit {
                    return Err(BusFault::new(
                        "WriteError",
                        format!("it is larger than the {limit} bytes asked for"),
                    ));
                }
                let (from, to) = usize::try_from(offset)
                    .and_then(|from| Ok((from, usize::try_from(end)?)))
                    .map_err(|_| too_far())?;
                if bytes.len() < to {
                    bytes.resize(to, 0);
                }
                bytes[from..to].copy_from_slice(content);
                *arrived += content.len() as u64;
                Ok(())
            }
            Self::File { path, file, arrived, end: known, .. } => {
                let write = async {
                    file.seek(SeekFrom::Start(offset)).await?;
                    file.write_all(content).await
                };
                write
                    .await
                    .map_err(|error| BusFault::new("WriteError", format!("{}: {error}", path.display())))?;
                *arrived += content.len() as u64;
                *known = (*known).max(end);
                Ok(())
            }
        }
    }

    async fn finish(&mut self, hash: Option<&str>) -> Result<(), BusFault> {
        match self {
            Self::Memory { bytes, arrived, sender, .. } => {
                whole(*arrived, bytes.len() as u64)?;
                check(hash, &Sha3_256::digest(&bytes[..]))?;
                if let Some(sender) = sender.take() {
                    // Nobody waits any more when the script was given up.
                    sender.send(std::mem::take(bytes).freeze()).ok();
                }
                Ok(())
            }
            Self::File { path, partial, file, arrived, end } => {
                whole(*arrived, *end)?;
                let Some(finished) = partial.take() else {
                    return Ok(());
                };
                let failed = |error: std::io::Error| {
                    BusFault::new("WriteError", format!("{}: {error}", path.display()))
                };
                file.flush().await.map_err(failed)?;
                if hash.is_some() {
                    check(hash, &digest(file).await.map_err(failed)?)?;
                }
                // The result counts as received once this is answered: it must outlive a crash.
                file.sync_all().await.map_err(failed)?;
                persist(finished, path).map_err(failed)
            }
        }
    }
}

/// An unnamed beginning of a file, with the rights that the user's files have.
fn partial(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn persist(finished: NamedTempFile, path: &Path) -> std::io::Result<()> {
    finished.persist(path).map(drop).map_err(|error| error.error)
}

async fn digest(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut hasher = Sha3_256::new();
    let mut buffer = vec![0; 256 * 1024];
    file.seek(SeekFrom::Start(0)).await?;
    loop {
        match file.read(&mut buffer).await? {
            0 => return Ok(hasher.finalize().to_vec()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

fn whole(arrived: u64, end: u64) -> Result<(), BusFault> {
    if arrived < end {
        return Err(BusFault::new("IntegrityError", format!("only {arrived} of {end} bytes arrived")));
    }
    Ok(())
}

fn check(expected: Option<&str>, actual: &[u8]) -> Result<(), BusFault> {
    match expected {
        Some(expected) if !expected.eq_ignore_ascii_case(&hex::encode(actual)) => {
            Err(BusFault::new("IntegrityError", "what arrived has another hash than what was sent"))
        }
        _ => Ok(()),
    }
}

struct Receipt(Store);

impl Answers for Receipt {
    async fn answer(&mut self, component: &str, payload: &BusValue) -> Result<BusValue, BusFault> {
        match component {
            "UploadChunk" => {
                let missing = || BusFault::new("WriteError", "the request has no chunk");
                let chunk = payload.get("chunk").ok_or_else(missing)?;
                let offset = chunk.get("offset").and_then(BusValue::as_u64).ok_or_else(missing)?;
                let content = chunk.get("content").and_then(BusValue::to_bytes).ok_or_else(missing)?;
                self.0.write(offset, &content).await?;
                Ok(BusValue::Null)
            }
            "UploadFinished" => {
                self.0.finish(payload.get("hash").and_then(BusValue::as_text)).await?;
                Ok(BusValue::Null)
            }
            _ => Err(unknown(component)),
        }
    }
}

fn unknown(component: &str) -> BusFault {
    BusFault::new("InternalError", format!("there is no {component} here"))
}

#[cfg(test)]
mod tests;
