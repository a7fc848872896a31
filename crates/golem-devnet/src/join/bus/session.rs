//! One connection to the bus, from its hello to its loss.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::StreamExt as _;
use tokio::io::{AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, error};

use super::calls::Link;
use super::{Answer, BusDown, Service, SessionError, Shared, Stream, registrar};
use crate::join::wire::{
    Body, Call, Empty, FAILURE, FULL, Hello, OK, Outcome, PARTIAL, PacketReader, Reply, WireError,
};

/// Packets that wait to be written before whoever has more of them waits.
const OUTBOX: usize = 64;
/// The registrar asks one thing at a time.
const OUTCOMES: usize = 4;
/// The longest time for which the daemon may accept no data from us.
const WRITE_PATIENCE: Duration = Duration::from_secs(20);
/// Say something when nothing came for this long..
const PING_AFTER: Duration = Duration::from_secs(10);
/// ..and give up then.
const SILENCE: Duration = Duration::from_secs(30);
/// Answers of more bytes are not given: a packet's length has 32 bits, and others have less memory than that.
const MAX_ANSWER: usize = 1 << 30;
/// The message of a bus's router where nobody serves an address.
const NO_ENDPOINT: &str = "Bad request: endpoint address not found";

/// A connection on which both sides have said hello.
pub(super) struct Greeted {
    reader: PacketReader<ReadHalf<Box<dyn Stream>>>,
    writer: WriteHalf<Box<dyn Stream>>,
}

/// Says hello, and waits for the daemon's.
pub(super) async fn greet(stream: Box<dyn Stream>, instance: &Bytes) -> Result<Greeted, BusDown> {
    let (reader, mut writer) = split(stream);
    let hello = Body::Hello(Hello {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: instance.clone(),
    });
    writer.write_all(&hello.into_frame()).await.map_err(BusDown::Connect)?;
    let mut reader = PacketReader::new(reader);
    match reader.next().await {
        Ok(Body::Hello(hello)) => {
            debug!(router = hello.name, version = hello.version, "the daemon's bus says hello");
            Ok(Greeted { reader, writer })
        }
        Ok(other) => Err(BusDown::Greeting(format!("it began with {other:?}"))),
        Err(error) => Err(BusDown::Greeting(error.to_string())),
    }
}

/// Serves and calls until the connection is lost.
pub(super) async fn run(shared: &Shared, greeted: Greeted) -> SessionError {
    let (out, outbox) = mpsc::channel(OUTBOX);
    let (outcomes, mut registered) = mpsc::channel(OUTCOMES);
    let (heard, hearing) = watch::channel(Instant::now());
    let link = Link::new(out.clone());
    shared.link.send_replace(Some(link.clone()));
    let Greeted { reader, writer } = greeted;
    let dispatcher = Dispatcher { shared, link, out: out.clone(), outcomes, heard, calls: JoinSet::new() };
    let ended = tokio::select! {
        ended = dispatcher.run(reader) => ended,
        ended = write(writer, outbox) => ended,
        ended = registrar::keep(shared, &out, &mut registered) => ended,
        ended = watch_over(hearing, &out) => ended,
    };
    match ended {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

struct Dispatcher<'a> {
    shared: &'a Shared,
    link: Link,
    out: mpsc::Sender<Body>,
    outcomes: mpsc::Sender<Outcome>,
    heard: watch::Sender<Instant>,
    /// Ended with the connection: nobody could be told their answers.
    calls: JoinSet<()>,
}

impl Dispatcher<'_> {
    async fn run(
        mut self,
        mut reader: PacketReader<ReadHalf<Box<dyn Stream>>>,
    ) -> Result<Infallible, SessionError> {
        loop {
            let packet = tokio::select! {
                packet = reader.next() => packet?,
                Some(ended) = self.calls.join_next() => {
                    if let Err(failure) = ended && failure.is_panic() {
                        error!(%failure, "a service on the bus has panicked");
                    }
                    continue;
                }
            };
            self.heard.send_replace(Instant::now());
            match packet {
                Body::Call(call) => self.serve(call).await,
                Body::Reply(reply) => self.link.answered(reply),
                Body::Registered(outcome) | Body::Unregistered(outcome) => {
                    if self.outcomes.try_send(outcome).is_err() {
                        debug!("the daemon answers what it wasn't asked");
                    }
                }
                Body::Ping(_) => self.send(Body::Pong(Empty {})).await,
                Body::Pong(_) | Body::Hello(_) | Body::Register(_) | Body::Unregister(_) => {}
            }
        }
    }

    /// A full outbox makes us read no more, so that the daemon waits, until the writer gives up or goes on.
    async fn send(&self, body: Body) {
        // The writer's end is the session's.
        drop(self.out.send(body).await);
    }

    async fn serve(&mut self, call: Call) {
        let Call { caller, address, request, data, no_reply } = call;
        let found = address.rsplit_once('/').and_then(|(service, method)| {
            let found = self.shared.services().get(service).cloned()?;
            Some((found, method.to_owned()))
        });
        let Some((service, method)) = found else {
            if !no_reply {
                self.send(failure(request, NO_ENDPOINT)).await;
            }
            return;
        };
        let Ok(room) = Arc::clone(&service.room).try_acquire_owned() else {
            if !no_reply {
                self.send(failure(request, "too many calls at the same time")).await;
            }
            return;
        };
        let reply_to = (!no_reply).then(|| (request, self.out.clone()));
        self.calls.spawn(async move {
            serve(service, (caller, method, data), reply_to).await;
            drop(room);
        });
    }
}

