//! Bodies on their way through the proxy.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use super::content::{Body, BodyError, whole};
use super::pool::Kept;

/// The largest body that is kept for the case that its request has to be repeated.
pub(super) const REPEATABLE: u64 = 64 * 1024;

/// The body of a request, as far as it is still there.
#[derive(Debug)]
pub(super) enum Upload {
    /// It is all there, and may be sent several times.
    Whole(Bytes),
    /// It is still coming, and can be sent once.
    Once(Body),
    /// It has been sent, or was begun.
    Spent,
}

impl Upload {
    /// The body to send, if there is still one.
    pub(super) fn take(&mut self) -> Option<Body> {
        match self {
            Self::Whole(bytes) => Some(whole(bytes.clone())),
            Self::Spent => None,
            Self::Once(_) => match std::mem::replace(self, Self::Spent) {
                Self::Once(body) => Some(body),
                Self::Whole(_) | Self::Spent => None,
            },
        }
    }

    /// Takes back a body that wasn't begun.
    pub(super) fn give_back(&mut self, body: Body) {
        if matches!(self, Self::Spent) {
            *self = Self::Once(body);
        }
    }

    /// True if it can be sent again from its beginning, whatever has been sent.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }
}

/// The body of a response, with the connection that it comes by.
///
/// Once it has been read to its end the connection is kept for other requests; a body that is dropped earlier takes it along.
pub(super) struct Reply {
    inner: Incoming,
    kept: Option<Kept>,
    /// For a body that ends by closing: the time that may pass without a byte, and the words for when it has.
    silence: Option<(Duration, Pin<Box<Sleep>>, String)>,
    begun: Option<Bytes>,
}

impl Reply {
    pub(super) fn new(inner: Incoming, kept: Kept) -> Self {
        Self { inner, kept: Some(kept), silence: None, begun: None }
    }

    /// Fails with these words when no byte has come for so long.
    pub(super) fn with_silence(mut self, limit: Duration, words: String) -> Self {
        self.silence = Some((limit, Box::pin(tokio::time::sleep(limit)), words));
        self
    }

    /// Puts bytes in front of those that come.
    pub(super) fn beginning_with(mut self, bytes: Bytes) -> Self {
        self.begun = Some(bytes).filter(|bytes| !bytes.is_empty());
        self
    }

    fn over(&mut self) {
        if let Some(kept) = self.kept.take() {
            kept.give_back();
        }
    }
}

impl HttpBody for Reply {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(begun) = this.begun.take() {
            return Poll::Ready(Some(Ok(Frame::data(begun))));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
            let Some((limit, sleep, words)) = &mut this.silence else { return Poll::Pending };
            ready!(sleep.as_mut().poll(cx));
            tracing::warn!(after = ?limit, "{words}");
            let error = std::mem::take(words);
            this.silence = None;
            this.kept = None;
            return Poll::Ready(Some(Err(error.into())));
        };
        if let Some((limit, sleep, _)) = &mut this.silence {
            sleep.as_mut().reset(tokio::time::Instant::now() + *limit);
        }
        match frame {
            Some(Ok(frame)) => {
                // The server at this end may not ask again after the last byte.
                if this.inner.is_end_stream() {
                    this.over();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.kept = None;
                tracing::debug!(problem = %crate::text::chain(&error), "a response broke off");
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                this.over();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.begun.is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            self.over();
        }
    }
}
