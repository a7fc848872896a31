//! The explanation why nothing runs: the offers that were seen on the market, and the reasons against them, counted.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use yagna_api::{Glm, Timestamp};

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

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} waiting; nothing has run for {} s: ",
            count(self.tasks_waiting, "task"),
            self.waited.as_secs()
        )?;
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
            return f.write_str(
                "no offer matches the demand; check the subnet, the payment network and the payload's requirements",
            );
        }
        write!(f, "{} seen", count(self.offers, "offer"))?;
        reasons(f, "refused by us", &self.refused_by_us)?;
        if let Some(cheapest) = self.cheapest_refused {
            write!(f, ", the cheapest asks {cheapest} GLM an hour")?;
        }
        reasons(f, "refused by the provider", &self.refused_by_them)?;
        if self.unanswered > 0 {
            write!(f, "; {} not answered by its provider", self.unanswered)?;
        }
        reasons(f, "failed later", &self.failures)?;
        if self.set_back > 0 {
            write!(f, "; {} paused after failures", count(self.set_back, "provider"))?;
        }
        if self.budget_blocks {
            let left = self.budget_left.unwrap_or_default();
            write!(f, "; {} GLM of the budget are left, too little for one more agreement", rounded(left))?;
            if let Some(needs) = self.agreement_needs {
                write!(f, ", which needs {} GLM", rounded(needs))?;
            }
        }
        if self.agreed > 0 {
            write!(f, "; {} ready to sign", count(self.agreed, "provider"))?;
        }
        if self.idle > 0 {
            write!(f, "; {} idle, because the tasks have failed there", count(self.idle, "provider"))?;
        }
        if self.in_progress > 0 {
            write!(f, "; {} being made", count(self.in_progress, "agreement"))?;
        }
        Ok(())
    }
}

/// An amount with the digits that people care for.
fn rounded(amount: Glm) -> Decimal {
    amount.to_decimal().round_sf(3).unwrap_or_default().normalize()
}

fn reasons(f: &mut fmt::Formatter<'_>, what: &str, reasons: &BTreeMap<String, u64>) -> fmt::Result {
    let total: u64 = reasons.values().sum();
    if total == 0 {
        return Ok(());
    }
    write!(f, "; {total} {what} (")?;
    for (place, (reason, n)) in reasons.iter().enumerate() {
        if place > 0 {
            f.write_str(", ")?;
        }
        if reasons.len() > 1 || *n > 1 {
            write!(f, "{n}× ")?;
        }
        f.write_str(reason)?;
    }
    f.write_str(")")
}

fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let nobody = Explanation { tasks_waiting: 1, published: true, ..Explanation::default() };
        assert!(nobody.to_string().contains("no offer matches the demand"));
    }
}
