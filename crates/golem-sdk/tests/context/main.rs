//! The work context on a devnet: what users of other SDKs complained of, and what must hold instead.
//!
//! Time is virtual and commands are scripted, but for `processes`, where commands really run.

#![expect(clippy::unwrap_used, reason = "what a helper can't unwrap has failed its test")]

mod lab;
mod wire;

mod commands;
mod endings;
mod money;
mod processes;
mod release;
mod streamed;
