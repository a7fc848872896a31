//! The explanation why nothing runs, or no more than does: the way from the offers on the market to the providers at work,
//! with the reasons of those that were lost on it, counted.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use yagna_api::{Glm, Timestamp};

use crate::raise::Raise;
use crate::words::{plural, without_details};

/// Reasons that are named one by one; the others are counted together.
const NAMED: usize = 5;

/// The way from an offer to a working provider, counted at each step.
///
/// Its `Display` is the answer to "why does nothing happen?", in a few lines for people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Explanation {
    /// For how long nothing has run.
    pub waited: Duration,
    /// Tasks that wait.
    pub tasks_waiting: u64,
    /// True if a demand is on the market.
    pub published: bool,
    /// Providers whose offers were seen.
    pub offers: u64,
    /// Providers that we refused, by reason.
    pub refused_by_us: BTreeMap<String, u64>,
    /// GLM an hour of the cheapest offer that we refused for its price.
    #[serde(default)]
    pub cheapest_refused: Option<Glm>,
    /// The raise of a cap that lets in the providers that are missing, where prices kept some away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raise: Option<Raise>,
    /// Providers that agreed to our terms at least once.
    #[serde(default)]
    pub negotiated: u64,
    /// Providers that approved an agreement at least once.
    #[serde(default)]
    pub signed: u64,
    /// Providers that are at work on tasks.
    #[serde(default)]
    pub working: u64,
    /// Providers that refused us, by their reason.
    pub refused_by_them: BTreeMap<String, u64>,
    /// Providers that haven't answered our terms yet.
    pub unanswered: u64,
    /// Providers that agreed to our terms and wait for an agreement.
    pub agreed: u64,
    /// Agreements and activities that failed, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Providers left alone for a while.
    pub set_back: u64,
    /// Rentals that are being made just now.
    pub in_progress: u64,
    /// Providers at hand that none of the waiting tasks can be given to yet.
    #[serde(default)]
    pub idle: u64,
    /// GLM that may still be promised.
    pub budget_left: Option<Glm>,
    /// True if the budget forbids another agreement.
    pub budget_blocks: bool,
    /// GLM that another agreement would need before it could be stopped again.
    #[serde(default)]
    pub agreement_needs: Option<Glm>,
    /// The time at which a run that waits for its budget continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<Timestamp>,
    /// GLM that the budget is to free before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_missing: Option<Glm>,
    /// The latest complaint of the daemon.
    pub daemon_trouble: Option<String>,
}

/// A step on the way from an offer to a working provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunnelStep {
    /// Its name.
    pub name: &'static str,
    /// The number of providers that came so far.
    pub providers: u64,
    /// The reasons why the others didn't, in words.
    pub reasons: Vec<String>,
}

impl Explanation {
    /// Providers whose offers fit: those that we didn't refuse.
    pub fn fitting(&self) -> u64 {
        self.offers.saturating_sub(self.refused_by_us.values().sum())
    }

    /// The way from the offers to the providers at work, step by step.
    pub fn funnel(&self) -> [FunnelStep; 5] {
        let step = |name, providers, reasons| FunnelStep { name, providers, reasons };
        [
            step("seen", self.offers, Vec::new()),
            step("fitting", self.fitting(), self.unfit()),
            step("negotiated", self.negotiated, self.not_negotiated()),
            step("signed", self.signed, self.not_signed()),
            step("working", self.working, self.not_working()),
        ]
    }

    /// The one thing that would help most, where something waits.
    pub fn advice(&self) -> Option<String> {
        if self.tasks_waiting == 0 {
            return None;
        }
        if self.daemon_trouble.is_some() {
            return Some("check the daemon: the run goes on by itself once it answers".to_owned());
        }
        if let Some(until) = self.paused_until {
            return Some(format!("raise the budget, or wait: the run goes on by itself at {until:.0}"));
        }
        if self.budget_blocks {
            return Some(match self.agreement_needs {
                Some(needs) => format!("raise the budget, so that {} GLM are left", rounded(needs)),
                None => "raise the budget".to_owned(),
            });
        }
        if !self.published {
            return None;
        }
        if self.offers == 0 {
            return Some(CHECK_DEMAND.to_owned());
        }
        let most = |reasons: &BTreeMap<String, u64>, advise: fn(u64, &str) -> String| {
            let (reason, n) = reasons.iter().max_by_key(|(_, n)| **n)?;
            Some((*n, advise(*n, reason)))
        };
        let raise = self.raise.map(|raise| (raise.providers, raise.to_string()));
        let is_price = |reason: &str| reason.starts_with("above the cap of");
        let others: BTreeMap<_, _> = self
            .refused_by_us
            .iter()
            .filter(|(reason, _)| !is_price(reason))
            .map(|(r, n)| (r.clone(), *n))
            .collect();
        let candidates = [
            raise,
            most(&others, |n, reason| format!("relax what refuses {}: {reason}", plural(n, "provider"))),
            most(&self.refused_by_them, |n, reason| {
                format!(
                    "wait, or let more providers fit: {} refused the terms ({reason})",
                    plural(n, "provider")
                )
            }),
            most(&self.failures, |n, reason| {
                format!("see `errors`: {} failed ({reason})", plural(n, "agreement or activity"))
            }),
        ];
        // Of several that weigh the same the first one counts: a price is easily changed.
        candidates.into_iter().flatten().rev().max_by_key(|(n, _)| *n).map(|(_, advice)| advice)
    }

