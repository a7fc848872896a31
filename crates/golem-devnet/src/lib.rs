//! A Golem network inside the process.

pub mod clock;
pub mod devnet;
pub mod exe_unit;
pub mod node;
pub mod port;
pub mod provider;
pub mod runtime;
