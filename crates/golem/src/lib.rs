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
//! | [`executor`] | tasks of any type in, finished ones out: where to begin |
//! | [`jobs`] | several jobs in one run, handed in while it goes on |
//! | [`worker`] | the trait that does tasks, and the tasks it is handed |
//! | [`context`] | a worker's view of its activity: commands in, results and output out, cost |
//! | [`script`] | the commands of a script, files, environment and captures included |
//! | [`journal`] | where events become durable |
//! | [`payload`] | which machine the work needs, and with which image |
//! | [`log`] | what happens in the log: a summary for people, each event for programs, a default logger |
//! | [`summary`] | the lines of that summary |
//! | [`image`] | finds images by hash or tag |
//! | [`market`] | who offers what, and for how much: looked at without taking part |
//! | [`connect`] | the way to the daemon that the environment names |
//! | [`manifest`] | what a payload is going to do on the internet, signed |
//!
//! # Example
//!
//! Eight tasks on two providers of a devnet:
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use futures_util::future::BoxFuture;
//! use golem::core::event::TaskOutput;
//! use golem::core::payload::Payload;
//! use golem::core::run::RunConfig;
//! use golem::{
//!     MemoryJournal, Run, RunOptions, Script, SystemClock, Tasks, Timing, WorkContext, Worker, WorkerError,
//! };
//! use golem_devnet::devnet::Devnet;
//! use yagna_client::{Client, InProcessTransport};
//!
//! #[derive(Debug)]
//! struct Squares;
//!
//! impl Worker for Squares {
//!     fn work<'a>(
//!         &'a self,
//!         ctx: &'a WorkContext,
//!         tasks: &'a mut Tasks,
//!     ) -> BoxFuture<'a, Result<(), WorkerError>> {
//!         Box::pin(async move {
//!             while let Some(task) = tasks.next().await {
//!                 let script = Script::new().shell(format!("echo $(( {n} * {n} ))", n = task.data()));
//!                 let execution = ctx.execute(script, Duration::from_secs(60)).await?;
//!                 let printed = execution.results.last().and_then(|last| last.stdout.as_ref());
//!                 match printed {
//!                     Some(text) => {
//!                         let result = text.to_text().trim().into();
//!                         task.done(TaskOutput { result, ..TaskOutput::default() }).await;
//!                     }
//!                     None => task.reject("nothing came of it", true).await,
//!                 }
//!             }
//!             Ok(())
//!         })
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let devnet = Devnet::builder().providers(2).start().await?;
//! let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key)?;
//! let run = Run::new(
//!     Client::new(Arc::new(transport)),
//!     Arc::new(SystemClock),
//!     Arc::new(MemoryJournal::new()),
//!     Arc::new(Squares),
//!     Box::new((0..8).map(|n| Ok(n.into()))),
//!     RunOptions {
//!         config: RunConfig { workers: 2, ..RunConfig::new(Payload::default(), devnet.payment_platform()) },
//!         driver: "erc20".into(),
//!         network: "hoodi".into(),
//!         session: yagna_api::AppSessionId::new("squares"),
//!         timing: Timing::default(),
//!     },
//! );
//! let end = run.run().await?;
//! assert_eq!((end.done, end.failed), (8, 0));
//! devnet.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Decisions are made in `golem-core`, which does no I/O; talking to the daemon is `yagna-client`'s business.

pub mod clock;
pub mod connect;
pub mod context;
mod engine;
pub mod executor;
pub mod image;
pub mod jobs;
pub mod journal;
pub mod log;
pub mod manifest;
pub mod market;
pub mod payload;
pub mod run;
pub mod script;
pub mod summary;
pub mod text;
pub mod transfer;
pub mod worker;

pub use golem_core as core;

pub use crate::clock::SystemClock;
pub use crate::context::{
    Batch, BatchEvent, Command, Download, Execution, ExecutionEnd, Json, ScriptError, Streamed, WorkContext,
};
pub use crate::executor::Executor;
pub use crate::jobs::{Handle, JobEvents, JobOptions, JobSource, RunOver, TaskStream};
pub use crate::journal::{Journal, JournalError, MemoryJournal};
pub use crate::run::{Run, RunError, RunOptions, TaskSource, Timing};
pub use crate::script::{Capture, Program, Script, Source, Target};
pub use crate::transfer::TransferError;
pub use crate::worker::{Task, Tasks, Worker, WorkerError};
