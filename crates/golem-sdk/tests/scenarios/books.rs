//! The conditions that must hold in the network's books and in the journal when a run is over.

use std::collections::{BTreeMap, HashMap, HashSet};

use golem_core::event::{Bill, EventKind, RentalId};
use golem_devnet::node::{AgreementRow, BillRow, Books};
use yagna_api::activity::State;
use yagna_api::market::AgreementState;
use yagna_api::payment::BillStatus;
use yagna_api::{AgreementId, Glm};

use crate::stage::{Played, wait_for};

fn is_accepted(bill: &BillRow) -> bool {
    matches!(bill.status, BillStatus::Accepted | BillStatus::Settled)
}

/// Nothing of the run is left running or open, and what was promised is what the journal says, within the budget.
pub(crate) async fn assert_books_closed(played: &Played) {
    let devnet = &played.devnet;
    // One that its provider never decided on runs out by itself.
    let pending = |row: &AgreementRow| row.state == AgreementState::Pending;
    wait_for("every proposed agreement to run out", || !devnet.books().agreements.iter().any(pending)).await;
    // The other side hears of the end a moment later.
    wait_for("every activity to end", || left_running(played, &devnet.books()).is_empty()).await;
    let books = devnet.books();
    let ours: HashSet<&AgreementId> = agreements(played, &books).collect();

    let approved = |row: &&AgreementRow| ours.contains(&row.id) && row.state == AgreementState::Approved;
    let open: Vec<_> = books.agreements.iter().filter(approved).collect();
    assert!(open.is_empty(), "agreements are still open: {open:#?}");
    let unreleased: Vec<_> = books.allocations.iter().filter(|row| !row.released).collect();
    assert!(unreleased.is_empty(), "allocations aren't released: {unreleased:#?}");

    let answered = |row: &&BillRow| ours.contains(&row.agreement) && is_accepted(row);
    // A debit note names all that its activity owes so far, an invoice all of all activities.
    let mut noted: BTreeMap<_, Glm> = BTreeMap::new();
    for row in books.debit_notes.iter().filter(answered) {
        let highest = noted.entry((&row.agreement, &row.activity)).or_default();
        *highest = (*highest).max(row.amount);
    }
    let mut promised: BTreeMap<&AgreementId, Glm> = BTreeMap::new();
    for ((agreement, _), highest) in noted {
        let sum = promised.entry(agreement).or_default();
        *sum = sum.checked_add(highest).unwrap();
    }
    let mut invoiced = HashSet::new();
    for row in books.invoices.iter().filter(answered) {
        let highest = promised.entry(&row.agreement).or_default();
        *highest = (*highest).max(row.amount);
    }
    for row in books.invoices.iter().filter(answered) {
        assert!(invoiced.insert(&row.agreement), "two invoices were accepted for {}", row.agreement);
    }
    let total = promised.values().fold(Glm::ZERO, |sum, amount| sum.checked_add(*amount).unwrap());
    // Where it was resumed after an end, the last one counts.
    if let Some(end) = played
        .kinds()
        .filter_map(|kind| match kind {
            EventKind::RunEnded { end } => Some(end),
            _ => None,
        })
        .last()
    {
        assert_eq!(total, end.cost, "what was promised isn't what the run says it cost");
    }
    let set_aside = books.allocations.iter().map(|row| row.total).max().unwrap_or_default();
    assert!(total <= set_aside, "{total} GLM were promised of {set_aside}");

    assert_accepted_once(played, &books);
}

