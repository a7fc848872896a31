//! The requests of providers about a transfer, answered: [`Offer`] gives a file away piece by piece, [`Receipt`] takes
//! one in.
//!
//! The messages are those of Golem's file transfer protocol. Which address on the bus they come from, and for how
//! long, is the caller's business.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use bytes::{Bytes, BytesMut};
use sha3::{Digest, Sha3_256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::oneshot;
use yagna_client::{BusFault, BusValue};

use super::TransferError;
use super::arrival::{ArrivalSlot, Partial, blocking, digest};
use crate::fault::{spoils_reading, spoils_writing};

/// The most bytes a provider may ask for at once.
const MOST_AT_ONCE: u64 = 4 << 20;

/// Answers the requests of one service on the bus.
pub trait Answers: Send {
    /// The messages it knows, as they are bound.
    const COMPONENTS: &'static [&'static str];

    /// Answers one request.
    fn answer(
        &mut self,
        component: &str,
        payload: &BusValue,
    ) -> impl Future<Output = Result<BusValue, BusFault>> + Send;

    /// The error of the last request, where that is neither the provider's nor the file's fault; and the number of
    /// bytes for which there should have been room.
    fn own_fault(&mut self) -> Option<(TransferError, u64)> {
        None
    }
}

/// A file, or bytes, that providers may fetch: any number of them, in pieces and in any order.
#[derive(Debug)]
pub struct Offer(Content);

/// A file, or memory, that a provider may fill.
#[derive(Debug)]
pub struct Receipt(Store);

impl Offer {
    /// Offers bytes.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self(Content::Bytes(bytes.into()))
    }

    /// Offers a regular file, which is read as it is asked for. It stays open, so that removing it does no harm.
    ///
    /// **Errors**: [`TransferError::Unreadable`].
    pub async fn file(path: impl Into<PathBuf>) -> Result<Self, TransferError> {
        Content::open(path.into()).await.map(Self)
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// The SHA3-256 of the content in lowercase hex. The file is read whole, but not at once.
    ///
    /// **Errors**: [`TransferError::Unreadable`], also when the file changes meanwhile.
    pub async fn hash(&mut self) -> Result<String, TransferError> {
        match &mut self.0 {
            Content::Bytes(bytes) => Ok(hex::encode(Sha3_256::digest(&bytes[..]))),
            Content::File { path, file, size, .. } => match digest(file).await {
                Ok((hash, read)) if read == *size => Ok(hex::encode(hash)),
                Ok(_) => {
                    let source = std::io::Error::other("it changes while it is read");
                    Err(TransferError::Unreadable { path: path.clone(), source })
                }
                Err(source) => Err(TransferError::Unreadable { path: path.clone(), source }),
            },
        }
    }
}

impl Answers for Offer {
    const COMPONENTS: &'static [&'static str] = &["GetMetadata", "GetChunk"];

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

    fn own_fault(&mut self) -> Option<(TransferError, u64)> {
        let Content::File { path, fault, .. } = &mut self.0 else { return None };
        let source = fault.take()?;
        Some((TransferError::Unreadable { path: path.clone(), source }, 0))
    }
}

impl Receipt {
    /// Takes up to `limit` bytes into memory; they are sent off when they are complete.
    pub fn memory(limit: u64, whole: oneshot::Sender<Bytes>) -> Self {
        Self(Store::Memory { limit, bytes: BytesMut::new(), arrived: 0, sender: Some(whole) })
    }

    /// Takes a file in. It appears under its name, with its folders, when it is complete, and is on the disk then;
    /// another file of that name is replaced. What isn't complete when this is dropped is removed.
    ///
    /// **Errors**: [`TransferError::Unwritable`].
    pub async fn file(path: impl Into<PathBuf>) -> Result<Self, TransferError> {
        Store::create(path.into(), None).await.map(Self)
    }

    /// Takes a file in and puts it into a slot when it is complete and on the disk; it is for others to name it. A later
    /// one takes its place.
    pub(super) async fn unnamed(path: PathBuf, slot: ArrivalSlot) -> Result<Self, TransferError> {
        Store::create(path, Some(slot)).await.map(Self)
    }
}

