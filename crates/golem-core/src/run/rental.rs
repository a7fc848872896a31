//! One rental with one provider: where it stands, its activities one after the other, what it may still cost.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use yagna_api::market::Reason;
use yagna_api::time::after;
use yagna_api::{ActivityId, AgreementId, Glm, Timestamp};

use super::RunConfig;
use crate::bill::{GRACE, Meter};
use crate::event::{ActivityNo, Attempt, Bill, JobId, Provider};
use crate::offer::OfferTerms;
use crate::terms::AgreedTerms;

/// Where a rental stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The agreement is being made.
    Signing,
    /// There is an agreement, and no activity.
    Held,
    /// The activity is being made and prepared.
    Opening,
    /// The worker takes tasks.
    Working,
    /// The activity is being ended, the agreement isn't.
    Ending,
    /// The activity and the agreement are being ended.
    Closing,
    /// Both are over; its bill may still come.
    Closed,
}

#[derive(Debug)]
pub(super) struct Rental {
    pub(super) provider: Provider,
    pub(super) terms: OfferTerms,
    pub(super) stage: Stage,
    pub(super) since: Timestamp,
    /// When the agreement ends by itself.
    pub(super) expires: Timestamp,
    pub(super) agreement: Option<AgreementId>,
    /// Did its provider approve it?
    pub(super) approved: bool,
    /// We no longer waited for its decision after this long, and have taken the agreement back.
    pub(super) taken_back: Option<Duration>,
    /// Has the provider ended the agreement, or did it never come about?
    pub(super) agreement_over: bool,
    pub(super) agreed: AgreedTerms,
    /// All that there ever were; only the last one may still run.
    pub(super) activities: Vec<Activity>,
    pub(super) running: HashMap<Attempt, Timestamp>,
    /// How many tasks the worker waits for; `None` while it is busy.
    pub(super) room: Option<usize>,
    /// Since when it has had nothing to do, with or without an activity.
    pub(super) idle_since: Option<Timestamp>,
    /// Failures since the last success of tasks that have failed nowhere else.
    pub(super) streak: u32,
    /// Has a task that it was given last failed on other providers too?
    pub(super) failed_shared: bool,
    /// Its machine was lost with several tasks in hand, as its worker has said of one of them.
    pub(super) lost_several: bool,
    /// Its machine was lost with a task that had cost others theirs.
    pub(super) lost_to_task: bool,
    /// Was its last activity lost, and its provider with it as it seems?
    pub(super) out_of_reach: bool,
    pub(super) failure: Option<String>,
    /// Why we ended it, once we have.
    pub(super) ending: Option<Reason>,
    /// GLM of accepted bills: the highest debit note of each activity together, or the invoice.
    pub(super) accepted: Glm,
    /// Bills being accepted.
    pub(super) accepting: HashMap<Bill, Accepting>,
    /// The one among them whose acceptance the daemon has in its hands. It counts two at once twice.
    pub(super) sent: Option<Bill>,
    /// Those whose turn comes after that one.
    pub(super) queued: BTreeSet<Bill>,
    /// Every bill that has been dealt with: a bill that comes twice is paid once.
    pub(super) seen_bills: HashSet<Bill>,
    /// Bills that an earlier life of the run left undecided.
    pub(super) undecided: HashSet<Bill>,
    pub(super) invoice: Billing,
}

/// One activity of a rental, for one job's worker.
#[derive(Debug)]
pub(super) struct Activity {
    pub(super) job: JobId,
    pub(super) id: Option<ActivityId>,
    pub(super) meter: Meter,
    /// Tasks that it has done.
    pub(super) done: u64,
    /// Tasks that have failed in it.
    pub(super) failed: u64,
    /// Debit notes that came for it.
    pub(super) notes: u32,
    /// Those among them that were to be paid before the agreement's end.
    pub(super) payable_notes: u32,
    /// Was its worker ever given a task?
    pub(super) was_given: bool,
    /// The moment at which its usage was last asked for.
    pub(super) usage_asked: Option<Timestamp>,
    /// Is it being ended while its agreement goes on?
    pub(super) closing: bool,
    /// Has its end been told?
    pub(super) over: bool,
}

