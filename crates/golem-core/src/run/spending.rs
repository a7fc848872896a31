//! The amounts that may be spent: every limit of the budget at once, with the exposure of running rentals counted as
//! spent.
//!
//! A window counts what was promised in it and all that could still be billed: whatever of that is promised, and
//! whenever, no window that contains it holds more. Limits are looked at before anything is signed or opened, and again
//! after every input.

use std::cmp::Reverse;
use std::time::Duration;

use yagna_api::time::{after, between};
use yagna_api::{AllocationId, Glm, Timestamp};

use super::rental::{RentalView, Stage};
use super::rentals::Ending;
use super::{Effect, OnBudget, Run, Step};
use crate::event::EventKind;

/// The limit that forbids spending more, if one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Nothing does.
    Enough,
    /// The budget allows it, but not so much is set aside yet.
    NotBacked,
    /// The whole budget is promised, or may be.
    NotInAll,
    /// A window holds no more just now.
    NotInWindow,
}

/// GLM that rentals can still bill beyond what is promised.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exposures {
    /// The amount of those whose bill still counts in the windows of the budget.
    recent: Glm,
    /// The amount of all.
    all: Glm,
}

impl Exposures {
    /// Counts something in that is begun now.
    pub(super) fn begin(&mut self, exposure: Glm) {
        self.recent = add(self.recent, exposure);
        self.all = add(self.all, exposure);
    }
}

impl Run {
    /// After so long a bill that is still to come is no longer reserved for in windows. If it comes, it is accepted as
    /// soon as they hold it: nobody shall pay for a provider that is gone with an hour of all others, for ever.
    pub(super) const LATE: Duration = Duration::from_secs(3600);
    /// The time by which the reserved amount grows before it is needed.
    const AHEAD: Duration = Duration::from_secs(60);
    /// The shortest pause between two reports that are asked for of the same activity.
    const USAGE_PAUSE: Duration = Duration::from_secs(10);
    /// So many activities are asked about at once.
    const MOST_ASKED: usize = 16;
    /// The shortest pause between two times that it grows; after a failure doubled up to 32 times as long.
    const GROWTH_PAUSE: Duration = Duration::from_secs(5);

    /// Looks whether there is room for so much more, if what runs were stopped only `horizon` from now.
    pub(super) fn room(&self, now: Timestamp, horizon: Duration, more: Glm) -> Room {
        self.room_beside(now, &self.exposures(now, horizon), more)
    }

    /// Looks whether there is room for so much more beside what rentals can still bill.
    fn room_beside(&self, now: Timestamp, exposures: &Exposures, more: Glm) -> Room {
        let recent = add(exposures.recent, more);
        let windows_hold = self.windows_hold(now, recent);
        if let Some(total) = self.budget().total() {
            let all = add(exposures.all, more);
            if add(self.promised(), all) > total {
                return Room::NotInAll;
            }
        }
        if !windows_hold {
            Room::NotInWindow
        } else if add(self.promised(), recent) > self.live.money.backed {
            Room::NotBacked
        } else {
            Room::Enough
        }
    }

    /// True if every window holds so much beside what was promised in it.
    pub(super) fn windows_hold(&self, now: Timestamp, more: Glm) -> bool {
        let budget = self.budget();
        let mut windows = budget.windows();
        windows.all(|(window, amount)| add(self.books.state.promised.within(window, now), more) <= amount)
    }

    /// GLM that rentals can still bill beyond what is promised, if they were stopped only `horizon` from now; of the
    /// `recent` ones only, or of all.
    pub(super) fn exposure(&self, now: Timestamp, horizon: Duration, recent: bool) -> Glm {
        let counted = self.rentals().filter(|(_, rental)| !(recent && is_late(rental, now)));
        counted.map(|(_, rental)| rental.exposure(now, horizon)).fold(Glm::ZERO, add)
    }