impl Answers for Receipt {
    const COMPONENTS: &'static [&'static str] = &["UploadChunk", "UploadFinished"];

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

    fn own_fault(&mut self) -> Option<(TransferError, u64)> {
        let Store::File { path, fault, .. } = &mut self.0 else { return None };
        let (source, bytes) = fault.take()?;
        Some((TransferError::Unwritable { path: path.clone(), source }, bytes))
    }
}

#[derive(Debug)]
enum Content {
    Bytes(Bytes),
    File {
        path: PathBuf,
        file: File,
        size: u64,
        /// The last error of reading it, where that is our own trouble.
        fault: Option<std::io::Error>,
    },
}

impl Content {
    async fn open(path: PathBuf) -> Result<Self, TransferError> {
        let from = path.clone();
        match blocking(move || open_regular(&from)).await {
            Ok((file, size)) => Ok(Self::File { path, file: File::from_std(file), size, fault: None }),
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
            Self::File { path, file, fault, .. } => {
                let mut chunk = vec![0; usize::try_from(size).unwrap_or_default()];
                let read = async {
                    file.seek(SeekFrom::Start(offset)).await?;
                    file.read_exact(&mut chunk).await
                };
                match read.await {
                    Ok(_) => Ok(chunk.into()),
                    Err(error) => {
                        let told = BusFault::new("ReadError", format!("{}: {error}", path.display()));
                        *fault = Some(error).filter(spoils_reading);
                        Err(told)
                    }
                }
            }
        }
    }
}

#[derive(Debug)]
enum Store {
    Memory {
        limit: u64,
        bytes: BytesMut,
        arrived: u64,
        sender: Option<oneshot::Sender<Bytes>>,
    },
    /// Nothing is partial when all that came is complete.
    File {
        path: PathBuf,
        partial: Option<Partial>,
        /// The slot for the complete file; without one it gets its name.
        slot: Option<ArrivalSlot>,
        /// The last error of writing it, and the length that it would have had, where that is our own trouble.
        fault: Option<(std::io::Error, u64)>,
    },
}

impl Store {
    async fn create(path: PathBuf, slot: Option<ArrivalSlot>) -> Result<Self, TransferError> {
        match Partial::create(&path).await {
            Ok(partial) => Ok(Self::File { path, partial: Some(partial), slot, fault: None }),
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
            Self::File { path, partial, fault, .. } => {
                let write = async {
                    let partial = match partial {
                        Some(partial) => partial,
                        // Somebody sends again what has been received already.
                        None => partial.insert(Partial::create(path).await?),
                    };
                    partial.write(offset, content).await
                };
                write.await.map_err(|error| write_error(path, error, end, fault))
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
            Self::File { path, partial, slot, fault } => {
                let Some(begun) = partial else {
                    return Ok(());
                };
                whole(begun.arrived, begun.end)?;
                let size = begun.end;
                let mut failed = |error: std::io::Error| write_error(path, error, size, fault);
                begun.flush().await.map_err(&mut failed)?;
                if hash.is_some() {
                    check(hash, &begun.hash().await.map_err(&mut failed)?)?;
                }
                // The result counts as received once this is answered: it must outlive a crash.
                begun.sync().await.map_err(&mut failed)?;
                // Only now: after a failure the same pieces may come once more.
                let Some(arrival) = partial.take().map(|finished| finished.arrive(path.clone())) else {
                    return Ok(());
                };
                match slot {
                    Some(slot) => {
                        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(arrival);
                        Ok(())
                    }
                    None => arrival.name().await.map_err(failed),
                }
            }
        }
    }
}

/// Opens a regular file and says how large it is. It never waits, also not for the other end of a pipe.
fn open_regular(path: &Path) -> std::io::Result<(std::fs::File, u64)> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it isn't a regular file"));
    }
    Ok((file, metadata.len()))
}

fn write_error(
    path: &Path,
    error: std::io::Error,
    size: u64,
    fault: &mut Option<(std::io::Error, u64)>,
) -> BusFault {
    let told = BusFault::new("WriteError", format!("{}: {error}", path.display()));
    *fault = Some((error, size)).filter(|(error, _)| spoils_writing(error));
    told
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

fn unknown(component: &str) -> BusFault {
    BusFault::new("InternalError", format!("there is no {component} here"))
}

#[cfg(test)]
mod tests;
