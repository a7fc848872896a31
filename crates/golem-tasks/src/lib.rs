//! The product: job files, durable runs, the command line and its views.

pub mod job;
pub mod store;
pub mod view;
