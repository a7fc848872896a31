//! A provider's bills whose fate may still be told: which agreement and amount an event is about.
//!
//! A requestor may accept a bill before the call that sent it has returned; that is told after the sending all the
//! same.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use yagna_api::payment::BillEventKind;
use yagna_api::{AgreementId, DebitNoteId, Glm, InvoiceId};

use super::{BillFate, BillId, HappeningKind, Reporter};

/// So many bills are remembered; the fate of an older one isn't told.
const REMEMBERED: usize = 4096;

/// Bills that went out, or are about to.
#[derive(Debug, Default)]
pub(crate) struct OpenBills(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    entries: HashMap<String, Entry>,
    order: VecDeque<String>,
}

#[derive(Debug)]
struct Entry {
    agreement: AgreementId,
    bill: BillId,
    amount: Glm,
    sent: bool,
    /// The outcomes that came before the bill was sent, in our order of events.
    early: Vec<BillFate>,
}

impl OpenBills {
    /// A bill goes out.
    pub(crate) fn sending(&self, agreement: &AgreementId, bill: BillId, amount: Glm) {
        let mut books = self.books();
        let id = bill.id().to_owned();
        let entry = Entry { agreement: agreement.clone(), bill, amount, sent: false, early: Vec::new() };
        if books.entries.insert(id.clone(), entry).is_none() {
            books.order.push_back(id);
        }
        if books.order.len() > REMEMBERED
            && let Some(oldest) = books.order.pop_front()
        {
            books.entries.remove(&oldest);
        }
    }

    /// It is out.
    pub(crate) fn sent(&self, bill: &str, reporter: &Reporter) {
        let mut books = self.books();
        let Some(entry) = books.entries.get_mut(bill) else { return };
        entry.sent = true;
        entry.tell(BillFate::Sent, reporter);
        for fate in std::mem::take(&mut entry.early) {
            entry.tell(fate, reporter);
        }
    }

    /// Something happened to a debit note, perhaps another provider's.
    pub(crate) fn on_debit_note(&self, note: &DebitNoteId, event: &BillEventKind, reporter: &Reporter) {
        self.on(note.as_str(), event, reporter);
    }

    /// Something happened to an invoice, perhaps another provider's.
    pub(crate) fn on_invoice(&self, invoice: &InvoiceId, event: &BillEventKind, reporter: &Reporter) {
        self.on(invoice.as_str(), event, reporter);
    }

    fn on(&self, bill: &str, event: &BillEventKind, reporter: &Reporter) {
        let fate = match event {
            BillEventKind::Accepted => BillFate::Accepted,
            BillEventKind::Settled => BillFate::Paid,
            BillEventKind::Rejected { rejection } => {
                let why = rejection.as_ref().map(|rejection| match &rejection.message {
                    Some(message) if !message.is_empty() => message.clone(),
                    _ => format!("{:?}", rejection.rejection_reason),
                });
                BillFate::Rejected(why.unwrap_or_default())
            }
            _ => return,
        };
        let mut books = self.books();
        match books.entries.get_mut(bill) {
            Some(entry) if entry.sent => entry.tell(fate, reporter),
            Some(entry) => entry.early.push(fate),
            None => {}
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn tell(&self, fate: BillFate, reporter: &Reporter) {
        reporter.tell(|| HappeningKind::Bill {
            agreement: self.agreement.clone(),
            bill: self.bill.clone(),
            amount: self.amount,
            fate,
        });
    }
}

impl BillId {
    /// The bill's own id.
    pub fn id(&self) -> &str {
        match self {
            Self::DebitNote(note, _) => note.as_str(),
            Self::Invoice(invoice) => invoice.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::DevnetClock;
    use crate::news::{Heard, NewsDesk};

    #[tokio::test]
    async fn a_bill_accepted_before_its_sending_returned_is_told_in_order_and_strangers_bills_never() {
        let desk = NewsDesk::new();
        let mut news = desk.subscribe();
        let node = "0xabcdef0123456789abcdef0123456789abcdef01".parse().unwrap();
        let ada = Reporter::new(desk, Arc::new(DevnetClock::real()), "ada", node);
        let (bills, invoice) = (OpenBills::default(), InvoiceId::new("i"));
        bills.sending(&AgreementId::new("a"), BillId::Invoice(invoice.clone()), Glm::ONE);
        bills.on_invoice(&InvoiceId::new("another"), &BillEventKind::Accepted, &ada);
        bills.on_invoice(&invoice, &BillEventKind::Accepted, &ada);
        bills.sent("i", &ada);
        bills.on_invoice(&invoice, &BillEventKind::Settled, &ada);
        drop(ada);
        let mut fates = Vec::new();
        while let Some(Heard::Happening(happening)) = news.next().await {
            match &happening.kind {
                HappeningKind::Bill { fate, .. } => fates.push(fate.clone()),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(fates, [BillFate::Sent, BillFate::Accepted, BillFate::Paid]);
    }
}
