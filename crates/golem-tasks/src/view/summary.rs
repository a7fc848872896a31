//! Counting a run from its events, in memory that doesn't grow with the tasks that are done.
//!
//! The store counts the same from its tables; a test holds the two together.

mod tables;

use std::collections::{BTreeMap, HashMap, hash_map};
use std::time::Duration;

use golem_core::event::{Attempt, AttemptFailure, Bill, Event, EventKind, Provider, RentalId, TaskId};
use golem_core::state::{InvoiceState, RunState};
use yagna_api::{Glm, NodeId, Timestamp};

pub(super) use tables::write_summary;

use crate::store::used_in;
use crate::store::{ExplainedEnd, FailedTask, LISTED, ProviderSummary, RefusedBill, RunSummary, task_name};

/// A summary that grows with the events.
#[derive(Debug, Clone)]
pub struct SummaryFold {
    /// Everything that is counted as it happens; the lists of providers are made on demand.
    counts: RunSummary,
    /// Tasks without an end.
    open: HashMap<TaskId, OpenTask>,
    /// The names of tasks beside their numbers: those of unfinished tasks, and of those that finished lately.
    names: HashMap<TaskId, String>,
    /// Tasks that came to their end lately.
    over: Vec<TaskId>,
    rentals: HashMap<RentalId, Rental>,
    providers: HashMap<NodeId, ProviderSummary>,
    /// Rentals that were approved and haven't ended.
    rented: u64,
    /// Attempts that failed, of tasks that failed for good too.
    failed_attempts: u64,
    /// Bills refused, with the two things they are sorted by.
    refused: Vec<(i64, String, RefusedBill)>,
    /// True if the run is only ended, and its bills settled.
    settles: bool,
}

#[derive(Debug, Clone, Default)]
struct OpenTask {
    /// Its attempts that have failed.
    failed: u32,
    /// The newest attempt.
    attempt: u32,
    /// The rental where it runs, and the time since which it does.
    running: Option<(RentalId, Timestamp)>,
}

#[derive(Debug, Clone)]
struct Rental {
    provider: NodeId,
    /// GLM an hour, and for the start; not known of rentals of earlier lives.
    prices: Option<(Glm, Glm)>,
    approved: bool,
    had_activity: bool,
    ended: bool,
    settled: bool,
    /// True if it is settled because nothing ran in it, as far as is known.
    nothing_ran: bool,
    cost: Glm,
    /// Since when its activity uses what is paid for, while it does.
    active: Option<Timestamp>,
    /// The cost of activities that are over, as far as it is known.
    used: Glm,
}

impl SummaryFold {
    /// Creates the totals of a run that was recorded at `started` and of which no event has been seen.
    pub fn new(run_id: impl Into<String>, started: Timestamp) -> Self {
        Self {
            counts: RunSummary::new(run_id, whole_micros(started)),
            open: HashMap::new(),
            names: HashMap::new(),
            over: Vec::new(),
            rentals: HashMap::new(),
            providers: HashMap::new(),
            rented: 0,
            failed_attempts: 0,
            refused: Vec::new(),
            settles: false,
        }
    }

    /// It is only brought to its end, and its bills settled: nothing is begun.
    #[must_use]
    pub fn only_settling(mut self) -> Self {
        self.settles = true;
        self
    }

    /// True if nothing is to be started.
    pub(crate) fn settles(&self) -> bool {
        self.settles
    }

