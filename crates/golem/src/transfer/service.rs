//! What providers ask of a transfer, answered: [`Offer`] gives a file away piece by piece, [`Receipt`] takes one in.
//!
//! The messages are those of Golem's file transfer protocol. Which address on the bus they come from, and for how
//! long, is the caller's business.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use sha3::{Digest, Sha3_256};
use tempfile::NamedTempFile;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::oneshot;
use yagna_client::{BusFault, BusValue};

use super::TransferError;

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

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// The SHA3-256 of the content in lowercase hex. The file is read whole, but not at once.
    ///
    /// **Errors**: [`TransferError::Unreadable`], also when the file changes meanwhile.
    pub async fn hash(&mut self) -> Result<String, TransferError> {
        match &mut self.0 {
            Content::Bytes(bytes) => Ok(hex::encode(Sha3_256::digest(&bytes[..]))),
            Content::File { path, file, size } => match digest(file).await {
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
        Store::create(path.into()).await.map(Self)
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

#[derive(Debug)]
enum Store {
    Memory {
        limit: u64,
        bytes: BytesMut,
        arrived: u64,
        sender: Option<oneshot::Sender<Bytes>>,
    },
    /// Nothing is partial when all that came has been given its name.
    File {
        path: PathBuf,
        partial: Option<Partial>,
    },
}

/// An unnamed beginning of a file.
#[derive(Debug)]
struct Partial {
    named: NamedTempFile,
    file: File,
    arrived: u64,
    end: u64,
}

impl Partial {
    /// Beside its target, so that giving it its name is one step that can't be half done.
    async fn create(path: &Path) -> std::io::Result<Self> {
        match tokio::fs::metadata(path).await {
            // A device or a pipe would be replaced, and a folder can't be.
            Ok(metadata) if !metadata.is_file() => {
                return Err(std::io::Error::other("it is there and isn't a regular file"));
            }
            _ => {}
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        tokio::fs::create_dir_all(folder).await?;
        let named = unnamed(folder)?;
        let file = File::from_std(named.reopen()?);
        Ok(Self { named, file, arrived: 0, end: 0 })
    }

    async fn write(&mut self, offset: u64, content: &[u8]) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(offset)).await?;
        self.file.write_all(content).await?;
        self.arrived += content.len() as u64;
        self.end = self.end.max(offset + content.len() as u64);
        Ok(())
    }
}

impl Store {
    async fn create(path: PathBuf) -> Result<Self, TransferError> {
        match Partial::create(&path).await {
            Ok(partial) => Ok(Self::File { path, partial: Some(partial) }),
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
            Self::File { path, partial } => {
                let write = async {
                    let partial = match partial {
                        Some(partial) => partial,
                        // Somebody sends again what has been received already.
                        None => partial.insert(Partial::create(path).await?),
                    };
                    partial.write(offset, content).await
                };
                write.await.map_err(|error| write_error(path, &error))
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
            Self::File { path, partial } => {
                let Some(Partial { file, arrived, end, .. }) = partial else {
                    return Ok(());
                };
                whole(*arrived, *end)?;
                let failed = |error: std::io::Error| write_error(path, &error);
                file.flush().await.map_err(failed)?;
                if hash.is_some() {
                    check(hash, &digest(file).await.map_err(failed)?.0)?;
                }
                // The result counts as received once this is answered: it must outlive a crash.
                file.sync_all().await.map_err(failed)?;
                // Only now: after a failure the same pieces may come once more.
                match partial.take() {
                    Some(finished) => persist(finished.named, path).map_err(failed),
                    None => Ok(()),
                }
            }
        }
    }
}

/// A file without its name yet, with the rights that the user's files have.
fn unnamed(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn persist(finished: NamedTempFile, path: &Path) -> std::io::Result<()> {
    finished.persist(path).map(drop).map_err(|error| error.error)
}

/// The hash of a whole file, and how many bytes that was.
async fn digest(file: &mut File) -> std::io::Result<(Vec<u8>, u64)> {
    let mut hasher = Sha3_256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    file.seek(SeekFrom::Start(0)).await?;
    loop {
        match file.read(&mut buffer).await? {
            0 => return Ok((hasher.finalize().to_vec(), size)),
            n => {
                hasher.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
}

fn write_error(path: &Path, error: &std::io::Error) -> BusFault {
    BusFault::new("WriteError", format!("{}: {error}", path.display()))
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
