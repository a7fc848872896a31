//! Debit notes of one agreement: which are open, until when, and when the next one is payable. Pure.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use yagna_api::DebitNoteId;

use super::ending::Ending;

/// The open debit notes of one agreement.
#[derive(Debug)]
pub(crate) struct Notes {
    accept_timeout: Option<Duration>,
    payment_timeout: Option<Duration>,
    open: HashMap<DebitNoteId, Open>,
    last_sent: Instant,
    last_payable: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Open {
    accept_by: Option<Instant>,
    pay_by: Option<Instant>,
}

impl Notes {
    /// No notes yet; both clocks run from the agreement's beginning.
    pub(crate) fn new(
        accept_timeout: Option<Duration>,
        payment_timeout: Option<Duration>,
        now: Instant,
    ) -> Self {
        Self { accept_timeout, payment_timeout, open: HashMap::new(), last_sent: now, last_payable: now }
    }

    /// The time for which a note that is sent now may wait for its payment; `None` when it isn't payable by itself.
    pub(crate) fn due(&self, is_last: bool, now: Instant) -> Option<Duration> {
        let timeout = self.payment_timeout?;
        (is_last || self.last_payable + timeout <= now).then_some(timeout)
    }

    /// A note goes out: it has to be accepted, and perhaps paid, in time.
    pub(crate) fn sending(&mut self, note: DebitNoteId, due: Option<Duration>, now: Instant) {
        let open = Open {
            accept_by: self.accept_timeout.map(|timeout| now + timeout),
            pay_by: due.map(|timeout| now + timeout),
        };
        self.open.insert(note, open);
    }

    /// It reached the requestor's daemon.
    pub(crate) fn sent(&mut self, payable: bool, now: Instant) {
        self.last_sent = now;
        if payable {
            self.last_payable = now;
        }
    }

    /// It didn't. An ending when that goes on for too long.
    pub(crate) fn not_sent(&mut self, note: Option<&DebitNoteId>, now: Instant) -> Option<Ending> {
        if let Some(note) = note {
            self.open.remove(note);
        }
        let timeout = self.accept_timeout?;
        (now > self.last_sent + timeout).then_some(Ending::RequestorUnreachable(timeout))
    }

    /// The requestor promised to pay it.
    pub(crate) fn accepted(&mut self, note: &DebitNoteId) {
        self.change(note, |open| open.accept_by = None);
    }

    /// It is paid.
    pub(crate) fn paid(&mut self, note: &DebitNoteId) {
        self.change(note, |open| open.pay_by = None);
    }

    /// True if it is one of ours.
    pub(crate) fn knows(&self, note: &DebitNoteId) -> bool {
        self.open.contains_key(note)
    }

    /// The next moment at which something may be overdue.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.open.values().flat_map(|open| [open.accept_by, open.pay_by]).flatten().min()
    }

    /// The reason to end the agreement, if a note is overdue.
    pub(crate) fn overdue(&self, now: Instant) -> Option<Ending> {
        let passed = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if self.open.values().any(|open| passed(open.accept_by)) {
            return self.accept_timeout.map(Ending::DebitNotesDeadline);
        }
        if self.open.values().any(|open| passed(open.pay_by)) {
            return self.payment_timeout.map(Ending::DebitNoteNotPaid);
        }
        None
    }

    fn change(&mut self, note: &DebitNoteId, change: impl FnOnce(&mut Open)) {
        if let Some(open) = self.open.get_mut(note) {
            change(open);
            if open.accept_by.is_none() && open.pay_by.is_none() {
                self.open.remove(note);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn an_unaccepted_note_is_overdue_after_the_agreed_time() {
        let start = Instant::now();
        let mut notes = Notes::new(Some(30 * SECOND), None, start);
        let id = DebitNoteId::new("n");
        assert_eq!(notes.due(true, start + 100 * SECOND), None);
        notes.sending(id.clone(), None, start + 10 * SECOND);
        assert_eq!(notes.deadline(), Some(start + 40 * SECOND));
        assert_eq!(notes.overdue(start + 39 * SECOND), None);
        assert_eq!(notes.overdue(start + 40 * SECOND), Some(Ending::DebitNotesDeadline(30 * SECOND)));
        notes.accepted(&id);
        assert_eq!((notes.overdue(start + 99 * SECOND), notes.deadline()), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn notes_are_payable_once_in_a_payment_timeout_and_at_the_end() {
        let start = Instant::now();
        let mut notes = Notes::new(Some(30 * SECOND), Some(100 * SECOND), start);
        assert_eq!(notes.due(false, start + 99 * SECOND), None);
        let due = notes.due(false, start + 100 * SECOND);
        assert_eq!(due, Some(100 * SECOND));
        let id = DebitNoteId::new("n");
        notes.sending(id.clone(), due, start + 100 * SECOND);
        notes.sent(true, start + 100 * SECOND);
        assert_eq!(notes.due(false, start + 150 * SECOND), None);
        assert_eq!(notes.due(true, start + 150 * SECOND), Some(100 * SECOND));
        notes.accepted(&id);
        assert_eq!(notes.overdue(start + 200 * SECOND), Some(Ending::DebitNoteNotPaid(100 * SECOND)));
        notes.paid(&id);
        assert_eq!(notes.overdue(start + 300 * SECOND), None);
    }

    #[tokio::test(start_paused = true)]
    async fn notes_that_cant_be_sent_end_the_agreement() {
        let start = Instant::now();
        let mut notes = Notes::new(Some(30 * SECOND), None, start);
        assert_eq!(notes.not_sent(None, start + 30 * SECOND), None);
        assert_eq!(
            notes.not_sent(None, start + 31 * SECOND),
            Some(Ending::RequestorUnreachable(30 * SECOND))
        );
        notes.sent(false, start + 31 * SECOND);
        assert_eq!(notes.not_sent(None, start + 60 * SECOND), None);
        assert_eq!(Notes::new(None, None, start).not_sent(None, start + 999 * SECOND), None);
    }
}
