//! Bills in this process: the part that is not in the state of their rentals.

use std::collections::{BTreeSet, HashMap, HashSet};

use yagna_api::payment::Invoice;
use yagna_api::{Glm, Timestamp};

use crate::event::{Bill, Measured, RentalId};

/// The bills in this process. It may be lost in a crash.
#[derive(Debug)]
pub(in crate::run) struct Bills {
    /// The rentals whose bills are being accepted.
    pub(in crate::run) accepting: HashMap<Bill, RentalId>,
    /// Bills that couldn't be accepted, and when to try again.
    pub(in crate::run) again: BTreeSet<(Timestamp, Bill)>,
    /// Bills that an earlier process decided about, and that may be told of once more.
    pub(in crate::run) seen_before: HashSet<Bill>,
    /// Invoices that wait for debit notes they may have overtaken, and until when.
    pub(in crate::run) held: Vec<(Timestamp, RentalId, Invoice)>,
    /// True if all bills have come that the daemon had when the run began or was resumed.
    pub(in crate::run) all_told: bool,
    /// Bills that are right and that the budget's windows don't hold just now.
    pub(in crate::run) postponed: Vec<Postponed>,
}

/// A bill that is right, until the budget holds it.
#[derive(Debug)]
pub(in crate::run) struct Postponed {
    pub(in crate::run) id: RentalId,
    pub(in crate::run) bill: Bill,
    pub(in crate::run) amount: Glm,
    /// The place of a debit note's activity among the rental's; none of an invoice.
    pub(in crate::run) place: Option<usize>,
    /// True if it is to be paid before the agreement ends.
    pub(in crate::run) payable: bool,
    pub(in crate::run) measured: Option<Measured>,
    /// True if the user was told that it waits.
    pub(in crate::run) told: bool,
}

impl Bills {
    /// None has come.
    pub(in crate::run) fn new() -> Self {
        Self {
            accepting: HashMap::new(),
            again: BTreeSet::new(),
            seen_before: HashSet::new(),
            held: Vec::new(),
            all_told: true,
            postponed: Vec::new(),
        }
    }
}

impl Postponed {
    pub(in crate::run) fn usage(&self) -> Option<&[f64]> {
        self.measured.as_ref()?.usage.as_deref()
    }
}
