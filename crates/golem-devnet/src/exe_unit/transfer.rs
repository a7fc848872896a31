//! Moving files between the activity, the web and the requestor.
//!
//! `container:/path` is a file of the activity; `gftp://<node>/<id>` a file that a node offers, or wants, on its bus;
//! `http(s)://..` a page. All of it is streamed: a file is never in memory as a whole.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, FuturesUnordered, StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use sha3::{Digest as _, Sha3_256};
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;
use yagna_api::NodeId;
use yagna_api::activity::Transfer;
use yagna_api::error::chain;

use super::progress::Meter;
use crate::port::{BusError, BusValue, Port};
use crate::runtime::{Instance, RuntimeError};

/// The size of the pieces that Golem's exe-unit asks for.
const CHUNK: u64 = 40 * 1024;
/// Chunks on their way at the same time.
const IN_FLIGHT: usize = 8;
/// Read at once from a file of the activity.
const READ: usize = 64 * 1024;
/// For one call on the bus.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest silence of a web server.
const SILENCE: Duration = Duration::from_secs(60);

/// The reasons why a file didn't arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransferError {
    #[error("`{0}` is not a valid place for a file: expected container:/path, gftp://node/id or http(s)://")]
    Url(String),
    #[error("archives are not supported here: `{0}` must be absent")]
    Archive(&'static str),
    #[error("{}", chain(.0))]
    File(RuntimeError),
    #[error("the activity's file broke off: {0}")]
    Io(std::io::Error),
    #[error("{component} of {url} failed: {source}")]
    Bus { component: &'static str, url: String, source: BusError },
    #[error("{component} of {url} didn't answer in {CALL_TIMEOUT:?}")]
    Silent { component: &'static str, url: String },
    #[error("{component} of {url} gave a wrong answer: {problem}")]
    Answer { component: &'static str, url: String, problem: &'static str },
    #[error("{}", chain(.0))]
    Http(reqwest::Error),
    #[error("the web is out of reach: {0}")]
    Client(String),
    #[error("{url} refused the file: status {status}")]
    Upload { url: String, status: u16 },
}

enum Place<'a> {
    Container(&'a str),
    Gftp(Gftp<'a>),
    Http(&'a str),
}

/// A file on a node's bus.
#[derive(Clone)]
struct Gftp<'a> {
    port: &'a dyn Port,
    node: NodeId,
    address: String,
    url: &'a str,
}

type Source<'a> = BoxStream<'a, Result<Bytes, TransferError>>;

/// Moves one file. Dropping the future leaves a part of it at the target.
pub(super) async fn transfer(
    instance: &dyn Instance,
    port: &dyn Port,
    transfer: &Transfer,
    meter: &mut Meter<'_>,
) -> Result<(), TransferError> {
    for (name, given) in [("format", transfer.format.is_some()), ("fileset", transfer.fileset.is_some())] {
        if given {
            return Err(TransferError::Archive(name));
        }
    }
    let (from, to) = (place(&transfer.from, port)?, place(&transfer.to, port)?);
    let (size, source) = match (open(instance, &from).await, &to) {
        (Ok(opened), _) => opened,
        // Golem's exe-unit finishes an empty upload, whose hash is right, before it says what failed.
        (Err(error), Place::Gftp(_)) => (None, stream::once(async move { Err(error) }).boxed()),
        (Err(error), _) => return Err(error),
    };
    meter.set_total(size);
    match to {
        Place::Container(path) => {
            let file = instance.create(path).map_err(TransferError::File)?;
            write_file(tokio::fs::File::from_std(file), source, meter).await?;
        }
        Place::Gftp(gftp) => gftp.upload(source, meter).await?,
        Place::Http(url) => put(instance, &from, url, meter).await?,
    }
    meter.end();
    Ok(())
}

fn place<'a>(url: &'a str, port: &'a dyn Port) -> Result<Place<'a>, TransferError> {
    let wrong = || TransferError::Url(url.to_owned());
    let (scheme, rest) = url.split_once(':').ok_or_else(wrong)?;
    match scheme {
        "container" => {
            // Also with an empty host, as some clients write it.
            let path =
                rest.strip_prefix("//").map_or(rest, |path| if path.starts_with('/') { path } else { rest });
            if path.starts_with('/') { Ok(Place::Container(path)) } else { Err(wrong()) }
        }
        "http" | "https" => Ok(Place::Http(url)),
        "gftp" | "gsb" => {
            let (node, id) =
                rest.strip_prefix("//").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
            let node = node.parse().map_err(|_| wrong())?;
            if id.is_empty() {
                return Err(wrong());
            }
            Ok(Place::Gftp(Gftp { port, node, address: format!("/public/gftp/{id}"), url }))
        }
        _ => Err(wrong()),
    }
}

/// The content, and its size where it is known.
async fn open<'a>(
    instance: &'a dyn Instance,
    from: &Place<'a>,
) -> Result<(Option<u64>, Source<'a>), TransferError> {
    match from {
        Place::Container(path) => {
            let file = instance.open(path).map_err(TransferError::File)?;
            let size = file.metadata().map_err(TransferError::Io)?.len();
            let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), READ);
            Ok((Some(size), stream.map_err(TransferError::Io).boxed()))
        }
        Place::Gftp(gftp) => gftp.download().await,
        Place::Http(url) => {
            let answer = client()?.get(*url).send().await.map_err(TransferError::Http)?;
            if !answer.status().is_success() {
                // So does Golem's exe-unit: it stores the error page and calls that a success.
                tracing::warn!(
                    url,
                    status = answer.status().as_u16(),
                    "the page of a failed request becomes the file"
                );
            }
            Ok((answer.content_length(), answer.bytes_stream().map_err(TransferError::Http).boxed()))
        }
    }
}

