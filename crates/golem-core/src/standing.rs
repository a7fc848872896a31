//! How providers stand with us: who is left alone for a while after failing, and for how long.

use std::collections::HashMap;
use std::time::Duration;

use yagna_api::time::after;
use yagna_api::{NodeId, Timestamp};

/// The standing of every provider that ever failed us in this run.
#[derive(Debug, Default)]
pub struct Standings(HashMap<NodeId, Standing>);

#[derive(Debug)]
struct Standing {
    failures: u32,
    until: Timestamp,
}

impl Standings {
    /// How long a provider is left alone after its first failure; doubled with each further one.
    pub const FIRST: Duration = Duration::from_secs(30);
    /// The longest time that a provider is left alone.
    pub const LONGEST: Duration = Duration::from_secs(3600);

    /// Leaves a provider alone for a while; the answer is until when.
    pub fn set_back(&mut self, provider: &NodeId, now: Timestamp) -> Timestamp {
        let standing = self.0.entry(provider.clone()).or_insert(Standing { failures: 0, until: now });
        let pause = Self::FIRST.saturating_mul(1 << standing.failures.min(16)).min(Self::LONGEST);
        standing.failures += 1;
        standing.until = after(now, pause);
        standing.until
    }

    /// Leaves a provider alone until then, as was decided in an earlier life of the run.
    pub fn keep_back(&mut self, provider: &NodeId, until: Timestamp) {
        self.0.insert(provider.clone(), Standing { failures: 1, until });
    }

    /// The provider did something well: its failures so far are forgiven.
    pub fn forgive(&mut self, provider: &NodeId) {
        self.0.remove(provider);
    }

    /// May the provider be dealt with now?
    pub fn is_welcome(&self, provider: &NodeId, now: Timestamp) -> bool {
        self.0.get(provider).is_none_or(|standing| standing.until <= now)
    }

    /// How many are left alone now.
    pub fn n_set_back(&self, now: Timestamp) -> u64 {
        self.0.values().filter(|standing| standing.until > now).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_pause_up_to_an_hour() {
        let provider: NodeId = format!("0x{:040x}", 1).parse().unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut standings = Standings::default();
        assert!(standings.is_welcome(&provider, now));
        let pauses: Vec<_> =
            (0..20).map(|_| standings.set_back(&provider, now).duration_since(now).as_secs()).collect();
        assert_eq!(pauses[..4], [30, 60, 120, 240]);
        assert_eq!(pauses[19], 3600);
        assert!(!standings.is_welcome(&provider, now));
        assert_eq!(standings.n_set_back(now), 1);
        standings.forgive(&provider);
        assert!(standings.is_welcome(&provider, now));
    }
}
