//! A Golem network inside the process.

pub mod exe_unit;
pub mod port;
pub mod runtime;