    fn unfit(&self) -> Vec<String> {
        let mut unfit: Vec<_> = reasons("refused by us", &self.refused_by_us).into_iter().collect();
        if let (Some(cheapest), Some(refused)) = (self.cheapest_refused, unfit.last_mut()) {
            *refused = format!("{refused}, the cheapest asks {cheapest} GLM an hour");
        }
        unfit
    }

    fn not_negotiated(&self) -> Vec<String> {
        let unanswered =
            (self.unanswered > 0).then(|| format!("{} not answered by its provider", self.unanswered));
        reasons("refused by the provider", &self.refused_by_them).into_iter().chain(unanswered).collect()
    }

    fn not_signed(&self) -> Vec<String> {
        let mut not_signed: Vec<_> = reasons("failed later", &self.failures).into_iter().collect();
        if self.set_back > 0 {
            not_signed.push(format!("{} paused after failures", plural(self.set_back, "provider")));
        }
        if self.budget_blocks {
            let left = rounded(self.budget_left.unwrap_or_default());
            let needs = self.agreement_needs.map(|needs| format!(", which needs {} GLM", rounded(needs)));
            not_signed.push(format!(
                "{left} GLM of the budget are left, too little for one more agreement{}",
                needs.unwrap_or_default()
            ));
        }
        if self.agreed > 0 {
            not_signed.push(format!("{} ready to sign", plural(self.agreed, "provider")));
        }
        not_signed
    }

    fn not_working(&self) -> Vec<String> {
        let mut not_working = Vec::new();
        if self.idle > 0 {
            let idle = plural(self.idle, "provider");
            not_working.push(format!("{idle} idle, because the tasks have failed there"));
        }
        if self.in_progress > 0 {
            not_working.push(format!("{} being made", plural(self.in_progress, "agreement")));
        }
        not_working
    }
}

/// The advice where no offer matches.
const CHECK_DEMAND: &str = "check the subnet, the payment network and the payload's requirements";

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (waiting, waited) = (plural(self.tasks_waiting, "task"), self.waited.as_secs());
        write!(f, "{waiting} waiting; nothing has run for {waited} s: ")?;
        if let Some(trouble) = &self.daemon_trouble {
            write!(f, "the daemon has trouble ({trouble}); ")?;
        }
        if let Some(until) = self.paused_until {
            let missing = self.budget_missing.unwrap_or_default();
            return write!(
                f,
                "the budget is exhausted for now; the run continues at {until:.0}, once {missing} GLM more become free"
            );
        }
        if !self.published {
            return f.write_str("no demand is on the market");
        }
        if self.offers == 0 {
            return write!(f, "no offer matches the demand; {CHECK_DEMAND}");
        }
        write!(f, "{} seen", plural(self.offers, "offer"))?;
        if let Some(cheapest) = self.cheapest_refused.filter(|_| self.refused_by_us.is_empty()) {
            // The reasons stand elsewhere.
            write!(f, ", the cheapest asks {cheapest} GLM an hour")?;
        }
        for reason in self.funnel().into_iter().flat_map(|step| step.reasons) {
            write!(f, "; {reason}")?;
        }
        self.raise.map_or(Ok(()), |raise| write!(f, "; try: {raise}"))
    }
}

/// An amount with the digits that people care for.
fn rounded(amount: Glm) -> Decimal {
    amount.to_decimal().round_sf(3).unwrap_or_default().normalize()
}

