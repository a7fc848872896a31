//! The state of a run: all of it that survives a crash.
//!
//! It is the fold of the run's events, or the same value read from a store's tables. It holds what isn't over in full, and of what
//! is over only counts and sums: it grows neither with the tasks done nor with the rentals settled. It can be written down as
//! JSON and read back the same. A [`Run`](crate::run::Run) decides by it, and [`Run::resume`](crate::run::Run::resume) goes on
//! with it in another process.
//!
//! Left to others: asking the daemon what has become of things meanwhile.

mod record;
mod rentals;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use yagna_api::{ActivityId, AgreementId, AllocationId, DemandId, Glm, NodeId, Timestamp};

use crate::bill::Meter;
use crate::budget::{Budget, Ledger};
use crate::event::{
    Attempt, Bill, Event, EventKind, JobId, Provider, RentalId, RentalTerms, RunEnd, SentScript, StopReason,
    TaskId,
};
use crate::source::SourceMark;
use crate::terms::AgreedTerms;

/// The next look for bills begins so long before the newest bill that the daemon told of: it dates bills before it
/// shows them, so that an older one may come after a younger one.
pub const BILLS_LOOK_BACK: Duration = Duration::from_secs(2);

/// The part of a run that survives a crash.
///
/// The running process decides by the same value: it is changed where an event is recorded, and nowhere else.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunState {
    /// The reason for which it was told to stop, if it was since it last began or was resumed.
    pub stopping: Option<StopReason>,
    /// The end of the run, if it has ended since it last began or was resumed.
    pub end: Option<RunEnd>,
    /// The amount that the budget was raised to in all, if it was.
    pub budget: Option<Glm>,
    /// Money that was about to be set aside, and of which nothing more was heard.
    pub allocation_intents: Vec<AllocationIntent>,
    /// Money that was set aside and not given back.
    pub allocations: BTreeMap<AllocationId, HeldAllocation>,
    /// Demands that weren't taken off the market, and when they end.
    pub demands: BTreeMap<DemandId, Timestamp>,
    /// Demands that were to be taken off the market, and may be on it still, and when they end by themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub withdrawn: BTreeMap<DemandId, Timestamp>,
    /// Jobs that aren't over. One that its run left when it stopped isn't.
    pub jobs: BTreeMap<JobId, OpenJob>,
    /// The run's first job, if it is finished: it is reopened where there is more to do for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_over: Option<OpenJob>,
    /// The place up to which the source of the first job was read.
    pub source: SourceMark,
    /// Tasks without an end.
    pub tasks: BTreeMap<TaskId, OpenTask>,
    /// Rentals that aren't settled: those that may still run or be billed, and those whose bill was refused.
    pub rentals: BTreeMap<RentalId, Rental>,
    /// Providers that failed, and until when each was last to be left alone.
    pub set_back: BTreeMap<NodeId, Timestamp>,
    /// Tasks that are done, those of jobs that are over included.
    pub done: u64,
    /// The number of done tasks that have no result.
    #[serde(default, skip_serializing_if = "is_none")]
    pub without_result: u64,
    /// Tasks that failed for good, those of jobs that are over included.
    pub failed: u64,
    /// True if a result ended the run. There may be tasks without an end, and none of them is wanted.
    pub has_enough: bool,
    /// GLM accepted in all, that of settled rentals included.
    pub accepted: Glm,
    /// The amounts that accepted bills promise, by time, for the hours and days of the budget.
    pub promised: Ledger,
    /// The number of the next task.
    pub next_task: u64,
    /// The number of the next rental.
    pub next_rental: u64,
    /// The number of the next job.
    pub next_job: u64,
    /// The latest that the daemon told of a debit note.
    pub debit_notes_told: Option<Timestamp>,
    /// The latest that the daemon told of an invoice.
    pub invoices_told: Option<Timestamp>,
    /// Bills that were decided about and may be told of once more: those of the last [`BILLS_LOOK_BACK`] before the
    /// latest of their kind.
    #[serde(with = "record::pairs")]
    pub recent_bills: BTreeMap<Bill, Timestamp>,
}

