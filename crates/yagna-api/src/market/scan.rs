//! Scans: looking at the market without taking part in it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::BASE;
use crate::endpoint::{Endpoint, Repeat, Request, empty_answer, endpoint};
use crate::error::AnswerError;
use crate::id::{NodeId, OfferId, ScanId};
use crate::properties::Properties;
use crate::time::Timestamp;

/// An offer as a scan shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// Its subscription.
    pub offer_id: OfferId,
    /// The provider that published it.
    pub provider_id: NodeId,
    /// Its properties.
    pub properties: Properties,
    /// Its constraints.
    pub constraints: String,
    /// The time at which it was published.
    pub timestamp: Timestamp,
}

/// The kinds of things that a scan looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScanKind {
    /// Offers of providers.
    Offer,
    /// Demands of requestors.
    Demand,
}

/// `POST /scan`: begins a scan.
#[derive(Debug, Clone, Serialize)]
pub struct StartScan {
    /// The kind of things to look for.
    #[serde(rename = "type")]
    pub kind: ScanKind,
    /// The daemon forgets the scan when it isn't polled for so many seconds.
    #[serde(rename = "timeout")]
    pub idle_secs: u32,
    /// The constraints on them, in the constraint language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraints: Option<String>,
}
endpoint!(StartScan, "start a scan", Harmless, json ScanId, |this| Request::post(format!("{BASE}/scan")).json(this));

/// `GET /scan/{id}/events`: offers that this scan hasn't shown yet.
#[derive(Debug, Clone)]
pub struct PollScan {
    /// The scan.
    pub scan: ScanId,
    /// The longest time to wait for a first one.
    pub wait: Duration,
    /// At most this many.
    pub max: u16,
    /// Ask only this node.
    pub peer: Option<NodeId>,
}
endpoint!(PollScan, "poll a scan", Takes, list Offer, |this| {
    Request::get(format!("{BASE}/scan/{}/events", this.scan))
        .timeout(this.wait)
        .query("maxEvents", this.max.to_string())
        .query_opt("peerId", this.peer.as_ref())
});

/// `DELETE /scan/{id}`: ends a scan.
#[derive(Debug, Clone)]
pub struct DeleteScan(pub ScanId);

impl Endpoint for DeleteScan {
    /// True if the scan still existed.
    type Answer = bool;
    const NAME: &'static str = "end a scan";
    const REPEAT: Repeat = Repeat::Harmless;

    fn request(&self) -> Request {
        Request::delete(format!("{BASE}/scan/{}", self.0))
    }

    fn answer(&self, status: u16, body: &[u8]) -> Result<bool, AnswerError> {
        if status == 404 { Ok(false) } else { empty_answer(status, body).map(|()| true) }
    }
}
