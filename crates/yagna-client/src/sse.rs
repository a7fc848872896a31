//! Server-sent events: a parser of its own, and a batch's output as a stream.
//!
//! The daemon's stream never ends by itself and doesn't replay. Whoever follows a batch begins right after
//! sending it and stops on the last command's `finished`; what was missed is read from the batch's results.
//!
//! The stream says nothing while a command is quiet, and nothing but pings when its exe-unit is gone. So after a
//! while without an event the batch's results are asked whether there is still something to wait for.

use std::time::Duration;

use async_stream::stream;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::de::Error as _;
use tokio::time::{Instant, timeout, timeout_at};
use yagna_api::activity::{GetResults, RuntimeEvent, StreamResults};
use yagna_api::{ActivityId, AnswerError, ApiError, BatchId};

use self::parser::Parser;
use crate::client::Client;
use crate::error::ClientError;
use crate::transport::{StreamAnswer, TransportError};

mod parser;

/// The time that the daemon may take to begin its answer.
const OPENING: Duration = Duration::from_secs(15);

/// So long without an event, and we ask whether the batch still runs.
const SILENCE: Duration = Duration::from_secs(60);

/// As much of a refusal as is worth reading.
const REFUSAL: usize = 64 * 1024;

const OPERATION: &str = StreamResults::NAME;

impl Client {
    /// Streams the events of a batch, as they happen, until the stream is dropped.
    ///
    /// It ends by itself only with an error: when the connection is cut, or when after a minute without an event
    /// the batch turns out to be done or its activity lost. Kinds of events that are not known are left out.
    pub fn batch_events(
        &self,
        activity: ActivityId,
        batch: BatchId,
    ) -> BoxStream<'static, Result<RuntimeEvent, ClientError>> {
        let client = self.clone();
        Box::pin(stream! {
            let stream = StreamResults { activity: activity.clone(), batch: batch.clone() };
            let poll = GetResults { activity, batch, wait: Duration::ZERO, command: None };
            let mut body = match client.open_batch(stream).await {
                Ok(answer) => answer.body,
                Err(error) => {
                    yield Err(error);
                    return;
                }
            };
            let mut parser = Parser::default();
            let mut last = Instant::now();
            loop {
                let chunk = match timeout_at(last + SILENCE, body.next()).await {
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
                    Err(_) => match client.call(&poll).await {
                        Ok(results) if results.last().is_none_or(|last| !last.is_batch_finished) => {
                            last = Instant::now();
                            continue;
                        }
                        Ok(_) => {
                            yield Err(ClientError::TimedOut { operation: OPERATION, waited: SILENCE });
                            return;
                        }
                        Err(error) => {
                            yield Err(error);
                            return;
                        }
                    },
                };
                if let Err(error) = parser.push(&chunk) {
                    yield Err(ClientError::transport(OPERATION, TransportError::lost(error)));
                    return;
                }
                while let Some(event) = parser.next() {
                    if event.name != "runtime" {
                        continue;
                    }
                    last = Instant::now();
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
            let problem = serde_json::Error::custom("it is not a stream of events");
            return Err(ClientError::answer(
                OPERATION,
                AnswerError::unreadable(answer.status, &body, problem),
            ));
        }
        Ok(answer)
    }
}

/// Reads the words of a refusal, as far as they come; an incomplete text is no reason for another error.
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
