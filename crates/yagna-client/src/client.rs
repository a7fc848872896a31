//! The client: a request out, its answer in, within a deadline, again where that is safe.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use jiff::fmt::rfc2822::DateTimeParser;

use tokio::time::{Instant, timeout_at};
use yagna_api::{Endpoint, Timestamp};

use crate::error::ClientError;
use crate::observer::{Observer, Outcome};
use crate::retry::{Chance, RetryPolicy, may_repeat};
use crate::transport::{Socket, SocketAnswer, Transport};

/// The time that a call gets beyond the time that the daemon may take by its own rules.
const MARGIN: Duration = Duration::from_secs(5);

/// "For ever", where a longer time would overflow the clock.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Speaks with one daemon under one app key. Clones share everything and are cheap.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    retry: RetryPolicy,
    chance: Chance,
    daemon_time: Arc<Mutex<Option<(Timestamp, Instant)>>>,
    observer: Option<Arc<dyn Observer>>,
}

impl Client {
    /// A client over a transport, with the default [`RetryPolicy`].
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        let chance = Chance::new(fastrand::Rng::new());
        Self { transport, retry: RetryPolicy::default(), chance, daemon_time: Arc::default(), observer: None }
    }

    /// Sets how failed calls are made again.
    #[must_use]
    pub fn with_retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets where the jitter of the delays comes from: a seeded generator makes them repeatable.
    #[must_use]
    pub fn with_chance(mut self, chance: fastrand::Rng) -> Self {
        self.chance = Chance::new(chance);
        self
    }

    /// Tells somebody of each request, once it has its answer or has failed.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The daemon's address, for people.
    pub fn address(&self) -> &str {
        self.transport.address()
    }

    /// The latest time that the daemon's clock showed, to the second, and the moment at which it came. A transport
    /// without HTTP's `Date` tells nothing.
    pub fn daemon_time(&self) -> Option<(Timestamp, Instant)> {
        *self.daemon_time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_time(&self, headers: &HeaderMap) {
        let date = headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        let told = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
        if let Some(told) = told {
            *self.daemon_time.lock().unwrap_or_else(PoisonError::into_inner) = Some((told, Instant::now()));
        }
    }

    /// The policy by which failed calls are retried.
    pub fn retry_policy(&self) -> RetryPolicy {
        self.retry
    }

    /// Sends a request, and again while that is safe and the [`RetryPolicy`] allows it.
    ///
    /// Each attempt has a deadline: the daemon's own time for it and five seconds more. One that passes it
    /// ends the call with [`ClientError::TimedOut`]. What is "safe" is said by [`yagna_api::Repeat`]: a
    /// request with effects is repeated only when the daemon surely never took it.
    ///
    /// **Errors**: [`ClientError`], of the last attempt.
    ///
    /// **Cancel safety**: dropping the future gives the call up; the daemon may still carry it out.
    pub async fn call<E: Endpoint>(&self, endpoint: &E) -> Result<E::Answer, ClientError> {
        self.repeat(endpoint, self.retry.total, None).await
    }

    /// Like [`call`](Self::call), but all attempts together end by `deadline` from now; a call that it cuts off ends with
    /// [`ClientError::TimedOut`].
    pub async fn call_within<E: Endpoint>(
        &self,
        endpoint: &E,
        deadline: Duration,
    ) -> Result<E::Answer, ClientError> {
        self.repeat(endpoint, self.retry.total, Some(deadline)).await
    }

    /// Like [`call`](Self::call), but with one attempt only.
    pub async fn call_once<E: Endpoint>(&self, endpoint: &E) -> Result<E::Answer, ClientError> {
        self.repeat(endpoint, Duration::ZERO, None).await
    }

    /// Opens a WebSocket, such as one of [`yagna_api::net::tcp_path`]. `operation` names it in errors.
    ///
    /// **Errors**: [`ClientError`]; a daemon that answers with something else than a socket is
    /// [`ClientError::Answer`].
    ///
    /// **Cancel safety**: dropping the future leaves no socket open.
    pub async fn socket(
        &self,
        operation: &'static str,
        path: &str,
        subprotocol: Option<&'static str>,
    ) -> Result<Socket, ClientError> {
        let waited = yagna_api::Request::PLAIN_PATIENCE + MARGIN;
        match tokio::time::timeout(waited, self.transport.open_socket(path, subprotocol)).await {
            Err(_) => Err(ClientError::TimedOut { operation, waited }),
            Ok(Err(source)) => Err(ClientError::transport(operation, source)),
            Ok(Ok(SocketAnswer::Open(socket))) => Ok(socket),
            Ok(Ok(SocketAnswer::Refused(response))) => Err(ClientError::answer(
                operation,
                yagna_api::ApiError::read(response.status, &response.body),
            )),
        }
    }

    pub(crate) fn transport(&self) -> &dyn Transport {
        self.transport.as_ref()
    }

    pub(crate) fn chance(&self) -> &Chance {
        &self.chance
    }

    async fn repeat<E: Endpoint>(
        &self,
        endpoint: &E,
        total: Duration,
        deadline: Option<Duration>,
    ) -> Result<E::Answer, ClientError> {
        let begin = Instant::now();
        let end = deadline.map(|deadline| begin + deadline.min(FAR));
        let last_start = begin + total.min(FAR);
        let last_start = end.map_or(last_start, |end| end.min(last_start));
        let mut failures = 0;
        loop {
            let error = match self.attempt(endpoint, begin, end).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            failures += 1;
            let delay = self.chance.delay(&self.retry, failures);
            let again = Instant::now() + delay;
            if again >= last_start || !may_repeat(E::REPEAT, &error) {
                return Err(error);
            }
            tracing::debug!(
                operation = E::NAME,
                failures,
                delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                problem = %error.brief(),
                "trying again"
            );
            tokio::time::sleep_until(again).await;
        }
    }

    async fn attempt<E: Endpoint>(
        &self,
        endpoint: &E,
        begin: Instant,
        end: Option<Instant>,
    ) -> Result<E::Answer, ClientError> {
        let Some(observer) = &self.observer else { return self.send(endpoint, begin, end).await };
        let sent = Instant::now();
        let answer = self.send(endpoint, begin, end).await;
        observer.asked(E::NAME, sent.elapsed(), Outcome::of(answer.as_ref().err()));
        answer
    }

    async fn send<E: Endpoint>(
        &self,
        endpoint: &E,
        begin: Instant,
        end: Option<Instant>,
    ) -> Result<E::Answer, ClientError> {
        let operation = E::NAME;
        let request = endpoint.request();
        let (until, waited) = if let Some(end) = end {
            (end, end - begin)
        } else {
            let waited = request.patience.saturating_add(MARGIN).min(FAR);
            (Instant::now() + waited, waited)
        };
        let logged = tracing::enabled!(tracing::Level::TRACE)
            .then(|| (request.method.as_str(), request.path.clone(), Instant::now()));
        let response = timeout_at(until, self.transport.send(request))
            .await
            .map_err(|_| ClientError::TimedOut { operation, waited })
            .and_then(|sent| sent.map_err(|source| ClientError::transport(operation, source)));
        if let Some((method, path, sent)) = logged {
            let took_ms = sent.elapsed().as_millis();
            match &response {
                Ok(response) => tracing::trace!(status = response.status, took_ms, "{method} {path}"),
                Err(error) => tracing::trace!(problem = %error.brief(), took_ms, "{method} {path}"),
            }
        }
        let response = response?;
        self.note_time(&response.headers);
        endpoint
            .answer(response.status, &response.body)
            .map_err(|source| ClientError::answer(operation, source))
    }
}
