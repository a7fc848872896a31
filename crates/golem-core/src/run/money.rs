//! The money behind a run: its budget, which may be raised, and the allocation, which may be lost and is made anew.
//!
//! Who asks the daemon is left to the engine. Without an allocation nothing is begun that costs, and no bill is
//! accepted; what runs goes on.

use std::time::Duration;

use yagna_api::payment::Decoration;
use yagna_api::time::after;
use yagna_api::{AllocationId, Glm, Timestamp};

use super::live::money::{Backing, Next};
use super::spending::add;
use super::{Effect, NotRaised, Run, Step};
use crate::budget::Budget;
use crate::event::EventKind;

impl Run {
    /// The first pause before a lost allocation is made anew again; doubled up to 32 times as long.
    const ALLOCATION_PAUSE: Duration = Duration::from_secs(2);

    /// GLM that may be promised.
    pub fn budget(&self) -> Budget {
        self.books.state.budget(self.config.budget)
    }

    /// GLM that might be promised in all with so much more.
    ///
    /// **Errors**: [`NotRaised`] where it can't be raised now.
    pub fn raised_by(&self, amount: Glm) -> Result<Glm, NotRaised> {
        if self.live.stopping.is_some() {
            return Err(NotRaised::Stopping);
        }
        if self.live.money.backing != Backing::There {
            return Err(NotRaised::AllocationLost);
        }
        let total = self.budget().total().ok_or(NotRaised::NotLimitedInAll)?;
        total.checked_add(amount).ok_or(NotRaised::TooMuch)
    }

    pub(super) fn on_raise_budget(&mut self, now: Timestamp, amount: Glm, step: &mut Step) {
        if self.live.money.growth.under_way.is_some() {
            // Both change the allocation: one after the other.
            self.live.money.raise_waits = Some(amount);
        } else if let Ok(budget) = self.raised_by(amount) {
            self.raise(now, amount, budget, step);
        }
    }

    /// Raises what was to be raised while the allocation was being changed; whoever wishes for it waits for an answer.
    pub(super) fn raise_what_waits(&mut self, now: Timestamp, step: &mut Step) {
        let Some(amount) = self.live.money.raise_waits.take() else { return };
        let total = self.budget().total().unwrap_or_default();
        self.raise(now, amount, add(total, amount), step);
    }

    fn raise(&mut self, now: Timestamp, amount: Glm, budget: Glm, step: &mut Step) {
        // Where windows hold less than the whole, more is set aside only once they hold it.
        let is_alone = self.budget().windows().next().is_none();
        let by = if is_alone { amount } else { Glm::ZERO };
        self.live.money.raising = Some(by);
        step.emit(&mut self.books, now, EventKind::BudgetIntended { budget });
        step.effects.push(Effect::RaiseBudget { by, budget });
    }

    pub(super) fn on_budget_raised(&mut self, now: Timestamp, budget: Glm, step: &mut Step) {
        self.live.money.backed =
            add(self.live.money.backed, self.live.money.raising.take().unwrap_or_default());
        self.live.money.budget_blocks = false;
        self.live.money.ended_for_money = false;
        self.live.money.needed = None;
        self.live.last_alive = now;
        step.emit(&mut self.books, now, EventKind::BudgetRaised { budget });
    }

    pub(super) fn on_allocation_lost(&mut self, now: Timestamp, allocation: AllocationId, step: &mut Step) {
        let is_old = self.live.money.anew.as_ref().is_some_and(|anew| *anew != allocation);
        if self.live.money.backing != Backing::There || is_old {
            return;
        }
        let expires = self.config.allocation_end(now);
        self.live.money.backing = Backing::Lost { expires, failures: 0, next: Next::Ask(now) };
        step.emit(&mut self.books, now, EventKind::AllocationLost { allocation });
        // The amount is the rest of the budget, including bills that are being accepted: they come to the new allocation.
        let amount = self.to_set_aside(now);
        let platform = self.config.terms.platform.clone();
        step.emit(&mut self.books, now, EventKind::AllocationIntended { amount, platform, expires });
    }

    pub(super) fn on_allocated(
        &mut self,
        now: Timestamp,
        allocation: AllocationId,
        amount: Glm,
        expires: Timestamp,
        decoration: Decoration,
        step: &mut Step,
    ) {
        let Backing::Lost { next, .. } = self.live.money.backing else { return };
        let accepted = match next {
            Next::Answer { accepted } => accepted,
            Next::Ask(_) => self.books.state.accepted,
        };
        self.live.money.backing = Backing::There;
        self.live.money.backed = add(accepted, amount);
        self.live.money.anew = Some(allocation.clone());
        step.emit(&mut self.books, now, EventKind::AllocationCreated { allocation, amount, expires });
        if self.decoration != decoration {
            // The demand on the market states other terms of payment.
            self.decoration = decoration;
            if self.live.stopping.is_none()
                && let Some(demand) = self.live.market.withdraw()
            {
                self.withdraw(now, demand, "it is paid from another allocation", step);
            }
        }
    }

    pub(super) fn on_not_allocated(&mut self, now: Timestamp, problem: String, step: &mut Step) {
        if let Backing::Lost { expires, failures, .. } = self.live.money.backing {
            let pause = Self::ALLOCATION_PAUSE.saturating_mul(1 << failures.min(5));
            let failures = failures.saturating_add(1);
            self.live.money.backing = Backing::Lost { expires, failures, next: Next::Ask(after(now, pause)) };
            self.tell_trouble(now, "set money aside again".to_owned(), problem, step);
        }
    }

    /// Asks for a new allocation, where the old one is lost.
    pub(super) fn plan_allocation(&mut self, now: Timestamp, step: &mut Step) {
        let Backing::Lost { expires, failures, next: Next::Ask(at) } = self.live.money.backing else {
            return;
        };
        let amount = self.to_set_aside(now);
        // The daemon sets nothing aside where nothing is left.
        if at <= now && !amount.is_zero() {
            self.live.money.backing = Backing::Lost {
                expires,
                failures,
                next: Next::Answer { accepted: self.books.state.accepted },
            };
            step.effects.push(Effect::Allocate { amount, expires });
        }
    }
}
