//! The product: job files, durable runs, the command line and its views.

pub mod cli;
#[cfg(feature = "devnet")]
pub mod devnet;
pub mod exit;
pub mod gftp;
pub mod job;
pub mod run;
pub mod store;
pub mod view;
pub mod work;