/// Serves one call. An unbound service falls silent, as one that was killed does.
async fn serve(
    service: Service,
    (caller, method, data): (String, String, Bytes),
    reply_to: Option<(String, mpsc::Sender<Body>)>,
) {
    let Service { handler, gone, .. } = service;
    let answer = handler.call(caller, method, data);
    let reply = async {
        let answer = answer.await;
        if gone.is_cancelled() {
            return;
        }
        let Some((request, out)) = reply_to else { return };
        answer_all(request, answer, &out).await;
    };
    tokio::select! {
        biased;
        () = reply => {}
        () = gone.cancelled() => {}
    }
}

async fn answer_all(request: String, answer: Answer, out: &mpsc::Sender<Body>) {
    let last = match answer {
        Answer::Full(data) if data.len() > MAX_ANSWER => {
            return drop(out.send(failure(request, "the answer is too large")).await);
        }
        Answer::Full(data) => Reply { request, code: OK, kind: FULL, data: data.into() },
        Answer::Stream(mut messages) => {
            while let Some(data) = messages.next().await {
                let part = Reply { request: request.clone(), code: OK, kind: PARTIAL, data: data.into() };
                if out.send(Body::Reply(part)).await.is_err() {
                    return;
                }
            }
            Reply { request, code: OK, kind: FULL, data: Bytes::new() }
        }
        Answer::NoEndpoint => return drop(out.send(failure(request, NO_ENDPOINT)).await),
        Answer::Failure(text) => return drop(out.send(failure(request, &text)).await),
    };
    // The connection's end is the session's business.
    drop(out.send(Body::Reply(last)).await);
}

fn failure(request: String, text: &str) -> Body {
    Body::Reply(Reply { request, code: FAILURE, kind: FULL, data: Bytes::copy_from_slice(text.as_bytes()) })
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut outbox: mpsc::Receiver<Body>,
) -> Result<Infallible, SessionError> {
    loop {
        // Others of the session hold senders as long as it lives.
        let Some(body) = outbox.recv().await else { return Err(SessionError::Silent) };
        let frame = body.into_frame();
        match timeout(WRITE_PATIENCE, writer.write_all(&frame)).await {
            Ok(written) => written.map_err(WireError::Io)?,
            Err(_) => return Err(SessionError::Silent),
        }
    }
}

/// Finds out about a connection that is dead without having ended.
async fn watch_over(
    hearing: watch::Receiver<Instant>,
    out: &mpsc::Sender<Body>,
) -> Result<Infallible, SessionError> {
    let mut ticks = interval(PING_AFTER / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let silence = hearing.borrow().elapsed();
        if silence >= SILENCE {
            return Err(SessionError::Silent);
        }
        // A full outbox is the writer's problem.
        if silence >= PING_AFTER && out.try_send(Body::Ping(Empty {})).is_err() {
            debug!("no room for a ping");
        }
    }
}
