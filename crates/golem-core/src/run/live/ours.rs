//! Trouble of the requestor's own in this process.

use std::time::Duration;

use yagna_api::Timestamp;
use yagna_api::time::{after, between};

use crate::event::FailureKind;
use crate::run::input::OwnFault;

/// The trouble of the requestor's own that is known.
#[derive(Debug, Default)]
pub(in crate::run) struct Ours {
    pub(in crate::run) trouble: Option<Trouble>,
    /// The moment at which the process last began to move again after it had stood still.
    pub(in crate::run) gap_end: Option<Timestamp>,
    /// True while the daemon is being asked what has changed since the process stood still.
    pub(in crate::run) is_looking: bool,
    /// True if our clock is far from the daemon's.
    pub(in crate::run) clock_is_off: bool,
}

#[derive(Debug)]
pub(in crate::run) struct Trouble {
    pub(in crate::run) fault: OwnFault,
    /// The moment since which there has been no success.
    pub(in crate::run) since: Timestamp,
    pub(in crate::run) state: State,
    /// The pause before the next probe.
    pub(in crate::run) pause: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) enum State {
    /// It is tried out again then.
    Waiting { until: Timestamp },
    /// It is being tried out.
    Probing,
    /// It seems to be mended since then; a single task at a time is to show that it is.
    Trial { since: Timestamp },
}

impl Ours {
    /// The pauses between two looks whether it is mended.
    pub(in crate::run) const PROBE_PAUSES: (Duration, Duration) =
        (Duration::from_secs(2), Duration::from_secs(30));
    /// The time after a gap in which what fails may have failed for our silence.
    pub(in crate::run) const AFTER_GAP: Duration = Duration::from_secs(2 * 60);
    /// The least and the most time after a gap in which nothing is judged by how long it has taken: what the daemon tells
    /// when it is asked comes first.
    pub(in crate::run) const LOOKING: (Duration, Duration) =
        (Duration::from_secs(10), Duration::from_secs(60));

    /// True if nothing new may be begun for trouble of our own.
    pub(in crate::run) fn is_in_trouble(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| !matches!(trouble.state, State::Trial { .. }))
    }

    /// The number of tasks that may be handed out now, while so many are being tried.
    pub(in crate::run) fn room(&self, n_running: usize) -> usize {
        match &self.trouble {
            None => usize::MAX,
            Some(Trouble { state: State::Trial { .. }, .. }) => 1usize.saturating_sub(n_running),
            Some(_) => 0,
        }
    }

    /// True if there was a gap in our time so recently that nothing is to be judged yet.
    pub(in crate::run) fn looks_after_gap(&self, now: Timestamp) -> bool {
        let longest = if self.is_looking { Self::LOOKING.1 } else { Self::LOOKING.0 };
        self.gap_end.is_some_and(|end| between(end, now) < longest)
    }

    /// True if what has gone on since `began` may have failed for our own silence.
    pub(in crate::run) fn was_silent(&self, began: Timestamp, now: Timestamp) -> bool {
        self.gap_end.is_some_and(|end| began <= end && between(end, now) < Self::AFTER_GAP)
    }

    /// True if what began then may have failed in this way for our own silence.
    pub(in crate::run) fn cost_by_silence(
        &self,
        began: Timestamp,
        kind: FailureKind,
        now: Timestamp,
    ) -> bool {
        let by_silence = matches!(
            kind,
            FailureKind::Lost | FailureKind::Expired | FailureKind::TransferFailed | FailureKind::OwnTrouble
        );
        by_silence && self.was_silent(began, now)
    }

    /// Takes in what a look at our own trouble has shown.
    pub(in crate::run) fn on_probed(&mut self, now: Timestamp, still: Option<String>) {
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