    /// Creates the totals of a run that is resumed: those by then, and its open parts.
    pub fn resumed(summary: &RunSummary, state: &RunState, now: Timestamp) -> Self {
        let mut fold = Self::new(summary.run_id.clone(), summary.started);
        let known = summary.providers.iter().map(|provider| (provider.id.clone(), provider.clone()));
        fold.providers = known.collect();
        let refused = summary.refused_bills.iter().zip(0..);
        fold.refused = refused.map(|(bill, place)| (i64::MIN + place, String::new(), bill.clone())).collect();
        fold.counts = RunSummary { providers: Vec::new(), refused_bills: Vec::new(), ..summary.clone() };
        for (id, task) in &state.tasks {
            let running = task.running.map(|rental| (rental, now));
            fold.open.insert(*id, OpenTask { attempt: task.attempts, failed: task.failures, running });
            fold.names.extend(task_name(id.0, &task.data).map(|name| (*id, name)));
        }
        for (id, rental) in &state.rentals {
            let provider = rental.provider.id.clone();
            let name = &rental.provider.name;
            let new = || ProviderSummary::new(provider.clone(), name.clone());
            fold.providers.entry(provider.clone()).or_insert_with(new);
            let (approved, ended) = (rental.approved.is_some(), rental.ended.is_some());
            fold.rented += u64::from(approved && !ended);
            let had_activity = rental.activities.iter().any(|activity| activity.id.is_some());
            let nothing_ran = ended && !had_activity && rental.invoice == InvoiceState::Awaited;
            let settled = rental.invoice != InvoiceState::Awaited || nothing_ran;
            let cost = rental.accepted;
            fold.rentals.insert(
                *id,
                Rental {
                    provider,
                    prices: None,
                    approved,
                    had_activity,
                    ended,
                    settled,
                    nothing_ran,
                    cost,
                    active: None,
                    used: cost,
                },
            );
        }
        fold
    }

    /// Takes the next event.
    ///
    /// An outcome of an attempt that isn't its task's newest is ignored, as the store ignores it.
    pub fn apply(&mut self, event: &Event) {
        match &event.kind {
            EventKind::TaskAdded { task, data, .. } => {
                if let hash_map::Entry::Vacant(place) = self.open.entry(*task) {
                    place.insert(OpenTask::default());
                    self.names.extend(task_name(task.0, data).map(|name| (*task, name)));
                    self.counts.tasks.waiting += 1;
                }
            }
            EventKind::TaskReopened { task, data, attempts, .. } => {
                self.names.extend(task_name(task.0, data).map(|name| (*task, name)));
                self.counts.tasks.failed = self.counts.tasks.failed.saturating_sub(1);
                self.counts.tasks.waiting += 1;
                self.counts.failures.retain(|failed| failed.task != task.0);
                self.open.insert(*task, OpenTask { attempt: *attempts, ..OpenTask::default() });
            }
            EventKind::TaskStarted { attempt, rental } => self.started(*attempt, *rental, event.at),
            EventKind::TaskDone { attempt, took, output, .. } => {
                if let Some(provider) = self.ended(*attempt, event.at, Some(*took)) {
                    provider.tasks_done += 1;
                    self.open.remove(&attempt.task);
                    self.over.push(attempt.task);
                    self.counts.tasks.waiting -= 1;
                    self.counts.tasks.done += 1;
                    self.counts.tasks.no_result += u64::from(output.no_result);
                }
            }
            EventKind::AttemptFailed { attempt, failure, .. } => {
                if let Some(provider) = self.ended(*attempt, event.at, failure.took) {
                    provider.failed_attempts += 1;
                    self.failed_attempts += 1;
                    if let Some(open) = self.open.get_mut(&attempt.task) {
                        open.failed += 1;
                    }
                }
            }
            EventKind::AttemptCancelled { attempt, took, .. } => {
                self.ended(*attempt, event.at, *took);
            }
            EventKind::TaskFailed { attempt, rental, failure } => {
                self.task_failed(*attempt, *rental, failure, event.at);
            }
            EventKind::TaskCancelled { task } => {
                self.counts.tasks.cancelled += u64::from(self.given_up(*task, event.at));
            }
            EventKind::TaskExpired { task } => {
                self.counts.tasks.expired += u64::from(self.given_up(*task, event.at));
            }
            EventKind::OfferRefused { reason, .. } => count(&mut self.counts.offers_refused, reason),
            EventKind::RefusedByProvider { reason, .. } => {
                let reason = reason.as_ref().map_or("", |reason| reason.message.as_str());
                count(&mut self.counts.refused_by_providers, reason);
            }
            EventKind::AgreementFailed { reason, .. } => count(&mut self.counts.rentals_failed, reason),
            EventKind::ActivityEnded { failure: Some(failure), .. } => {
                count(&mut self.counts.rentals_failed, failure);
            }
            EventKind::Waiting { explanation } => self.counts.waiting = Some((**explanation).clone()),
            EventKind::PauseEnded => self.counts.waiting = None,
            EventKind::RunEnded { end } => {
                self.counts.ended = Some(ExplainedEnd { at: whole_micros(event.at), end: end.clone() });
            }
            EventKind::RunResumed { .. } => {
                self.counts.waiting = None;
                self.counts.ended = None;
            }
            _ => self.on_rental(event),
        }
    }

