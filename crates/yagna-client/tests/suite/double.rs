//! A transport that answers from a script, and endpoints to send through it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use yagna_api::endpoint::empty_answer;
use yagna_api::{AnswerError, Endpoint, Repeat, Request};
use yagna_client::{Client, Response, SocketAnswer, StreamAnswer, Transport, TransportError};

/// What becomes of one sending.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    Unreachable,
    Lost,
    Never,
    Status(u16),
}

/// Gives each sending the next fate of a list, and the last one for ever.
#[derive(Debug)]
pub(crate) struct Scripted {
    fates: Mutex<VecDeque<Fate>>,
    sent: AtomicUsize,
}

impl Scripted {
    pub(crate) fn new(fates: impl IntoIterator<Item = Fate>) -> Arc<Self> {
        Arc::new(Self { fates: Mutex::new(fates.into_iter().collect()), sent: AtomicUsize::new(0) })
    }

    pub(crate) fn client(self: &Arc<Self>) -> Client {
        Client::new(self.clone()).with_chance(fastrand::Rng::with_seed(1))
    }

    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    fn next(&self) -> Fate {
        self.sent.fetch_add(1, Ordering::SeqCst);
        let mut fates = self.fates.lock().unwrap();
        if fates.len() > 1 { fates.pop_front().unwrap() } else { fates[0] }
    }
}

impl Transport for Scripted {
    fn address(&self) -> &'static str {
        "http://scripted"
    }

    fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        async {
            match self.next() {
                Fate::Unreachable => Err(TransportError::Unreachable {
                    address: self.address().to_owned(),
                    source: "refused".into(),
                }),
                Fate::Lost => Err(TransportError::lost("cut")),
                Fate::Never => std::future::pending().await,
                Fate::Status(status) => {
                    Ok(Response { status, headers: http::HeaderMap::new(), body: bytes::Bytes::new() })
                }
            }
        }
        .boxed()
    }

    fn open_stream(&self, _: Request) -> BoxFuture<'_, Result<StreamAnswer, TransportError>> {
        async { Err(TransportError::lost("not scripted")) }.boxed()
    }

    fn open_socket(
        &self,
        _: &str,
        _: Option<&'static str>,
    ) -> BoxFuture<'_, Result<SocketAnswer, TransportError>> {
        async { Err(TransportError::lost("not scripted")) }.boxed()
    }
}

macro_rules! probes {
    ($($name:ident: $repeat:ident),*) => {$(
        /// Does nothing, and says of itself how often it may be sent.
        pub(crate) struct $name;

        impl Endpoint for $name {
            type Answer = ();
            const NAME: &'static str = "probe the daemon";
            const REPEAT: Repeat = Repeat::$repeat;

            fn request(&self) -> Request {
                Request::post("/probe").patience(Duration::from_secs(10))
            }

            fn answer(&self, status: u16, body: &[u8]) -> Result<(), AnswerError> {
                empty_answer(status, body)
            }
        }
    )*};
}

probes!(Harmless: Harmless, Twice: Twice, Takes: Takes);
