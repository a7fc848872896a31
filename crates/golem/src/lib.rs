//! The SDK: run work on the Golem Network from async Rust.
//!
//! A [`Run`] takes a pile of tasks, a [`Worker`] that knows how to do them on a provider's machine, a budget and
//! a number of providers to use at once. It buys what it needs on the market through a yagna daemon (or the
//! devnet), hands out the tasks, tries failed ones elsewhere, checks and accepts the bills, and ends everything
//! it began. All that happens is one stream of [`core::event::Event`]s, written to a [`Journal`] before anything
//! follows from it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`run`] | the run itself: options, start, stop, end |
//! | [`worker`] | the trait that does tasks, and the tasks it is handed |
//! | [`context`] | a worker's view of its activity: scripts in, results out |
//! | [`script`] | the commands of a script, files included |
//! | [`journal`] | where events become durable |
//! | [`image`] | finds images by hash or tag |
//!
//! Decisions are made in `golem-core`, which does no I/O; talking to the daemon is `yagna-client`'s business.

pub mod clock;
pub mod context;
mod engine;
pub mod image;
pub mod journal;
pub mod run;
pub mod script;
pub mod text;
mod transfer;
pub mod worker;

pub use golem_core as core;

pub use crate::clock::SystemClock;
pub use crate::context::{Execution, ExecutionEnd, ScriptError, WorkContext};
pub use crate::journal::{Journal, JournalError, MemoryJournal};
pub use crate::run::{Run, RunError, RunOptions, TaskSource, Timing};
pub use crate::script::{Script, Source, Target};
pub use crate::transfer::TransferError;
pub use crate::worker::{Task, Tasks, Worker, WorkerError};
