//! Decisions of a requestor on the Golem Network.
//!
//! No I/O, no clock, no chance and no global state: everything this crate knows came in as an input, and all it
//! wants goes out as an effect. The same inputs give the same decisions, always.

pub mod bill;
pub mod caps;
pub mod demand;
pub mod event;
pub mod explain;
pub mod offer;
pub mod past;
pub mod payload;
pub mod pricing;
pub mod run;
pub mod standing;
pub mod tasks;
pub mod terms;
