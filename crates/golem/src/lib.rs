//! The SDK.

pub mod journal;

pub use golem_core as core;
