//! The state of promised money: accepted, scheduled, paid, as the daemon reports it.
//!
//! To accept a bill is to promise its amount. The daemon then *schedules* it: now and then it puts all that is promised
//! into a payment order. What the chain has confirmed is *paid*. A requestor is told nothing of the last two; it must ask.
//! [`states`] does, for many agreements with few requests.
//!
//! Nothing is kept and nothing is decided here.
//!
//! # Example
//!
//! ```
//! # use std::sync::Arc;
//! # use yagna_api::AgreementId;
//! # use golem_devnet::devnet::Devnet;
//! # use yagna_client::{Client, InProcessTransport};
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let devnet = Devnet::builder().providers(1).start().await?;
//! # let client = Client::new(Arc::new(InProcessTransport::new(devnet.router(), &devnet.requestor().key)?));
//! # let agreement = AgreementId::new("no-bill-of-this-one-has-come");
//! for state in golem_sdk::payments::states(&client, &[agreement], None).await? {
//!     println!("{}: {} GLM of {} are paid", state.agreement, state.paid, state.accepted);
//! }
//! # devnet.stop().await;
//! # Ok(())
//! # }
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;
use yagna_api::payment::{AgreementLedger, GetAgreementLedger, GetStatus, ListAgreementLedgers};
use yagna_api::{AgreementId, Glm, Timestamp};
use yagna_client::{Client, ClientError};

/// So few agreements are asked for one by one.
const FEW: usize = 3;
/// Agreements that one request brings.
const PAGE: u32 = 1000;
/// Requests at most for one list.
const REQUESTS: u32 = 200;
/// The daemon's list knows whole seconds only; a page begins within the second in which the last one ended.
const OVERLAP: Duration = Duration::from_millis(1);

/// The money of one agreement. The amounts count from its begin, and each holds the next: what is scheduled was
/// accepted, what is paid was scheduled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentState {
    /// The agreement.
    pub agreement: AgreementId,
    /// The sum of its bills, accepted or not.
    pub billed: Glm,
    /// The amount that was promised.
    pub accepted: Glm,
    /// The amount that the daemon has put into payment orders.
    pub scheduled: Glm,
    /// The amount that the chain has confirmed.
    pub paid: Glm,
    /// The obstacle to the payment of the rest, in words. The daemon tries again by itself: a payment isn't lost by it.
    /// `None` where nothing does, or nothing is left to pay.
    pub failed: Option<String>,
}

/// The reasons why the state of payments isn't known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PaymentsError {
    /// The daemon gave no answer that can be used.
    #[error("could not ask the daemon for payments")]
    Daemon(#[source] ClientError),
    /// There are more agreements than are ever read at once.
    #[error("the daemon lists more than {read} agreements; ask for those since a later time")]
    TooMany {
        /// The number of payments that were read.
        read: usize,
    },
}

/// Reads the state of the payments for these agreements, in their order. Those of which no bill has come are left out.
///
/// Asked for are the daemon's agreements whose first bill came after `since`: one request for each thousand of them, and
/// one for each payment platform on which something is left to pay. For very few agreements it is one request each.
///
/// **Errors**: [`PaymentsError`].
///
/// **Cancel safety**: it only reads.
pub async fn states(
    client: &Client,
    agreements: &[AgreementId],
    since: Option<Timestamp>,
) -> Result<Vec<PaymentState>, PaymentsError> {
    let ledgers = if agreements.len() <= FEW {
        one_by_one(client, agreements).await?
    } else {
        listed(client, agreements, since, PAGE).await?
    };
    let mut hindrances: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for ledger in ledgers.values().filter(|ledger| ledger.total_amount_paid < ledger.total_amount_accepted) {
        let platform = ledger.payment_platform.as_str();
        if !hindrances.contains_key(platform) {
            hindrances.insert(platform, hindrance(client, platform).await);
        }
    }
    let known = agreements.iter().filter_map(|id| ledgers.get(id));
    Ok(known
        .map(|ledger| {
            let open = ledger.total_amount_paid < ledger.total_amount_accepted;
            let failed = hindrances.get(ledger.payment_platform.as_str()).cloned().flatten();
            PaymentState {
                agreement: ledger.id.clone(),
                billed: ledger.total_amount_due,
                accepted: ledger.total_amount_accepted,
                scheduled: ledger.total_amount_scheduled,
                paid: ledger.total_amount_paid,
                failed: failed.filter(|_| open),
            }
        })
        .collect())
}

