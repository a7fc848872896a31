//! Files of others: `upload` and `download`.
//!
//! Only providers need these as a rule, and they have programs of their own. A requestor's daemon passes messages on
//! as JSON (`/_gsb`). That is good for handing a file in; but pieces of a file are bytes, for which JSON has no form,
//! and most daemons refuse to pass them back.

use std::path::{Path, PathBuf};

use golem_sdk::transfer::{Answers, Offer, Receipt, TransferError};
use serde_json::{Value, json};
use yagna_api::endpoint::json_answer;
use yagna_api::{AnswerError, Endpoint, Repeat, Request};
use yagna_client::{BusFault, BusValue, Client, ClientError};

use super::url::{FileUrl, NotGftp};

/// The number of bytes that are asked for at once, as by Golem's program.
const CHUNK: u64 = 40 * 1024;

/// Somebody's file on the network.
pub(super) struct Peer<'a> {
    client: &'a Client,
    /// Below the bridge to the bus.
    address: String,
}

/// The reasons why a file didn't get from or to somebody else.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error(transparent)]
    File(#[from] TransferError),
    #[error("{}: {}: {}", path.display(), .fault.kind, .fault.message)]
    Piece { path: PathBuf, fault: BusFault },
    #[error("the daemon doesn't pass {component} on")]
    Daemon { component: &'static str, source: ClientError },
    #[error("{component} is refused: {answer}")]
    Refused { component: &'static str, answer: Value },
    #[error(
        "the daemon's REST API can't pass a file's bytes on, so nothing can be downloaded here: let a provider's \
         `transfer` command fetch it"
    )]
    NoBytes(#[source] ClientError),
    #[error("{component} is answered wrongly: {answer}")]
    Answer { component: &'static str, answer: Value },
}

impl<'a> Peer<'a> {
    pub(super) fn at(client: &'a Client, url: &FileUrl) -> Result<Self, NotGftp> {
        let (node, name) = url.place()?;
        Ok(Self { client, address: format!("/_gsb/net/{node}/gftp/{name}") })
    }

    /// Hands a file in.
    pub(super) async fn upload(&self, path: &Path) -> Result<(), PeerError> {
        let mut offer = Offer::file(path).await?;
        let hash = offer.hash().await?;
        let piece = |fault| PeerError::Piece { path: path.to_owned(), fault };
        for offset in offsets(offer.size()) {
            let wanted = BusValue::map([("offset", BusValue::UInt(offset)), ("size", BusValue::UInt(CHUNK))]);
            let chunk = offer.answer("GetChunk", &wanted).await.map_err(piece)?;
            let content = chunk.get("content").and_then(BusValue::to_bytes).unwrap_or_default();
            self.call("UploadChunk", json!({"chunk": {"offset": offset, "content": &content[..]}})).await?;
        }
        self.call("UploadFinished", json!({"hash": hash})).await.map(drop)
    }

    /// Fetches a file.
    pub(super) async fn download(&self, path: &Path) -> Result<(), PeerError> {
        let answer = self.call("GetMetadata", json!({})).await?;
        let size =
            answer["fileSize"].as_u64().ok_or(PeerError::Answer { component: "GetMetadata", answer })?;
        let mut receipt = Receipt::file(path).await?;
        let piece = |fault| PeerError::Piece { path: path.to_owned(), fault };
        for offset in offsets(size) {
            let wanted = json!({"offset": offset, "size": CHUNK.min(size - offset)});
            let chunk = match self.call("GetChunk", wanted).await {
                Err(PeerError::Daemon { source, .. })
                    if source.api().is_some_and(|error| error.status == 500) =>
                {
                    return Err(PeerError::NoBytes(source));
                }
                chunk => chunk?,
            };
            let content = serde_json::from_value::<Vec<u8>>(chunk["content"].clone());
            let content = content.map_err(|_| PeerError::Answer { component: "GetChunk", answer: chunk })?;
            let chunk = [("offset", BusValue::UInt(offset)), ("content", content.into())];
            let upload = BusValue::map([("chunk", BusValue::map(chunk))]);
            receipt.answer("UploadChunk", &upload).await.map_err(piece)?;
        }
        receipt.answer("UploadFinished", &BusValue::Null).await.map_err(piece)?;
        Ok(())
    }

    async fn call(&self, component: &'static str, body: Value) -> Result<Value, PeerError> {
        let call = BusCall { path: format!("{}/{component}", self.address), body };
        let mut answer =
            self.client.call(&call).await.map_err(|source| PeerError::Daemon { component, source })?;
        match answer.get_mut("Ok").map(Value::take) {
            Some(answer) => Ok(answer),
            None => Err(PeerError::Refused { component, answer: answer["Err"].take() }),
        }
    }
}

/// The offsets of the pieces of a file of this size.
fn offsets(size: u64) -> impl Iterator<Item = u64> {
    (0..size.div_ceil(CHUNK)).map(|n| n * CHUNK)
}

/// `POST /_gsb/{address}`: a message on the daemon's bus.
struct BusCall {
    path: String,
    body: Value,
}

impl Endpoint for BusCall {
    type Answer = Value;
    const NAME: &'static str = "call a service on the bus";
    // A message that the daemon can't pass on fails the next time as well.
    const REPEAT: Repeat = Repeat::Twice;

    fn request(&self) -> Request {
        Request::post(&*self.path).json(&self.body)
    }

    fn answer(&self, status: u16, body: &[u8]) -> Result<Value, AnswerError> {
        json_answer(status, body)
    }
}
