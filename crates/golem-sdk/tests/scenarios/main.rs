//! Whole runs of the engine on a devnet, most of them in virtual time: what must hold when things go wrong.
//!
//! Each test looks at three things: how the run ended, what its journal says, and what the network's books say.

#![expect(clippy::unwrap_used, reason = "what a helper can't unwrap has failed its test")]

mod books;
mod hands;
mod stage;

mod billing;
mod budgets;
mod chaos;
mod daemon;
mod effort;
mod jobs;
mod journal;
mod market;
mod providers;
mod recovery;
mod summary;
mod transfers;
mod work;
