//! The contract of the yagna daemon, as values.
//!
//! Every request a requestor can send is a type that knows its own path, query, body and the shape of its
//! answer ([`Endpoint`]); every document the daemon sends is a type that tolerates fields it doesn't know.
//! Nothing here does I/O, reads a clock or draws a random number: `yagna-client` sends these values, and the
//! devnet answers them.
//!
//! The shapes were read off a running yagna 0.17.6; the golden tests hold samples of them.
//!
//! | module | what it covers |
//! |---|---|
//! | [`market`] | demands, proposals, agreements, their events, scans |
//! | [`activity`] | activities, exe-scripts, results, runtime events |
//! | [`payment`] | accounts, allocations, debit notes, invoices, payments, their events |
//! | [`identity`], [`version`] | who the key belongs to, which daemon answers |
//! | [`net`], [`gsb`] | virtual networks; services on the daemon's bus |
//! | [`properties`], [`constraints`] | what offers and demands say, and what they ask for |

pub mod activity;
pub mod constraints;
pub mod endpoint;
pub mod error;
pub mod gsb;
pub mod id;
pub mod identity;
pub mod market;
pub mod money;
pub mod net;
pub mod payment;
pub mod properties;
pub mod time;
pub mod version;

pub use crate::constraints::Constraints;
pub use crate::endpoint::{Endpoint, Method, Repeat, Request};
pub use crate::error::{AnswerError, ApiError};
pub use crate::id::{
    ActivityId, AgreementId, AllocationId, AppKey, AppSessionId, BatchId, DebitNoteId, DemandId, InvoiceId,
    NetworkId, NodeId, OfferId, PaymentId, ProposalId, ScanId, ServicesId,
};
pub use crate::money::Glm;
pub use crate::properties::Properties;
pub use crate::time::{Clock, Timestamp};
