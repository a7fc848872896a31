//! The memory of a summary, each part with its bound.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;

use golem_core::event::{JobId, Provider, RentalId};
use yagna_api::{Glm, NodeId, Timestamp};

use super::words::part;

/// Entries of each kind that are remembered.
pub(super) const REMEMBERED: usize = 10_000;
/// Different reasons that are told apart.
const REASONS: usize = 64;
/// Reasons that are named in one line.
const NAMED: usize = 5;

/// The newest of many things that are counted up; the oldest makes room.
#[derive(Debug)]
pub(super) struct Recent<K, V>(BTreeMap<K, V>);

impl<K: Ord, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Copy, V> Recent<K, V> {
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.0.insert(key, value);
        if self.0.len() > REMEMBERED {
            self.0.pop_first();
        }
    }

    /// The entry for a key; a new one if there is none. The oldest makes room, which is never the one that is asked
    /// for.
    pub(super) fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&key) {
            self.0.pop_first();
        }
        self.0.entry(key).or_insert_with(new)
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.0.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.0.get_mut(&key)
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        self.0.remove(&key)
    }

    pub(super) fn pop_first(&mut self) -> Option<(K, V)> {
        self.0.pop_first()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values()
    }
}

/// Different providers, counted.
#[derive(Debug, Default)]
pub(super) struct Seen(HashSet<NodeId>);

impl Seen {
    /// Adds a provider, and returns true if it is new. Of too many nobody knows any more.
    pub(super) fn add(&mut self, id: &NodeId) -> bool {
        self.0.len() < REMEMBERED && self.0.insert(id.clone())
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }
}

/// Reasons, counted.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    by_reason: BTreeMap<String, u64>,
    others: u64,
    pub(super) total: u64,
}

impl Reasons {
    pub(super) fn add(&mut self, reason: &str) {
        self.total += 1;
        let reason = if reason.is_empty() { "no reason given".to_owned() } else { part(reason) };
        if self.by_reason.len() < REASONS || self.by_reason.contains_key(&reason) {
            *self.by_reason.entry(reason).or_default() += 1;
        } else {
            self.others += 1;
        }
    }

    /// `3 by us (2× too dear, 1× not enough memory)`.
    pub(super) fn words(&self, by: &str) -> String {
        let mut sorted: Vec<_> = self.by_reason.iter().collect();
        sorted.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        let mut text = format!("{} {by} (", self.total);
        for (place, (reason, n)) in sorted.iter().take(NAMED).enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            let _ = match n {
                1 if self.total == 1 => write!(text, "{comma}{reason}"),
                _ => write!(text, "{comma}{n}× {reason}"),
            };
        }
        let unnamed: u64 = sorted.iter().skip(NAMED).map(|(_, n)| **n).sum::<u64>() + self.others;
        if unnamed > 0 {
            let _ = write!(text, ", {unnamed}× for other reasons");
        }
        text.push(')');
        text
    }
}

/// One rental.
#[derive(Debug)]
pub(super) struct Rental {
    pub(super) provider: Provider,
    /// GLM an hour, and for the start.
    pub(super) prices: (Glm, Glm),
    /// The job that its activity serves.
    pub(super) job: JobId,
    pub(super) approved: bool,
    /// True if there was an activity.
    pub(super) used: bool,
    pub(super) ended: bool,
    /// True if its invoice was accepted.
    pub(super) invoiced: bool,
    /// All that was accepted for it.
    pub(super) cost: Glm,
}

/// One task without an end.
#[derive(Debug)]
pub(super) struct OpenTask {
    pub(super) job: JobId,
    /// Its data as it is shown; empty where it says nothing.
    pub(super) data: String,
    pub(super) running: bool,
}

/// One job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) begun: Timestamp,
    /// The run said that it has begun; a run that is made for one job doesn't.
    pub(super) announced: bool,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) tally: Tally,
}

impl Job {
    pub(super) fn new(begun: Timestamp) -> Self {
        Self { begun, announced: false, done: 0, failed: 0, tally: Tally::default() }
    }
}

/// The work of each provider, in a job or in a whole run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    seen: BTreeSet<RentalId>,
    pub(super) agreements: u64,
    by_provider: BTreeMap<NodeId, Share>,
    others: Share,
}

/// The work of one provider.
#[derive(Debug, Default, Clone)]
pub(super) struct Share {
    pub(super) name: String,
    pub(super) computed: u64,
    pub(super) attempts_failed: u64,
    pub(super) activities_failed: u64,
    pub(super) cost: Glm,
}

impl Tally {
    pub(super) fn share(&mut self, provider: &Provider) -> &mut Share {
        if self.by_provider.len() >= REMEMBERED && !self.by_provider.contains_key(&provider.id) {
            "others".clone_into(&mut self.others.name);
            return &mut self.others;
        }
        let share = self.by_provider.entry(provider.id.clone()).or_default();
        share.name.clone_from(&provider.name);
        share
    }

    pub(super) fn agree(&mut self, rental: RentalId, provider: &Provider) {
        self.share(provider);
        self.agreements += u64::from(self.seen.insert(rental));
        if self.seen.len() > REMEMBERED {
            self.seen.pop_first();
        }
    }

    pub(super) fn providers(&self) -> u64 {
        self.by_provider.len() as u64
    }

    pub(super) fn attempts_failed(&self) -> u64 {
        self.by_provider.values().chain([&self.others]).map(|share| share.attempts_failed).sum()
    }

    /// Those who did most first.
    pub(super) fn ranked(&self) -> Vec<&Share> {
        let others = Some(&self.others).filter(|share| !share.name.is_empty());
        let mut shares: Vec<_> = self.by_provider.values().chain(others).collect();
        shares.sort_by(|a, b| b.computed.cmp(&a.computed).then_with(|| a.name.cmp(&b.name)));
        shares
    }
}