/// A bill that is being accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accepting {
    pub(super) amount: Glm,
    /// Of a debit note: the place of its activity among the rental's.
    pub(super) activity: Option<usize>,
    /// Is it a debit note to be paid before the agreement's end?
    pub(super) payable: bool,
    /// How often that has failed.
    pub(super) failures: u32,
    /// When that was sent, unless it was answered.
    pub(super) sent: Option<Timestamp>,
}

/// What is known of a rental's final bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Billing {
    /// None yet.
    Awaited,
    /// It came and is being accepted.
    Accepting,
    /// It was accepted.
    Accepted,
    /// It was refused, or none is owed.
    Closed,
}

impl Rental {
    pub(super) fn new(provider: Provider, terms: OfferTerms, expires: Timestamp, now: Timestamp) -> Self {
        Self {
            provider,
            terms,
            stage: Stage::Signing,
            since: now,
            expires,
            agreement: None,
            approved: false,
            taken_back: None,
            agreement_over: false,
            agreed: AgreedTerms::default(),
            activities: Vec::new(),
            running: HashMap::new(),
            room: None,
            idle_since: None,
            streak: 0,
            failed_shared: false,
            lost_several: false,
            lost_to_task: false,
            out_of_reach: false,
            failure: None,
            ending: None,
            accepted: Glm::ZERO,
            accepting: HashMap::new(),
            sent: None,
            queued: BTreeSet::new(),
            seen_bills: HashSet::new(),
            undecided: HashSet::new(),
            invoice: Billing::Awaited,
        }
    }

    /// Is it being made, held or at work?
    pub(super) fn is_live(&self) -> bool {
        !matches!(self.stage, Stage::Closing | Stage::Closed)
    }

    /// Is it taken back, and that not known to be done yet?
    pub(super) fn is_taken_back(&self) -> bool {
        self.stage == Stage::Signing && self.taken_back.is_some()
    }

    /// The job whose worker it has, if it has one that isn't being ended.
    pub(super) fn job(&self) -> Option<JobId> {
        let at_work = matches!(self.stage, Stage::Opening | Stage::Working);
        self.activities.last().filter(|_| at_work).map(|activity| activity.job)
    }

    /// Begins another activity.
    pub(super) fn open(&mut self, job: JobId, now: Timestamp) -> ActivityNo {
        self.stage = Stage::Opening;
        self.since = now;
        self.room = None;
        self.idle_since = None;
        self.activities.push(Activity {
            job,
            id: None,
            meter: Meter::new(now, self.terms.threads),
            done: 0,
            failed: 0,
            notes: 0,
            payable_notes: 0,
            was_given: false,
            usage_asked: None,
            closing: false,
            over: false,
        });
        self.newest()
    }

    /// The number of the last activity.
    pub(super) fn newest(&self) -> ActivityNo {
        ActivityNo(u32::try_from(self.activities.len()).unwrap_or(u32::MAX))
    }

    /// The activity that runs or is being ended.
    pub(super) fn current(&self) -> Option<&Activity> {
        self.activities.last().filter(|activity| !activity.over)
    }

    /// The same, if it is this one: whatever comes of an earlier one comes too late.
    pub(super) fn current_is(&mut self, no: ActivityNo) -> Option<&mut Activity> {
        let newest = self.newest();
        self.activities.last_mut().filter(|activity| newest == no && !activity.over)
    }

    /// Ends the measure of the activity that runs, if one does. Where its end is confirmed, its usage is complete.
    pub(super) fn end_activity(&mut self, usage: Option<&Vec<f64>>, confirmed: bool, now: Timestamp) -> bool {
        let Some(activity) = self.activities.last_mut().filter(|activity| !activity.over) else {
            return false;
        };
        if let Some(usage) = usage {
            activity.meter.report(usage);
        }
        activity.meter.ended = Some(now);
        activity.meter.complete = usage.is_some() && confirmed;
        activity.over = true;
        true
    }

