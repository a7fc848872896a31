//! What yapapi's users complained of: each complaint has a test that shows that they needn't here.

mod money;
mod rentals;
mod telling;
mod waits;
