//! The product: job files, durable runs, the command line and its views.

pub mod job;
