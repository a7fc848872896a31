//! Trouble of the requestor's own: a full disk, a folder that can't be written, no more open files, a process that stood
//! still. Nobody else is to blame for it, so that no task is charged for an attempt that it cost and no provider set back.
//!
//! While it lasts no new work is begun. Somebody outside tries from time to time whether it is mended, as
//! [`Effect::ProbeOwn`] asks; then a single task is tried, and with its success all goes on. Trouble that isn't mended in
//! time ends the run.

use std::path::PathBuf;
use std::time::Duration;

use yagna_api::Timestamp;
use yagna_api::time::{after, between};

use super::rental::Stage;
use super::{Effect, Run, Step};
use crate::event::{Attempt, EventKind, FailureKind, RentalId, StopReason};

/// Something of the requestor's own that work needs and that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFault {
    /// What is wrong and where, in words.
    pub problem: String,
    /// The folder that something couldn't be written to, where it is about one.
    pub folder: Option<PathBuf>,
    /// So many bytes at least should have been written there.
    pub bytes: u64,
}

/// What a run knows of its own trouble.
#[derive(Debug, Default)]
pub(super) struct Ours {
    trouble: Option<Trouble>,
    /// When the process last began to move again after it had stood still.
    gap_end: Option<Timestamp>,
    /// Is our clock far from the daemon's?
    clock_is_off: bool,
}

#[derive(Debug)]
struct Trouble {
    fault: OwnFault,
    /// Since when there has been no success.
    since: Timestamp,
    state: State,
    /// The pause before the next probe.
    pause: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is tried out again then.
    Waiting { until: Timestamp },
    /// It is being tried out.
    Probing,
    /// It seems to be mended since then; a single task at a time is to show that it is.
    Trial { since: Timestamp },
}

impl Ours {
    /// The pauses between two looks whether it is mended.
    const PROBE_PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));
    /// For so long after a gap in time what failed may have failed for our silence.
    const AFTER_GAP: Duration = Duration::from_secs(2 * 60);
    /// So long after a gap nothing is judged by how long it has taken: what the daemon has to tell comes first.
    const LOOKING: Duration = Duration::from_secs(10);

    /// True if nothing new may be begun for trouble of our own.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| !matches!(trouble.state, State::Trial { .. }))
    }

    /// The number of tasks that may be handed out now, while so many are being tried.
    pub(super) fn room(&self, n_running: usize) -> usize {
        match &self.trouble {
            None => usize::MAX,
            Some(Trouble { state: State::Trial { .. }, .. }) => 1usize.saturating_sub(n_running),
            Some(_) => 0,
        }
    }

    /// True if there was a gap in our time so recently that nothing is to be judged yet.
    pub(super) fn looks_after_gap(&self, now: Timestamp) -> bool {
        self.gap_end.is_some_and(|end| between(end, now) < Self::LOOKING)
    }

    /// True if what has gone on since `began` may have failed for our own silence.
    fn was_silent(&self, began: Timestamp, now: Timestamp) -> bool {
        self.gap_end.is_some_and(|end| began <= end && between(end, now) < Self::AFTER_GAP)
    }

    /// True if what began then may have failed in this way for our own silence.
    pub(super) fn cost_by_silence(&self, began: Timestamp, kind: FailureKind, now: Timestamp) -> bool {
        let by_silence = matches!(
            kind,
            FailureKind::Lost | FailureKind::Expired | FailureKind::TransferFailed | FailureKind::OwnTrouble
        );
        by_silence && self.was_silent(began, now)
    }

    /// Takes in what a look at our own trouble has shown.
    pub(super) fn on_probed(&mut self, now: Timestamp, still: Option<String>) {
        let Some(trouble) = &mut self.trouble else { return };
        if trouble.state != State::Probing {
            return;
        }
        trouble.state = match still {
            None => State::Trial { since: now },
            Some(problem) => {
                trouble.fault.problem = problem;
                trouble.pause = (trouble.pause * 2).min(Self::PROBE_PAUSES.1);
                State::Waiting { until: after(now, trouble.pause) }
            }
        };
    }
}

impl Run {
    /// So long our own trouble may last before the run ends for it.
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

    /// What failed for a reason of our own that nobody has told of before.
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

    /// Did we stand still for so long until now?
    pub(super) fn on_gap(&mut self, now: Timestamp, lasted: Duration, step: &mut Step) {
        self.live.ours.gap_end = Some(now);
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

    /// Is a failure in these words our own fault, whoever it came from?
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