    /// The totals of the run so far.
    pub fn summary(&self) -> RunSummary {
        let mut summary = self.counts.clone();
        summary.providers =
            self.providers.values().filter(|provider| provider.took_part()).cloned().collect();
        summary.unsettled = summary.providers.iter().map(|provider| provider.unsettled).sum();
        summary.refused_bills = self.refused.iter().map(|(.., bill)| bill.clone()).collect();
        summary.sort_providers();
        summary
    }

    /// The totals without the lists of providers and bills, for what is shown all the time.
    pub(super) fn counts(&self) -> &RunSummary {
        &self.counts
    }

    /// The names of tasks that are over are needed no longer: those that come to their end from now on keep them until this
    /// is called again.
    pub(super) fn forget_names(&mut self) {
        for task in self.over.drain(..) {
            self.names.remove(&task);
        }
    }

    /// The task itself, where it is short.
    pub(super) fn task_name(&self, task: TaskId) -> Option<&str> {
        self.names.get(&task).map(String::as_str)
    }

    /// The provider of a rental.
    pub(super) fn provider(&self, rental: RentalId) -> Option<&ProviderSummary> {
        self.providers.get(&self.rentals.get(&rental)?.provider)
    }

    /// The prices of a rental: GLM an hour and GLM for the start.
    pub(super) fn prices(&self, rental: RentalId) -> Option<(Glm, Glm)> {
        self.rentals.get(&rental)?.prices
    }

    /// The number of failed attempts.
    pub(super) fn failed_attempts(&self) -> u64 {
        self.failed_attempts
    }

    /// GLM used so far by our own measure: what was accepted, and for what goes on its price by the clock, as if it were
    /// fully used.
    pub(super) fn estimate(&self, now: Timestamp) -> Glm {
        let open: Glm =
            self.rentals.values().map(|rental| rental.estimate(now).saturating_sub(rental.cost)).sum();
        sum(self.counts.cost, open)
    }

    /// The number of rentals under way: approved, and not yet ended.
    pub(super) fn rented(&self) -> u64 {
        self.rented
    }

    fn started(&mut self, attempt: Attempt, rental: RentalId, at: Timestamp) {
        let Some(open) = self.open.get_mut(&attempt.task).filter(|open| open.attempt < attempt.number) else {
            return;
        };
        open.attempt = attempt.number;
        let lost = open.running.replace((rental, at));
        if let Some((rental, since)) = lost {
            // The store counts the time of a lost attempt too.
            if let Some(provider) = provider_of(&self.rentals, &mut self.providers, rental) {
                provider.busy += micros_between(since, at);
            }
        } else {
            self.counts.tasks.waiting -= 1;
            self.counts.tasks.running += 1;
        }
    }

