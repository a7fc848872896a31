//! A worker's view of its activity: commands in, results out, and how the activity stands.
//!
//! A [`WorkContext`] queues commands; [`commit`](WorkContext::commit) sends what is queued as one batch and gives
//! the result of each, [`commit_streamed`](WorkContext::commit_streamed) tells of it as it happens.
//! [`execute`](WorkContext::execute) takes a whole [`Script`] instead and leaves the judgement of its end to its
//! caller.
//!
//! Which activity that is, and when it ends, is decided elsewhere.

mod batch;
mod error;
mod execution;
mod facts;
mod handle;
mod launch;
mod outcome;
mod plan;
mod replay;
mod streamed;
mod watch;
mod witness;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use golem_core::event::{Provider, RentalId};
use serde::Serialize;
use tokio::sync::OnceCell;
use yagna_api::activity::{Command as WireCommand, Deploy, Empty, Start};
use yagna_api::market::Agreement;
use yagna_api::{ActivityId, AgreementId, NodeId};
use yagna_client::Client;

pub use self::batch::{Batch, Finished};
pub use self::error::{CommandName, Expiry, Failure, ScriptError};
pub use self::execution::{Execution, Together};
pub use self::facts::Usage;
pub use self::handle::{Command, Download, Json};
pub use self::outcome::ExecutionEnd;
pub use self::streamed::{BatchEvent, Chunk, Streamed};

use self::handle::QueueId;
use self::launch::Slot;
pub(crate) use self::replay::Scripts;
pub(crate) use self::witness::Witness;
use crate::script::{Program, Script, Source, Step, Target};
use crate::transfer::Transfers;

/// The time that a batch may take unless another one is set.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Runs scripts on one activity.
///
/// Clones are cheap and speak of the same activity; each has a queue of its own, empty at first. Only one batch can run
/// at a time: [`ScriptError::Busy`] is all that a second one gets.
///
/// What sends or fetches takes its source first and its target second, as `cp` does.
///
/// # Example
///
/// A worker that sends a document, runs programs on it and takes another one home:
/// ```
/// # use std::sync::Arc;
/// use std::time::Duration;
///
/// # use futures_util::future::BoxFuture;
/// # use golem_sdk::payload::Payload;
/// # use golem_sdk::run::RunConfig;
/// # use golem_sdk::{MemoryJournal, Run, RunOptions, SystemClock, Tasks, Worker, WorkerError};
/// use golem_sdk::event::TaskOutput;
/// use golem_sdk::{Program, WorkContext};
/// # use golem_devnet::devnet::Devnet;
/// # use yagna_client::{Client, InProcessTransport};
///
/// # #[derive(Debug)]
/// # struct Sorter;
/// # impl Worker for Sorter {
/// #     fn work<'a>(&'a self, ctx: &'a WorkContext, tasks: &'a mut Tasks) -> BoxFuture<'a, Result<(), WorkerError>> {
/// #         Box::pin(async move {
/// let mut ctx = ctx.clone();
/// while let Some(task) = tasks.next().await {
///     ctx.send_json(task.data(), "/golem/input/numbers.json")?;
///     let line = "tr -d '[]' </golem/input/numbers.json | tr , '\\n' | sort $ORDER";
///     let sorted = ctx.add(Program::shell(line).env("ORDER", "-rn"));
///     ctx.run("/bin/cp", ["/golem/input/numbers.json", "/golem/output/copy.json"]);
///     let copy = ctx.download_json("/golem/output/copy.json", 1024);
///
///     let done = ctx.commit(Duration::from_secs(60)).await?;
///     assert_eq!(done[sorted].stdout(), "21\n20\n1\n");
///     assert_eq!(done.json::<Vec<u64>>(copy)?, [1, 20, 21]);
///     task.done(TaskOutput::default()).await;
/// }
/// #             Ok(())
/// #         })
/// #     }
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let devnet = Devnet::builder().providers(1).start().await?;
/// # let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key)?;
/// # let options = RunOptions::new(RunConfig::new(Payload::default(), devnet.payment_platform()).workers(1), "erc20", "hoodi", yagna_api::AppSessionId::new("sorter"));
/// # let tasks = Box::new([serde_json::json!([1, 20, 21])].into_iter().map(Ok));
/// # let client = Client::new(Arc::new(transport));
/// # let run = Run::new(client, Arc::new(SystemClock), Arc::new(MemoryJournal::new()), Arc::new(Sorter), tasks, options);
/// # let end = run.run().await?;
/// # assert_eq!((end.done, end.failed), (1, 0));
/// # devnet.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WorkContext {
    inner: Arc<Inner>,
    queue: Queue,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    transfers: Transfers,
    provider: Provider,
    agreement: AgreementId,
    /// Read when they are first asked for.
    terms: OnceCell<Agreement>,
    activity: ActivityId,
    /// Set once a script finds the activity gone.
    lost: Arc<AtomicBool>,
    /// Tells the run of scripts, and knows those of an earlier process.
    scripts: Arc<Scripts>,
    /// The activity's one place for a running batch, and the holder of it.
    slot: Mutex<Slot>,
    /// The witness that may want to know of its scripts.
    witness: Option<(RentalId, Arc<dyn Witness>)>,
}