/// Bills that the journal calls accepted are accepted in the books, each once, and the other way round.
fn assert_accepted_once(played: &Played, books: &Books) {
    let mut accepted: HashMap<String, Glm> = HashMap::new();
    for kind in played.kinds() {
        if let EventKind::BillAccepted { bill, amount, .. } = kind {
            let id = match bill {
                Bill::DebitNote(id) => id.to_string(),
                Bill::Invoice(id) => id.to_string(),
            };
            assert!(accepted.insert(id.clone(), *amount).is_none(), "{id} was accepted twice");
        }
    }
    let ours: HashSet<&AgreementId> = agreements(played, books).collect();
    let bills: Vec<_> =
        books.debit_notes.iter().chain(&books.invoices).filter(|row| ours.contains(&row.agreement)).collect();
    let settled: HashSet<_> = bills
        .iter()
        .filter(|row| row.activity.is_none() && is_accepted(row))
        .map(|row| &row.agreement)
        .collect();
    for row in bills {
        let amount = accepted.remove(&row.id);
        if is_accepted(row) {
            assert_eq!(amount, Some(row.amount), "{row:?} isn't in the journal");
        } else {
            // A daemon takes the acceptance of a debit note whose invoice is accepted, and does nothing.
            let is_covered = row.activity.is_some() && settled.contains(&row.agreement);
            assert!(amount.is_none() || is_covered, "{row:?} isn't accepted");
        }
    }
    assert!(accepted.is_empty(), "accepted bills that nobody sent: {accepted:?}");
}

/// Each task has at most one end, each result is the right one, and the numbers at the end are those of the journal.
pub(crate) fn assert_results(played: &Played) {
    let mut ended = HashSet::new();
    let (mut done, mut failed) = (0, 0);
    for kind in played.kinds() {
        match kind {
            EventKind::TaskDone { attempt, output, .. } => {
                assert!(ended.insert(attempt.task), "{attempt:?} ended twice");
                assert_eq!(output.stdout, (attempt.task.0 * 7).to_string(), "{attempt:?}");
                done += 1;
            }
            EventKind::TaskFailed { attempt, .. } => {
                assert!(ended.insert(attempt.task), "{attempt:?} ended twice");
                failed += 1;
            }
            _ => {}
        }
    }
    if let Some(EventKind::RunEnded { end }) =
        played.kinds().filter(|kind| matches!(kind, EventKind::RunEnded { .. })).last()
    {
        assert_eq!((end.done, end.failed), (done, failed));
    }
}

/// The invoices in the books for agreements with a provider.
pub(crate) fn invoices(played: &Played, provider: &str) -> Vec<BillRow> {
    let node = played.node(provider);
    let books = played.devnet.books();
    let its: HashSet<_> =
        books.agreements.iter().filter(|row| row.provider == node).map(|row| row.id.clone()).collect();
    books.invoices.iter().filter(|row| its.contains(&row.agreement)).cloned().collect()
}

/// How many agreements there ever were with a provider.
pub(crate) fn n_agreements(played: &Played, provider: &str) -> usize {
    let node = played.node(provider);
    played.devnet.books().agreements.iter().filter(|row| row.provider == node).count()
}

/// The tasks that were done by a provider.
pub(crate) fn n_done_by(played: &Played, provider: &str) -> usize {
    let node = played.node(provider);
    let its: HashSet<RentalId> = played
        .kinds()
        .filter_map(|kind| match kind {
            EventKind::AgreementIntended { rental, provider, .. } if provider.id == node => Some(*rental),
            _ => None,
        })
        .collect();
    played.count(|kind| matches!(kind, EventKind::TaskDone { rental, .. } if its.contains(rental)))
}

fn agreements<'a>(played: &Played, books: &'a Books) -> impl Iterator<Item = &'a AgreementId> {
    books.agreements.iter().filter(|row| row.session.as_ref() == Some(&played.session)).map(|row| &row.id)
}

/// Activities that run on providers who are still there.
fn left_running(played: &Played, books: &Books) -> Vec<String> {
    let gone: HashSet<_> = played
        .devnet
        .providers()
        .filter(|provider| provider.is_gone())
        .map(|provider| provider.node().clone())
        .collect();
    let ours: HashSet<_> = books
        .agreements
        .iter()
        .filter(|row| row.session.as_ref() == Some(&played.session) && !gone.contains(&row.provider))
        .map(|row| &row.id)
        .collect();
    let ended: HashSet<_> = books
        .agreements
        .iter()
        .filter(|row| row.state == AgreementState::Terminated)
        .map(|row| &row.id)
        .collect();
    books
        .running_activities()
        .filter(|row| ours.contains(&row.agreement))
        // One that was asked for and not yet made when its agreement ended is never made.
        .filter(|row| row.state.state.0 != State::New || !ended.contains(&row.agreement))
        .map(|row| row.id.to_string())
        .collect()
}