    /// Ends an attempt, if it is its task's newest and runs. Its task waits then.
    fn ended(
        &mut self,
        attempt: Attempt,
        at: Timestamp,
        took: Option<Duration>,
    ) -> Option<&mut ProviderSummary> {
        let open = self.open.get_mut(&attempt.task).filter(|open| open.attempt == attempt.number)?;
        let (rental, since) = open.running.take()?;
        self.counts.tasks.running -= 1;
        self.counts.tasks.waiting += 1;
        let provider = provider_of(&self.rentals, &mut self.providers, rental)?;
        provider.busy += match took {
            Some(took) => Duration::from_micros(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            None => micros_between(since, at),
        };
        Some(provider)
    }

    fn task_failed(
        &mut self,
        attempt: Attempt,
        rental: Option<RentalId>,
        failure: &AttemptFailure,
        at: Timestamp,
    ) {
        if self.open.get(&attempt.task).is_none_or(|open| open.attempt > attempt.number) {
            return;
        }
        let mut failed = 0;
        if rental.is_some()
            && let Some(provider) = self.ended(attempt, at, failure.took)
        {
            provider.failed_attempts += 1;
            self.failed_attempts += 1;
            failed = 1;
        }
        let open = self.open.remove(&attempt.task).unwrap_or_default();
        // Records of older versions don't say how many attempts have failed.
        let counted = if failure.failures == 0 { open.failed + failed } else { failure.failures };
        self.over.push(attempt.task);
        if let Some((rental, since)) = open.running {
            // An attempt that ran on when its task was given up is lost.
            self.counts.tasks.running -= 1;
            if let Some(provider) = provider_of(&self.rentals, &mut self.providers, rental) {
                provider.busy += micros_between(since, at);
            }
        } else {
            self.counts.tasks.waiting -= 1;
        }
        self.counts.tasks.failed += 1;
        let failures = &mut self.counts.failures;
        let place = failures.partition_point(|other| other.task < attempt.task.0);
        if place < LISTED {
            let provider = rental.and_then(|rental| self.rentals.get(&rental));
            let provider = provider.and_then(|rental| self.providers.get(&rental.provider));
            failures.insert(
                place,
                FailedTask {
                    task: attempt.task.0,
                    name: self.names.get(&attempt.task).cloned(),
                    attempt: attempt.number,
                    tried: counted.max(1).into(),
                    provider: provider.map(|provider| provider.name.clone()),
                    kind: failure.kind,
                    message: failure.message.clone(),
                    stderr: failure.stderr.clone(),
                },
            );
            failures.truncate(LISTED);
        }
    }

    /// Ends a task that was given up with its job; `false` when it had its end already.
    fn given_up(&mut self, task: TaskId, at: Timestamp) -> bool {
        let Some(open) = self.open.remove(&task) else {
            return false;
        };
        self.over.push(task);
        if let Some((rental, since)) = open.running {
            self.counts.tasks.running -= 1;
            if let Some(provider) = provider_of(&self.rentals, &mut self.providers, rental) {
                provider.busy += micros_between(since, at);
            }
        } else {
            self.counts.tasks.waiting -= 1;
        }
        true
    }

    /// Counts events about agreements and bills.
    fn on_rental(&mut self, event: &Event) {
        match &event.kind {
            EventKind::AgreementIntended { rental, provider, per_hour, start, .. } => {
                let Provider { id, name } = provider.clone();
                let known = self
                    .providers
                    .entry(id.clone())
                    .or_insert_with(|| ProviderSummary::new(id.clone(), String::new()));
                known.name = name;
                self.rentals.insert(
                    *rental,
                    Rental {
                        provider: id,
                        prices: Some((*per_hour, *start)),
                        approved: false,
                        had_activity: false,
                        ended: false,
                        settled: false,
                        nothing_ran: false,
                        cost: Glm::ZERO,
                        active: None,
                        used: Glm::ZERO,
                    },
                );
            }
            EventKind::AgreementApproved { rental, .. } => {
                if let Some((rental, provider)) = self.rental(*rental)
                    && !rental.approved
                {
                    rental.approved = true;
                    provider.agreements += 1;
                    provider.unsettled += u64::from(!rental.settled);
                    self.rented += 1;
                }
            }
            EventKind::ActivityCreated { rental, .. } => {
                if let Some((rental, _)) = self.rental(*rental) {
                    if !rental.had_activity
                        && let Some((_, start)) = rental.prices
                    {
                        rental.used = sum(rental.used, start);
                    }
                    rental.had_activity = true;
                    rental.active = Some(event.at);
                }
            }
            EventKind::ActivityEnded { rental, .. } => {
                if let Some((rental, _)) = self.rental(*rental) {
                    rental.used = rental.estimate(event.at);
                    rental.active = None;
                }
            }
            EventKind::AgreementEnded { rental, forgotten, .. } => {
                let Some((rental, provider)) = self.rental(*rental) else { return };
                if *forgotten {
                    settle(rental, provider);
                } else if !rental.had_activity && !rental.settled {
                    settle(rental, provider);
                    rental.nothing_ran = true;
                }
                if rental.approved && !rental.ended {
                    rental.ended = true;
                    self.rented -= 1;
                }
            }
            EventKind::BillAccepted { rental, bill, total, .. } => {
                if let Some((rental, provider)) = self.rental(*rental) {
                    let before = std::mem::replace(&mut rental.cost, *total);
                    provider.cost = replaced(provider.cost, before, *total);
                    if matches!(bill, Bill::Invoice(_)) {
                        settle(rental, provider);
                    } else {
                        rental.had_activity = true;
                        if std::mem::take(&mut rental.nothing_ran) {
                            // Something ran after all: its final bill follows.
                            rental.settled = false;
                            provider.unsettled += u64::from(rental.approved);
                        }
                    }
                    self.counts.cost = replaced(self.counts.cost, before, *total);
                }
            }
            // It may still be accepted.
            EventKind::BillRefused { open: true, .. } => {}
            EventKind::BillRefused { rental, bill, amount, reason, .. } => {
                if let Some((rental, provider)) = rental.and_then(|rental| self.rental(rental))
                    && matches!(bill, Bill::Invoice(_))
                {
                    settle(rental, provider);
                }
                self.bill_refused(event.at, bill, *rental, *amount, reason);
            }
            _ => {}
        }
    }

    fn bill_refused(
        &mut self,
        at: Timestamp,
        bill: &Bill,
        rental: Option<RentalId>,
        amount: Glm,
        reason: &str,
    ) {
        self.counts.bills_refused += 1;
        let key = (at.as_microsecond(), bill_id(bill).to_owned());
        let place = self.refused.partition_point(|(at, id, _)| (*at, id) < (key.0, &key.1));
        if place < LISTED {
            let provider =
                rental.and_then(|rental| self.provider(rental)).map(|provider| provider.name.clone());
            let bill = RefusedBill { provider, amount, reason: reason.to_owned() };
            self.refused.insert(place, (key.0, key.1, bill));
            self.refused.truncate(LISTED);
        }
    }

    fn rental(&mut self, rental: RentalId) -> Option<(&mut Rental, &mut ProviderSummary)> {
        let rental = self.rentals.get_mut(&rental)?;
        let provider = self.providers.get_mut(&rental.provider)?;
        Some((rental, provider))
    }
}

impl Rental {
    /// GLM used by our own measure; what was accepted where the bills are settled or say more.
    fn estimate(&self, now: Timestamp) -> Glm {
        if self.settled && !self.nothing_ran {
            return self.cost;
        }
        let running =
            self.active.zip(self.prices).and_then(|(since, (per_hour, _))| used_in(per_hour, since, now));
        sum(self.used, running.unwrap_or(Glm::ZERO)).max(self.cost)
    }
}

fn sum(one: Glm, other: Glm) -> Glm {
    one.checked_add(other).unwrap_or(one)
}

fn settle(rental: &mut Rental, provider: &mut ProviderSummary) {
    rental.nothing_ran = false;
    if !rental.settled {
        rental.settled = true;
        if rental.approved {
            provider.unsettled -= 1;
        }
    }
}

fn provider_of<'p>(
    rentals: &HashMap<RentalId, Rental>,
    providers: &'p mut HashMap<NodeId, ProviderSummary>,
    rental: RentalId,
) -> Option<&'p mut ProviderSummary> {
    providers.get_mut(&rentals.get(&rental)?.provider)
}

fn count(counts: &mut BTreeMap<String, u64>, reason: &str) {
    match counts.get_mut(reason) {
        Some(n) => *n += 1,
        None => {
            counts.insert(reason.to_owned(), 1);
        }
    }
}

/// A sum with one of its parts replaced.
fn replaced(sum: Glm, old: Glm, new: Glm) -> Glm {
    sum.saturating_sub(old).checked_add(new).unwrap_or(sum)
}

fn bill_id(bill: &Bill) -> &str {
    match bill {
        Bill::DebitNote(id) => id.as_str(),
        Bill::Invoice(id) => id.as_str(),
    }
}

/// Instants as the store keeps them.
fn whole_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

fn micros_between(since: Timestamp, at: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(at.as_microsecond() - since.as_microsecond()).unwrap_or(0))
}