/// The commands that wait for the next commit.
#[derive(Debug)]
struct Queue {
    id: QueueId,
    script: Script,
}

/// The way to prepare an activity for its worker.
#[derive(Debug, Clone)]
pub(crate) struct Preparation {
    /// The way to deploy it before it is started; else the worker does that itself.
    pub(crate) deployment: Option<Deploy>,
    /// The time that this may take.
    pub(crate) limit: Duration,
}

impl Clone for WorkContext {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), queue: Queue::new() }
    }
}

impl Queue {
    fn new() -> Self {
        Self { id: QueueId::new(), script: Script::new() }
    }
}

impl WorkContext {
    /// The context of an activity that has just been created.
    pub(crate) fn new(
        client: Client,
        node: NodeId,
        provider: Provider,
        agreement: AgreementId,
        activity: ActivityId,
        lost: Arc<AtomicBool>,
        scripts: Arc<Scripts>,
    ) -> Self {
        let transfers = Transfers::new(client.clone(), node);
        let (slot, terms) = (Mutex::new(Slot::Idle), OnceCell::new());
        let witness = None;
        let inner =
            Inner { client, transfers, provider, agreement, terms, activity, lost, scripts, slot, witness };
        Self { inner: Arc::new(inner), queue: Queue::new() }
    }

    /// Gives back to the daemon what is kept there from one batch to the next.
    pub(crate) async fn release(&self) {
        self.inner.transfers.release().await;
    }

    /// Makes the activity ready for its worker.
    pub(crate) async fn make_ready(&self, preparation: Preparation) -> Result<(), ScriptError> {
        if let Some(deployment) = preparation.deployment {
            let mut own = self.clone();
            own.deploy(deployment);
            own.start([""; 0]);
            own.commit(preparation.limit).await?;
        }
        Ok(())
    }

    /// The provider whose machine this is.
    pub fn provider(&self) -> &Provider {
        &self.inner.provider
    }

    /// The provider's own name for itself; not unique, and sometimes empty.
    pub fn provider_name(&self) -> &str {
        &self.inner.provider.name
    }

    /// The provider's node id.
    pub fn provider_id(&self) -> &NodeId {
        &self.inner.provider.id
    }

    /// The agreement that the activity belongs to.
    pub fn agreement(&self) -> &AgreementId {
        &self.inner.agreement
    }

    /// The activity.
    pub fn activity(&self) -> &ActivityId {
        &self.inner.activity
    }

    /// The activity's id, which is this context's as well.
    pub fn id(&self) -> &ActivityId {
        self.activity()
    }

    /// The number of commands that wait for the next commit.
    pub fn queued(&self) -> usize {
        self.queue.script.len()
    }

    /// Queues a file to be sent. It is read when the provider fetches it, in pieces, so its size doesn't matter.
    ///
    /// A file that can't be read is [`ScriptError::Transfer`] at the commit, and nothing of the batch is sent.
    #[doc(alias = "upload_file")]
    pub fn send_file(&mut self, from: impl Into<PathBuf>, to: impl Into<String>) -> Command {
        self.push(Step::Upload { source: Source::File(from.into()), to: to.into() })
    }

    /// Queues bytes, or a text, to be sent.
    #[doc(alias = "upload_bytes")]
    pub fn send_bytes(&mut self, bytes: impl Into<Bytes>, to: impl Into<String>) -> Command {
        self.push(Step::Upload { source: Source::Bytes(bytes.into()), to: to.into() })
    }

