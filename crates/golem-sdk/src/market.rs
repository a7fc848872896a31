//! Looking at the market without taking part in it: who offers what, and for how much.
//!
//! A [`Scan`] says which offers are wanted and for how long to look; [`Scan::start`] gives them as a stream, [`Offers`].
//! Nothing is published, agreed upon or paid. Choosing providers for work is the business of [`crate::run`].
//!
//! # Example
//!
//! The least that a machine with 2 threads costs:
//! ```
//! # use std::sync::Arc;
//! use std::time::Duration;
//!
//! use golem_sdk::payload::Payload;
//! use golem_sdk::market::Scan;
//! # use golem_devnet::devnet::Devnet;
//! # use yagna_client::{Client, InProcessTransport};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let devnet = Devnet::builder().providers(4).start().await?;
//! # let client = Client::new(Arc::new(InProcessTransport::new(devnet.router(), &devnet.requestor().key)?));
//! # let time = Duration::from_millis(500);
//! let mut payload = Payload::default();
//! payload.min_cpu_threads = 2;
//! let mut offers = Scan::new().payload(&payload).subnet("public").lasting(time).start(&client).await?;
//! let mut least = None;
//! while let Some(offer) = offers.try_next().await? {
//!     if let Ok(terms) = offer.terms() {
//!         let price = terms.pricing.per_hour(terms.threads);
//!         println!("{} asks {price} GLM an hour", terms.name);
//!         least = least.into_iter().chain([price]).min();
//!     }
//! }
//! println!("the least is {least:?}");
//! # assert!(least.is_some());
//! # devnet.stop().await;
//! # Ok(())
//! # }
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
pub use golem_core::offer::{OfferProblem, OfferTerms};
use golem_core::payload::{Payload, PayloadProblem};
pub use golem_core::pricing::Pricing;
use tokio::time::Instant;
use yagna_api::constraints::ConstraintsError;
use yagna_api::market::{DeleteScan, Offer as WireOffer, PollScan, ScanKind, StartScan};
use yagna_api::properties::name;
use yagna_api::{Constraints, NodeId, OfferId, Properties, ScanId, Timestamp};
use yagna_client::{Client, ClientError};

use crate::run::{RunError, greet};

/// The time for which offers are collected by default.
const PATIENCE: Duration = Duration::from_secs(10);
/// One request waits for offers so long.
const POLL: Duration = Duration::from_secs(5);
/// The time by which an answer may be late.
const LATE: Duration = Duration::from_secs(10);
/// Offers that one request brings.
const AT_ONCE: u16 = 500;
/// The daemon forgets a scan that nobody has asked for so many seconds: one whose reader was dropped.
const IDLE_SECS: u32 = 60;

/// The choice of offers to look for, and the time to look. All of them for ten seconds, unless told otherwise.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `start`"]
pub struct Scan {
    payload: Option<Payload>,
    subnet: Option<String>,
    constraints: Vec<String>,
    time: Duration,
}

/// An offer as its provider published it.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer(WireOffer);

