//! The tests, complaints and problems of yapapi's users: each theme has a test that is named after it.
//!
//! Most play on a devnet in virtual time, through the executor. Themes that other tests show already aren't repeated here.

#![expect(clippy::unwrap_used, reason = "what a helper can't unwrap has failed its test")]

#[path = "../executor/stage.rs"]
mod stage;
#[expect(dead_code, reason = "it can do more than is needed here")]
#[path = "../context/wire.rs"]
mod wire;

mod played;

mod complaints;
mod defects;
mod goth_themes;
mod unit_themes;
