//! Themes of yapapi's unit tests, where they are more than the unit's own and no other test shows them.

mod market;
mod queue;
mod scripts;
