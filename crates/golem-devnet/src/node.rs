//! The emulated daemon: a whole network's state and the REST API over it.
//!
//! A [`World`] stands for all daemons of a network at once. Requestors reach it through [`World::router`] (in
//! process) or [`World::serve`] (over TCP), with the status codes, bodies and habits of yagna 0.17.6; providers
//! through [`LocalPort`]. What runs in an activity is the provider's business.
//!
//! | module | what it holds |
//! |---|---|
//! | `world` | the one lock, the wake-ups, the identities |
//! | `market`, `matching`, `negotiation`, `agreement` | from an offer to a deal |
//! | `activity`, `monitor`, `bus`, `net` | what runs, and what connects to it |
//! | `allocation`, `payment`, `ledger`, `settlement` | the money |
//! | `faults`, `books` | what tests put in and look up |
//! | `http` | the REST API |

mod activity;
mod agreement;
mod allocation;
mod books;
mod bus;
mod events;
mod faults;
pub(crate) mod flex;
mod http;
mod ledger;
mod market;
mod matching;
mod monitor;
mod negotiation;
mod net;
mod payment;
mod port;
mod refusal;
mod rfc3339;
mod scan;
mod settlement;
mod world;

pub use books::{ActivityRow, AgreementRow, AllocationRow, BillRow, Books};
pub use bus::{BusClosed, BusSocket};
pub use faults::{Fault, Faults};
pub use port::LocalPort;
pub use world::{Delays, Requestor, World};
