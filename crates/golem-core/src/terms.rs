//! Negotiation: our counter-proposal to an offer, and the terms that an agreement holds in the end.
//!
//! Prices aren't negotiated; [`crate::caps`] refuses those that are too high.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use yagna_api::market::NewDemand;
use yagna_api::properties::name;
use yagna_api::time::between;
use yagna_api::{Properties, Timestamp};

use crate::caps::Refusal;
use crate::offer::{OfferTerms, plain, whole};

/// By how much debit notes may come early before there are too many.
const NOTES_GRACE: Duration = Duration::from_secs(30);

/// A range of times, both ends included.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use golem_core::terms::TimeRange;
/// let range = TimeRange::between(Duration::from_secs(30), Duration::from_secs(240));
/// assert!(range.contains(Duration::from_secs(240)));
/// assert_eq!(range.clamp(Duration::from_secs(5)), Duration::from_secs(30));
/// ```
#[doc(alias = "PropValueRange")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    least: Duration,
    most: Duration,
}

impl TimeRange {
    /// This long or longer.
    pub const fn at_least(least: Duration) -> Self {
        Self { least, most: Duration::MAX }
    }

    /// This long or shorter.
    pub const fn at_most(most: Duration) -> Self {
        Self { least: Duration::ZERO, most }
    }

    /// From one to the other, in whichever order they are given.
    pub fn between(one: Duration, other: Duration) -> Self {
        Self { least: one.min(other), most: one.max(other) }
    }

    /// The shortest time in it.
    pub fn least(self) -> Duration {
        self.least
    }

    /// The longest time in it.
    pub fn most(self) -> Duration {
        self.most
    }

    /// True if this time is in the range.
    pub fn contains(self, time: Duration) -> bool {
        self.least <= time && time <= self.most
    }

    /// The time in it that is nearest to this one.
    pub fn clamp(self, time: Duration) -> Duration {
        time.clamp(self.least, self.most)
    }
}

/// The choice whether debit notes are paid while their agreement goes on, or everything is paid at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MidAgreementPayments {
    /// All is paid at the end. Golem's own provider agent refuses demands that last ten hours or longer then.
    Never,
    /// They are paid on the way where the agreement may last [`TermsPolicy::LONG`] or longer and the provider says how
    /// often its debit notes come.
    #[default]
    Auto,
    /// They are paid on the way wherever the provider offers it.
    Always,
}

/// The terms that we agree to: for each negotiated time the range in which we take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermsPolicy {
    /// The payment platform we pay on.
    pub platform: String,
    /// The time that we have to accept a debit note. A provider that gives us less than the least is refused; where it
    /// gives us more than the most, we ask for that.
    pub accept_timeout: TimeRange,
    /// The time between two debit notes, where they are paid on the way. A time beyond the range is answered by the
    /// range's end that is nearer.
    pub debit_interval: TimeRange,
    /// The time that we have to pay a debit note. A time beyond the range is answered by the range's end that is
    /// nearer.
    pub payment_timeout: TimeRange,
    /// The choice whether they are paid during the agreement.
    pub mid_agreement_payments: MidAgreementPayments,
}

impl TermsPolicy {
    /// From here on agreements are long: five hours.
    pub const LONG: Duration = Duration::from_secs(5 * 60 * 60);

    /// 30 s or longer to accept a debit note; in long agreements payments on the way, for no more than one debit note a
    /// minute, and five hours or longer for each payment.
    pub fn new(platform: impl Into<String>) -> Self {
        Self {
            platform: platform.into(),
            accept_timeout: TimeRange::at_least(Duration::from_secs(30)),
            debit_interval: TimeRange::at_least(Duration::from_secs(60)),
            payment_timeout: TimeRange::at_least(Duration::from_secs(5 * 60 * 60)),
            mid_agreement_payments: MidAgreementPayments::default(),
        }
    }

