//! Trouble of the requestor's own in the miniature market: a disk that is full for a while, a process that stands still.

use std::time::Duration;

use yagna_api::time::after;

use super::{Signed, World};
use yagna_api::AgreementId;
use yagna_api::market::{Reason, Terminator};

use crate::event::{Attempt, AttemptFailure, FailureKind, RentalId};
use crate::run::{Input, OwnFault, WorkerFailure};

impl World {
    /// From now on nothing can be written for so long.
    pub(in crate::run::tests) fn fill_disk(&mut self, time: Duration) {
        self.full_until = Some(after(self.now, time));
    }

    /// The process stands still for so long: what the others do meanwhile comes all at once.
    pub(in crate::run::tests) fn stand_still(&mut self, lasted: Duration) {
        self.now = after(self.now, lasted);
        self.give(Input::Gap { lasted });
        // No answer comes from those that worked meanwhile.
        let working = self.run.live.rentals.iter().filter(|(_, rental)| !rental.running.is_empty());
        let working: Vec<_> = working.map(|(id, _)| *id).collect();
        for rental in working {
            let Some(no) = self.signed[&rental].activities.last().map(|activity| activity.no) else {
                continue;
            };
            let failure = Some(WorkerFailure::lost("no answer came in time"));
            self.give(Input::WorkerEnded { rental, no, failure });
        }
    }

    /// The process stands still for so long, and no event tells of the agreements that all providers end meanwhile.
    pub(in crate::run::tests) fn miss_ends(&mut self, lasted: Duration) -> usize {
        let ended = after(self.now, lasted / 2);
        self.now = after(self.now, lasted);
        let running = self.signed.values_mut().filter(|rental| rental.running && rental.ended.is_none());
        let missed = running.map(|rental| rental.ended = Some(ended)).count();
        self.give(Input::Gap { lasted });
        missed
    }

    /// The daemon is asked which of these agreements have ended meanwhile.
    pub(super) fn look_around(&mut self, agreements: &[AgreementId]) {
        let has_ended = |rental: &&Signed| rental.ended.is_some_and(|ended| ended <= self.now);
        let ended = self.signed.values().filter(has_ended).map(|rental| rental.agreement.clone());
        let ended: Vec<_> = ended.filter(|agreement| agreements.contains(agreement)).collect();
        for agreement in ended {
            let reason = Some(Reason::new("over"));
            self.later(0.5, Input::AgreementTerminated { agreement, by: Terminator::Provider, reason });
        }
        self.later(1.0, Input::LookedAround);
    }

    pub(super) fn probe(&mut self) {
        let still = (self.full_until > Some(self.now)).then(|| "the disk is full".to_owned());
        self.later(0.1, Input::OwnProbed { still });
    }

    /// What becomes of an attempt whose result can't be written.
    pub(super) fn spoilt(&mut self, rental: RentalId, attempt: Attempt, time: f64) -> Option<Input> {
        if self.full_until <= Some(self.now) {
            return None;
        }
        let message = "out can't be written: the disk is full".to_owned();
        let fault = OwnFault { problem: message.clone(), folder: Some("out".into()), bytes: 1 };
        self.later(time, Input::OwnFault { fault });
        let failure = AttemptFailure::new(FailureKind::OwnTrouble, message);
        Some(Input::AttemptFailed { rental, attempt, failure, retry: true })
    }
}
