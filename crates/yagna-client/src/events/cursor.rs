//! Which events of a kept list are new. Pure: what to ask next, and what of an answer hasn't been seen.

use std::collections::{HashSet, VecDeque};
use std::mem::discriminant;
use std::time::Duration;

use yagna_api::Timestamp;
use yagna_api::endpoint::{Listed, Unreadable};
use yagna_api::market::AgreementEvent;
use yagna_api::payment::{DebitNoteEvent, InvoiceEvent};

/// The least number of events that are remembered, to recognise one that comes twice.
const REMEMBERED: usize = 256;

/// The daemon's finest date.
const TICK: Duration = Duration::from_micros(1);

/// The greatest delay after its date with which an event may become visible, while a younger one already is.
const OVERLAP: Duration = Duration::from_secs(1);

/// An event that the daemon keeps.
pub(super) trait CursorEvent {
    /// The time at which it happened.
    fn date(&self) -> Timestamp;

    /// The key that tells it from another of the same date.
    fn key(&self) -> String;
}

impl CursorEvent for AgreementEvent {
    fn date(&self) -> Timestamp {
        self.event_date
    }

    fn key(&self) -> String {
        format!("{} {:?}", self.agreement_id, discriminant(&self.kind))
    }
}

impl CursorEvent for DebitNoteEvent {
    fn date(&self) -> Timestamp {
        self.event_date
    }

    fn key(&self) -> String {
        format!("{} {:?}", self.debit_note_id, discriminant(&self.kind))
    }
}

impl CursorEvent for InvoiceEvent {
    fn date(&self) -> Timestamp {
        self.event_date
    }

    fn key(&self) -> String {
        format!("{} {:?}", self.invoice_id, discriminant(&self.kind))
    }
}

/// The beginning of the next page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// After the last event that was received.
    Ahead,
    /// So much before it.
    Back(Duration),
}

/// A place in a list of events that is ordered by date.
///
/// The daemon answers with events *strictly* after the cursor, which alone would lose two kinds of event. When
/// a page is cut off by its limit, the cut may run between two events of the same date. And the daemon dates an
/// event before it stores it: one may appear after a younger one was read. So the page after one that brought
/// something begins a little earlier, and what was seen is dropped by its key.
#[derive(Debug)]
pub(super) struct Cursor {
    /// The beginning of the stream: nothing up to here is ever new.
    floor: Option<Timestamp>,
    last: Option<Timestamp>,
    page: Option<usize>,
    look: Look,
    seen: HashSet<Entry>,
    order: VecDeque<Entry>,
}

type Entry = (Option<Timestamp>, String);

