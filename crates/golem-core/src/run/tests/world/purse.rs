//! The world's money: what is set aside, lost and raised.

use std::time::Duration;

use yagna_api::payment::Decoration;
use yagna_api::properties::name;
use yagna_api::time::{after, between};
use yagna_api::{AllocationId, Glm, Properties};

use super::World;
use crate::budget::{Budget, Window};
use crate::event::Bill;
use crate::run::spending::Room;
use crate::run::{Input, Run};

impl World {
    /// Somebody releases the allocation, and the run learns of it.
    pub(in crate::run::tests) fn lose_allocation(&mut self) {
        if let Some(allocation) = self.allocation.take() {
            self.give(Input::AllocationLost { allocation });
        }
    }

    /// GLM that the run may spend.
    pub(in crate::run::tests) fn budget(&self) -> Budget {
        self.run.budget()
    }

    pub(in crate::run::tests) fn raise_budget(&mut self, amount: Glm) {
        self.give(Input::RaiseBudget { amount });
    }

    pub(super) fn allocate(&mut self, amount: Glm) {
        let left = self.budget.total().map(|total| total.saturating_sub(self.run.accepted()));
        assert!(left.is_none_or(|left| amount <= left), "{amount} GLM set aside where {left:?} is left");
        assert!(self.allocation.is_none(), "two allocations");
        if self.roll(self.faults.daemon) {
            return self.soon(Input::NotAllocated { problem: "500".into() });
        }
        let allocation = AllocationId::new(format!("allocation-{}", self.n_allocations));
        self.n_allocations += 1;
        self.allocation = Some(allocation.clone());
        self.set_aside = self.run.accepted().checked_add(amount).unwrap();
        let decoration = Box::new(Self::decoration());
        let expires = after(self.now, Duration::from_secs(3600));
        self.soon(Input::Allocated { allocation, amount, expires, decoration });
    }

    pub(super) fn raise(&mut self, by: Glm, budget: Glm) {
        if self.budget.windows().next().is_none() {
            assert_eq!(self.budget.total().unwrap().checked_add(by), Some(budget));
        }
        let input = if self.roll(self.faults.daemon) {
            Input::BudgetNotRaised { budget, reason: "500".into() }
        } else {
            self.set_aside = self.set_aside.checked_add(by).unwrap();
            Input::BudgetRaised { budget }
        };
        self.soon(input);
    }

    pub(super) fn grow(&mut self, by: Glm) {
        let Some(allocation) = self.allocation.clone().filter(|_| !self.roll(self.faults.daemon)) else {
            return self.soon(Input::AllocationNotGrown { problem: "500".into() });
        };
        self.set_aside = self.set_aside.checked_add(by).unwrap();
        let promised = self.run.promised();
        let most = promised
            .checked_add(self.budget.left(promised, &self.run.books.state.promised, self.now))
            .unwrap();
        assert!(self.set_aside <= most, "{} GLM set aside where {most} may be promised", self.set_aside);
        self.soon(Input::AllocationGrown { allocation, amount: self.set_aside });
    }

    pub(super) fn count_promise(&mut self, bill: &Bill) {
        if let Some((at, increase)) = self.promises.get(bill) {
            self.next += 1;
            self.promised.insert((*at, self.next), *increase);
        }
    }

    /// Invariant 2, true after every step: of the whole and of every window.
    pub(super) fn check_money(&self) {
        let promised = self.run.promised();
        assert!(
            self.budget.total().is_none_or(|total| promised <= total),
            "more is promised than the budget"
        );
        assert!(self.run.windows_hold(self.now, Glm::ZERO), "more is promised than a window holds");
        assert!(self.run.accepted() <= self.set_aside, "more is accepted than was set aside");
        assert!(
            !self.run.live.money.can_pay() || self.run.live.money.backed <= self.set_aside,
            "the run counts on {} GLM where {} GLM were set aside",
            self.run.live.money.backed,
            self.set_aside
        );
        self.check_what_is_owed();
        let room = self.run.room(self.now, Duration::ZERO, Glm::ZERO);
        // While nobody is there nobody stops what costs.
        let holds = self.crashes.happened() || matches!(room, Room::Enough | Room::NotBacked);
        assert!(holds, "{room:?}: more may be billed already than the budget of {}", self.budget);
        assert!(
            self.crashes.happened() || self.run.live.bills.postponed.is_empty() || room == Room::NotBacked,
            "a right bill doesn't fit: {:?}",
            self.run.live.bills.postponed
        );
    }

    /// By what providers can rightly ask for by now, whatever the run makes of it.
    fn check_what_is_owed(&self) {
        if self.crashes.happened() {
            // While nobody is there nobody stops what costs.
            return;
        }
        let add = |sum: Glm, amount: Glm| sum.checked_add(amount).unwrap();
        let (mut all, mut recent) = (Glm::ZERO, Glm::ZERO);
        for (id, rental) in self.run.rentals().filter(|(_, rental)| rental.awaits_invoice()) {
            let Some(signed) = self.signed.get(&id) else { continue };
            let dues = (0..signed.activities.len()).map(|place| self.due(signed, place).1);
            let owed = dues.fold(Glm::ZERO, add).saturating_sub(rental.kept.promised());
            all = add(all, owed);
            if signed.ended.is_none_or(|ended| between(ended, self.now) < Run::LATE) {
                recent = add(recent, owed);
            }
        }
        let may_be = add(self.run.promised(), all);
        let total = self.budget.total();
        assert!(total.is_none_or(|total| may_be <= total), "{may_be} GLM are owed, or may be");
        for (window, amount) in self.budget.windows() {
            let may_be = add(self.run.books.state.promised.within(window, self.now), recent);
            assert!(may_be <= amount, "{may_be} GLM are owed within {window:?}, or may be");
        }
    }

    /// By the plain list of what was accepted: no hour and no day holds more than the budget says.
    pub(in crate::run::tests) fn assert_no_window_is_passed(&self) {
        for (window, amount) in self.budget.windows() {
            for (last, _) in self.promised.keys() {
                let begin = last.checked_sub(Window::length(window)).unwrap();
                let inside = self.promised.iter().filter(|((at, _), _)| *at >= begin && at <= last);
                let sum = inside.fold(Glm::ZERO, |sum, (_, increase)| sum.checked_add(*increase).unwrap());
                assert!(sum <= amount, "{sum} GLM promised within {window:?} until {last}");
            }
        }
    }

    pub(super) fn decoration() -> Decoration {
        Decoration {
            properties: Properties::new().with(name::platform_address(Self::PLATFORM), "0x1"),
            constraints: vec![format!("({}=*)", name::platform_address(Self::PLATFORM))],
        }
    }
}
