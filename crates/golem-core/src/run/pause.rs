//! The run pauses: a window of its budget holds no agreement just now, and will again.
//!
//! Without a window that frees by itself there is nothing to wait for, and the run stops instead.

use std::time::Duration;

use rust_decimal::Decimal;
use yagna_api::time::{after, between};
use yagna_api::{Glm, Timestamp};

use super::live::money::{Pause, Vain};
use super::rental::Stage;
use super::spending::{Room, add};
use super::{OnBudget, Run, Step};
use crate::budget::Window;
use crate::event::{EventKind, StopReason};
use crate::pricing::round_up;

impl Run {
    /// After so many pauses without a task's end between them the windows are too small for any task.
    const MOST_IN_VAIN: u32 = 5;

    /// Pauses or stops: nothing is at work, and the budget forbids what would be.
    pub(super) fn budget_is_reached(&mut self, now: Timestamp, step: &mut Step) {
        let needed = self.live.money.needed.unwrap_or_default();
        let blocked = self.room(now, self.config.stop_horizon, needed);
        let waits_for_nothing = self.budget().windows().any(|(_, amount)| needed > amount);
        let ended = self.books.state.done + self.books.state.failed;
        if ended > self.live.money.vain.ended {
            self.live.money.vain = Vain { pauses: 0, ended };
        }
        let in_vain = self.live.money.vain.pauses >= Self::MOST_IN_VAIN;
        let stops = self.config.on_budget == OnBudget::Stop || blocked == Room::NotInAll;
        if stops || waits_for_nothing || in_vain {
            self.tell_waiting(now, step);
            return self.stop(now, StopReason::BudgetReached, step);
        }
        if matches!(blocked, Room::Enough | Room::NotBacked) {
            // It was freed meanwhile.
            self.live.money.budget_blocks = false;
            return;
        }
        self.live.money.vain.pauses += 1;
        let waited = between(self.live.last_alive, now);
        self.pause(now, needed, waited, step);
    }

    /// Ends the pause once the windows hold what was missing. Nobody is asked for anything meanwhile.
    pub(super) fn plan_pause(&mut self, now: Timestamp, step: &mut Step) {
        let Some(pause) = self.live.money.paused else { return };
        if self.books.queue.n_waiting() == 0 || self.may_go_on(now, pause.needed) {
            self.live.money.paused = None;
            self.live.money.budget_blocks = false;
            self.live.last_alive = now.checked_sub(pause.waited).unwrap_or(now);
            self.live.market.first_draft = None;
            return step.emit(&mut self.books, now, EventKind::PauseEnded);
        }
        if self.room(now, self.config.stop_horizon, pause.needed) == Room::NotInAll {
            // Late bills came.
            self.live.money.paused = None;
            return self.budget_is_reached(now, step);
        }
        if pause.until <= now {
            self.pause(now, pause.needed, pause.waited, step);
        }
        if let Some(demand) = self.live.market.withdraw() {
            self.withdraw(now, demand, "the run pauses until its budget allows more", step);
        }
    }

    fn pause(&mut self, now: Timestamp, needed: Glm, waited: Duration, step: &mut Step) {
        let exposure = self.exposure(now, self.config.stop_horizon, true);
        // When what is reserved for bills that may still come is free at the latest.
        let over = self.rentals().filter(|(_, rental)| rental.live.stage == Stage::Closed);
        let bills = over
            .filter(|(_, rental)| rental.awaits_invoice())
            .map(|(_, rental)| after(rental.live.since, Self::LATE))
            .filter(|late| *late > now)
            .min();
        let soonest = after(now, Self::FIRST_EXPLANATION);
        let (mut until, mut missing) = (soonest, Glm::ZERO);
        for (window, amount) in self.budget().windows() {
            let goal = add(goal(window, amount, needed), exposure);
            let lacks = add(self.books.state.promised.within(window, now), goal).saturating_sub(amount);
            missing = missing.max(lacks);
            let then = match amount.checked_sub(goal).filter(|most| !most.is_negative()) {
                Some(most) => self.books.state.promised.falls_to(window, most, now),
                None => bills.unwrap_or(soonest),
            };
            until = until.max(then);
        }
        self.live.money.paused = Some(Pause { until, missing, needed, waited });
        step.emit(&mut self.books, now, EventKind::Paused { until, missing });
        self.tell_waiting(now, step);
    }

    fn may_go_on(&self, now: Timestamp, needed: Glm) -> bool {
        let exposure = self.exposure(now, self.config.stop_horizon, true);
        let budget = self.budget();
        let mut windows = budget.windows();
        let windows_hold = windows.all(|(window, amount)| {
            add(add(self.books.state.promised.within(window, now), exposure), goal(window, amount, needed))
                <= amount
        });
        windows_hold && self.room(now, self.config.stop_horizon, needed) != Room::NotInAll
    }
}

/// GLM that a window is to hold before the run goes on: what an agreement needs, or a part of all, if that is more.
/// Otherwise it would make an agreement for each few seconds of work that are freed.
fn goal(window: Window, amount: Glm, needed: Glm) -> Glm {
    let parts = match window {
        Window::Hour => Decimal::from(4),
        Window::Day => Decimal::from(24),
    };
    round_up(amount.to_decimal() / parts).max(needed)
}
