//! The money behind a run: its budget, which may be raised, and the allocation, which may be lost and is made anew.
//!
//! Who asks the daemon is left to the engine. Without an allocation nothing is begun that costs, and no bill is
//! accepted; what runs goes on.

use std::time::Duration;

use yagna_api::payment::Decoration;
use yagna_api::time::after;
use yagna_api::{AllocationId, Glm, Timestamp};

use super::pause::{Pause, Vain};
use super::spending::{Growth, add};
use super::{Effect, Run, Step};
use crate::budget::Budget;
use crate::event::EventKind;

/// What a process knows of the run's money beside its state. It may be lost in a crash.
#[derive(Debug)]
pub(super) struct Money {
    pub(super) backing: Backing,
    /// The allocation that was made in place of a lost one: news of those before it may come late, and twice.
    pub(super) anew: Option<AllocationId>,
    /// What may have been promised in all before the allocation is used up.
    pub(super) backed: Glm,
    pub(super) growth: Growth,
    /// By how much the allocation grows with the budget that is being raised.
    pub(super) raising: Option<Glm>,
    /// A wish for more budget that waits until the allocation has grown.
    pub(super) raise_waits: Option<Glm>,
    pub(super) paused: Option<Pause>,
    pub(super) vain: Vain,
    /// True if the budget forbade an agreement at the last look.
    pub(super) budget_blocks: bool,
    /// True if an agreement was ended for want of money, and none was raised since.
    pub(super) ended_for_money: bool,
    /// GLM that the agreement would have needed that the budget last forbade.
    pub(super) needed: Option<Glm>,
}

/// Where the allocation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backing {
    /// The daemon has it.
    There,
    /// The daemon no longer has it. A new one is asked for then, unless that is being done.
    Lost {
        /// When the new one is to end by itself, as its intent says: it is known by that.
        expires: Timestamp,
        /// How often a new one couldn't be made.
        failures: u32,
        /// The next step towards the new one.
        next: Next,
    },
}

/// The next step towards a new allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The daemon is asked for it at this moment.
    Ask(Timestamp),
    /// The daemon has been asked, when so much GLM was accepted in all. A bill that is accepted from then on may still have
    /// been paid from the old allocation, but the new one was measured to hold it.
    Answer { accepted: Glm },
}

/// Why a budget can't be raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotRaised {
    /// The run begins no more work: more money would change nothing.
    Stopping,
    /// The daemon no longer has the run's allocation, and a new one isn't made yet.
    AllocationLost,
    /// There isn't so much GLM.
    TooMuch,
    /// Nothing is said of the whole: there are limits for any hour or day only.
    NotLimitedInAll,
}

impl Money {
    /// Nothing is known but that so much is set aside.
    pub(super) fn new(backed: Glm) -> Self {
        Self {
            backing: Backing::There,
            anew: None,
            backed,
            growth: Growth::default(),
            raising: None,
            raise_waits: None,
            paused: None,
            vain: Vain::default(),
            budget_blocks: false,
            ended_for_money: false,
            needed: None,
        }
    }

    /// True if anything may be begun or signed that is to be paid.
    pub(super) fn can_pay(&self) -> bool {
        self.backing == Backing::There
    }
}

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
        // What is left. Bills that are being accepted aren't: they come to the new one.
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
            // What is on the market says that we pay otherwise.
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
