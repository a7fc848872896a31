//! The devnet's providers: agents that sell an emulated machine's time, as Golem's own agent does.
//!
//! A [`Provider`] drives one [`Port`](crate::port::Port): it publishes an offer, negotiates, approves agreements,
//! serves activities, bills them. It knows nothing of the emulated daemon behind the port.

mod behaviour;
mod billing;
mod config;
mod negotiation;
mod offer;

pub use self::behaviour::{ApprovalManner, Behaviour, InvoiceManner, OfferFlaw, Vanishing};
pub use self::config::{Hardware, Limits, Prices, ProviderConfig};