/// Money that was about to be set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationIntent {
    /// The amount that was to be set aside.
    pub amount: Glm,
    /// The payment platform, `driver-network-token`.
    pub platform: String,
    /// The moment at which it is to be released by itself, which tells it from all others.
    pub expires: Timestamp,
}

/// Money that is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAllocation {
    /// The amount, as it was at first.
    pub amount: Glm,
    /// The moment at which it is released by itself, as it was at first.
    pub expires: Timestamp,
}

/// A job that isn't over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OpenJob {
    /// The moment at which the job ends, finished or not.
    pub deadline: Option<Timestamp>,
    /// The number of retries of each task.
    pub retries: u32,
    /// The number of tasks that were read from its source.
    pub read: u64,
    /// True if its source has no more tasks.
    pub exhausted: bool,
    /// Tasks with a result.
    pub done: u64,
    /// Tasks that failed for good.
    pub failed: u64,
}

/// A task without an end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenTask {
    /// Its job.
    pub job: JobId,
    /// Its data.
    #[serde(with = "record::shared")]
    pub data: Arc<Value>,
    /// Attempts so far, those that were given up included: the next one's number is one more.
    pub attempts: u32,
    /// Attempts that failed.
    pub failures: u32,
    /// The providers on which they failed, each once.
    pub failed_on: BTreeSet<NodeId>,
    /// Providers whose machine was lost while it had the task in hand, alone or with others.
    #[serde(default)]
    pub lost_on: BTreeSet<NodeId>,
    /// True if its next attempt is to be on a machine on which nothing has run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wants_fresh: bool,
    /// The moment since which it waits, if it does: when it was added, or when it last failed.
    pub since: Timestamp,
    /// The rental in which its last attempt goes on.
    pub running: Option<RentalId>,
}

/// A rental that isn't settled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rental {
    /// The provider that is rented from.
    pub provider: Provider,
    /// The prices and limits that its bills are measured by.
    pub terms: RentalTerms,
    /// The moment at which signing was intended.
    pub intended: Timestamp,
    /// The agreement, if it has an id.
    pub agreement: Option<AgreementId>,
    /// The terms agreed to, once the provider approved.
    pub approved: Option<AgreedTerms>,
    /// The moment at which its agreement ended, if it did.
    pub ended: Option<Timestamp>,
    /// All that there ever were; only the last one may still run.
    pub activities: Vec<Activity>,
    /// Bills whose acceptance was intended, and of which nothing more was heard.
    #[serde(default, with = "record::pairs")]
    pub accepting: BTreeMap<Bill, AcceptingBill>,
    /// Bills that came and weren't decided about, or couldn't be accepted for reasons of ours.
    pub undecided: BTreeSet<Bill>,
    /// GLM accepted: the highest debit note of each activity together, or the invoice.
    pub accepted: Glm,
    /// The state of its final bill.
    pub invoice: InvoiceState,
}

/// An activity of a rental that isn't settled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// The job whose worker was to work in it.
    pub job: JobId,
    /// Its id, if it came back.
    pub id: Option<ActivityId>,
    /// Our own measure of the activity, which bills for it are checked against.
    pub meter: Meter,
    /// True if its worker has asked for tasks.
    pub ready: bool,
    /// True if its worker was ever given a task.
    pub was_given: bool,
    /// Tasks that it has done.
    pub done: u64,
    /// True if its end was recorded.
    pub over: bool,
    /// The scripts that set its worker up, in order; none once it is over.
    pub setup: Vec<SentScript>,
    /// The scripts sent for the attempts that its worker has in its hands, in order.
    pub scripts: Vec<AttemptScript>,
}

/// A script that was sent for attempts that aren't over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptScript {
    /// The attempts that its worker had in its hands.
    pub attempts: Vec<Attempt>,
    /// The script.
    pub script: SentScript,
}

/// A bill whose acceptance was intended, and of which nothing more was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptingBill {
    /// Its amount.
    pub amount: Glm,
    /// The activity that a debit note is for; none of an invoice.
    pub activity: Option<ActivityId>,
}

