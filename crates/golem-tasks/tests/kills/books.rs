//! The network's books, as the devnet writes them.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use yagna_api::{Glm, Timestamp};

/// One look at all of the network.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Books {
    pub(crate) at: Timestamp,
    pub(crate) missed: u64,
    pub(crate) agreements: Vec<Agreement>,
    pub(crate) activities: Vec<Activity>,
    pub(crate) commands: Vec<Command>,
    pub(crate) debit_notes: Vec<Bill>,
    pub(crate) invoices: Vec<Bill>,
    pub(crate) allocations: Vec<Allocation>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Agreement {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) requestor: String,
    pub(crate) approved: Option<Timestamp>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Activity {
    pub(crate) id: String,
    pub(crate) agreement: String,
    pub(crate) alive: bool,
    pub(crate) owed: Option<Glm>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Command {
    pub(crate) activity: String,
    pub(crate) command: Vec<String>,
    pub(crate) started: Timestamp,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) exit_code: Option<i32>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Bill {
    pub(crate) id: String,
    pub(crate) agreement: String,
    pub(crate) activity: Option<String>,
    pub(crate) amount: Glm,
    pub(crate) status: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Allocation {
    pub(crate) id: String,
    pub(crate) requestor: String,
    pub(crate) spent: Glm,
    pub(crate) released: bool,
}

impl Bill {
    /// Did the requestor promise to pay it?
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self.status.as_str(), "ACCEPTED" | "SETTLED")
    }

    /// Does it wait for an answer?
    pub(crate) fn is_open(&self) -> bool {
        self.status == "RECEIVED"
    }
}

/// What one agreement came to.
#[derive(Debug)]
pub(crate) struct Rental<'b> {
    pub(crate) agreement: &'b Agreement,
    pub(crate) activities: Vec<&'b Activity>,
    pub(crate) notes: Vec<&'b Bill>,
    pub(crate) invoices: Vec<&'b Bill>,
}

impl Books {
    /// All agreements of a requestor, with what belongs to them, by their ids.
    pub(crate) fn rentals(&self, requestor: &str) -> BTreeMap<&str, Rental<'_>> {
        let ours = self.agreements.iter().filter(|agreement| agreement.requestor == requestor);
        let mut rentals: BTreeMap<_, _> = ours
            .map(|agreement| {
                let (activities, notes, invoices) = (Vec::new(), Vec::new(), Vec::new());
                (agreement.id.as_str(), Rental { agreement, activities, notes, invoices })
            })
            .collect();
        for activity in &self.activities {
            if let Some(rental) = rentals.get_mut(activity.agreement.as_str()) {
                rental.activities.push(activity);
            }
        }
        for bill in &self.debit_notes {
            if let Some(rental) = rentals.get_mut(bill.agreement.as_str()) {
                rental.notes.push(bill);
            }
        }
        for bill in &self.invoices {
            if let Some(rental) = rentals.get_mut(bill.agreement.as_str()) {
                rental.invoices.push(bill);
            }
        }
        rentals
    }
}

impl Rental<'_> {
    /// All that its activities may cost; none where the books know no prices.
    pub(crate) fn owed(&self) -> Option<Glm> {
        sum(self.activities.iter().map(|activity| activity.owed).collect::<Option<Vec<_>>>()?)
    }

    /// What the activity of a debit note may cost.
    pub(crate) fn owed_for(&self, note: &Bill) -> Option<Glm> {
        let of = |activity: &&&Activity| note.activity.as_deref() == Some(activity.id.as_str());
        self.activities.iter().find(of)?.owed
    }

    /// What was promised for it: a debit note names all that its activity owes so far, an invoice all of the agreement.
    pub(crate) fn accepted(&self) -> Glm {
        let mut noted: HashMap<_, Glm> = HashMap::new();
        for note in self.notes.iter().filter(|note| note.is_accepted()) {
            let highest = noted.entry(&note.activity).or_default();
            *highest = (*highest).max(note.amount);
        }
        let noted = sum(noted.into_values()).unwrap();
        let invoices = self.invoices.iter().filter(|invoice| invoice.is_accepted());
        invoices.map(|invoice| invoice.amount).max().unwrap_or_default().max(noted)
    }
}

/// The sum of amounts.
pub(crate) fn sum(amounts: impl IntoIterator<Item = Glm>) -> Option<Glm> {
    amounts.into_iter().try_fold(Glm::ZERO, Glm::checked_add)
}