    /// GLM that rentals can still bill beyond what is promised, if they were stopped only `horizon` from now.
    pub(super) fn exposures(&self, now: Timestamp, horizon: Duration) -> Exposures {
        let mut exposures = Exposures { recent: Glm::ZERO, all: Glm::ZERO };
        for (_, rental) in self.rentals() {
            let exposure = rental.exposure(now, horizon);
            exposures.all = add(exposures.all, exposure);
            if !is_late(&rental, now) {
                exposures.recent = add(exposures.recent, exposure);
            }
        }
        exposures
    }

    /// True if more is promised, or may be before what runs could be stopped, than any limit allows.
    fn is_passed(&self, now: Timestamp) -> bool {
        match self.room(now, self.config.stop_horizon, Glm::ZERO) {
            Room::Enough => false,
            // More is set aside in time, unless that can't be.
            Room::NotBacked => self.live.money.growth.failures > 0,
            Room::NotInAll | Room::NotInWindow => true,
        }
    }

    /// Reads how much running activities have really used, once what they may have used would soon pass the budget.
    ///
    /// Between two debit notes the worst case counts: every thread was busy all the time. A report bounds it by what was
    /// used until then, so that a budget isn't left unspent because it might have been spent. Asking is worth it only then,
    /// and only where a use is charged for that our own clock doesn't measure.
    pub(super) fn plan_usage(&mut self, now: Timestamp, step: &mut Step) {
        let soon = self.config.stop_horizon.saturating_add(Self::AHEAD);
        if !matches!(self.room(now, soon, Glm::ZERO), Room::NotInAll | Room::NotInWindow) {
            return;
        }
        let is_due = |rental: &RentalView<'_>| {
            let asked = rental.live.activities.last().and_then(|activity| activity.usage_asked);
            rental.kept.current().is_some_and(|activity| activity.id.is_some())
                && asked.is_none_or(|asked| between(asked, now) >= Self::USAGE_PAUSE)
        };
        let mut due: Vec<_> = self
            .rentals()
            .filter(|(_, rental)| matches!(rental.live.stage, Stage::Opening | Stage::Working))
            .filter(|(_, rental)| rental.kept.terms.pricing.depends_on_cpu() && is_due(rental))
            .map(|(id, rental)| (Reverse(rental.exposure(now, soon)), id))
            .collect();
        due.sort_unstable();
        for (_, id) in due.into_iter().take(Self::MOST_ASKED) {
            let Some(kept) = self.books.rental(id) else { continue };
            let (no, activity) = (kept.newest(), kept.current().and_then(|activity| activity.id.clone()));
            if let (Some(live), Some(activity)) = (self.current_live(id, no), activity) {
                live.usage_asked = Some(now);
                step.effects.push(Effect::ReadUsage { rental: id, no, activity });
            }
        }
    }

    /// Stops rentals before what they may bill passes the budget, the dearest first.
    pub(super) fn plan_budget(&mut self, now: Timestamp, step: &mut Step) {
        while self.is_passed(now) {
            let dearest = self
                .rentals()
                .filter(|(_, rental)| matches!(rental.live.stage, Stage::Opening | Stage::Working))
                .max_by_key(|(id, rental)| (rental.exposure(now, self.config.stop_horizon), Reverse(*id)))
                .map(|(id, _)| id);
            let Some(id) = dearest else { break };
            self.close(now, id, &Ending::cancelled("the budget is used up"), step);
            // Its usage so far still counts; the usage that it could have had doesn't.
            if let Some(activity) =
                self.live.rentals.get_mut(&id).and_then(|rental| rental.activities.last_mut())
            {
                activity.stopped = Some(now);
            }
            self.live.money.budget_blocks = true;
            self.live.money.ended_for_money = true;
        }
    }

    /// GLM that there must be room for before an agreement is signed that needs so much.
    ///
    /// A bill that is smaller than it was feared to be leaves a little more than was thought. What was just ended for want of
    /// money isn't bought again for that, with another start price and for some seconds of work.
    pub(super) fn room_to_sign(&self, exposure: Glm) -> Glm {
        let buys_again = self.live.money.ended_for_money && self.config.on_budget == OnBudget::Stop;
        if buys_again { add(exposure, exposure) } else { exposure }
    }

    /// Looks whether something may be begun that needs so much before it could be stopped again, and notes what forbids it.
    ///
    /// It is begun beside these exposures, which are those of the stop horizon.
    pub(super) fn affords(&mut self, now: Timestamp, exposures: &Exposures, needs: Glm) -> Room {
        let room = self.room_beside(now, exposures, needs);
        match room {
            Room::Enough => {}
            Room::NotBacked => self.live.money.growth.needed = Some(needs),
            Room::NotInAll | Room::NotInWindow => {
                self.live.money.budget_blocks = true;
                self.live.money.needed = Some(needs);
            }
        }
        room
    }

    /// GLM that may have been promised by now at most.
    fn covered(&self, now: Timestamp) -> Glm {
        let promised = self.promised();
        add(promised, self.budget().left(promised, &self.books.state.promised, now))
    }

    /// GLM that a new allocation is to hold: what may still be promised. Bills that are being accepted come to it.
    pub(super) fn to_set_aside(&self, now: Timestamp) -> Glm {
        self.covered(now).saturating_sub(self.books.state.accepted)
    }

    /// Says how much is left of the run's allocation. Without it, it is what the budget allowed when the run began or
    /// was resumed.
    pub fn set_backing(&mut self, left: Glm) {
        self.live.money.backed = add(self.books.state.accepted, left);
    }

    /// Sets more aside where the windows allow more than there was, shortly before it is needed.
    pub(super) fn plan_growth(&mut self, now: Timestamp, step: &mut Step) {
        let needed = self.live.money.growth.needed.take().unwrap_or_default();
        if self.live.money.growth.under_way.is_some()
            || self.live.money.raising.is_some()
            || !self.live.money.can_pay()
        {
            return;
        }
        let by = self.covered(now).saturating_sub(self.live.money.backed);
        if by.is_zero() || self.live.money.growth.again.is_some_and(|again| now < again) {
            return;
        }
        let soon = self.exposure(now, self.config.stop_horizon.saturating_add(Self::AHEAD), true);
        if add(self.promised(), add(soon, needed)) > self.live.money.backed
            || !self.live.bills.postponed.is_empty()
        {
            self.live.money.growth.under_way = Some(by);
            step.effects.push(Effect::GrowAllocation { by });
        }
    }

    pub(super) fn on_allocation_grown(
        &mut self,
        now: Timestamp,
        allocation: AllocationId,
        amount: Glm,
        step: &mut Step,
    ) {
        let Some(by) = self.live.money.growth.under_way.take() else { return };
        self.live.money.backed = add(self.live.money.backed, by);
        self.live.money.growth.failures = 0;
        self.live.money.growth.again = Some(after(now, Self::GROWTH_PAUSE));
        step.emit(&mut self.books, now, EventKind::AllocationAmended { allocation, amount });
        self.raise_what_waits(now, step);
    }

    pub(super) fn on_allocation_not_grown(&mut self, now: Timestamp, problem: String, step: &mut Step) {
        if self.live.money.growth.under_way.take().is_none() {
            return;
        }
        let pause = Self::GROWTH_PAUSE.saturating_mul(1 << self.live.money.growth.failures.min(5));
        self.live.money.growth.failures = self.live.money.growth.failures.saturating_add(1);
        self.live.money.growth.again = Some(after(now, pause));
        self.tell_trouble(now, "set more money aside".to_owned(), problem, step);
        self.raise_what_waits(now, step);
    }
}

/// True if it has been over for so long that its bill is no longer reserved for in windows.
fn is_late(rental: &RentalView<'_>, now: Timestamp) -> bool {
    rental.live.stage == Stage::Closed && between(rental.live.since, now) >= Run::LATE
}

/// A sum that stops at GLM's supply instead of failing.
pub(super) fn add(one: Glm, other: Glm) -> Glm {
    one.checked_add(other).unwrap_or(Glm::MAX)
}
