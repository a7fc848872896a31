//! One rental: where it stands in this process, and what it may still cost.
//!
//! What must survive a crash of it is in [`crate::state::Rental`]. What may be lost is a [`LiveRental`]. Both together are a
//! [`RentalView`].

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use yagna_api::market::Reason;
use yagna_api::time::after;
use yagna_api::{ActivityId, Glm, NodeId, Timestamp};

use super::config::RunConfig;
use crate::bill::{GRACE, Meter};
use crate::event::{Attempt, Bill, JobId, RentalTerms};
use crate::state::{Activity, InvoiceState, Rental};

/// The stage of a rental.
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

/// The part of a rental that is not in its state. It may be lost in a crash.
#[derive(Debug)]
pub(super) struct LiveRental {
    pub(super) stage: Stage,
    pub(super) since: Timestamp,
    /// We no longer waited for its decision after this long, and have taken the agreement back.
    pub(super) taken_back: Option<Duration>,
    /// One for each of the rental's activities.
    pub(super) activities: Vec<LiveActivity>,
    /// The attempts in its worker's hands, and when each began.
    pub(super) running: HashMap<Attempt, Timestamp>,
    /// The number of tasks that the worker waits for; `None` while it is busy.
    pub(super) room: Option<usize>,
    /// The moment since which it has had nothing to do, with or without an activity.
    pub(super) idle_since: Option<Timestamp>,
    /// Failures since the last success of tasks that have failed nowhere else.
    pub(super) streak: u32,
    /// True if a task that it was given last has failed on other providers too.
    pub(super) failed_shared: bool,
    /// Its machine was lost with several tasks in hand, as its worker has said of one of them.
    pub(super) lost_several: bool,
    /// Its machine was lost with a task that had cost others theirs.
    pub(super) lost_to_task: bool,
    /// True if its last activity was lost, and its provider with it as it seems.
    pub(super) out_of_reach: bool,
    pub(super) failure: Option<String>,
    /// The reason for which we ended it, once we have.
    pub(super) ending: Option<Reason>,
    /// The progress of each bill that is being accepted.
    pub(super) sending: HashMap<Bill, Sending>,
    /// The one among them whose acceptance the daemon has in its hands. It counts two at once twice.
    pub(super) sent: Option<Bill>,
    /// Those whose turn comes after that one.
    pub(super) queued: BTreeSet<Bill>,
    /// Every bill that has been dealt with: a bill that comes twice is paid once.
    pub(super) seen_bills: HashSet<Bill>,
    /// Bills that an earlier process left undecided, and that are read again.
    pub(super) asked_again: HashSet<Bill>,
    /// True if its invoice is found right, and is being accepted or waits for that.
    pub(super) has_invoice: bool,
    /// True if it was ended before anything was seen to run: nothing is owed.
    pub(super) owes_nothing: bool,
}

/// The part of an activity that is not in its state. It may be lost in a crash.
#[derive(Debug, Clone, Default)]
pub(super) struct LiveActivity {
    /// Tasks that have failed in it.
    pub(super) failed: u64,
    /// Debit notes that came for it.
    pub(super) notes: u32,
    /// Those among them that were to be paid before the agreement's end.
    pub(super) payable_notes: u32,
    /// The moment at which its usage was last asked for.
    pub(super) usage_asked: Option<Timestamp>,
    /// The usage that was read from it. Without it more counts as used, never less.
    usage: Option<Vec<f64>>,
    /// The moment from which it is being ended for want of budget: what it could use after that doesn't count.
    pub(super) stopped: Option<Timestamp>,
    /// True if it is being ended while its agreement goes on.
    pub(super) closing: bool,
}

/// The progress of a bill that is being accepted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sending {
    /// True if it is a debit note to be paid before the agreement's end.
    pub(super) payable: bool,
    /// The number of times that the acceptance has failed.
    pub(super) failures: u32,
    /// The moment at which the acceptance was sent, unless it was answered.
    pub(super) sent: Option<Timestamp>,
}

/// The outlook for a rental's final bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Billing {
    /// None has come yet.
    Awaited,
    /// It came and is being accepted.
    Accepting,
    /// It was accepted.
    Accepted,
    /// It was refused, or none is owed.
    Closed,
}

/// A rental: its state, and what may be lost of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RentalView<'r> {
    pub(super) kept: &'r Rental,
    pub(super) live: &'r LiveRental,
}

impl LiveActivity {
    /// Notes usage that nobody has recorded.
    pub(super) fn report(&mut self, usage: &[f64]) {
        let mut meter = Meter::new(Timestamp::MIN, 0);
        meter.reported = self.usage.take();
        meter.report(usage);
        self.usage = meter.reported;
    }
}

impl LiveRental {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            stage: Stage::Signing,
            since: now,
            taken_back: None,
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
            sending: HashMap::new(),
            sent: None,
            queued: BTreeSet::new(),
            seen_bills: HashSet::new(),
            asked_again: HashSet::new(),
            has_invoice: false,
            owes_nothing: false,
        }
    }

    /// True if it is being made, held or at work.
    pub(super) fn is_live(&self) -> bool {
        !matches!(self.stage, Stage::Closing | Stage::Closed)
    }

    /// True if it is taken back, and that isn't known to be done yet.
    pub(super) fn is_taken_back(&self) -> bool {
        self.stage == Stage::Signing && self.taken_back.is_some()
    }

    /// True if its activity is being ended while its agreement goes on.
    pub(super) fn is_closing_activity(&self) -> bool {
        self.activities.last().is_some_and(|activity| activity.closing)
    }

    /// Begins another activity.
    pub(super) fn open(&mut self, now: Timestamp) {
        self.stage = Stage::Opening;
        self.since = now;
        self.room = None;
        self.idle_since = None;
        self.activities.push(LiveActivity::default());
    }

    /// Something ran in it after all: a final bill follows, unless one came already.
    pub(super) fn expect_invoice(&mut self) {
        self.owes_nothing = false;
    }

    /// The attempts in its worker's hands, in order.
    pub(super) fn in_hands(&self) -> Vec<Attempt> {
        let mut attempts: Vec<_> = self.running.keys().copied().collect();
        attempts.sort_unstable();
        attempts
    }
}

