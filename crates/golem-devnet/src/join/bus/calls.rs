//! Our own calls on one connection, and the way out of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::CallError;
use crate::join::wire::{Body, Call, FULL, OK, Reply};

/// So many calls may wait for their answers.
const MAX_PENDING: usize = 4096;

/// The sending half of a connection that stands.
#[derive(Debug, Clone)]
pub(super) struct Link {
    out: mpsc::Sender<Body>,
    pending: Arc<Mutex<Pending>>,
}

#[derive(Debug, Default)]
struct Pending {
    calls: HashMap<String, oneshot::Sender<Result<Bytes, CallError>>>,
    closed: bool,
}

impl Link {
    /// Makes a link that sends through `out`.
    pub(super) fn new(out: mpsc::Sender<Body>) -> Self {
        Self { out, pending: Arc::default() }
    }

    /// Calls, and waits for the answer however long that takes. Cancel safe: the answer is dropped then.
    pub(super) async fn call(
        &self,
        caller: &str,
        address: String,
        data: Vec<u8>,
    ) -> Result<Bytes, CallError> {
        let (answer, answered) = oneshot::channel();
        let waiting = self.wait_for(answer)?;
        let call = Call {
            caller: caller.to_owned(),
            address,
            request: waiting.request.clone(),
            data: data.into(),
            no_reply: false,
        };
        self.out.send(Body::Call(call)).await.map_err(|_| CallError::Lost)?;
        answered.await.unwrap_or(Err(CallError::Lost))
    }

    /// Calls without an answer, unless too much waits to be sent.
    pub(super) fn push(&self, caller: &str, address: String, data: Bytes) {
        let request = uuid::Uuid::new_v4().simple().to_string();
        let call = Call { caller: caller.to_owned(), address, request, data, no_reply: true };
        if self.out.try_send(Body::Call(call)).is_err() {
            tracing::trace!("a call without answer is lost");
        }
    }

    /// An answer has come. One that nobody waits for is dropped.
    pub(super) fn answered(&self, reply: Reply) {
        // We ask for no streams: what isn't the end of an answer is none of ours.
        if reply.kind != FULL {
            return;
        }
        let waiting = self.pending().calls.remove(&reply.request);
        let Some(waiting) = waiting else { return };
        let result = match reply.code {
            OK => Ok(reply.data),
            code => Err(CallError::Refused { code, text: String::from_utf8_lossy(&reply.data).into_owned() }),
        };
        // Whoever has given up needs no answer.
        drop(waiting.send(result));
    }

    /// No answers will come any more.
    pub(super) fn close(&self) {
        let mut pending = self.pending();
        pending.closed = true;
        pending.calls.clear();
    }

    fn wait_for(&self, answer: oneshot::Sender<Result<Bytes, CallError>>) -> Result<Waiting<'_>, CallError> {
        let request = uuid::Uuid::new_v4().simple().to_string();
        let mut pending = self.pending();
        if pending.closed {
            return Err(CallError::Lost);
        }
        if pending.calls.len() >= MAX_PENDING {
            return Err(CallError::Busy);
        }
        pending.calls.insert(request.clone(), answer);
        Ok(Waiting { link: self, request })
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that somebody waits for.
struct Waiting<'a> {
    link: &'a Link,
    request: String,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.link.pending().calls.remove(&self.request);
    }
}
