//! The executor on a devnet, most of it in virtual time: what its users asked for and suffered elsewhere.
//!
//! Each test ends by looking into the network's books: nothing may be left open.

#![expect(clippy::unwrap_used, reason = "what a helper can't unwrap has failed its test")]

mod stage;

mod chaos;
mod ends;
mod events;
mod failures;
mod map;
mod money;
mod start;
mod start_by_hand;
mod strategy;
mod work;
