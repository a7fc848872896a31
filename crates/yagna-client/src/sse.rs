//! Server-sent events: a parser of its own, and a batch's output as a stream.
//!
//! The daemon's stream never ends by itself and doesn't replay. Whoever follows a batch begins right after
//! sending it and stops on the last command's `finished`; what was missed is read from the batch's results.

use std::time::Duration;

use async_stream::stream;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::de::Error as _;
use tokio::time::timeout;
use yagna_api::activity::{RuntimeEvent, StreamResults};
use yagna_api::{ActivityId, AnswerError, ApiError, BatchId};

use self::parser::Parser;
use crate::client::Client;
use crate::error::ClientError;
use crate::transport::{StreamAnswer, TransportError};

mod parser;

/// How long the daemon may take to begin its answer.
const OPENING: Duration = Duration::from_secs(15);

/// The daemon sends a ping every 15 seconds; when four are missing, the connection is dead.
const SILENCE: Duration = Duration::from_secs(60);

/// As much of a refusal as is worth reading.
const REFUSAL: usize = 64 * 1024;

const OPERATION: &str = StreamResults::NAME;

impl Client {
    /// What happens in a batch, as it happens, until the stream is dropped.
    ///
    /// It ends by itself only with an error: when the connection is cut or silent for a minute. Kinds of
    /// events that are not known are left out.
    pub fn batch_events(
        &self,
        activity: ActivityId,
        batch: BatchId,
    ) -> BoxStream<'static, Result<RuntimeEvent, ClientError>> {
        let client = self.clone();
        Box::pin(stream! {
            let mut body = match client.open_batch(StreamResults { activity, batch }).await {
                Ok(answer) => answer.body,
                Err(error) => {
                    yield Err(error);
                    return;
                }
            };
            let mut parser = Parser::default();
            loop {
                let chunk = match timeout(SILENCE, body.next()).await {
                    Ok(Some(Ok(chunk))) => chunk,
                    Ok(Some(Err(error))) => {
                        yield Err(ClientError::transport(OPERATION, error));
                        return;
                    }
                    Ok(None) => {
                        let error = TransportError::lost("the stream of events ended");
                        yield Err(ClientError::transport(OPERATION, error));
                        return;
                    }
                    Err(_) => {
                        yield Err(ClientError::TimedOut { operation: OPERATION, waited: SILENCE });
                        return;
                    }
                };
                if let Err(error) = parser.push(&chunk) {
                    yield Err(ClientError::transport(OPERATION, TransportError::lost(error)));
                    return;
                }
                while let Some(event) = parser.next() {
                    if event.name != "runtime" {
                        continue;
                    }
                    match serde_json::from_str(&event.data) {
                        Ok(event) => yield Ok(event),
                        Err(error) => tracing::debug!(%error, "left out a runtime event that isn't known"),
                    }
                }
            }
        })
    }

    async fn open_batch(&self, stream: StreamResults) -> Result<StreamAnswer, ClientError> {
        let answer = timeout(OPENING, self.transport().open_stream(stream.request()))
            .await
            .map_err(|_| ClientError::TimedOut { operation: OPERATION, waited: OPENING })?
            .map_err(|source| ClientError::transport(OPERATION, source))?;
        if answer.status != 200 {
            let body = refusal(answer.body).await;
            return Err(ClientError::answer(OPERATION, ApiError::read(answer.status, &body)));
        }
        let kind = answer.headers.get(http::header::CONTENT_TYPE);
        if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            let body = refusal(answer.body).await;
            let problem = serde_json::Error::custom("it is no stream of events");
            return Err(ClientError::answer(
                OPERATION,
                AnswerError::unreadable(answer.status, &body, problem),
            ));
        }
        Ok(answer)
    }
}

/// What there is of a refusal's words; fewer words are no reason for another error.
async fn refusal(mut body: crate::transport::ByteStream) -> Vec<u8> {
    let mut words = Vec::new();
    while let Ok(Some(Ok(chunk))) = timeout(OPENING, body.next()).await {
        words.extend_from_slice(&chunk);
        if words.len() >= REFUSAL {
            break;
        }
    }
    words
}
