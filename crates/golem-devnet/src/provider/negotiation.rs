//! The rules by which a provider answers a requestor's terms. Pure: the caller tells the time and the free slots.
//!
//! The rules, their order and their words are those of Golem's own agent: first what is missing, then capacity,
//! expiration and debit notes' acceptance, debit notes' interval, payments during the agreement.

use std::cmp::Ordering;
use std::time::Duration;

use yagna_api::market::Reason;
use yagna_api::properties::name;
use yagna_api::time::after;
use yagna_api::{Properties, Timestamp};

use super::config::Limits;
use crate::port::Terms;

/// Below this a requestor can't keep its promise to accept debit notes.
const LEAST_ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);

/// The terms of the payment scheme, and the branch of the offer that they are in.
const SCHEME_TERMS: [&str; 2] = [name::DEBIT_NOTE_INTERVAL, name::PAYMENT_TIMEOUT];
const SCHEME_BRANCH: &str = "golem.com.scheme.payu";

/// The verdict of the rules on a requestor's terms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Both sides say the same.
    Agreed(Terms),
    /// These terms of ours would do, if the requestor takes them.
    Counter(Terms),
    /// No.
    Reject {
        /// The reason.
        message: String,
        /// True if trying again is useless.
        is_final: bool,
    },
    /// The terms can't be understood; Golem's agent doesn't even answer such.
    Ignore(&'static str),
}

impl Verdict {
    /// The reason to send along with a rejection.
    pub(crate) fn reason(message: impl Into<String>, is_final: bool) -> Reason {
        Reason::new(message).with("golem.proposal.rejection.is-final", is_final)
    }
}

/// Judges a requestor's terms against the last terms of ours.
pub(crate) fn negotiate(
    demand: &Properties,
    ours: &Terms,
    limits: &Limits,
    running: usize,
    now: Timestamp,
) -> Verdict {
    match Negotiation::new(demand, ours, limits, now).judge(running) {
        Ok(verdict) | Err(verdict) => verdict,
    }
}

/// The latest end of a demand's work.
pub(crate) fn expiration(demand: &Properties) -> Option<Timestamp> {
    Timestamp::from_millisecond(demand.get(name::EXPIRATION)?.as_i64()?).ok()
}

/// A time in whole seconds; `Err` when it is there but isn't one.
pub(crate) fn seconds(properties: &Properties, name: &str) -> Result<Option<Duration>, ()> {
    match properties.get(name) {
        None => Ok(None),
        Some(value) => match value.as_u64().and_then(|seconds| u32::try_from(seconds).ok()) {
            Some(seconds) => Ok(Some(Duration::from_secs(seconds.into()))),
            None => Err(()),
        },
    }
}

