//! Runs whose process dies, at every commit and at any moment, and that are resumed.
//!
//! A life of a run ends by its future being dropped, as a killed process ends: nothing of it goes on. What was
//! committed by then is all that the next life knows.

mod everywhere;
mod files;
pub(crate) mod lives;
mod moments;
mod money;
mod seeds;
mod settling;
mod workers;
