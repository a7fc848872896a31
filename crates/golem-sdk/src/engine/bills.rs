//! Answers bills.

use golem_core::event::Bill;
use golem_core::run::Input;
use yagna_api::payment::{AcceptDebitNote, AcceptInvoice, Acceptance, RejectInvoice, Rejection};
use yagna_api::{Glm, InvoiceId};
use yagna_client::Disposition;

use super::Outside;
use crate::text::chain;

impl Outside {
    /// Promises to pay a bill. Repeated sendings do no harm: the daemon accepts a bill once.
    pub(super) async fn accept(&self, bill: Bill, amount: Glm) {
        let allocation = self.purse.allocation();
        let acceptance = Acceptance { total_amount_accepted: amount, allocation_id: allocation.clone() };
        let accepted = match bill.clone() {
            Bill::DebitNote(debit_note) => {
                self.client.call(&AcceptDebitNote { debit_note, acceptance }).await
            }
            Bill::Invoice(invoice) => self.client.call(&AcceptInvoice { invoice, acceptance }).await,
        };
        let input = match accepted {
            Ok(()) => Input::BillAccepted { bill },
            Err(error) if self.is_allocation_lost(&error, &allocation).await => {
                let problem = chain(&error);
                self.tell(Input::AllocationLost { allocation }).await;
                // It is accepted from the next one.
                Input::BillFailed { bill, problem, passing: true }
            }
            Err(error) => Input::BillFailed {
                bill,
                problem: chain(&error),
                passing: error.disposition() == Disposition::Retry,
            },
        };
        self.tell(input).await;
    }

    pub(super) async fn reject(&self, invoice: InvoiceId, rejection: Rejection) {
        if let Err(error) = self.client.call(&RejectInvoice { invoice: invoice.clone(), rejection }).await {
            tracing::warn!(error = chain(&error), %invoice, "an invoice couldn't be refused");
        }
    }
}
