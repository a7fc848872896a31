//! The loop of `gftp server`: a line in, an answer out, one after the other.
//!
//! Answers come in the order of the requests, because golem-js takes them in that order whatever their ids are.

use std::io;

use serde::Serialize;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
};
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::rpc::{self, Call, Reply, RpcError};

/// No request is longer.
const LONGEST: u64 = 16 << 20;

/// The output for answers.
#[derive(Debug)]
pub(super) struct Answers<W>(W);

impl<W: AsyncWrite + Unpin> Answers<W> {
    pub(super) fn new(to: W) -> Self {
        Self(to)
    }

    /// Sends a message in one write: golem-js takes each piece that it reads for a whole answer.
    pub(super) async fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.extend_from_slice(b"\r\n");
        self.0.write_all(&line).await?;
        self.0.flush().await
    }
}

/// Answers requests until one says `shutdown`, until there are no more, or until told to stop.
pub(super) async fn serve(
    input: impl AsyncRead + Unpin,
    answers: &mut Answers<impl AsyncWrite + Unpin>,
    desk: &mut Desk,
    stop: &CancellationToken,
) {
    let served = async {
        let mut input = BufReader::new(input);
        while let Some(line) = next(&mut input).await? {
            let (id, call) = match line {
                Line::TooLong => (serde_json::Value::Null, Err(RpcError::invalid("the request is too long"))),
                Line::Whole(line) if line.trim_ascii().is_empty() => continue,
                Line::Whole(line) => {
                    let request = rpc::read(&line);
                    (request.id, request.call)
                }
            };
            let last = matches!(call, Ok(Call::Shutdown {}));
            let answer = match call {
                Ok(call) => desk.answer(call).await,
                Err(error) => Err(error),
            };
            answers.send(&Reply::new(id, answer)).await?;
            if last {
                break;
            }
        }
        Ok::<_, io::Error>(())
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        served = served => if let Err(error) = served {
            // Whoever started us is gone.
            tracing::debug!(%error, "no more requests");
        }
    }
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
}

async fn next(input: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    if (&mut *input).take(LONGEST).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    if line.ends_with(b"\n") || (line.len() as u64) < LONGEST {
        return Ok(Some(Line::Whole(line)));
    }
    while !line.is_empty() && !line.ends_with(b"\n") {
        line.clear();
        (&mut *input).take(LONGEST).read_until(b'\n', &mut line).await?;
    }
    Ok(Some(Line::TooLong))
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use serde_json::Value;

    use super::*;
    use crate::gftp::desk::Daemon;

    /// Keeps each write apart.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn answers(input: &[u8]) -> Vec<Vec<u8>> {
        let mut answers = Answers::new(Writes::default());
        let mut desk = Desk::new(Daemon::NoKey);
        serve(input, &mut answers, &mut desk, &CancellationToken::new()).await;
        answers.0.0
    }

    #[tokio::test]
    async fn every_answer_is_one_write_of_one_line() {
        let input = b"\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\"}\r\n  \nnonsense\n\
            {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"publish\",\"params\":{\"files\":[\"/\"]}}\n\
            {\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"shutdown\"}\n\
            {\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"version\"}\n";
        let writes = answers(input).await;
        let mut ids = Vec::new();
        for write in &writes {
            let line = write.strip_suffix(b"}\r\n").expect("it ends with the line's end");
            assert!(!line.contains(&b'\n'));
            let answer: Value = serde_json::from_slice(write).unwrap();
            assert_eq!(answer["jsonrpc"], "2.0");
            ids.push(answer["id"].clone());
        }
        assert_eq!(
            ids,
            [Value::from(1), Value::Null, 2.into(), 3.into()],
            "in order, and none after the shutdown"
        );
        assert!(String::from_utf8_lossy(&writes[2]).contains("YAGNA_APPKEY"), "it says what is missing");
    }

    #[tokio::test]
    async fn a_line_that_never_ends_takes_no_more_memory_than_the_longest_and_the_next_one_is_read() {
        let mut input = vec![b'x'; usize::try_from(LONGEST).unwrap() * 2 + 5];
        input.extend_from_slice(b"\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\"}");
        let writes = answers(&input).await;
        let answers: Vec<Value> = writes.iter().map(|write| serde_json::from_slice(write).unwrap()).collect();
        assert_eq!(answers.len(), 2, "{answers:?}");
        assert_eq!(answers[0]["error"]["code"], -32600);
        assert_eq!(answers[1]["id"], 1, "a last line needs no end");
    }
}
