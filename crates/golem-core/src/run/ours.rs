//! Trouble of the requestor's own: a full disk, a folder that can't be written, no more open files, a process that stood
//! still. Nobody else is to blame for it, so that no task is charged for an attempt that it cost and no provider set back.
//!
//! While it lasts no new work is begun. Somebody outside tries from time to time whether it is mended, as
//! [`Effect::ProbeOwn`] asks; then a single task is tried, and with its success all goes on. Trouble that isn't mended in
//! time ends the run.

use std::time::Duration;

use yagna_api::Timestamp;
use yagna_api::time::{after, between};

use super::live::ours::{Ours, State, Trouble};
use super::rental::Stage;
use super::{Effect, OwnFault, Run, Step};
use crate::event::{Attempt, EventKind, RentalId, StopReason};

impl Run {
    /// The time that our own trouble may last before the run ends for it.
    pub const OWN_PATIENCE: Duration = Duration::from_secs(10 * 60);
    /// A trial without a failure of our own for so long has succeeded.
    const TRIAL: Duration = Duration::from_secs(60);
    /// An idle activity is ended when the trouble has lasted so long: it costs money.
    const IDLE_IN_TROUBLE: Duration = Duration::from_secs(30);

    pub(super) fn on_own_fault(&mut self, now: Timestamp, fault: OwnFault, step: &mut Step) {
        let until = after(now, Ours::PROBE_PAUSES.0);
        let Some(trouble) = &mut self.live.ours.trouble else {
            let problem = format!(
                "{}; new work waits until that is mended, for {} minutes at the most",
                fault.problem,
                Self::OWN_PATIENCE.as_secs() / 60
            );
            step.emit(
                &mut self.books,
                now,
                EventKind::Trouble { doing: "continue on this machine".into(), problem },
            );
            let (state, pause) = (State::Waiting { until }, Ours::PROBE_PAUSES.0);
            self.live.ours.trouble = Some(Trouble { fault, since: now, state, pause });
            return;
        };
        let bytes = trouble.fault.bytes.max(fault.bytes);
        let folder = fault.folder.or_else(|| trouble.fault.folder.take());
        trouble.fault = OwnFault { problem: fault.problem, folder, bytes };
        if let State::Trial { .. } = trouble.state {
            trouble.pause = (trouble.pause * 2).min(Ours::PROBE_PAUSES.1);
            trouble.state = State::Waiting { until: after(now, trouble.pause) };
        }
    }

    /// Reports a failure for a reason of our own that nobody has reported before.
    pub(super) fn on_own_failure(&mut self, now: Timestamp, message: &str, step: &mut Step) {
        if !self.live.ours.is_in_trouble() {
            let fault = OwnFault { problem: message.to_owned(), folder: None, bytes: 0 };
            self.on_own_fault(now, fault, step);
        }
    }

    /// Something succeeded that our own trouble would have spoilt.
    pub(super) fn own_trouble_is_over(&mut self, now: Timestamp, step: &mut Step) {
        let is_trial = |trouble: &Trouble| matches!(trouble.state, State::Trial { .. });
        if let Some(trouble) = self.live.ours.trouble.take_if(|trouble| is_trial(trouble)) {
            let took = between(trouble.since, now).as_secs();
            let what = format!("this machine's trouble is over after {took} s; the run goes on");
            step.emit(&mut self.books, now, EventKind::Recovered { what });
        }
    }

    /// Notes that we stood still for so long until now, and has the daemon asked what has changed meanwhile.
    pub(super) fn on_gap(&mut self, now: Timestamp, lasted: Duration, step: &mut Step) {
        self.live.ours.gap_end = Some(now);
        self.live.ours.is_looking = true;
        let in_force = self.books.state.rentals.values().filter(|rental| rental.ended.is_none());
        let agreements = in_force.filter_map(|rental| rental.agreement.clone()).collect();
        let debit_notes_after = self.books.state.debit_notes_after();
        let invoices_after = self.books.state.invoices_after();
        step.effects.push(Effect::LookAround { agreements, debit_notes_after, invoices_after });
        self.live.last_alive = after(self.live.last_alive, lasted).min(now);
        let problem = format!(
            "this process stood still for {} s (a suspended machine, or a stopped process); what failed meanwhile is \
             held against nobody",
            lasted.as_secs()
        );
        step.emit(&mut self.books, now, EventKind::Trouble { doing: "keep time".into(), problem });
    }

    pub(super) fn on_clock_off(&mut self, now: Timestamp, ahead: bool, by: Duration, step: &mut Step) {
        if !std::mem::replace(&mut self.live.ours.clock_is_off, true) {
            let side = if ahead { "ahead of" } else { "behind" };
            let problem = format!(
                "this machine's clock is {} s {side} the daemon's: set both by the same time server, or agreements may \
                 expire at once",
                by.as_secs()
            );
            step.emit(&mut self.books, now, EventKind::Trouble { doing: "tell the time".into(), problem });
        }
    }

    /// True if a failure in these words is our own fault, whoever reported it.
    pub(super) fn is_own_fault(&self, id: RentalId, words: &str, now: Timestamp) -> bool {
        let Some(rental) = self.live.rentals.get(&id) else { return false };
        let expired = self.live.ours.clock_is_off && words.to_ascii_lowercase().contains("expired");
        expired
            || self.live.ours.was_silent(rental.since, now)
            || (rental.stage == Stage::Signing && self.live.ours.is_in_trouble())
    }

    /// Gives an attempt back that our own trouble spoilt.
    pub(super) fn give_attempt_back(
        &mut self,
        now: Timestamp,
        id: RentalId,
        attempt: Attempt,
        step: &mut Step,
    ) {
        if self.books.current(attempt).is_some() {
            step.emit(
                &mut self.books,
                now,
                EventKind::AttemptCancelled { attempt, rental: id, lost: None, took: None },
            );
        }
    }

    /// Looks whether trouble of our own is mended; ends what only costs meanwhile, and the run where it lasts too long.
    pub(super) fn plan_ours(&mut self, now: Timestamp, step: &mut Step) {
        let Some(trouble) = &mut self.live.ours.trouble else { return };
        let lasted = between(trouble.since, now);
        match trouble.state {
            State::Trial { since } if between(since, now) >= Self::TRIAL => {
                return self.own_trouble_is_over(now, step);
            }
            State::Trial { .. } => return,
            _ => {}
        }
        self.live.last_alive = now;
        if lasted >= Self::OWN_PATIENCE {
            let problem = trouble.fault.problem.clone();
            step.emit(
                &mut self.books,
                now,
                EventKind::Trouble { doing: "continue on this machine".into(), problem },
            );
            return self.stop(now, StopReason::OwnTrouble, step);
        }
        if let State::Waiting { until } = trouble.state
            && until <= now
        {
            trouble.state = State::Probing;
            step.effects.push(Effect::ProbeOwn { fault: trouble.fault.clone() });
        }
        if lasted < Self::IDLE_IN_TROUBLE {
            return;
        }
        let idle: Vec<_> = self
            .live
            .rentals
            .iter()
            .filter(|(_, rental)| rental.stage == Stage::Working && rental.running.is_empty())
            .map(|(id, _)| *id)
            .collect();
        for id in idle {
            self.end_activity(now, id, true, step);
        }
    }
}
