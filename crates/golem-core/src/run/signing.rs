//! Agreements in the making whose provider takes its time: they must not hold the places of those who would work.
//!
//! A signing that is a little old isn't counted as one of the workers wanted, so that another may be signed beside it;
//! what is approved beyond what is wanted is ended again. Which draft is signed is decided in `plan`.

use std::cmp::Reverse;
use std::time::Duration;

use yagna_api::Timestamp;
use yagna_api::time::between;

use super::rental::{LiveRental, Stage};
use super::rentals::Ending;
use super::{Effect, Run, Step};
use crate::event::RentalId;

impl Run {
    /// A provider that hasn't approved after so long isn't counted on any more.
    const SLOW: Duration = Duration::from_secs(10);
    /// After so long its agreement is taken back where its place is wanted for another.
    const TOO_SLOW: Duration = Duration::from_secs(20);
    /// So many times as many rentals as there are workers are held or in the making, at most.
    const MOST_SIDE_BY_SIDE: usize = 2;

    /// True if this rental is one of the workers that there are or will be soon.
    pub(super) fn counts(rental: &LiveRental, now: Timestamp) -> bool {
        rental.is_live() && !(rental.stage == Stage::Signing && between(rental.since, now) >= Self::SLOW)
    }

    pub(super) fn n_counted(&self, now: Timestamp) -> usize {
        self.live.rentals.values().filter(|rental| Self::counts(rental, now)).count()
    }

    /// True if there is a place for another rental, worker or not.
    pub(super) fn has_place(&self, now: Timestamp) -> bool {
        self.n_counted(now) < self.config.workers as usize && self.n_live() < self.most_live()
    }

    /// The number of places for other rentals, workers or not, beside so many that are counted and so many that live.
    pub(super) fn n_places(&self, n_counted: usize, n_live: usize) -> usize {
        let workers = (self.config.workers as usize).saturating_sub(n_counted);
        workers.min(self.most_live().saturating_sub(n_live))
    }

    fn most_live(&self) -> usize {
        (self.config.workers as usize).saturating_mul(Self::MOST_SIDE_BY_SIDE)
    }

    /// Takes back the oldest of the agreements that are too slow, as many as keep others from being signed.
    ///
    /// Where so many were taken back in vain, everybody is slow, and waiting is all that helps.
    pub(super) fn plan_taking_back(&mut self, now: Timestamp, n_missing: usize, step: &mut Step) {
        let coming_free = self.live.rentals.values().filter(|rental| rental.is_taken_back()).count();
        let n_free = self.most_live().saturating_sub(self.n_live()) + coming_free;
        let n_wanted = n_missing.min(self.live.market.drafts().count()).saturating_sub(n_free);
        let patience = self.most_live().saturating_sub(self.live.taken_back);
        if n_wanted == 0 || patience == 0 || !self.has_draft_of_use(now) {
            return;
        }
        let is_due = |rental: &LiveRental| {
            rental.stage == Stage::Signing
                && !rental.is_taken_back()
                && between(rental.since, now) >= Self::TOO_SLOW
        };
        let due: Vec<RentalId> = self
            .live
            .rentals
            .iter_mut()
            .filter(|(_, rental)| is_due(rental))
            .take(n_wanted.min(patience))
            .map(|(id, rental)| {
                rental.taken_back = Some(between(rental.since, now));
                *id
            })
            .collect();
        self.live.taken_back += due.len();
        step.effects.extend(due.into_iter().map(|rental| Effect::TakeBack { rental }));
    }

    /// Ends agreements that were approved when there were workers enough already: first those without an activity, then those
    /// with the least to lose, of them those that are of no use for what waits, then the newest.
    ///
    /// One that has an activity is ended only after a crash: an agreement whose end wasn't written down is in force, and
    /// another one may have been made in its place.
    pub(super) fn plan_surplus(&mut self, now: Timestamp, step: &mut Step) {
        let approved = |rental: &LiveRental| rental.is_live() && rental.stage != Stage::Signing;
        let n_approved = self.live.rentals.values().filter(|rental| approved(rental)).count();
        let surplus = n_approved.saturating_sub(self.config.workers as usize);
        if surplus == 0 {
            return;
        }
        let mut endable: Vec<_> = self
            .rentals()
            .filter(|(_, rental)| approved(rental.live))
            .map(|(id, rental)| {
                let (stage, is_busy) = (rental.live.stage, !rental.live.running.is_empty());
                let is_of_use = self.books.has_any_use_for(rental.provider());
                (is_busy, stage != Stage::Held, stage != Stage::Ending, is_of_use, Reverse(id))
            })
            .collect();
        endable.sort_unstable();
        for (.., Reverse(id)) in endable.into_iter().take(surplus) {
            self.close(now, id, &Ending::cancelled("others were faster"), step);
        }
    }
}
