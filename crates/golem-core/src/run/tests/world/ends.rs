//! The ends of activities and agreements, as their providers bring them about.

use std::time::Duration;

use yagna_api::market::{Reason, Terminator};
use yagna_api::time::after;

use super::World;
use crate::event::{ActivityNo, RentalId};
use crate::run::Input;

impl World {
    pub(super) fn terminate(&mut self, rental: RentalId, seconds: f64, why: &str) {
        let at = after(self.now, Duration::from_secs_f64(seconds));
        let signed = self.signed.get_mut(&rental).unwrap();
        // The earlier of two reasons to end it counts.
        signed.ended = Some(signed.ended.map_or(at, |ended| ended.min(at)));
        let agreement = signed.agreement.clone();
        let reason = Some(Reason::new(why));
        self.later(seconds, Input::AgreementTerminated { agreement, by: Terminator::Provider, reason });
    }

    pub(super) fn close_activity(&mut self, rental: RentalId, no: ActivityNo, gently: bool) {
        let (now, clings) = (self.now, self.roll(self.faults.clings));
        let signed = self.signed.get_mut(&rental).unwrap();
        let activity = signed.activities.last_mut().filter(|activity| activity.no == no);
        if clings || activity.is_none() {
            let failure = Some("the activity didn't end in 15 s".to_owned());
            return self.later(15.0, Input::ActivityClosed { rental, no, usage: None, failure });
        }
        activity.unwrap().ended = Some(now);
        let (single, activities) = (signed.single, signed.activities.len());
        let usage = Some(self.due(&self.signed[&rental], activities - 1).0);
        if gently {
            self.later(0.5, Input::WorkerEnded { rental, no, failure: None });
        }
        self.later(1.0, Input::ActivityClosed { rental, no, usage, failure: None });
        if single {
            self.terminate(rental, 0.7, "the only activity has ended");
        }
    }
}
