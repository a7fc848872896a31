//! An executor that is over, and what can be asked of its events and of the network's books.

use std::collections::HashSet;
use std::sync::Arc;

use golem_core::event::{Event, EventKind, RentalId, RunEnd};
use golem_devnet::devnet::Devnet;
use golem_devnet::node::{AgreementRow, BillRow, Books};
use yagna_api::payment::BillStatus;

use crate::stage::Stage;

/// What is left of an executor.
pub(crate) struct Played {
    pub(crate) end: RunEnd,
    pub(crate) events: Vec<Event>,
    pub(crate) books: Books,
    devnet: Arc<Devnet>,
}

impl Played {
    /// Closes the executor, which must leave nothing open.
    pub(crate) async fn of(stage: Stage) -> Self {
        let (devnet, journal) = (Arc::clone(&stage.devnet), Arc::clone(&stage.journal));
        let end = stage.close().await;
        Self { end, events: journal.events(), books: devnet.books(), devnet }
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = &EventKind> {
        self.events.iter().map(|event| &event.kind)
    }

    pub(crate) fn count(&self, is: impl Fn(&EventKind) -> bool) -> usize {
        self.kinds().filter(|kind| is(kind)).count()
    }

    /// The agreements with a provider, in the order of their making.
    pub(crate) fn agreements_with(&self, name: &str) -> Vec<&AgreementRow> {
        agreements_with(&self.devnet, &self.books, name)
    }

    /// The rentals with a provider, as events name them.
    pub(crate) fn rentals_with(&self, name: &str) -> Vec<RentalId> {
        let node = self.devnet.provider(name).unwrap().node();
        let its = |kind: &EventKind| match kind {
            EventKind::AgreementIntended { rental, provider, .. } if provider.id == *node => Some(*rental),
            _ => None,
        };
        self.kinds().filter_map(its).collect()
    }

    /// Each agreement that ever had an activity has one accepted invoice, and no bill was left.
    #[track_caller]
    pub(crate) fn assert_all_paid(&self) {
        assert_eq!(self.end.unsettled, 0, "{:?}", self.end);
        let used: HashSet<_> = self.books.activities.iter().map(|activity| &activity.agreement).collect();
        for agreement in used {
            let its = self.books.invoices.iter().filter(|bill| bill.agreement == *agreement);
            assert_eq!(
                its.filter(|bill| is_accepted(bill)).count(),
                1,
                "{agreement}: {:#?}",
                self.books.invoices
            );
        }
    }
}

pub(crate) fn agreements_with<'a>(devnet: &Devnet, books: &'a Books, name: &str) -> Vec<&'a AgreementRow> {
    let node = devnet.provider(name).unwrap().node();
    books.agreements.iter().filter(|row| row.provider == *node).collect()
}

pub(crate) fn is_accepted(bill: &BillRow) -> bool {
    matches!(bill.status, BillStatus::Accepted | BillStatus::Settled)
}