    /// Finds an activity by its id. One whose id never came back is taken for it: its provider may have made it all
    /// the same, and only its bills tell of it.
    pub(super) fn find(&mut self, id: &ActivityId) -> Option<usize> {
        let known = self.activities.iter().position(|activity| activity.id.as_ref() == Some(id));
        known.or_else(|| {
            let place = self.activities.iter().rposition(|activity| activity.id.is_none())?;
            self.activities[place].id = Some(id.clone());
            Some(place)
        })
    }

    /// Can a task be given to it now, or an activity opened?
    pub(super) fn takes_tasks(&self, now: Timestamp) -> bool {
        matches!(self.stage, Stage::Working | Stage::Held)
            && after(now, RunConfig::EXPIRY_MARGIN) < self.expires
    }

    /// What the provider can rightly bill for the last activity by now: its start, its time by our clock, and of all else
    /// what was last reported, or else full use.
    pub(super) fn cost_so_far(&self, now: Timestamp) -> Option<Glm> {
        let meter = &self.activities.last()?.meter;
        Some(meter.cost_so_far(&self.terms.pricing, now))
    }

    /// Is a final bill to be expected?
    pub(super) fn awaits_invoice(&self) -> bool {
        matches!(self.invoice, Billing::Awaited | Billing::Accepting) && !self.activities.is_empty()
    }

    /// Something ran in it after all: a final bill follows, unless one came already.
    pub(super) fn expect_invoice(&mut self) {
        let came = self.seen_bills.iter().any(|bill| matches!(bill, Bill::Invoice(_)));
        if self.invoice == Billing::Closed && !came {
            self.invoice = Billing::Awaited;
        }
    }

    /// GLM that it can still bill beyond what is promised, if it were stopped only `horizon` from now.
    pub(super) fn exposure(&self, now: Timestamp, horizon: Duration) -> Glm {
        if self.stage == Stage::Signing {
            return self.price_of_opening(horizon);
        }
        if !self.awaits_invoice() {
            return Glm::ZERO;
        }
        let ceiling = |activity: &Activity| activity.meter.ceiling(&self.terms.pricing, after(now, horizon));
        sum(self.activities.iter().map(ceiling)).saturating_sub(self.promised())
    }

    /// GLM that an activity can bill that is opened now, does a little work and is stopped only `horizon` later.
    pub(super) fn price_of_opening(&self, horizon: Duration) -> Glm {
        let age = horizon + GRACE + RunConfig::LEAST_USE;
        self.terms.pricing.cost_at_full_use(age, self.terms.threads)
    }

    /// GLM that accepted bills promise, those being accepted included.
    pub(super) fn promised(&self) -> Glm {
        self.promised_with(None, Glm::ZERO)
    }

    /// The same if this much were accepted too: for the activity at `place`, or else for the whole agreement.
    pub(super) fn promised_with(&self, place: Option<usize>, amount: Glm) -> Glm {
        let being = |of: Option<usize>| {
            let its = self.accepting.values().filter(|accepting| accepting.activity == of);
            let highest = its.map(|accepting| accepting.amount).max().unwrap_or_default();
            if of == place { highest.max(amount) } else { highest }
        };
        let activities = self.activities.iter().enumerate();
        let notes = sum(activities.map(|(at, activity)| activity.meter.noted.max(being(Some(at)))));
        notes.max(self.accepted).max(being(None))
    }

    /// GLM of the highest accepted debit notes together.
    pub(super) fn noted(&self) -> Glm {
        sum(self.activities.iter().map(|activity| activity.meter.noted))
    }
}

/// A sum that stops at GLM's supply instead of failing.
fn sum(amounts: impl Iterator<Item = Glm>) -> Glm {
    amounts.fold(Glm::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(Glm::MAX))
}
