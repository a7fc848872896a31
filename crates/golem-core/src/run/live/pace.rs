//! The interval at which a run looks at everything: the more rentals, the longer, so that looking takes no more time
//! where there are many.

use std::time::Duration;

use yagna_api::Timestamp;
use yagna_api::time::after;

use crate::run::config::RunConfig;

/// The moments at which the run looked at everything, and is to look again.
#[derive(Debug, Default)]
pub(in crate::run) struct Pace {
    /// The moment of the last look.
    last: Option<Timestamp>,
    /// True if something has come since.
    owed: bool,
    /// The moment at which there is something to decide although nothing comes.
    pub(in crate::run) alarm: Option<Timestamp>,
    /// The number of rentals that the tasks of a run's only job are shared out among, as it was at the last look.
    pub(in crate::run) takers: usize,
    /// The number of rentals that were looked at, each time that all of them were.
    #[cfg(test)]
    pub(in crate::run) looks: std::cell::Cell<u64>,
}

impl Pace {
    /// Notes that the run looks at everything now.
    pub(in crate::run) fn begin(&mut self, now: Timestamp) {
        self.last = Some(now);
        self.owed = false;
        self.alarm = None;
    }

    /// True if the run may look at everything now. If it may not, it is to do so later.
    pub(in crate::run) fn may_look(&mut self, now: Timestamp, config: &RunConfig, n_rentals: usize) -> bool {
        let may = self.next(config, n_rentals).is_none_or(|next| next <= now);
        self.owed |= !may;
        may
    }

    /// True if something has come since the run last looked at everything.
    #[cfg(test)]
    pub(in crate::run) fn is_owed(&self) -> bool {
        self.owed
    }

    /// The moment at which the run has to look at everything, whatever comes until then.
    pub(in crate::run) fn due(&self, config: &RunConfig, n_rentals: usize) -> Option<Timestamp> {
        let owed = self.next(config, n_rentals).filter(|_| self.owed);
        owed.into_iter().chain(self.alarm).min()
    }

    fn next(&self, config: &RunConfig, n_rentals: usize) -> Option<Timestamp> {
        let pause = match u32::try_from(n_rentals).unwrap_or(u32::MAX) {
            n if n <= config.rentals_at_once => Duration::ZERO,
            n => config.pause_per_rental.saturating_mul(n).min(RunConfig::LONGEST_PAUSE),
        };
        self.last.map(|last| after(last, pause))
    }
}