impl<'r> RentalView<'r> {
    pub(super) fn provider(&self) -> &'r NodeId {
        &self.kept.provider.id
    }

    /// The job whose worker it has, if it has one that isn't being ended.
    pub(super) fn job(&self) -> Option<JobId> {
        let at_work = matches!(self.live.stage, Stage::Opening | Stage::Working);
        self.kept.activities.last().filter(|_| at_work).map(|activity| activity.job)
    }

    /// True if a task can be given to it now, or an activity opened.
    pub(super) fn takes_tasks(&self, now: Timestamp) -> bool {
        matches!(self.live.stage, Stage::Working | Stage::Held)
            && after(now, RunConfig::EXPIRY_MARGIN) < self.kept.terms.expires
    }

    /// The measure of an activity, by its place, with all usage that is known.
    pub(super) fn meter(&self, place: usize) -> Cow<'r, Meter> {
        let Activity { meter, .. } = &self.kept.activities[place];
        let Some(LiveActivity { usage, stopped, .. }) = self.live.activities.get(place) else {
            return Cow::Borrowed(meter);
        };
        let stopped = stopped.filter(|_| meter.ended.is_none());
        if usage.is_none() && stopped.is_none() {
            return Cow::Borrowed(meter);
        }
        let mut meter = meter.clone();
        if let Some(usage) = usage {
            meter.report(usage);
        }
        meter.ended = meter.ended.or(stopped);
        Cow::Owned(meter)
    }

    /// The activities that are known by their ids, with what is known of their usage. One whose id never came back is taken for
    /// one of these that is unknown otherwise.
    pub(super) fn measures<'i>(&self, ids: &'i [ActivityId]) -> Vec<(&'i ActivityId, Cow<'r, Meter>)>
    where
        'r: 'i,
    {
        let known: Vec<Option<&'i ActivityId>> =
            self.kept.activities.iter().map(|activity| activity.id.as_ref()).collect();
        let mut strangers = ids.iter().filter(|id| !known.contains(&Some(*id)));
        // The last one is taken first.
        let mut named: Vec<(usize, &'i ActivityId)> = (0..known.len())
            .rev()
            .filter_map(|place| Some((place, known[place].or_else(|| strangers.next())?)))
            .collect();
        named.reverse();
        named.into_iter().map(|(place, id)| (id, self.meter(place))).collect()
    }

    fn meters(self) -> impl Iterator<Item = Cow<'r, Meter>> {
        (0..self.kept.activities.len()).map(move |place| self.meter(place))
    }

    /// GLM that the provider can rightly bill for the last activity by now: its start, its time by our clock, and of all else
    /// what was last reported, or else full use.
    pub(super) fn cost_so_far(&self, now: Timestamp) -> Option<Glm> {
        let last = self.kept.activities.len().checked_sub(1)?;
        Some(self.meter(last).cost_so_far(&self.kept.terms.pricing, now))
    }

    /// The outlook for its final bill.
    pub(super) fn billing(&self) -> Billing {
        match self.kept.invoice {
            InvoiceState::Accepted => Billing::Accepted,
            _ if self.live.has_invoice => Billing::Accepting,
            InvoiceState::Refused | InvoiceState::Impossible => Billing::Closed,
            InvoiceState::Awaited if self.live.owes_nothing => Billing::Closed,
            InvoiceState::Awaited => Billing::Awaited,
        }
    }

    /// True if a final bill is to be expected.
    pub(super) fn awaits_invoice(&self) -> bool {
        matches!(self.billing(), Billing::Awaited | Billing::Accepting) && !self.kept.activities.is_empty()
    }

    /// GLM that it can still bill beyond what is promised, if it were stopped only `horizon` from now.
    pub(super) fn exposure(&self, now: Timestamp, horizon: Duration) -> Glm {
        if self.live.stage == Stage::Signing {
            return self.price_of_opening(horizon);
        }
        if !self.awaits_invoice() {
            return Glm::ZERO;
        }
        let pricing = &self.kept.terms.pricing;
        let ceilings = self.meters().map(|meter| meter.ceiling(pricing, after(now, horizon)));
        let ceiling = ceilings.fold(Glm::ZERO, |sum, more| sum.checked_add(more).unwrap_or(Glm::MAX));
        ceiling.saturating_sub(self.kept.promised())
    }

    /// GLM that an activity can bill that is opened now, does a little work and is stopped only `horizon` later.
    pub(super) fn price_of_opening(&self, horizon: Duration) -> Glm {
        price_of_opening(&self.kept.terms, horizon)
    }
}

/// GLM that an activity can bill on these terms that is opened now, does a little work and is stopped only `horizon` later.
pub(super) fn price_of_opening(terms: &RentalTerms, horizon: Duration) -> Glm {
    let age = horizon + GRACE + RunConfig::LEAST_USE;
    terms.pricing.cost_at_full_use(age, terms.threads)
}
