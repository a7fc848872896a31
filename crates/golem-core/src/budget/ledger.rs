//! Promises with their times, so that any hour and any day can be summed.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use yagna_api::time::after;
use yagna_api::{Glm, Timestamp};

use super::Window;
use crate::event::RentalId;

/// A moment in seconds since 1970, and GLM.
type Entry = (i64, Glm);

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The promises of a run over time: increases of its rentals' promises, by the moment of their intents.
///
/// What is promised within a second is one entry, and counts until its end; what is older than an hour, within a minute.
/// So a window never shows less than there was, an hour at most what was promised a second before it, a day a minute. What is
/// older than a day is kept as a sum: there are never many more than 5,000 entries, whoever bills how often.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// The sum that was promised before the entries.
    before: Glm,
    /// The end of each minute in which something was promised more than an hour ago, and all that was promised until then.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(super) minutes: VecDeque<Entry>,
    /// The promises of each second since then.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(super) seconds: VecDeque<Entry>,
    /// Increases by rentals of which a bill is being accepted: they may be taken back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    unsure: BTreeMap<RentalId, Vec<Entry>>,
}

impl Ledger {
    /// Notes that a bill is about to be accepted, which adds so much to what its rental's bills promised before.
    /// What comes with an earlier time than the last counts as of that.
    pub fn promise(&mut self, at: Timestamp, rental: RentalId, increase: Glm) {
        if increase.is_zero() {
            return;
        }
        let at = self.add(at, increase);
        self.unsure.entry(rental).or_default().push((at, increase));
    }

    /// Notes that no bill of a rental is being accepted any more: what was promised stays so.
    pub fn settle(&mut self, rental: RentalId) {
        self.unsure.remove(&rental);
    }

    /// Notes that a bill of a rental wasn't accepted after all, and its promises are less by so much: the newest first.
    pub fn take_back(&mut self, rental: RentalId, decrease: Glm) {
        let mut left = decrease;
        while !left.is_zero()
            && let Some((at, increase)) = self.unsure.get_mut(&rental).and_then(Vec::pop)
        {
            let taken = increase.min(left);
            left = left.saturating_sub(taken);
            self.subtract(at, taken);
            let rest = increase.saturating_sub(taken);
            if !rest.is_zero() {
                self.unsure.entry(rental).or_default().push((at, rest));
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
        self.seconds.back().or_else(|| self.minutes.back()).map_or(self.before, |(_, sum)| *sum)
    }

    /// GLM promised in the window that ends now.
    ///
    /// A day counts every entry until the end of its minute, also one that is still kept by the second. Otherwise a sum
    /// that was looked at just before seconds become minutes would be larger right after.
    pub fn within(&self, window: Window, now: Timestamp) -> Glm {
        let begin = now.checked_sub(window.length()).unwrap_or(Timestamp::MIN).as_second();
        let until = |entries: &VecDeque<Entry>| {
            let place =
                entries.partition_point(|(at, _)| counts_until(window, *at) <= begin).checked_sub(1)?;
            entries.get(place).map(|(_, sum)| *sum)
        };
        let outside = until(&self.seconds).or_else(|| until(&self.minutes)).unwrap_or(self.before);
        self.total().saturating_sub(outside)
    }

    /// The time at which the sum promised in the window that ends then is no more than this, if nothing is added.
    pub fn falls_to(&self, window: Window, most: Glm, now: Timestamp) -> Timestamp {
        if self.within(window, now) <= most {
            return now;
        }
        let total = self.total();
        let enough = |entries: &VecDeque<Entry>| {
            let place = entries.partition_point(|(_, sum)| total.saturating_sub(*sum) > most);
            entries.get(place).map(|(at, _)| *at)
        };
        let last = enough(&self.minutes).or_else(|| enough(&self.seconds));
        let last = last.and_then(|last| Timestamp::from_second(counts_until(window, last)).ok());
        last.map_or(now, |last| after(last, window.length()).max(now))
    }

    /// The moment as of which it counts.
    fn add(&mut self, at: Timestamp, increase: Glm) -> i64 {
        let sum = self.total().checked_add(increase).unwrap_or(Glm::MAX);
        let end = at.as_second().saturating_add(1);
        let newest = self.seconds.back().or_else(|| self.minutes.back());
        let second = newest.map_or(end, |(newest, _)| end.max(*newest));
        match self.seconds.back_mut() {
            Some((newest, total)) if *newest == second => *total = sum,
            _ => self.seconds.push_back((second, sum)),
        }
        self.merge(second - 1);
        second
    }

    /// Makes minutes of seconds that are no longer in any hour to come, and a sum of minutes that are in no day.
    fn merge(&mut self, now: i64) {
        while let Some((at, sum)) = self.seconds.pop_front_if(|(at, _)| end_of_minute(*at) <= now - HOUR) {
            let end = end_of_minute(at);
            match self.minutes.back_mut() {
                Some((newest, total)) if *newest == end => *total = sum,
                _ => self.minutes.push_back((end, sum)),
            }
        }
        while let Some((_, sum)) = self.minutes.pop_front_if(|(at, _)| *at <= now - DAY) {
            self.before = sum;
        }
    }

    fn subtract(&mut self, at: i64, amount: Glm) {
        let place = |entries: &VecDeque<Entry>, at| entries.binary_search_by_key(&at, |(at, _)| *at).ok();
        let (minutes, seconds) = if let Some(second) = place(&self.seconds, at) {
            (self.minutes.len(), second)
        } else if let Some(minute) = place(&self.minutes, end_of_minute(at)) {
            (minute, 0)
        } else {
            self.before = self.before.saturating_sub(amount);
            (0, 0)
        };
        let lowered = self.minutes.range_mut(minutes..).chain(self.seconds.range_mut(seconds..));
        lowered.for_each(|(_, sum)| *sum = sum.saturating_sub(amount));
        self.drop_empty(minutes, seconds);
    }

    /// Drops the entry at this place if nothing is left of it.
    fn drop_empty(&mut self, minute: usize, second: usize) {
        let sum_before = |entries: &VecDeque<Entry>, place: usize| {
            place.checked_sub(1).and_then(|last| entries.get(last)).map(|(_, sum)| *sum)
        };
        if let Some((_, sum)) = self.minutes.get(minute) {
            if *sum == sum_before(&self.minutes, minute).unwrap_or(self.before) {
                self.minutes.remove(minute);
            }
        } else if let Some((_, sum)) = self.seconds.get(second) {
            let minutes = self.minutes.back().map_or(self.before, |(_, sum)| *sum);
            if *sum == sum_before(&self.seconds, second).unwrap_or(minutes) {
                self.seconds.remove(second);
            }
        }
    }
}

/// The second until which a window's length counts from, for an entry of this second.
fn counts_until(window: Window, second: i64) -> i64 {
    match window {
        Window::Hour => second,
        Window::Day => end_of_minute(second),
    }
}

fn end_of_minute(second: i64) -> i64 {
    second.saturating_add(59).div_euclid(60).saturating_mul(60)
}
