//! `golem-tasks devnet` as its users run it: in a process of its own, with their app in another.

#![cfg(all(target_os = "linux", feature = "devnet"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod books;
mod ends;
mod join;
mod served;
#[path = "../binary/stage.rs"]
#[expect(dead_code, reason = "these tests need a part of it only")]
mod stage;
mod tells;
mod wrong;