    /// True if this provider is paid during an agreement that may last this long.
    fn pays_on_the_way(&self, offer: &OfferTerms, lasts: Duration) -> bool {
        match self.mid_agreement_payments {
            MidAgreementPayments::Never => false,
            MidAgreementPayments::Always => true,
            MidAgreementPayments::Auto => {
                lasts >= Self::LONG && seconds(&offer.properties, name::DEBIT_NOTE_INTERVAL).is_some()
            }
        }
    }
}

/// Our answer to an offer, or why there is none.
///
/// The demand as it is, with the payment platform chosen and each negotiable term (its name ends in `?`) settled:
/// left out where the offer doesn't name it, since a provider refuses what it didn't offer; otherwise as offered.
/// A time beyond our range is brought into it, which providers take within limits of their own; but none takes an
/// accept time-out above its own, so too short a one is a refusal.
///
/// What comes back is a draft, which [`check_draft`] holds against this.
pub fn counter_terms(
    demand: &NewDemand,
    offer: &OfferTerms,
    policy: &TermsPolicy,
    now: Timestamp,
) -> Result<NewDemand, Refusal> {
    let expires = demand
        .properties
        .get(name::EXPIRATION)
        .and_then(Value::as_i64)
        .and_then(|at| Timestamp::from_millisecond(at).ok())
        .ok_or(Refusal::NoExpiration)?;
    if expires <= now {
        return Err(Refusal::Expired(expires));
    }
    if !offer.platforms.contains(&policy.platform) {
        return Err(no_platform(policy, offer));
    }
    let offered = NegotiatedTimes::of(&offer.properties);
    let least = policy.accept_timeout.least();
    if let Some(offered) = offered.accept_timeout.filter(|offered| *offered < least) {
        return Err(Refusal::AcceptTimeout { offered, least });
    }
    let on_the_way = policy.pays_on_the_way(offer, between(now, expires));
    let settled = NegotiatedTimes {
        accept_timeout: offered.accept_timeout.map(|time| policy.accept_timeout.clamp(time)),
        debit_interval: offered
            .debit_interval
            .filter(|_| on_the_way)
            .map(|time| policy.debit_interval.clamp(time)),
        payment_timeout: offered
            .payment_timeout
            .filter(|_| on_the_way)
            .map(|time| policy.payment_timeout.clamp(time)),
    };

    let mut counter = demand.clone();
    let properties = &mut counter.properties;
    properties.set(name::CHOSEN_PLATFORM, policy.platform.as_str());
    settle(properties, name::ACCEPT_TIMEOUT, settled.accept_timeout);
    settle(properties, name::DEBIT_NOTE_INTERVAL, settled.debit_interval);
    settle(properties, name::PAYMENT_TIMEOUT, settled.payment_timeout);
    Ok(counter)
}

/// The times that are negotiated, as one side names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NegotiatedTimes {
    /// The time that we have to accept a debit note.
    pub accept_timeout: Option<Duration>,
    /// The time between two debit notes.
    pub debit_interval: Option<Duration>,
    /// The time that we have to pay a debit note.
    pub payment_timeout: Option<Duration>,
}

impl NegotiatedTimes {
    /// Reads the times that one side states; what can't be read is left out.
    pub fn of(side: &Properties) -> Self {
        Self {
            accept_timeout: seconds(side, name::ACCEPT_TIMEOUT),
            debit_interval: seconds(side, name::DEBIT_NOTE_INTERVAL),
            payment_timeout: seconds(side, name::PAYMENT_TIMEOUT),
        }
    }
}

