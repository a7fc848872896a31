//! One TCP connection into a virtual network, over a client's WebSocket, with the habits of the daemon.
//!
//! The end of the far side's data is not passed on, and neither is the client's: the far side learns of it when it sends
//! again. A reset of the far side ends the client's connection without a close frame, and so does a client's silence.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, interval, sleep};

use super::ws::{Heard, Receiver, Sender};

/// The interval at which the daemon pings its client.
const PING: Duration = Duration::from_secs(5);
/// The longest silence of a client.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of the client that wait for the far side. The daemon keeps any number; we stop to read at some point.
const WAITING: usize = 64 << 20;
/// Frames of the client that wait for the far side.
const WAITING_FRAMES: usize = 1 << 16;
/// Bytes of the far side that one frame carries at most. Many connections are idle, and each keeps a buffer of this size.
const READ_AT_ONCE: usize = 16 << 10;
/// The time between two looks at a connection whose far side has said its last word.
const LOOK: Duration = Duration::from_millis(100);
/// Pings that wait for their answers.
const PINGS: usize = 16;

/// The ways in which a connection ends.
enum End {
    /// The client closed, vanished or broke the rules: the far side isn't told.
    Client,
    /// The far side is gone.
    Far,
}

/// Carries bytes both ways until the connection is over on either side.
pub(super) async fn carry<S>(receiver: Receiver<S>, sender: Sender<S>, stream: TcpStream)
where
    S: AsyncRead + AsyncWrite,
{
    let (mut from_far, to_far) = stream.into_split();
    let (frames, waiting) = mpsc::channel(WAITING_FRAMES);
    let (pings, pinged) = mpsc::channel(PINGS);
    let (heard, hearing) = watch::channel(Instant::now());
    let room = Arc::new(Semaphore::new(WAITING));
    let mut write = pin!(write(waiting, to_far, &room));
    let end = tokio::select! {
        () = listen(receiver, frames, pings, &heard, &room) => End::Client,
        () = &mut write => End::Far,
        end = speak(sender, &mut from_far, pinged, hearing) => end,
    };
    if matches!(end, End::Client) {
        // The connection lingers until the far side says something or goes. Meanwhile it gets what the client has sent, and its
        // half of the connection stays open.
        let mut byte = [0];
        tokio::select! {
            _ = from_far.read(&mut byte) => {}
            () = write => {}
        }
    }
}

/// Hears the client until it is gone.
async fn listen<S: AsyncRead>(
    mut receiver: Receiver<S>,
    frames: mpsc::Sender<Bytes>,
    pings: mpsc::Sender<Bytes>,
    heard: &watch::Sender<Instant>,
    room: &Semaphore,
) {
    while let Some(frame) = receiver.next().await {
        heard.send_replace(Instant::now());
        match frame {
            Heard::Data(data) => {
                let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
                let Ok(taken) = room.acquire_many(size).await else { return };
                // Given back when it is written.
                taken.forget();
                if frames.send(data).await.is_err() {
                    return;
                }
            }
            // Whoever pings without end isn't answered each time.
            Heard::Ping(data) => drop(pings.try_send(data)),
            Heard::Pong => {}
        }
    }
}

/// Writes the client's bytes to the far side until that is gone.
async fn write(mut waiting: mpsc::Receiver<Bytes>, mut to_far: OwnedWriteHalf, room: &Semaphore) {
    while let Some(data) = waiting.recv().await {
        if to_far.write_all(&data).await.is_err() {
            return;
        }
        room.add_permits(data.len());
    }
    // The client's end is somebody else's affair.
    std::future::pending::<()>().await;
}

/// Sends the far side's bytes to the client, and asks for signs of life.
async fn speak<S: AsyncWrite>(
    mut sender: Sender<S>,
    from_far: &mut OwnedReadHalf,
    mut pinged: mpsc::Receiver<Bytes>,
    hearing: watch::Receiver<Instant>,
) -> End {
    let mut buffer = vec![0; READ_AT_ONCE];
    let mut far_open = true;
    let mut ticks = interval(PING);
    loop {
        let sent = tokio::select! {
            read = hear(from_far, &mut buffer, far_open) => match read {
                Ok(0) => {
                    far_open = false;
                    continue;
                }
                Ok(count) => sender.data(&buffer[..count]).await,
                Err(_) => return End::Far,
            },
            Some(data) = pinged.recv() => sender.pong(&data).await,
            _ = ticks.tick() => {
                let silence = hearing.borrow().elapsed();
                if silence >= CLIENT_PATIENCE {
                    return End::Client;
                }
                sender.ping().await
            }
        };
        if sent.is_err() {
            return End::Client;
        }
    }
}

/// Reads what the far side sends. Of one that has said its last word only a reset is still to be heard, which is an error: nothing
/// else tells of it where the client waits for an answer.
async fn hear(from_far: &mut OwnedReadHalf, buffer: &mut [u8], is_open: bool) -> io::Result<usize> {
    if is_open {
        return from_far.read(buffer).await;
    }
    while !from_far.ready(Interest::ERROR).await?.is_error() {
        sleep(LOOK).await;
    }
    Err(io::ErrorKind::ConnectionReset.into())
}
