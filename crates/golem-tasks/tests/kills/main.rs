//! The program is killed at random moments, again and again, and started again with the same run id: then the network's
//! own books and the database must say that nothing was lost, done twice, left running or paid wrongly.
//!
//! The devnet is a process of its own, with providers that vanish too; several runs go on side by side. `GOLEM_KILLS` says
//! how many kills (0: none, runs are stopped by Ctrl+C instead and not resumed), `GOLEM_SEED` repeats what a failure
//! printed, as far as timing allows, `GOLEM_TASKS_TEST_PG` names a server for the part on PostgreSQL. What a failed round
//! leaves is kept in a folder that is printed.

#![cfg(all(target_os = "linux", feature = "devnet"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![expect(clippy::print_stderr, reason = "how much was played is for whoever started the tests")]

mod books;
mod check;
mod ground;
mod life;
mod network;
mod record;
mod round;
mod rounds;
