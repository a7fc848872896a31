//! From a command's pipes to the channel of its output.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Output;

/// The most that is read at once, and that one piece of output holds.
const PIECE: usize = 64 * 1024;
/// The number of bytes that a pipe can still hold when its writer has ended.
const LEFT_IN_PIPE: usize = 1024 * 1024;
/// The longest time for which a pipe without data may stay open after the program's end.
const QUIET: Duration = Duration::from_millis(50);

/// A pipe that something in the background still holds.
pub(super) enum Pipe {
    Stdout(ChildStdout),
    Stderr(ChildStderr),
}

/// Sends what comes until the pipe ends, or until the program has ended and what it wrote is read.
///
/// Gives the pipe back in the second case. With nobody to receive it, output is read and dropped.
pub(super) async fn forward<R: AsyncRead + Unpin>(
    pipe: Option<R>,
    kind: fn(Bytes) -> Output,
    output: &mpsc::Sender<Output>,
    ended: &CancellationToken,
) -> Option<R> {
    let mut pipe = pipe?;
    let mut buffer = BytesMut::new();
    let mut left = LEFT_IN_PIPE;
    loop {
        buffer.reserve(PIECE);
        let read = if ended.is_cancelled() {
            if left == 0 {
                return Some(pipe);
            }
            match tokio::time::timeout(QUIET, pipe.read_buf(&mut buffer)).await {
                Ok(read) => read,
                Err(_) => return Some(pipe),
            }
        } else {
            tokio::select! {
                biased;
                read = pipe.read_buf(&mut buffer) => read,
                () = ended.cancelled() => continue,
            }
        };
        let count = match read {
            Ok(0) | Err(_) => return None,
            Ok(count) => count,
        };
        if ended.is_cancelled() {
            left = left.saturating_sub(count);
        }
        // A few bytes must not keep a big buffer for as long as somebody keeps them.
        let piece = if count < PIECE / 4 {
            let piece = Bytes::copy_from_slice(&buffer);
            buffer.clear();
            piece
        } else {
            buffer.split().freeze()
        };
        // Nobody listens any more: the program may finish all the same.
        drop(output.send(kind(piece)).await);
    }
}

/// Reads a pipe to its end for nobody.
pub(super) async fn swallow(pipe: Pipe) {
    async fn to_end(mut pipe: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; 4096];
        while pipe.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    }
    match pipe {
        Pipe::Stdout(pipe) => to_end(pipe).await,
        Pipe::Stderr(pipe) => to_end(pipe).await,
    }
}