/// Checks that a provider's draft gives us the times that we asked for.
///
/// A provider goes by its own draft. So none of its times may be shorter than ours, and it may not want to be paid on
/// the way where we didn't agree to that. Longer times, and terms that it dropped, do us no harm.
pub fn check_draft(asked: &NegotiatedTimes, draft: &Properties) -> Result<(), Refusal> {
    for (term, asked) in [
        (name::ACCEPT_TIMEOUT, asked.accept_timeout),
        (name::DEBIT_NOTE_INTERVAL, asked.debit_interval),
        (name::PAYMENT_TIMEOUT, asked.payment_timeout),
    ] {
        match (asked, draft.get(term), seconds(draft, term)) {
            (_, None, _) => {}
            (Some(asked), _, Some(drafted)) if drafted < asked => {
                return Err(Refusal::TermShortened { term, asked, drafted });
            }
            (Some(_), _, Some(_)) => {}
            // Nobody minds how seldom bills come that aren't to be paid yet.
            (None, _, _) if term == name::DEBIT_NOTE_INTERVAL => {}
            (None, ..) | (Some(_), _, None) => return Err(Refusal::TermAdded { term }),
        }
    }
    Ok(())
}

/// The terms that were agreed, read from both sides of an agreement.
///
/// Where the sides name different times, the shorter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AgreedTerms {
    /// The time within which a debit note must be accepted. Counts when either side names it: to be quick can't be
    /// wrong.
    pub accept_timeout: Option<Duration>,
    /// The time between two debit notes. Counts when both sides name it.
    pub debit_interval: Option<Duration>,
    /// The time that we have to pay a debit note. Counts when both sides name it; without it no debit note is to be
    /// paid before the agreement ends.
    pub payment_timeout: Option<Duration>,
    /// True if there may be several activities, one after the other. Only when both sides say so.
    pub multi_activity: bool,
}

impl AgreedTerms {
    /// Reads both sides of an agreement.
    pub fn read(demand: &Properties, offer: &Properties) -> Self {
        let sides = |property| (seconds(demand, property), seconds(offer, property));
        let both = |property| match sides(property) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            _ => None,
        };
        let either = |property| match sides(property) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        Self {
            accept_timeout: either(name::ACCEPT_TIMEOUT),
            debit_interval: both(name::DEBIT_NOTE_INTERVAL),
            payment_timeout: both(name::PAYMENT_TIMEOUT),
            multi_activity: [demand, offer]
                .iter()
                .all(|side| side.get(name::MULTI_ACTIVITY).and_then(Value::as_bool) == Some(true)),
        }
    }

    /// True if an activity of this age may have sent so many debit notes. Always, where no interval was agreed.
    ///
    /// The one that ends the activity comes out of turn, and the first one by a clock that began with the agreement: so
    /// two more than the interval allows are fine.
    pub fn allows_notes(&self, notes: u32, age: Duration) -> bool {
        allows(self.debit_interval, notes, age)
    }

    /// True if an activity of this age may have sent so many notes that are to be paid during the agreement: one in
    /// each payment time-out. Always, where none was agreed: then each single one is wrong.
    pub fn allows_payable_notes(&self, notes: u32, age: Duration) -> bool {
        allows(self.payment_timeout, notes, age)
    }
}

fn allows(interval: Option<Duration>, notes: u32, age: Duration) -> bool {
    interval.is_none_or(|interval| {
        interval.saturating_mul(notes.saturating_sub(2)) <= age.saturating_add(NOTES_GRACE)
    })
}

fn no_platform(policy: &TermsPolicy, offer: &OfferTerms) -> Refusal {
    let offered =
        if offer.platforms.is_empty() { "none".to_owned() } else { plain(&offer.platforms.join(", ")) };
    Refusal::Platform { wanted: policy.platform.clone(), offered }
}

/// A term in whole seconds, as providers take it: a whole number that 32 bits hold.
fn seconds(properties: &Properties, property: &str) -> Option<Duration> {
    let whole = whole(properties.get(property)?)?;
    Some(Duration::from_secs(whole.into()))
}

fn settle(properties: &mut Properties, property: &str, value: Option<Duration>) {
    match value {
        Some(value) => properties.set(property, value.as_secs()),
        None => drop(properties.remove(property)),
    }
}

#[cfg(test)]
mod tests;