async fn one_by_one(
    client: &Client,
    agreements: &[AgreementId],
) -> Result<HashMap<AgreementId, AgreementLedger>, PaymentsError> {
    let mut ledgers = HashMap::new();
    for agreement in agreements {
        let asked = client.call(&GetAgreementLedger(agreement.clone())).await;
        if let Some(ledger) = asked.map_err(PaymentsError::Daemon)? {
            ledgers.insert(ledger.id.clone(), ledger);
        }
    }
    Ok(ledgers)
}

/// Reads the daemon's list page by page, until all that are wanted are found, or it ends.
async fn listed(
    client: &Client,
    agreements: &[AgreementId],
    since: Option<Timestamp>,
    page: u32,
) -> Result<HashMap<AgreementId, AgreementLedger>, PaymentsError> {
    let mut missing: HashSet<&AgreementId> = agreements.iter().collect();
    let mut ledgers = HashMap::new();
    let (mut after, mut max, mut read) = (since, page, 0);
    for _ in 0..REQUESTS {
        let listed = client.call(&ListAgreementLedgers { after, max: Some(max) }).await;
        let listed = listed.map_err(PaymentsError::Daemon)?;
        let came = listed.items.len() + listed.unreadable.len();
        if let Some(unreadable) = listed.unreadable.first() {
            tracing::warn!(
                count = listed.unreadable.len(),
                problem = unreadable.problem,
                "the daemon lists money of agreements that can't be read"
            );
        }
        read += came;
        let last = listed.items.last().and_then(|ledger| ledger.created_ts);
        for ledger in listed.items {
            if missing.remove(&ledger.id) {
                ledgers.insert(ledger.id.clone(), ledger);
            }
        }
        if missing.is_empty() || came < usize::try_from(max).unwrap_or(usize::MAX) {
            return Ok(ledgers);
        }
        let next = last.map(|last| last.checked_sub(OVERLAP).unwrap_or(last));
        if next > after {
            (after, max) = (next, page);
        } else {
            // More of them in one second than a page holds.
            max = max.saturating_mul(2);
        }
    }
    Err(PaymentsError::TooMany { read })
}

/// The obstacle to payments on a platform, in words. What can't be asked is no hindrance: the amounts are known all the
/// same.
async fn hindrance(client: &Client, platform: &str) -> Option<String> {
    let mut parts = platform.splitn(3, '-').map(str::to_owned);
    let status = GetStatus { driver: parts.next(), network: parts.next() };
    match client.call(&status).await {
        Ok(hindrances) => {
            let words: Vec<_> = hindrances.iter().map(in_words).collect();
            (!words.is_empty()).then(|| format!("{}, on {platform}", words.join("; ")))
        }
        Err(error) => {
            tracing::warn!(%error, platform, "the daemon doesn't say whether anything hinders payments");
            None
        }
    }
}

/// A driver's hindrance as the daemon sends it, `{"kind": .., ..}`.
fn in_words(hindrance: &Value) -> String {
    let text = |name: &str| {
        let value = hindrance.get(name).or_else(|| hindrance.get("properties")?.get(name))?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let needed = |name: &str| text(name).map(|amount| format!(", about {amount} needed")).unwrap_or_default();
    match hindrance.get("kind").and_then(Value::as_str) {
        Some("InsufficientGas") => format!("too little gas in the wallet{}", needed("neededGasEst")),
        Some("InsufficientToken") => format!("too little GLM in the wallet{}", needed("neededTokenEst")),
        Some("CantSign") => "the wallet's key can't sign: is it locked?".to_owned(),
        Some("InvalidChainId") => "the daemon knows no such chain".to_owned(),
        Some("TxStuck") => "a transaction is stuck".to_owned(),
        Some("RpcError") => "the chain can't be reached".to_owned(),
        Some(other) => other.to_owned(),
        None => hindrance.to_string(),
    }
}

#[cfg(test)]
mod tests;
