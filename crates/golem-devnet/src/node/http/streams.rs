//! Server-sent events: a batch's output, and scans.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream, Stream};
use http::header::{CONTENT_TYPE, HeaderValue};
use tokio::time::Instant;
use yagna_api::NodeId;
use yagna_api::activity::RuntimeEvent;

use super::script;
use super::wire::{Half, Happened};
use crate::node::market::Listing;
use crate::node::refusal::Refusal;
use crate::node::{State, World};

/// The interval at which a silent stream shows that it is alive.
const PING: Duration = Duration::from_secs(15);

/// A batch's events; only when they are over pings begin, and the stream never ends by itself. An exe-unit that is gone
/// has none to tell, and nothing is said of that.
pub(super) fn results(
    world: &World,
    unit: Result<Option<BoxStream<'static, RuntimeEvent>>, Refusal>,
) -> Response {
    let events = match unit {
        Ok(Some(events)) => events,
        // Its node is frozen.
        Ok(None) => stream::pending().boxed(),
        Err(_) => stream::empty().boxed(),
    };
    let events = events.enumerate().map(|(id, event)| {
        let data = serde_json::to_string(&Happened(&script::passed_on(event)))
            .expect("runtime events have text keys and plain values");
        format!("event: runtime\ndata: {data}\nid: {id}\n\n")
    });
    let first = stream::iter([":ping\n".to_owned()]);
    let pings = first.chain(stream::unfold((), |()| async {
        tokio::time::sleep(PING).await;
        Some((":ping\n".to_owned(), ()))
    }));
    answer(world, events.chain(pings))
}

/// Streams the findings of a scan, without end.
pub(super) fn scan(
    world: &World,
    caller: NodeId,
    scan: String,
    peer: Option<NodeId>,
    first: Vec<Listing>,
) -> Response {
    let queue: VecDeque<_> = first.into();
    let source = world.clone();
    let offers = stream::unfold(queue, move |mut queue| {
        let (world, caller, scan, peer) = (source.clone(), caller.clone(), scan.clone(), peer.clone());
        async move {
            while queue.is_empty() {
                let deadline = Instant::now() + PING;
                let more = more_of_scan(&world, &caller, &scan, 500, peer.as_ref(), deadline).await;
                match more {
                    Ok(found) if found.is_empty() => return Some((":ping\n\n".to_owned(), queue)),
                    Ok(found) => queue.extend(found),
                    // The scan has been ended.
                    Err(_) => return None,
                }
            }
            let listing = queue.pop_front()?;
            let data = serde_json::to_string(&Half::offer(&listing))
                .expect("offers have text keys and plain values");
            Some((format!("event: offer\ndata: {data}\n\n"), queue))
        }
    });
    answer(world, offers)
}

/// The stream as a body that breaks off when the daemon is started again.
fn answer(world: &World, pieces: impl Stream<Item = String> + Send + 'static) -> Response {
    let cut = Box::pin(world.0.faults.watch_cut());
    let body = stream::unfold(Some((Box::pin(pieces), cut)), |state| async {
        let (mut pieces, mut cut) = state?;
        tokio::select! {
            biased;
            () = &mut cut => Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), None)),
            piece = pieces.next() => Some((Ok(Bytes::from(piece?)), Some((pieces, cut)))),
        }
    });
    let mut answer = Response::new(Body::from_stream(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer
}

/// Waits for something that a scan hasn't shown yet.
pub(super) async fn more_of_scan(
    world: &World,
    caller: &NodeId,
    scan: &str,
    max: usize,
    peer: Option<&NodeId>,
    deadline: Instant,
) -> Result<Vec<Listing>, Refusal> {
    let wake = world.with(|state| Arc::clone(&state.scans.wake));
    let look = |state: &mut State| match state.scan_more(caller, scan, max, peer) {
        Ok(found) if found.is_empty() => None,
        other => Some(other),
    };
    world.wait(&wake, deadline, Duration::ZERO, look).await.unwrap_or_else(|| Ok(Vec::new()))
}
