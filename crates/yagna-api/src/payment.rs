//! Payment: money set aside, bills received, bills accepted, payments made.
//!
//! Base path `/payment-api/v1`. Bills and their events are *kept*: events are read by cursor, strictly after.

mod account;
mod allocation;
mod bill;
mod events;
mod ledger;
mod payments;

pub use account::{Account, GetStatus, ListProviderAccounts, ListRequestorAccounts};
pub use allocation::{
    Allocation, AllocationChange, AmendAllocation, CreateAllocation, Decoration, Expenditure, GetAllocation,
    GetDecorations, GetExpenditures, ListAllocations, NewAllocation, ReleaseAllocation,
};
pub use bill::{
    AcceptDebitNote, AcceptInvoice, Acceptance, BillStatus, DebitNote, GetDebitNote, GetInvoice, Invoice,
    ListDebitNotes, ListInvoices, RejectInvoice, Rejection, RejectionReason,
};
pub use events::{
    BillEventKind, DebitNoteEvent, EventFilter, InvoiceEvent, PollDebitNoteEvents, PollInvoiceEvents,
};
pub use ledger::{
    AgreementLedger, GetAgreementLedger, ListAgreementLedgers, ListPaymentOrders, PaymentOrder,
};
pub use payments::{GetPayment, ListInvoicePayments, Payment, PaymentPart, PollPayments, Signed};

/// The path of the payment API.
pub const BASE: &str = "/payment-api/v1";
