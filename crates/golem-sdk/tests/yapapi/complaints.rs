//! The complaints of yapapi's users: each has a test that shows that it has no reason here.

mod money;
mod rentals;
mod telling;
mod waits;