impl Cursor {
    /// A cursor over pages without a limit.
    pub(super) fn new(after: Option<Timestamp>) -> Self {
        Self {
            floor: after,
            last: after,
            page: None,
            look: Look::Ahead,
            seen: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    /// A cursor over pages of at most `page` events.
    pub(super) fn paged(after: Option<Timestamp>, page: usize) -> Self {
        Self { page: Some(page), ..Self::new(after) }
    }

    /// The date to ask from: events strictly after this are wanted.
    pub(super) fn after(&self) -> Option<Timestamp> {
        match self.look {
            Look::Ahead => self.last,
            Look::Back(by) => self.last.map(|last| before(last, by)).max(self.floor),
        }
    }

    /// True if the next page will bring at least one event that was seen.
    pub(super) fn looks_back(&self) -> bool {
        self.look != Look::Ahead
    }

    /// Moves past an answer and keeps what is new of it.
    pub(super) fn take<T: CursorEvent>(&mut self, listed: Listed<T>) -> Listed<T> {
        let count = listed.items.len() + listed.unreadable.len();
        let mut fresh = Listed { items: Vec::with_capacity(listed.items.len()), unreadable: Vec::new() };
        for event in listed.items {
            if self.is_new(Some(event.date()), event.key()) {
                fresh.items.push(event);
            }
        }
        for item in listed.unreadable {
            if self.is_new(date_of(&item), item.value.to_string()) {
                fresh.unreadable.push(item);
            }
        }
        self.look = if fresh.items.is_empty() && fresh.unreadable.is_empty() {
            Look::Ahead
        } else if self.page.is_some_and(|page| count >= page) {
            Look::Back(TICK)
        } else {
            Look::Back(OVERLAP)
        };
        self.forget();
        fresh
    }

    fn is_new(&mut self, date: Option<Timestamp>, key: String) -> bool {
        if date.is_some() && date <= self.floor {
            return false;
        }
        self.last = self.last.max(date);
        let entry = (date, key);
        let new = self.seen.insert(entry.clone());
        if new {
            self.order.push_back(entry);
        }
        new
    }

    /// Drops what can't come again from the memory.
    fn forget(&mut self) {
        let safe = self.last.map(|last| before(last, OVERLAP * 2));
        while self.order.len() > REMEMBERED
            && let Some((date, _)) = self.order.front()
            && *date < safe
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
    }
}

fn before(date: Timestamp, by: Duration) -> Timestamp {
    date.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn date_of(item: &Unreadable) -> Option<Timestamp> {
    item.value.get("eventDate")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use yagna_api::endpoint::list_answer;

    use super::*;

    /// A daemon that keeps events: strictly after, ascending, at most so many.
    fn answer(kept: &[Value], after: Option<Timestamp>, max: usize) -> Listed<InvoiceEvent> {
        let page: Vec<_> = kept
            .iter()
            .filter(|event| {
                let date: Option<Timestamp> = event["eventDate"].as_str().and_then(|date| date.parse().ok());
                date.is_none() || date > after
            })
            .take(max)
            .collect();
        list_answer(200, serde_json::to_string(&page).unwrap().as_bytes()).unwrap()
    }

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(1_700_000_000_000_000 + micros).unwrap()
    }

    fn event(id: usize, micros: i64) -> Value {
        json!({"invoiceId": format!("i{id}"), "eventDate": at(micros).to_string(), "eventType": "InvoiceReceivedEvent"})
    }

    fn ids(listed: Listed<InvoiceEvent>) -> Vec<String> {
        let ids = listed.items.into_iter().map(|event| event.invoice_id.to_string());
        ids.collect()
    }

    #[test]
    fn every_event_comes_once_whatever_the_page_and_the_ties() {
        let mut rng = fastrand::Rng::with_seed(11);
        for round in 0..300 {
            let page = rng.usize(3..8);
            let (mut date, mut tied) = (0, 1);
            let mut dates: Vec<i64> = Vec::new();
            for _ in 0..rng.usize(0..60) {
                // Never a whole page of one date: no cursor could get past that.
                if tied + 1 < page && rng.bool() {
                    tied += 1;
                } else {
                    date += if rng.bool() { 1 } else { rng.i64(1..3_000_000) };
                    tied = 1;
                }
                dates.push(date);
            }
            let kept: Vec<_> = dates.iter().enumerate().map(|(id, date)| event(id, *date)).collect();
            let mut cursor = Cursor::paged(None, page);
            let mut got = Vec::new();
            let mut there = 0;
            while got.len() < kept.len() || cursor.looks_back() {
                // Events are stored while we read.
                there = kept.len().min(there + rng.usize(0..5));
                while there < kept.len() && there > 0 && dates[there] == dates[there - 1] {
                    there += 1;
                }
                let before = (there, cursor.after());
                got.extend(ids(cursor.take(answer(&kept[..there], cursor.after(), page))));
                let stuck = before == (kept.len(), cursor.after()) && !cursor.looks_back();
                assert!(!stuck || got.len() == kept.len(), "round {round}: lost, got {got:?} of {dates:?}");
            }
            got.sort_by_key(|id| id[1..].parse::<usize>().unwrap());
            let expected: Vec<_> = (0..kept.len()).map(|id| format!("i{id}")).collect();
            assert_eq!(got, expected, "round {round}");
        }
    }

    #[test]
    fn an_event_stored_after_a_younger_one_is_still_seen() {
        let mut cursor = Cursor::new(Some(at(0)));
        let (old, late, young) = (event(0, 0), event(1, 10), event(2, 500_000));
        assert_eq!(ids(cursor.take(answer(&[old.clone(), young.clone()], cursor.after(), 99))), ["i2"]);
        let all = [old, late, young];
        assert_eq!(ids(cursor.take(answer(&all, cursor.after(), 99))), ["i1"]);
        assert!(ids(cursor.take(answer(&all, cursor.after(), 99))).is_empty());
        // With nothing new the next poll may wait.
        assert_eq!(cursor.after(), Some(at(500_000)));
        assert!(ids(cursor.take(answer(&all, cursor.after(), 99))).is_empty());
    }

    #[test]
    fn nothing_up_to_the_beginning_is_ever_repeated() {
        let mut cursor = Cursor::new(Some(at(100)));
        let kept = [event(0, 50), event(1, 100), event(2, 101)];
        assert_eq!(ids(cursor.take(answer(&kept, cursor.after(), 99))), ["i2"]);
        // Looking back stops at the beginning.
        assert_eq!(cursor.after(), Some(at(100)));
        // A daemon that ignores the cursor changes nothing.
        assert!(ids(cursor.take(answer(&kept, None, 99))).is_empty());
    }

    #[test]
    fn unreadable_items_move_the_cursor_and_are_told_once() {
        let mut cursor = Cursor::new(None);
        let mut odd = event(1, 20);
        odd["eventType"] = json!("SomethingNew");
        let undated = json!({"eventType": "Worse"});
        let kept = [event(0, 10), odd, undated];
        let fresh = cursor.take(answer(&kept, cursor.after(), 99));
        assert_eq!((fresh.items.len(), fresh.unreadable.len()), (1, 2));
        for _ in 0..3 {
            let fresh = cursor.take(answer(&kept, cursor.after(), 99));
            assert_eq!((fresh.items.len(), fresh.unreadable.len()), (0, 0));
        }
        assert_eq!(cursor.after(), Some(at(20)));
    }

    #[test]
    fn memory_is_bounded_by_what_can_come_again() {
        let mut cursor = Cursor::new(None);
        for id in 0..5_000_usize {
            let kept = [event(id, i64::try_from(id).unwrap() * 100_000)];
            assert_eq!(cursor.take(answer(&kept, None, 99)).items.len(), 1);
        }
        assert_eq!(cursor.order.len(), REMEMBERED);
        assert_eq!(cursor.seen.len(), REMEMBERED);
    }
}