async fn write_file(
    mut file: tokio::fs::File,
    mut source: Source<'_>,
    meter: &mut Meter<'_>,
) -> Result<(), TransferError> {
    while let Some(piece) = source.try_next().await? {
        file.write_all(&piece).await.map_err(TransferError::Io)?;
        meter.add(piece.len());
    }
    file.flush().await.map_err(TransferError::Io)
}

/// Sends a file of the activity to a web server. The request must own what it sends.
async fn put(
    instance: &dyn Instance,
    from: &Place<'_>,
    url: &str,
    meter: &mut Meter<'_>,
) -> Result<(), TransferError> {
    let Place::Container(path) = from else {
        return Err(TransferError::Url(url.to_owned()));
    };
    let file = instance.open(path).map_err(TransferError::File)?;
    let size = file.metadata().map_err(TransferError::Io)?.len();
    let body = reqwest::Body::wrap_stream(ReaderStream::with_capacity(tokio::fs::File::from_std(file), READ));
    let request = client()?.put(url).header(reqwest::header::CONTENT_LENGTH, size).body(body);
    let answer = request.send().await.map_err(TransferError::Http)?;
    if !answer.status().is_success() {
        return Err(TransferError::Upload { url: url.to_owned(), status: answer.status().as_u16() });
    }
    meter.add(usize::try_from(size).unwrap_or(usize::MAX));
    Ok(())
}

impl<'a> Gftp<'a> {
    async fn download(&self) -> Result<(Option<u64>, Source<'a>), TransferError> {
        let answer = self.call("GetMetadata", BusValue::Map(Vec::new())).await?;
        let size = field(&answer, "fileSize").and_then(|size| whole(&size));
        let size = size.ok_or_else(|| self.wrong("GetMetadata", "no fileSize"))?;
        let chunks = size.div_ceil(CHUNK);
        let this = self.clone();
        let stream = stream::iter((0..chunks).map(move |chunk| {
            let this = this.clone();
            let offset = chunk * CHUNK;
            async move { this.chunk(offset, CHUNK.min(size - offset)).await }
        }));
        Ok((Some(size), stream.buffered(IN_FLIGHT).boxed()))
    }

    async fn chunk(&self, offset: u64, size: u64) -> Result<Bytes, TransferError> {
        let wanted = BusValue::Map(vec![
            ("offset".to_owned(), BusValue::UInt(offset)),
            ("size".to_owned(), BusValue::UInt(size)),
        ]);
        let answer = self.call("GetChunk", wanted).await?;
        if field(&answer, "offset").and_then(|offset| whole(&offset)).is_some_and(|at| at != offset) {
            return Err(self.wrong("GetChunk", "another offset"));
        }
        let content = field(&answer, "content").and_then(bytes);
        let content = content.ok_or_else(|| self.wrong("GetChunk", "no content"))?;
        if content.len() as u64 != size {
            return Err(self.wrong("GetChunk", "another size: the file has changed"));
        }
        Ok(content)
    }