/// A time in words, such as `1h 30m`.
pub(crate) fn spoken(time: Duration) -> String {
    let mut rest = time.as_secs();
    let mut words = Vec::new();
    for (unit, length) in [("days", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if rest >= length {
            words.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if words.is_empty() { "0s".into() } else { words.join(" ") }
}

struct Negotiation<'a> {
    demand: &'a Properties,
    terms: Terms,
    limits: &'a Limits,
    now: Timestamp,
    changed: bool,
}

impl<'a> Negotiation<'a> {
    fn new(demand: &'a Properties, ours: &Terms, limits: &'a Limits, now: Timestamp) -> Self {
        Self { demand, terms: ours.clone(), limits, now, changed: false }
    }

    fn judge(mut self, running: usize) -> Result<Verdict, Verdict> {
        if self.demand.get(name::CHOSEN_PLATFORM).is_none() {
            return refuse("Missing fields: /golem/com/payment/chosen-platform", false);
        }
        if running >= self.limits.agreements {
            let limit = self.limits.agreements;
            return refuse(format!("No capacity available. Reached Agreements limit: {limit}"), false);
        }
        let expires = expiration(self.demand).ok_or(Verdict::Ignore("no expiration"))?;
        self.expiration(expires)?;
        self.acceptance()?;
        self.interval()?;
        self.payments(expires)?;
        Ok(if self.changed { Verdict::Counter(self.terms) } else { Verdict::Agreed(self.terms) })
    }

    fn expiration(&self, expires: Timestamp) -> Result<(), Verdict> {
        let limits = self.limits;
        let longest = match self.asked(name::ACCEPT_TIMEOUT)? {
            Some(_) => limits.max_expiration,
            None => limits.max_expiration_without_accept,
        };
        let too_early = expires < after(self.now, limits.min_expiration);
        if too_early || expires > after(self.now, longest) {
            let (least, most) = (spoken(limits.min_expiration), spoken(longest));
            refuse(
                format!(
                    "Proposal expires at: {expires} which is less than {least} or more than {most} from now"
                ),
                too_early,
            )?;
        }
        Ok(())
    }

    fn acceptance(&mut self) -> Result<(), Verdict> {
        match (self.asked(name::ACCEPT_TIMEOUT)?, self.offered(name::ACCEPT_TIMEOUT)?) {
            (Some(asked), Some(offered)) => match asked.cmp(&offered) {
                Ordering::Greater => {
                    let most = spoken(self.limits.accept_timeout);
                    refuse(format!("DebitNote acceptance deadline should be less than {most}."), true)
                        .map(drop)
                }
                Ordering::Less if asked < LEAST_ACCEPT_TIMEOUT => {
                    refuse(format!("To low DebitNotes timeout: {}", spoken(asked)), true).map(drop)
                }
                _ => {
                    self.agree(name::ACCEPT_TIMEOUT, asked, offered);
                    Ok(())
                }
            },
            (None, Some(_)) => {
                self.give_up(name::ACCEPT_TIMEOUT);
                Ok(())
            }
            (None, None) => Ok(()),
            (Some(_), None) => Err(Verdict::Ignore("an accept-timeout that isn't offered")),
        }
    }

    fn interval(&mut self) -> Result<(), Verdict> {
        let range = self.limits.debit_note_intervals;
        self.negotiable(name::DEBIT_NOTE_INTERVAL, range, "DebitNote interval")
    }

    fn payments(&mut self, expires: Timestamp) -> Result<(), Verdict> {
        if self.asked(name::PAYMENT_TIMEOUT)?.is_none()
            && expires >= after(self.now, self.limits.payments_required_from)
        {
            let from = spoken(self.limits.payments_required_from);
            let property = name::PAYMENT_TIMEOUT;
            refuse(
                format!(
                    "Expiration time {expires} exceeds the {from} threshold of enforcing mid-agreement payments but \
                     the required property '{property}' was not present in the Demand"
                ),
                true,
            )?;
        }
        let range = self.limits.payment_timeouts;
        self.negotiable(name::PAYMENT_TIMEOUT, range, "DebitNote payment timeout")
    }

    fn negotiable(
        &mut self,
        property: &str,
        (least, most): (Duration, Duration),
        what: &str,
    ) -> Result<(), Verdict> {
        match (self.asked(property)?, self.offered(property)?) {
            (Some(_), None) => return Err(Verdict::Ignore("a term that isn't offered")),
            (Some(asked), Some(offered)) => {
                if asked < least || asked > most {
                    let (asked, least, most) = (spoken(asked), spoken(least), spoken(most));
                    refuse(
                        format!("Demand {what} {asked} not in acceptable range of [{least}; {most}]"),
                        true,
                    )?;
                }
                self.agree(property, asked, offered);
            }
            (None, Some(_)) => self.give_up(property),
            (None, None) => {}
        }
        Ok(())
    }

    fn agree(&mut self, property: &str, asked: Duration, offered: Duration) {
        if asked != offered {
            self.terms.properties.set(property, asked.as_secs());
            self.changed = true;
        }
    }

    fn give_up(&mut self, property: &str) {
        let properties = &mut self.terms.properties;
        self.changed |= properties.remove(property).is_some();
        if SCHEME_TERMS.contains(&property) && SCHEME_TERMS.iter().all(|term| properties.get(term).is_none())
        {
            // Golem's own agent keeps the empty branch that is left in its tree of properties.
            properties.set(SCHEME_BRANCH, serde_json::json!({}));
        }
    }

    fn asked(&self, property: &str) -> Result<Option<Duration>, Verdict> {
        seconds(self.demand, property).map_err(|()| Verdict::Ignore("a term of the wrong type"))
    }

    fn offered(&self, property: &str) -> Result<Option<Duration>, Verdict> {
        seconds(&self.terms.properties, property)
            .map_err(|()| Verdict::Ignore("a term of ours of the wrong type"))
    }
}

fn refuse(message: impl Into<String>, is_final: bool) -> Result<Verdict, Verdict> {
    Err(Verdict::Reject { message: message.into(), is_final })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: i64 = 1_795_295_839_000;

    fn ours() -> Terms {
        Terms {
            properties: Properties::new()
                .with("a", 1)
                .with(name::ACCEPT_TIMEOUT, 240)
                .with(name::DEBIT_NOTE_INTERVAL, 120)
                .with(name::PAYMENT_TIMEOUT, 120),
            constraints: "()".into(),
        }
    }

    fn demand(minutes: i64, more: &[(&str, Value)]) -> Properties {
        let mut demand = Properties::new()
            .with(name::CHOSEN_PLATFORM, "erc20-hoodi-tglm")
            .with(name::EXPIRATION, NOW + minutes * 60_000);
        for (name, value) in more {
            demand.set(*name, value.clone());
        }
        demand
    }

    fn judge(demand: &Properties, running: usize) -> Verdict {
        negotiate(demand, &ours(), &Limits::default(), running, Timestamp::from_millisecond(NOW).unwrap())
    }

    fn refusal(verdict: &Verdict) -> (&str, bool) {
        match verdict {
            Verdict::Reject { message, is_final } => (message, *is_final),
            other => panic!("no refusal: {other:?}"),
        }
    }

    #[test]
    fn refusals_have_the_agents_words() {
        let mut unpayable = demand(20, &[]);
        drop(unpayable.remove(name::CHOSEN_PLATFORM));
        let accept = |seconds: u32| (name::ACCEPT_TIMEOUT, json!(seconds));
        for (demand, running, words, is_final) in [
            (unpayable, 0, "Missing fields: /golem/com/payment/chosen-platform", false),
            (demand(20, &[]), 1, "No capacity available. Reached Agreements limit: 1", false),
            (demand(4, &[]), 0, "which is less than 5m or more than 30m from now", true),
            (demand(4, &[accept(240)]), 0, "which is less than 5m or more than 36525days from now", true),
            (demand(31, &[]), 0, "which is less than 5m or more than 30m from now", false),
            (demand(31, &[accept(241)]), 0, "DebitNote acceptance deadline should be less than 4m.", true),
            (demand(31, &[accept(4)]), 0, "To low DebitNotes timeout: 4s", true),
            (
                demand(20, &[(name::DEBIT_NOTE_INTERVAL, json!(0))]),
                0,
                "Demand DebitNote interval 0s not in acceptable range of [1s; 1days]",
                true,
            ),
            (
                demand(20, &[(name::PAYMENT_TIMEOUT, json!(86_401))]),
                0,
                "Demand DebitNote payment timeout 1days 1s not in acceptable range of [1s; 1days]",
                true,
            ),
            (
                demand(600, &[accept(240)]),
                0,
                "exceeds the 10h threshold of enforcing mid-agreement payments",
                true,
            ),
        ] {
            let verdict = judge(&demand, running);
            let (message, last) = refusal(&verdict);
            assert!(message.contains(words), "{message} instead of {words}");
            assert_eq!(last, is_final, "{message}");
        }
    }

    #[test]
    fn terms_that_the_demand_lacks_are_dropped() {
        let Verdict::Counter(terms) = judge(&demand(20, &[]), 0) else { panic!("a counter-proposal") };
        assert_eq!(Value::from(terms.properties), json!({"a": 1, "golem.com.scheme.payu": {}}));
        assert_eq!(terms.constraints, "()");
    }

    #[test]
    fn terms_are_taken_over_from_the_demand_where_they_are_in_range() {
        let same = demand(
            61,
            &[
                (name::ACCEPT_TIMEOUT, json!(240)),
                (name::DEBIT_NOTE_INTERVAL, json!(120)),
                (name::PAYMENT_TIMEOUT, json!(120)),
            ],
        );
        assert_eq!(judge(&same, 0), Verdict::Agreed(ours()));
        let other = demand(
            61,
            &[
                (name::ACCEPT_TIMEOUT, json!(30)),
                (name::DEBIT_NOTE_INTERVAL, json!(600)),
                (name::PAYMENT_TIMEOUT, json!(18_000)),
            ],
        );
        let Verdict::Counter(terms) = judge(&other, 0) else { panic!("a counter-proposal") };
        let said = Value::from(terms.properties.clone());
        assert_eq!(
            (&said[name::ACCEPT_TIMEOUT], &said[name::DEBIT_NOTE_INTERVAL], &said[name::PAYMENT_TIMEOUT]),
            (&json!(30), &json!(600), &json!(18_000))
        );
        // The next round, with the draft as our last word, agrees.
        let now = Timestamp::from_millisecond(NOW).unwrap();
        assert_eq!(negotiate(&other, &terms, &Limits::default(), 0, now), Verdict::Agreed(terms));
    }

    #[test]
    fn what_cant_be_understood_gets_no_answer() {
        let mut endless = demand(20, &[]);
        drop(endless.remove(name::EXPIRATION));
        assert_eq!(judge(&endless, 0), Verdict::Ignore("no expiration"));
        for value in [json!("30"), json!(30.5), json!(-30), json!(null), json!(u64::MAX)] {
            let odd = demand(20, &[(name::ACCEPT_TIMEOUT, value)]);
            assert_eq!(judge(&odd, 0), Verdict::Ignore("a term of the wrong type"));
        }
    }

    #[test]
    fn times_are_spoken_in_units() {
        for (seconds, words) in
            [(0, "0s"), (5, "5s"), (240, "4m"), (5400, "1h 30m"), (90_061, "1days 1h 1m 1s")]
        {
            assert_eq!(spoken(Duration::from_secs(seconds)), words);
        }
    }
}