/// The state of a rental's final bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceState {
    /// None was accepted or refused.
    #[default]
    Awaited,
    /// One was accepted.
    Accepted,
    /// One was refused, and none accepted.
    Refused,
    /// None was accepted or refused, and none can come: the daemon no longer has the agreement.
    Impossible,
}

impl RunState {
    /// Takes an event in. Events come in the order in which they were stored; one that fits nothing changes nothing.
    pub fn apply(&mut self, event: &Event) {
        self.settling(event);
    }

    /// Takes an event in, and gives out the rental that it settles: the state doesn't hold it any longer.
    pub(crate) fn settling(&mut self, event: &Event) -> Option<Rental> {
        let at = event.at;
        match &event.kind {
            EventKind::AllocationIntended { amount, platform, expires } => {
                let (amount, platform, expires) = (*amount, platform.clone(), *expires);
                self.allocation_intents.push(AllocationIntent { amount, platform, expires });
            }
            EventKind::AllocationCreated { allocation, amount, expires } => {
                self.allocation_intents.retain(|intent| intent.expires != *expires);
                let held = HeldAllocation { amount: *amount, expires: *expires };
                self.allocations.insert(allocation.clone(), held);
            }
            EventKind::AllocationReleased { allocation } | EventKind::AllocationLost { allocation } => {
                self.allocations.remove(allocation);
            }
            EventKind::BudgetRaised { budget } => self.budget = Some(*budget),
            EventKind::DemandPublished { demand, expires } => {
                self.demands.insert(demand.clone(), *expires);
            }
            EventKind::DemandEnded { demand, .. } => {
                self.withdrawn.retain(|_, expires| *expires > at);
                if let Some(expires) = self.demands.remove(demand) {
                    self.withdrawn.insert(demand.clone(), expires);
                }
            }
            EventKind::ProviderSetBack { provider, until, .. } => {
                self.set_back.insert(provider.id.clone(), *until);
            }
            EventKind::RunResumed { .. } => {
                // Whatever came of the intents was looked for.
                self.allocation_intents.clear();
                self.stopping = None;
                self.end = None;
            }
            EventKind::Stopping { why } => self.stopping = Some(*why),
            EventKind::RunEnded { end } => self.end = Some(end.clone()),
            kind => {
                self.apply_to_tasks(at, kind);
                return self.apply_to_rentals(at, kind);
            }
        }
        None
    }

    /// True if nothing was ever begun.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True if every task of every job is finished and no more come, or if a result ended the run.
    pub fn is_finished(&self) -> bool {
        self.has_enough || (self.jobs.is_empty() && self.next_job > 0)
    }

    /// The moment from which debit notes are to be read on; `None` is from the beginning.
    pub fn debit_notes_after(&self) -> Option<Timestamp> {
        self.debit_notes_told.map(look_back)
    }

    /// The moment from which invoices are to be read on; `None` is from the beginning.
    pub fn invoices_after(&self) -> Option<Timestamp> {
        self.invoices_told.map(look_back)
    }

    /// The budget of a run that was to keep to this one at first.
    pub fn budget(&self, at_first: Budget) -> Budget {
        self.budget.map_or(at_first, |raised| at_first.raised_to(raised))
    }

    /// GLM that may still be accepted under such a budget, bills that are being accepted included: what the run's
    /// allocation is to hold beside what is spent of it.
    pub fn left(&self, at_first: Budget, now: Timestamp) -> Glm {
        let promised = self.promised.total();
        let left = self.budget(at_first).left(promised, &self.promised, now);
        left.checked_add(promised.saturating_sub(self.accepted)).unwrap_or(Glm::MAX)
    }

    /// GLM that accepted bills promise in all, those being accepted included.
    pub fn promised_in_all(&self) -> Glm {
        let more = self.rentals.values().map(|rental| rental.promised().saturating_sub(rental.accepted));
        more.fold(self.accepted, |sum, amount| sum.checked_add(amount).unwrap_or(Glm::MAX))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

fn look_back(told: Timestamp) -> Timestamp {
    told.checked_sub(BILLS_LOOK_BACK).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests;
