//! What was promised when, so that any hour and any day can be summed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use yagna_api::time::after;
use yagna_api::{Glm, Timestamp};

use super::Window;
use crate::event::RentalId;

/// What was promised when: increases of deals' promises, by the moment of their intents.
///
/// What is promised within a second is one entry, and counts until its end: a window never shows less than there was.
/// Entries older than the longest window are kept as a sum, so there are never more than a day has seconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// What was promised before the entries.
    before: Glm,
    /// The end of each second in which something was promised, and all that was promised until then.
    pub(super) entries: VecDeque<(Timestamp, Glm)>,
    /// Increases by deals of which a bill is being accepted: they may be taken back.
    unsure: BTreeMap<RentalId, Vec<(Timestamp, Glm)>>,
}

impl Ledger {
    /// Notes that a bill is about to be accepted, which adds so much to what its deal's bills promised before.
    /// What comes with an earlier time than the last counts as of that.
    pub fn promise(&mut self, at: Timestamp, deal: RentalId, increase: Glm) {
        if increase.is_zero() {
            return;
        }
        let at = self.add(at, increase);
        self.unsure.entry(deal).or_default().push((at, increase));
    }

    /// Notes that no bill of a deal is being accepted any more: what was promised stays so.
    pub fn settle(&mut self, deal: RentalId) {
        self.unsure.remove(&deal);
    }

    /// Notes that a bill of a deal wasn't accepted after all, and its promises are less by so much: the newest first.
    pub fn take_back(&mut self, deal: RentalId, decrease: Glm) {
        let mut left = decrease;
        while !left.is_zero()
            && let Some((at, increase)) = self.unsure.get_mut(&deal).and_then(Vec::pop)
        {
            let taken = increase.min(left);
            left = left.saturating_sub(taken);
            self.subtract(at, taken);
            let rest = increase.saturating_sub(taken);
            if !rest.is_zero() {
                self.unsure.entry(deal).or_default().push((at, rest));
            }
        }
    }

    /// Notes what was promised then and can't be taken back.
    pub fn promised(&mut self, at: Timestamp, increase: Glm) {
        if !increase.is_zero() {
            self.add(at, increase);
        }
    }

    /// GLM promised in all.
    pub fn total(&self) -> Glm {
        self.entries.back().map_or(self.before, |(_, sum)| *sum)
    }

    /// GLM promised in the window that ends now.
    pub fn within(&self, window: Window, now: Timestamp) -> Glm {
        let begin = before(now, window.length());
        let place = self.entries.partition_point(|(at, _)| *at <= begin);
        self.total().saturating_sub(self.sum_before(place))
    }

    /// When no more than so much will have been promised in the window that ends then, if nothing is added.
    pub fn falls_to(&self, window: Window, most: Glm, now: Timestamp) -> Timestamp {
        if self.within(window, now) <= most {
            return now;
        }
        let total = self.total();
        let enough = self.entries.partition_point(|(_, sum)| total.saturating_sub(*sum) > most);
        self.entries.get(enough).map_or(now, |(at, _)| after(*at, window.length()).max(now))
    }

    /// The moment as of which it counts.
    fn add(&mut self, at: Timestamp, increase: Glm) -> Timestamp {
        let sum = self.total().checked_add(increase).unwrap_or(Glm::MAX);
        let second = end_of_second(at);
        let second = self.entries.back().map_or(second, |(last, _)| second.max(*last));
        match self.entries.back_mut() {
            Some((last, total)) if *last == second => *total = sum,
            _ => self.entries.push_back((second, sum)),
        }
        let longest = before(second, Window::LONGEST);
        while let Some((_, sum)) = self.entries.pop_front_if(|(at, _)| *at <= longest) {
            self.before = sum;
        }
        second
    }

    fn subtract(&mut self, at: Timestamp, amount: Glm) {
        let place = self.entries.partition_point(|(entry, _)| *entry < at);
        let is_there = self.entries.get(place).is_some_and(|(entry, _)| *entry == at);
        if !is_there {
            self.before = self.before.saturating_sub(amount);
        }
        for (_, sum) in self.entries.range_mut(if is_there { place } else { 0 }..) {
            *sum = sum.saturating_sub(amount);
        }
        if is_there && self.entries[place].1 == self.sum_before(place) {
            self.entries.remove(place);
        }
    }

    /// All that was promised before the entry at this place.
    fn sum_before(&self, place: usize) -> Glm {
        place.checked_sub(1).map_or(self.before, |last| self.entries[last].1)
    }
}

fn before(now: Timestamp, length: Duration) -> Timestamp {
    now.checked_sub(length).unwrap_or(Timestamp::MIN)
}

fn end_of_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second().saturating_add(1)).unwrap_or(at)
}
