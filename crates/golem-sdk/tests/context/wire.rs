//! A way to the daemon that keeps count, and meddles with batches' streams of events.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use yagna_api::Request;
use yagna_client::{
    ByteStream, InProcessTransport, Response, SocketAnswer, StreamAnswer, Transport, TransportError,
};

/// What happens to the streams of events that are opened from now on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meddling {
    /// So many events at the beginning are missed, as when a stream is opened too late.
    pub(crate) late_by: usize,
    /// The connection breaks off after so many events.
    pub(crate) breaks_after: Option<usize>,
    /// No events come at all, only pings.
    pub(crate) silent: bool,
}

#[derive(Debug)]
pub(crate) struct Wire {
    inner: InProcessTransport,
    lines: Mutex<Vec<String>>,
    meddling: Mutex<Meddling>,
    diverting: AtomicBool,
    /// Polls for the events of demands that wait just now, and demands that were withdrawn meanwhile.
    polls: AtomicUsize,
    withdrawn_early: AtomicUsize,
}

/// A poll for as long as it waits, however that ends.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Wire {
    pub(crate) fn new(inner: InProcessTransport) -> Self {
        Self {
            inner,
            lines: Mutex::default(),
            meddling: Mutex::default(),
            diverting: AtomicBool::new(false),
            polls: AtomicUsize::new(0),
            withdrawn_early: AtomicUsize::new(0),
        }
    }

    pub(crate) fn meddle(&self, meddling: Meddling) {
        *self.meddling.lock().unwrap_or_else(PoisonError::into_inner) = meddling;
    }

    /// From now on providers put aside what they should bring, and call that done.
    pub(crate) fn divert_downloads(&self) {
        self.diverting.store(true, Ordering::Relaxed);
    }

    /// How many requests began like this: `DELETE /gsb-api`.
    pub(crate) fn count(&self, beginning: &str) -> usize {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.starts_with(beginning)).count()
    }

    /// How many demands were withdrawn while their events were being asked for.
    pub(crate) fn withdrawn_early(&self) -> usize {
        self.withdrawn_early.load(Ordering::SeqCst)
    }

    /// Addresses on the bus that were bound and not given back.
    pub(crate) fn bound(&self) -> usize {
        self.count("POST /gsb-api") - self.count("DELETE /gsb-api")
    }

    fn note(&self, method: &str, path: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(format!("{method} {path}"));
    }
}

impl Transport for Wire {
    fn address(&self) -> &str {
        self.inner.address()
    }

    fn send(&self, mut request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            if self.diverting.load(Ordering::Relaxed) && request.path.contains("/exec") {
                request.body = request.body.map(|body| diverted(&String::from_utf8(body).unwrap()).into());
            }
            let (method, path) = (request.method.as_str(), request.path.clone());
            let is_of_demand = path.starts_with("/market-api/v1/demands/");
            let _waiting = (is_of_demand && path.contains("/events")).then(|| {
                self.polls.fetch_add(1, Ordering::SeqCst);
                Waiting(&self.polls)
            });
            if is_of_demand && method == "DELETE" && self.polls.load(Ordering::SeqCst) > 0 {
                self.withdrawn_early.fetch_add(1, Ordering::SeqCst);
            }
            let answer = self.inner.send(request).await;
            // Only what was done counts: who gives an address back has surely had the answer.
            if answer.as_ref().is_ok_and(|answer| answer.status < 300) {
                self.note(method, &path);
            }
            answer
        })
    }

    fn open_stream(&self, request: Request) -> BoxFuture<'_, Result<StreamAnswer, TransportError>> {
        Box::pin(async move {
            self.note("STREAM", &request.path);
            let meddling = std::mem::take(&mut *self.meddling.lock().unwrap_or_else(PoisonError::into_inner));
            let mut answer = self.inner.open_stream(request).await?;
            answer.body = meddled(answer.body, meddling);
            Ok(answer)
        })
    }

    fn open_socket(
        &self,
        path: &str,
        subprotocol: Option<&'static str>,
    ) -> BoxFuture<'_, Result<SocketAnswer, TransportError>> {
        self.inner.open_socket(path, subprotocol)
    }
}

/// A script, which is JSON in JSON, whose first upload to us goes elsewhere.
fn diverted(script: &str) -> String {
    let upload = r#"\"to\":\"gftp://"#;
    let Some((before, rest)) = script.split_once(upload) else {
        return script.to_owned();
    };
    let (_, after) = rest.split_once('\\').unwrap();
    format!(r#"{before}\"to\":\"container:/golem/work/aside\{after}"#)
}

/// The devnet sends each event as a piece of its own.
fn meddled(body: ByteStream, meddling: Meddling) -> ByteStream {
    let mut seen = 0;
    let pieces = body.map(move |piece| {
        let piece: Bytes = piece?;
        if !piece.starts_with(b"event: runtime") {
            return Ok(piece);
        }
        seen += 1;
        if meddling.breaks_after.is_some_and(|after| seen > meddling.late_by + after) {
            return Err(TransportError::lost("broken off on purpose"));
        }
        let hidden = meddling.silent || seen <= meddling.late_by;
        Ok(if hidden { Bytes::new() } else { piece })
    });
    let ended = stream::unfold((pieces, false), |(mut pieces, broken)| async move {
        if broken {
            return None;
        }
        let piece = pieces.next().await?;
        let broken = piece.is_err();
        Some((piece, (pieces, broken)))
    });
    Box::pin(ended)
}
