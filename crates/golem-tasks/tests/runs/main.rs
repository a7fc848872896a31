//! Runs as they are kept and shown: the store's contract, and what people and machines see of a run.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod command_line;
mod scene;
mod summary;
mod views;