    /// Queues a value to be sent as a JSON document.
    ///
    /// **Errors**: [`ScriptError::NoJson`] when the value has no form in JSON; nothing is queued then.
    #[doc(alias = "upload_json")]
    pub fn send_json<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        to: impl Into<String>,
    ) -> Result<Command, ScriptError> {
        let to = to.into();
        match serde_json::to_vec(value) {
            Ok(bytes) => Ok(self.send_bytes(bytes, to)),
            Err(source) => Err(ScriptError::NoJson { to, source }),
        }
    }

    /// Queues a program with its arguments; all it writes is captured as text. It is started without a shell, and one
    /// that doesn't end with exit code 0 is [`ScriptError::CommandFailed`]. [`WorkContext::add`] has the rest.
    pub fn run<A: Into<String>>(
        &mut self,
        program: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Command {
        self.add(Program::new(program).args(args))
    }

    /// Queues a line for the payload's `/bin/sh`. What is put into it is read by the shell: quote what comes from others,
    /// or hand it to [`WorkContext::run`] as an argument.
    pub fn shell(&mut self, line: impl Into<String>) -> Command {
        self.add(Program::shell(line))
    }

    /// Runs a line in the payload's `/bin/sh` at once and waits for its end, for at most [`DEFAULT_LIMIT`]. Commands that are
    /// queued stay queued.
    ///
    /// The shell reads what is put into the line: quote text that comes from others.
    ///
    /// # Errors
    /// [`ScriptError::CommandFailed`] where it ends with an exit code other than 0, and what else
    /// [`WorkContext::commit`] says.
    ///
    /// **Cancel safety**: as that of [`WorkContext::commit`].
    pub async fn sh(&self, line: impl Into<String>) -> Result<Finished, ScriptError> {
        let mut own = self.clone();
        let command = own.shell(line);
        let done = own.commit(DEFAULT_LIMIT).await?;
        Ok(done[command].clone())
    }

    /// Queues a program with all that can be said of it: environment, what to keep of its output.
    pub fn add(&mut self, program: Program) -> Command {
        self.push(Step::Program(program))
    }

    /// Queues a download into a file. It appears whole or not at all; folders are made as needed, and a file that is
    /// there is replaced.
    pub fn download_file(&mut self, from: impl Into<String>, to: impl Into<PathBuf>) -> Download<PathBuf> {
        self.download(from, Target::File(to.into()))
    }

    /// Queues a download into memory of at most so many bytes: more is [`ScriptError::TransferFailed`], never cut off.
    /// [`Batch::bytes`] has them.
    pub fn download_bytes(&mut self, from: impl Into<String>, limit: u64) -> Download<Bytes> {
        self.download(from, Target::Memory { limit })
    }

    /// Queues the download of a JSON document of at most so many bytes, into memory. [`Batch::json`] reads it.
    pub fn download_json(&mut self, from: impl Into<String>, limit: u64) -> Download<Json> {
        self.download(from, Target::Memory { limit })
    }

    /// Queues something that the provider fetches from the web by itself. The payload must be allowed to go there.
    ///
    /// Some exe-units take an error page for the file: check what must be right.
    #[doc(alias = "download_from_url")]
    pub fn fetch(&mut self, url: impl Into<String>, to: impl Into<String>) -> Command {
        let script = std::mem::take(&mut self.queue.script);
        self.queue.script = script.fetch(url, to);
        self.last()
    }

    /// Queues the activity's deployment: networks, volumes, names. Only where the start is explicit, or after
    /// [`WorkContext::terminate`]. Providers ignore the variables in it: [`Program::env`] sets those of a program.
    pub fn deploy(&mut self, deploy: Deploy) -> Command {
        self.push(Step::Command(WireCommand::Deploy(deploy)))
    }

    /// Queues the start of the runtime, with arguments for it. It comes after [`WorkContext::deploy`].
    pub fn start<A: Into<String>>(&mut self, args: impl IntoIterator<Item = A>) -> Command {
        let args = args.into_iter().map(Into::into).collect();
        self.push(Step::Command(WireCommand::Start(Start { args })))
    }

    /// Queues the end of all that runs in the activity, its files included. It must be deployed and started again then.
    ///
    /// A batch that begins with it may be sent while another one runs: this is the way on after one that timed out.
    pub fn terminate(&mut self) -> Command {
        self.push(Step::Command(WireCommand::Terminate(Empty {})))
    }

    fn download<T>(&mut self, from: impl Into<String>, target: Target) -> Download<T> {
        Download::new(self.push(Step::Download { from: from.into(), target }))
    }

    fn push(&mut self, step: Step) -> Command {
        self.queue.script.steps.push(step);
        self.last()
    }

    fn last(&self) -> Command {
        Command { queue: self.queue.id, place: self.queue.script.len().saturating_sub(1) }
    }
}

#[cfg(test)]
mod tests;