/// The number of providers that were lost, with the reasons, the most frequent first.
fn reasons(what: &str, reasons: &BTreeMap<String, u64>) -> Option<String> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (reason, n) in reasons {
        *counts.entry(without_details(reason)).or_default() += n;
    }
    let total: u64 = counts.values().sum();
    if total == 0 {
        return None;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let is_single = counts.len() == 1 && total == 1;
    let mut named: Vec<_> = counts
        .iter()
        .take(NAMED)
        .map(|(reason, n)| if is_single { (*reason).to_owned() } else { format!("{n}× {reason}") })
        .collect();
    let others: u64 = counts.iter().skip(NAMED).map(|(_, n)| n).sum();
    if others > 0 {
        named.push(format!("{others}× other reasons"));
    }
    Some(format!("{total} {what} ({})", named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raise::{AboveCap, CappedPrice};

    fn glm(text: &str) -> Glm {
        text.parse().unwrap()
    }

    #[test]
    fn an_explanation_names_every_reason() {
        let mut explanation = Explanation {
            waited: Duration::from_secs(30),
            tasks_waiting: 24,
            published: true,
            offers: 5,
            ..Explanation::default()
        };
        explanation.refused_by_us.insert("above the cap of 0.2 GLM an hour".into(), 3);
        explanation.cheapest_refused = "0.5".parse().ok();
        explanation.refused_by_them.insert("No capacity available".into(), 1);
        explanation.unanswered = 1;
        assert_eq!(
            explanation.to_string(),
            "24 tasks waiting; nothing has run for 30 s: 5 offers seen; 3 refused by us (3× above the cap of 0.2 GLM \
             an hour), the cheapest asks 0.5 GLM an hour; 1 refused by the provider (No capacity available); 1 not \
             answered by its provider"
        );
        let paused = Explanation {
            tasks_waiting: 2,
            paused_until: "2026-11-22T12:34:56.7Z".parse().ok(),
            budget_missing: "0.25".parse().ok(),
            ..Explanation::default()
        };
        assert_eq!(
            paused.to_string(),
            "2 tasks waiting; nothing has run for 0 s: the budget is exhausted for now; the run continues at \
             2026-11-22T12:34:56Z, once 0.25 GLM more become free"
        );
        explanation.raise = Raise::for_missing(
            [AboveCap { of: CappedPrice::PerHour, price: glm("0.5"), cap: glm("0.2") }; 3],
            2,
        );
        assert!(
            explanation
                .to_string()
                .ends_with("; try: raise max_price_per_hour from 0.2 to 0.5: 3 more providers")
        );
        let nobody = Explanation { tasks_waiting: 1, published: true, ..Explanation::default() };
        assert!(nobody.to_string().contains("no offer matches the demand"));
    }

    #[test]
    fn the_funnel_has_a_count_and_the_reasons_for_each_step() {
        let mut explanation = Explanation {
            published: true,
            tasks_waiting: 9,
            offers: 24,
            unanswered: 1,
            negotiated: 8,
            signed: 4,
            working: 3,
            agreed: 3,
            in_progress: 1,
            ..Explanation::default()
        };
        explanation.refused_by_us.insert("above the cap of 0.02 GLM an hour".into(), 12);
        explanation.refused_by_us.insert("no common payment platform".into(), 2);
        explanation.refused_by_them.insert("No capacity available".into(), 1);
        let funnel = explanation.funnel();
        let counts = funnel.each_ref().map(|step| (step.name, step.providers));
        assert_eq!(counts, [("seen", 24), ("fitting", 10), ("negotiated", 8), ("signed", 4), ("working", 3)]);
        assert_eq!(
            funnel[1].reasons,
            ["14 refused by us (12× above the cap of 0.02 GLM an hour, 2× no common payment platform)"]
        );
        assert_eq!(
            funnel[2].reasons,
            ["1 refused by the provider (No capacity available)", "1 not answered by its provider"]
        );
        assert_eq!(funnel[3].reasons, ["3 providers ready to sign"]);
        assert_eq!(funnel[4].reasons, ["1 agreement being made"]);
    }

    #[test]
    fn the_advice_is_the_one_thing_that_helps_most() {
        let base = || Explanation { published: true, tasks_waiting: 1, offers: 10, ..Explanation::default() };
        let mut both = base();
        both.refused_by_us.insert("above the cap of 0.2 GLM an hour".into(), 3);
        both.refused_by_us.insert("no common payment platform".into(), 2);
        both.raise = Raise::for_missing(
            [AboveCap { of: CappedPrice::PerHour, price: glm("0.5"), cap: glm("0.2") }; 3],
            9,
        );
        assert_eq!(both.advice().unwrap(), "raise max_price_per_hour from 0.2 to 0.5: 3 more providers");
        both.refused_by_us.insert("no common payment platform".into(), 5);
        assert_eq!(both.advice().unwrap(), "relax what refuses 5 providers: no common payment platform");
        let budget = Explanation { budget_blocks: true, agreement_needs: Some(glm("0.1")), ..both.clone() };
        assert_eq!(budget.advice().unwrap(), "raise the budget, so that 0.1 GLM are left");
        assert_eq!(Explanation { tasks_waiting: 0, ..both }.advice(), None, "nothing waits");
        assert_eq!(Explanation { offers: 0, ..base() }.advice().unwrap(), CHECK_DEMAND);
        assert_eq!(base().advice(), None);
    }

    #[test]
    fn many_reasons_are_counted_together() {
        let mut explanation = Explanation { published: true, offers: 9, ..Explanation::default() };
        for n in 0..8_u64 {
            explanation.failures.insert(format!("reason {n}"), n + 1);
        }
        explanation.failures.insert("reason 0: {\"batches\":1}".into(), 20);
        let told = explanation.funnel()[3].reasons.join("");
        assert_eq!(
            told,
            "56 failed later (21× reason 0, 8× reason 7, 7× reason 6, 6× reason 5, 5× reason 4, 9× other reasons)"
        );
    }
}
