//! The devnet's providers: agents that sell an emulated machine's time, as Golem's own agent does.
//!
//! A [`Provider`] drives one [`Port`](crate::port::Port): it publishes an offer, negotiates, approves agreements,
//! serves activities, bills them. It knows nothing of the emulated daemon behind the port. What runs the commands
//! is the business of [`runtime`](crate::runtime) and [`exe_unit`](crate::exe_unit).
//!
//! Its rules, words and times are those of Golem's own agent; how it strays from them is a [`Behaviour`], which can
//! be changed while it runs.

mod agent;
mod behaviour;
pub(crate) mod billing;
mod config;
mod ending;
mod manners;
mod market;
mod negotiation;
mod notes;
mod offer;
mod persist;
mod poll;
mod rental;
mod saboteur;
mod shared;

pub use self::agent::{Provider, ProviderHandle};
pub use self::behaviour::{ApprovalManner, Behaviour, InvoiceManner, OfferFlaw, Vanishing};
pub use self::config::{Hardware, Limits, OfferedGpu, Prices, ProviderConfig};
