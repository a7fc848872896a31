//! The program itself, as its users run it: started, interrupted, and asked afterwards what it has kept.

#![cfg(all(target_os = "linux", feature = "devnet"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod again;
mod asking;
mod begin;
mod bytes;
mod collisions;
mod daemon;
mod files;
mod gpus;
mod impossible;
mod input;
mod interrupts;
mod neighbours;
mod only;
mod packs;
mod places;
mod planning;
mod reaching;
mod retrying;
mod runs;
mod services;
mod sources;
mod stage;
mod terminal;
mod trouble;
mod verdicts;
mod web;
