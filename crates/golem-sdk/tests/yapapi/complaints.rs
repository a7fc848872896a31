//! What yapapi's users complained of: each complaint has a test that shows that they needn't here.

mod deals;
mod money;
mod telling;
mod waits;
