//! The page's news: server-sent events, made by looking at the store about once a second.
//!
//! A look is one short query while nothing has changed. A browser that goes away takes its stream with it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::time::{Instant, sleep_until};

use super::answer::Trouble;
use super::shared::Shared;
use crate::store::StoreError;

/// The time between two looks, and after trouble.
const EVERY: Duration = Duration::from_secs(1);
const AFTER_TROUBLE: Duration = Duration::from_secs(3);

/// The list of runs, whenever it has changed.
pub(super) fn of_all(shared: Arc<Shared>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    stream(shared, "runs", |shared| async move { shared.runs().await })
}

/// One run, whenever it has changed.
pub(super) fn of_run(
    shared: Arc<Shared>,
    run_id: String,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    stream(shared, "run", move |shared| {
        let run_id = run_id.clone();
        async move { shared.run(&run_id).await }
    })
}

/// The position in a stream of news.
struct Watch<L> {
    shared: Arc<Shared>,
    look: L,
    told: Option<Result<Bytes, String>>,
    next: Instant,
    /// The page is closed, and the last news are told.
    over: bool,
}

fn stream<L, F>(
    shared: Arc<Shared>,
    name: &'static str,
    look: L,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>>
where
    L: Fn(Arc<Shared>) -> F + Send + 'static,
    F: Future<Output = Result<Bytes, StoreError>> + Send,
{
    let watch = Watch { shared, look, told: None, next: Instant::now(), over: false };
    let news = unfold(watch, move |mut watch| async move {
        if watch.over {
            return None;
        }
        let stop = watch.shared.stop().clone();
        let news = if let Some(news) = stop.run_until_cancelled(watch.news()).await {
            news
        } else {
            // Whoever follows a run to its end is to see that.
            watch.over = true;
            watch.looked().await
        };
        let event = match &news {
            Ok(seen) => Event::default().event(name).data(String::from_utf8_lossy(seen).trim_end()),
            Err(trouble) => Event::default().event("trouble").data(trouble),
        };
        watch.told = Some(news);
        Some((Ok(event), watch))
    });
    Sse::new(news).keep_alive(KeepAlive::default())
}

impl<L, F> Watch<L>
where
    L: Fn(Arc<Shared>) -> F + Send,
    F: Future<Output = Result<Bytes, StoreError>> + Send,
{
    /// Waits for something that wasn't told yet.
    async fn news(&mut self) -> Result<Bytes, String> {
        loop {
            sleep_until(self.next).await;
            let seen = self.looked().await;
            self.next = Instant::now() + if seen.is_ok() { EVERY } else { AFTER_TROUBLE };
            if self.told.as_ref() != Some(&seen) {
                return seen;
            }
        }
    }

    async fn looked(&mut self) -> Result<Bytes, String> {
        (self.look)(Arc::clone(&self.shared)).await.map_err(|error| Trouble(error).json())
    }
}