    /// Sends what there is. Of a source that breaks off that is its beginning, finished with a hash that fits, as Golem's
    /// exe-unit does; the error comes after that.
    async fn upload(&self, mut source: Source<'_>, meter: &mut Meter<'_>) -> Result<(), TransferError> {
        let mut broken = None;
        let mut hash = Sha3_256::new();
        let mut offset = 0;
        let mut waiting = Chunker::default();
        let mut flying: FuturesUnordered<BoxFuture<'_, Result<usize, TransferError>>> =
            FuturesUnordered::new();
        loop {
            let (chunk, more) = match waiting.next() {
                Some(chunk) => (chunk, true),
                None => match source.try_next().await {
                    Ok(Some(piece)) => {
                        waiting.push(piece);
                        continue;
                    }
                    Ok(None) => (waiting.rest(), false),
                    Err(error) => {
                        broken = Some(error);
                        (waiting.rest(), false)
                    }
                },
            };
            if !chunk.is_empty() {
                hash.update(&chunk);
                if flying.len() >= IN_FLIGHT
                    && let Some(sent) = flying.try_next().await?
                {
                    meter.add(sent);
                }
                let length = chunk.len();
                flying.push(Box::pin(self.send(offset, chunk)));
                offset += length as u64;
            }
            if !more {
                break;
            }
        }
        while let Some(sent) = flying.try_next().await? {
            meter.add(sent);
        }
        let hash = BusValue::Text(hex::encode(hash.finalize()));
        let finished =
            self.call("UploadFinished", BusValue::Map(vec![("hash".to_owned(), hash)])).await.map(drop);
        broken.map_or(finished, Err)
    }

    async fn send(&self, offset: u64, chunk: Bytes) -> Result<usize, TransferError> {
        let length = chunk.len();
        let chunk = BusValue::Map(vec![
            ("offset".to_owned(), BusValue::UInt(offset)),
            ("content".to_owned(), BusValue::Bytes(chunk.into())),
        ]);
        self.call("UploadChunk", BusValue::Map(vec![("chunk".to_owned(), chunk)])).await?;
        Ok(length)
    }

    async fn call(&self, component: &'static str, payload: BusValue) -> Result<BusValue, TransferError> {
        let call = self.port.call_bus(&self.node, &self.address, component, payload);
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(answer) => {
                answer.map_err(|source| TransferError::Bus { component, url: self.url.to_owned(), source })
            }
            Err(_) => Err(TransferError::Silent { component, url: self.url.to_owned() }),
        }
    }

    fn wrong(&self, component: &'static str, problem: &'static str) -> TransferError {
        TransferError::Answer { component, url: self.url.to_owned(), problem }
    }
}

/// Cuts pieces of any size into chunks of one.
#[derive(Default)]
struct Chunker {
    pieces: VecDeque<Bytes>,
    size: usize,
}

impl Chunker {
    const CHUNK: usize = 40 * 1024;

    fn push(&mut self, piece: Bytes) {
        self.size += piece.len();
        self.pieces.push_back(piece);
    }

    /// A full chunk, if there is one.
    fn next(&mut self) -> Option<Bytes> {
        (self.size >= Self::CHUNK).then(|| self.take(Self::CHUNK))
    }

    /// The rest of the data.
    fn rest(&mut self) -> Bytes {
        self.take(self.size)
    }

    fn take(&mut self, size: usize) -> Bytes {
        let mut chunk = BytesMut::with_capacity(size);
        while chunk.len() < size
            && let Some(mut piece) = self.pieces.pop_front()
        {
            let part = piece.split_to(piece.len().min(size - chunk.len()));
            chunk.extend_from_slice(&part);
            if !piece.is_empty() {
                self.pieces.push_front(piece);
            }
        }
        self.size -= chunk.len();
        chunk.freeze()
    }
}

/// A field of an answer, whichever way the other side writes maps.
fn field(value: &BusValue, name: &str) -> Option<BusValue> {
    match value {
        BusValue::Json(value) => value.get(name).cloned().map(BusValue::Json),
        value => value.field(name).cloned(),
    }
}

fn whole(value: &BusValue) -> Option<u64> {
    value.as_u64()
}

/// Bytes, whether they came as such, as text or as a list of numbers.
fn bytes(value: BusValue) -> Option<Bytes> {
    match value {
        BusValue::Bytes(bytes) => Some(bytes.into()),
        BusValue::Text(text) => Some(text.into()),
        BusValue::Json(Value::String(text)) => Some(text.into()),
        BusValue::Json(Value::Array(numbers)) => numbers
            .iter()
            .map(|number| u8::try_from(number.as_u64()?).ok())
            .collect::<Option<Vec<u8>>>()
            .map(Bytes::from),
        _ => None,
    }
}

/// One client for all transfers, made at the first that goes to the web.
fn client() -> Result<&'static reqwest::Client, TransferError> {
    static CLIENT: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    let client = CLIENT.get_or_init(|| {
        // Somebody else may have installed one already, which serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client =
            reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(SILENCE).build();
        client.map_err(|error| chain(&error))
    });
    client.as_ref().map_err(|error| TransferError::Client(error.clone()))
}

#[cfg(test)]
mod tests;
