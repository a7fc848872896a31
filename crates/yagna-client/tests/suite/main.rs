//! The client against daemons made for each test: scripted ones, routers in process, routers behind a port.

#![expect(clippy::unwrap_used, reason = "a test that unwraps in vain has failed")]

mod apis;
mod batches;
mod bus;
mod calls;
mod double;
mod events;
mod secrecy;
mod served;
