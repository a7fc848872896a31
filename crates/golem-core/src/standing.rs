//! The standing of providers: pauses after failures, and the run's records of each, of its own and from earlier runs.
//!
//! Left to others: keeping what happened ([`Memory`] is made of it), and what is made of it in a choice
//! ([`crate::strategy`]).

mod known;
mod memory;

use std::collections::HashMap;
use std::time::Duration;

use yagna_api::time::after;
use yagna_api::{NodeId, Timestamp};

pub use self::known::Known;
pub use self::memory::{Memory, RentalOutcome};

/// The standing of every provider that ever failed us in this run.
#[derive(Debug, Default)]
pub struct Standings(HashMap<NodeId, Standing>);

#[derive(Debug)]
struct Standing {
    failures: u32,
    until: Timestamp,
}

impl Standings {
    /// The time for which a provider is paused after its first failure; doubled with each further one.
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

    /// True if the provider may be used now.
    pub fn is_welcome(&self, provider: &NodeId, now: Timestamp) -> bool {
        self.0.get(provider).is_none_or(|standing| standing.until <= now)
    }

    /// The number of providers that are paused now.
    pub fn n_set_back(&self, now: Timestamp) -> u64 {
        self.0.values().filter(|standing| standing.until > now).count() as u64
    }
}

/// The run's record of a provider: its own observations, all zero where there are none, and those of earlier runs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Record {
    /// Agreements that it approved.
    pub approved: u32,
    /// Agreements that it didn't approve, or not in time.
    pub not_approved: u32,
    /// The number of agreements that it didn't approve since it last approved one.
    pub not_approved_in_a_row: u32,
    /// Tasks that it has done.
    pub tasks_done: u64,
    /// Attempts of tasks that failed with it, whoever is to blame.
    pub tasks_failed: u64,
    /// Rentals that it failed in: an activity that didn't come to work or was lost, tasks that failed one after the
    /// other, a wrong bill, an agreement that it ended under our hands.
    pub failures: u32,
    /// The number of failures since it last did a task.
    pub failures_in_a_row: u32,
    /// The knowledge of it from earlier runs, as it was when the run began. What went wrong in a row is forgiven there
    /// too when it does well.
    pub known: Known,
}

impl Record {
    /// Drops the knowledge from earlier runs.
    #[must_use]
    pub fn without_memory(self) -> Self {
        Self { known: Known::default(), ..self }
    }
}

/// The records of all providers that a run has dealt with, or knows from earlier ones.
///
/// One that is made of what is [known](Known) is what a run begins with.
///
/// # Example
/// ```
/// use golem_core::standing::{Memory, RentalOutcome};
/// use yagna_api::NodeId;
///
/// let provider: NodeId = "0xabcdef0123456789abcdef0123456789abcdef01".parse().unwrap();
/// let yesterday = "2026-11-21T12:00:00Z".parse().unwrap();
/// let mut memory = Memory::new();
/// memory.add_run([(provider.clone(), RentalOutcome { approved: Some(false), ..RentalOutcome::new(yesterday) })]);
/// let records = memory.records("2026-11-22T12:00:00Z".parse().unwrap());
/// let record = records.of(&provider);
/// assert_eq!(record.not_approved, 0, "this run has seen nothing yet");
/// assert!(record.known.not_approved > 0.7 && record.known.not_approved < 1.0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Records {
    of: HashMap<NodeId, Record>,
    /// Rentals of earlier runs that are remembered.
    known_rentals: u64,
}

impl FromIterator<(NodeId, Known)> for Records {
    fn from_iter<I: IntoIterator<Item = (NodeId, Known)>>(known: I) -> Self {
        let of: HashMap<_, _> = known
            .into_iter()
            .map(|(provider, known)| (provider, Record { known, ..Record::default() }))
            .collect();
        let known_rentals = of.values().map(|record| record.known.rentals).sum();
        Self { of, known_rentals }
    }
}

impl Records {
    /// The record of a provider.
    pub fn of(&self, provider: &NodeId) -> Record {
        self.of.get(provider).copied().unwrap_or_default()
    }

    /// The record of a provider, with the knowledge from earlier runs faded until now.
    pub fn at(&self, provider: &NodeId, now: Timestamp) -> Record {
        let record = self.of(provider);
        Record { known: record.known.faded(now), ..record }
    }

    /// Rentals of earlier runs that are remembered.
    pub fn known_rentals(&self) -> u64 {
        self.known_rentals
    }

    /// It approved an agreement.
    pub fn approved(&mut self, provider: &NodeId) {
        let record = self.of_mut(provider);
        record.approved = record.approved.saturating_add(1);
        record.not_approved_in_a_row = 0;
        record.known.not_approved_in_a_row = 0.0;
    }

    /// It didn't approve an agreement.
    pub fn not_approved(&mut self, provider: &NodeId) {
        let record = self.of_mut(provider);
        record.not_approved = record.not_approved.saturating_add(1);
        record.not_approved_in_a_row = record.not_approved_in_a_row.saturating_add(1);
    }

    /// It did a task.
    pub fn task_done(&mut self, provider: &NodeId) {
        let record = self.of_mut(provider);
        record.tasks_done += 1;
        record.failures_in_a_row = 0;
        record.known.failures_in_a_row = 0.0;
    }

    /// An attempt of a task failed there.
    pub fn task_failed(&mut self, provider: &NodeId) {
        self.of_mut(provider).tasks_failed += 1;
    }

    /// It failed in a rental.
    pub fn failed(&mut self, provider: &NodeId) {
        let record = self.of_mut(provider);
        record.failures = record.failures.saturating_add(1);
        record.failures_in_a_row = record.failures_in_a_row.saturating_add(1);
    }

    /// A task is to blame for a failure that was held against it.
    pub fn forgive_loss(&mut self, provider: &NodeId) {
        let record = self.of_mut(provider);
        record.failures = record.failures.saturating_sub(1);
        record.failures_in_a_row = record.failures_in_a_row.saturating_sub(1);
    }

    fn of_mut(&mut self, provider: &NodeId) -> &mut Record {
        self.of.entry(provider.clone()).or_default()
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