/// The offers that a scan finds, each once, as they come; it ends when the scan's time is over.
///
/// Dropping it ends the scan; the daemon forgets it within a minute.
#[must_use = "a scan is read or given up"]
pub struct Offers(BoxStream<'static, Result<Offer, ScanError>>);

/// The reasons why the market can't be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// No offer could match the payload.
    #[error("no offer could match the payload")]
    Payload(#[from] PayloadProblem),
    /// Not in the constraint language.
    #[error("the constraint `{text}` can't be read")]
    Constraint {
        /// As given.
        text: String,
        /// The error in the constraints.
        source: ConstraintsError,
    },
    /// The daemon isn't there, or doesn't take the key.
    #[error(transparent)]
    Daemon(RunError),
    /// The daemon doesn't show the market.
    #[error("the daemon doesn't show its market")]
    Market(#[from] ClientError),
}

impl Default for Scan {
    fn default() -> Self {
        Self { payload: None, subnet: None, constraints: Vec::new(), time: PATIENCE }
    }
}

impl Scan {
    /// Looks for every offer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only machines that this payload could run on, as far as the offer alone tells.
    pub fn payload(self, payload: &Payload) -> Self {
        Self { payload: Some(payload.clone()), ..self }
    }

    /// Only this part of the market.
    pub fn subnet(self, subnet: impl Into<String>) -> Self {
        Self { subnet: Some(subnet.into()), ..self }
    }

    /// Only what also holds to this, in the constraint language: `(golem.inf.mem.gib>=8)`.
    pub fn constraint(mut self, constraint: impl Into<String>) -> Self {
        self.constraints.push(constraint.into());
        self
    }

    /// Sets the time to look. Offers that a daemon knows come at once, those of others within seconds or minutes.
    pub fn lasting(self, time: Duration) -> Self {
        Self { time, ..self }
    }

    /// Begins to look.
    ///
    /// **Errors**: [`ScanError`], when it can't.
    ///
    /// **Cancel safety**: a scan that was begun is forgotten by the daemon.
    pub async fn start(self, client: &Client) -> Result<Offers, ScanError> {
        let constraints = self.constraints()?;
        greet(client).await.map_err(ScanError::Daemon)?;
        let end = Instant::now() + self.time;
        let start = StartScan {
            kind: ScanKind::Offer,
            idle_secs: IDLE_SECS,
            constraints: constraints.map(|constraints| constraints.to_string()),
        };
        let scan = client.call(&start).await?;
        let reading = Reading { client: client.clone(), scan, end, waiting: VecDeque::new() };
        let reading = stream::unfold(Some(reading), |reading| async move {
            let mut reading = reading?;
            match reading.next().await {
                Ok(Some(offer)) => Some((Ok(Offer(offer)), Some(reading))),
                Ok(None) => None,
                Err(error) => Some((Err(error.into()), None)),
            }
        });
        Ok(Offers(reading.fuse().boxed()))
    }

    /// The constraints on offers, if there are any.
    fn constraints(&self) -> Result<Option<Constraints>, ScanError> {
        let mut all = Vec::new();
        if let Some(payload) = &self.payload {
            payload.check()?;
            all.push(payload.constraints());
        }
        let subnet = self.subnet.iter().map(|subnet| format!("({}={subnet})", name::SUBNET));
        for text in subnet.chain(self.constraints.iter().cloned()) {
            match text.parse() {
                Ok(constraint) => all.push(constraint),
                Err(source) => return Err(ScanError::Constraint { text, source }),
            }
        }
        Ok((!all.is_empty()).then(|| Constraints::all(all)))
    }
}

impl Offer {
    /// Its id on the market.
    pub fn id(&self) -> &OfferId {
        &self.0.offer_id
    }

    /// The provider that made it.
    pub fn provider(&self) -> &NodeId {
        &self.0.provider_id
    }

    /// The time at which it was published.
    pub fn published(&self) -> Timestamp {
        self.0.timestamp
    }

    /// All that it says. Texts in it are a stranger's, not fit to be shown as they are.
    pub fn properties(&self) -> &Properties {
        &self.0.properties
    }

    /// Its constraints on demands, in the constraint language.
    pub fn constraints(&self) -> &str {
        &self.0.constraints
    }

    /// Its name, prices and threads, read as strictly as a run reads them: a run takes no offer that fails here.
    pub fn terms(&self) -> Result<OfferTerms, OfferProblem> {
        OfferTerms::read(&self.0.provider_id, &self.0.properties)
    }
}

impl fmt::Debug for Offers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Offers")
    }
}

impl Stream for Offers {
    type Item = Result<Offer, ScanError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl Offers {
    /// The next offer; `None` when the scan's time is over.
    ///
    /// **Errors**: [`ScanError`], once and last.
    ///
    /// **Cancel safety**: dropping the future loses nothing.
    pub async fn try_next(&mut self) -> Result<Option<Offer>, ScanError> {
        self.0.next().await.transpose()
    }
}

/// A scan that is being read.
struct Reading {
    client: Client,
    scan: ScanId,
    end: Instant,
    waiting: VecDeque<WireOffer>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<WireOffer>, ClientError> {
        loop {
            if let Some(offer) = self.waiting.pop_front() {
                return Ok(Some(offer));
            }
            let left = self.end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.finish().await;
                return Ok(None);
            }
            let poll = PollScan { scan: self.scan.clone(), wait: left.min(POLL), max: AT_ONCE, peer: None };
            match self.client.call_within(&poll, poll.wait + LATE).await {
                Ok(found) => {
                    if !found.unreadable.is_empty() {
                        tracing::debug!(unreadable = found.unreadable.len(), "the daemon shows odd offers");
                    }
                    self.waiting.extend(found.items);
                }
                Err(error) => {
                    self.finish().await;
                    return Err(error);
                }
            }
        }
    }

    /// Lets the daemon forget the scan now; it does so by itself a little later.
    async fn finish(&self) {
        if let Err(error) = self.client.call_once(&DeleteScan(self.scan.clone())).await {
            tracing::debug!(%error, "a scan is left to be forgotten by the daemon");
        }
    }
}

#[cfg(test)]
mod tests;
