//! The content of the bus's calls: FlexBuffers, perhaps compressed, and Rust's own `Result` in every answer.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::ZlibDecoder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use yagna_api::ApiError;

use super::wire::MAX_PACKET;

/// A message that isn't what its name says.
#[derive(Debug, thiserror::Error)]
#[error("a message can't be read: {0}")]
pub(crate) struct MessageError(flexbuffers::DeserializationError);

/// The errors of activity services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ServiceError {
    Service(String),
    Activity(String),
    BadRequest(String),
    UsageLimitExceeded(String),
    NotFound(String),
    Forbidden(String),
    Timeout,
}

/// Writes a message.
pub(crate) fn write<T: Serialize>(message: &T) -> Vec<u8> {
    flexbuffers::to_vec(message).expect("maps with text keys are all that FlexBuffers asks for")
}

/// Reads a message.
pub(crate) fn read<T: DeserializeOwned>(data: &[u8]) -> Result<T, MessageError> {
    flexbuffers::from_slice(&inflated(data)).map_err(MessageError)
}

/// The message itself, where it came compressed. Whether it is can only be found out by trying, as daemons do.
pub(crate) fn inflated(data: &[u8]) -> Cow<'_, [u8]> {
    if !is_maybe_compressed(data) {
        return Cow::Borrowed(data);
    }
    let mut message = Vec::new();
    let limit = MAX_PACKET as u64 + 1;
    match ZlibDecoder::new(data).take(limit).read_to_end(&mut message) {
        // One that never ends is no message of ours: it fails as what it is, a few bytes of junk.
        Ok(size) if size <= MAX_PACKET => Cow::Owned(message),
        _ => Cow::Borrowed(data),
    }
}

/// The two bytes that everything compressed by zlib begins with: the method, and a check that 31 divides them.
fn is_maybe_compressed(data: &[u8]) -> bool {
    data.first_chunk::<2>()
        .is_some_and(|head| head[0] & 0x0f == 8 && u16::from_be_bytes(*head).is_multiple_of(31))
}

impl From<&ApiError> for ServiceError {
    /// The message that makes the requestor's daemon answer with this error.
    fn from(error: &ApiError) -> Self {
        // The daemon puts these words before the message by itself.
        let bare = |words: &str| error.message.strip_prefix(words).unwrap_or(&error.message).to_owned();
        match error.status {
            400 => Self::BadRequest(bare("Bad request: ")),
            403 => Self::Forbidden(bare("Forbidden: ")),
            404 => Self::NotFound(bare("Not found: ")),
            408 => Self::Timeout,
            _ => Self::Service(bare("Service error: ")),
        }
    }
}

impl From<ServiceError> for ApiError {
    /// As the daemon's REST API shows it.
    fn from(error: ServiceError) -> Self {
        let (status, message) = match error {
            ServiceError::Service(message) => (500, format!("Service error: {message}")),
            ServiceError::Activity(message) => (500, format!("Activity API error: {message}")),
            ServiceError::BadRequest(message) => (400, format!("Bad request: {message}")),
            ServiceError::UsageLimitExceeded(message) => (500, format!("Usage limit exceeded: {message}")),
            ServiceError::NotFound(message) => (404, format!("Not found: {message}")),
            ServiceError::Forbidden(message) => (403, format!("Forbidden: {message}")),
            ServiceError::Timeout => (408, "Timeout".to_owned()),
        };
        Self { status, message, problem: None }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use serde_json::{Value, json};

    use super::*;

    fn deflated(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compressed_or_not_a_message_is_the_same() {
        let message = json!({"activityId": "a", "list": [1, 2, 3], "text": "x".repeat(5000)});
        let plain = write(&message);
        assert_eq!(read::<Value>(&plain).unwrap(), message);
        let small = deflated(&plain);
        assert!(small.len() < plain.len() / 10);
        assert_eq!(read::<Value>(&small).unwrap(), message);
        assert!(read::<Value>(b"").is_err());
        // Broken off in the middle, and compressed nothing.
        assert!(read::<Value>(&small[..small.len() - 3]).is_err());
        assert!(read::<Value>(&deflated(b"")).is_err());
    }

    #[test]
    fn what_inflates_without_end_is_not_inflated() {
        let bomb = deflated(&vec![0; MAX_PACKET + 1]);
        assert_eq!(inflated(&bomb).len(), bomb.len());
    }

    #[test]
    fn answers_are_results() {
        let yes: Result<(), ServiceError> = read(&write(&json!({"Ok": null}))).unwrap();
        assert_eq!(yes, Ok(()));
        let no = |value: Value| read::<Result<(), ServiceError>>(&write(&value)).unwrap().unwrap_err();
        assert_eq!(no(json!({"Err": "timeout"})), ServiceError::Timeout);
        assert_eq!(no(json!({"Err": {"notFound": "x"}})), ServiceError::NotFound("x".into()));
        let written: Value = read(&write(&Err::<(), _>(ServiceError::BadRequest("b".into())))).unwrap();
        assert_eq!(written, json!({"Err": {"badRequest": "b"}}));
    }

    #[test]
    fn errors_keep_their_status_on_the_way() {
        for (status, message) in [
            (400, "Bad request: b"),
            (403, "Forbidden: f"),
            (404, "Not found: batch_id = 7"),
            (408, "Timeout"),
            (500, "Service error: s"),
        ] {
            let error = ApiError { status, message: message.to_owned(), problem: None };
            assert_eq!(ApiError::from(ServiceError::from(&error)), error);
        }
        let other = ApiError { status: 418, message: "tea".to_owned(), problem: None };
        assert_eq!(ServiceError::from(&other), ServiceError::Service("tea".into()));
    }
}
