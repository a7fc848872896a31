//! A function applied to inputs on rented machines: one result or one failure for each input.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use golem_core::event::{AttemptFailure, Provider};

use super::Executor;
use super::error::{EndCause, SubmitError, TaskFailure};
use super::job::{Job, Source, of_itself};
use super::submitted::{Ended, Finished, Reading};
use super::tasks::Tasks;
use crate::context::{ScriptError, WorkContext};
use crate::error::{Error, Result};
use crate::worker::WorkerError;

/// An input with its place among the inputs.
#[derive(Clone)]
struct Numbered<T> {
    place: u64,
    input: T,
}

/// One input with its result, or with the reason why it has none.
#[derive(Debug)]
#[non_exhaustive]
pub struct Mapping<T, R> {
    /// The input.
    pub input: T,
    /// The result of the function, or the failure of this input.
    pub result: Result<R, MapFailure>,
    /// The provider of the last attempt; none where no attempt began.
    pub provider: Option<Provider>,
    /// The number of attempts.
    pub attempts: u32,
}

/// The reason why an input has no result.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum MapFailure {
    /// All its attempts failed.
    #[error("{}", .0.message)]
    Failed(AttemptFailure),
    /// The work ended before the input had its turn.
    #[error("not done: {0}")]
    NotDone(EndCause),
}

/// The results of [`Executor::map`], as they come.
///
/// Each input that was read brings one item. Dropping the stream cancels the work that is left.
#[must_use = "dropping it cancels the work"]
pub struct Mapped<T, R> {
    items: BoxStream<'static, (u64, Mapping<T, R>)>,
    /// Items that came before their turn; none where the order doesn't matter.
    early: Option<BTreeMap<u64, Mapping<T, R>>>,
    next: u64,
    failed: Option<NotMapped>,
}

/// The error of a map some of whose inputs have no result.
#[derive(Debug, thiserror::Error)]
#[error("{n} of the inputs {} no result, the first because of: {first}", if *.n == 1 { "has" } else { "have" })]
pub struct NotMapped {
    n: u64,
    first: MapFailure,
}

impl NotMapped {
    /// The number of inputs that have no result.
    pub fn count(&self) -> u64 {
        self.n
    }

    /// The failure of the first of them.
    pub fn first(&self) -> &MapFailure {
        &self.first
    }
}

impl<T, R> fmt::Debug for Mapped<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapped").field("ordered", &self.early.is_some()).finish_non_exhaustive()
    }
}

impl Executor {
    /// Applies an async function to each input, on as many providers as the executor may have.
    ///
    /// The function gets the machine and one input, and returns a result. An error of the function, or of a command, fails
    /// this attempt alone: the input is tried again, on another provider where that can be, up to
    /// [`ExecutorBuilder::retries`](super::ExecutorBuilder::retries) times. Inputs that fail for good don't end the others.
    /// Work begins at once, whether the results are read or not.
    ///
    /// A worker that prepares each machine first, takes several tasks at once or adds tasks is written for
    /// [`Executor::submit`].
    ///
    /// # Example
    /// ```
    /// # use std::sync::Arc;
    /// use golem_sdk::prelude::*;
    /// # use golem_devnet::devnet::Devnet;
    /// # use yagna_client::{Client, InProcessTransport};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> golem_sdk::Result<()> {
    /// # let devnet = Devnet::builder().providers(2).start().await?;
    /// # let client = Client::new(Arc::new(InProcessTransport::new(devnet.router(), &devnet.requestor().key)?));
    /// # let builder = Executor::builder(golem_sdk::payload::Payload::default()).client(client);
    /// # stringify! {
    /// let builder = Executor::builder(Vm::image_tag("golem/alpine:latest"));
    /// # };
    /// builder
    ///     .run(async |golem| {
    ///         let mut squares = golem.map(0..8, async |ctx, n| {
    ///             let square = ctx.sh(format!("echo $(( {n} * {n} ))")).await?;
    ///             Ok(square.stdout().trim().parse::<u32>()?)
    ///         });
    ///         while let Some((n, square)) = squares.try_next().await? {
    ///             println!("{n} squared is {square}");
    /// #           assert_eq!(n * n, square);
    ///         }
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # devnet.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<T, R, F, Work, I>(&self, inputs: I, function: F) -> Mapped<T, R>
    where
        T: Clone + Send + Sync + 'static,
        R: Send + 'static,
        F: Fn(WorkContext, T) -> Work + Send + Sync + 'static,
        Work: Future<Output = Result<R>> + Send + 'static,
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        let inputs = inputs.into_iter().zip(0..).map(|(input, place)| Numbered { place, input });
        let job = Job::described_by(self, Source::Iterator(Box::new(inputs)), |numbered: &Numbered<T>| {
            of_itself(&numbered.input)
        });
        let function = Arc::new(function);
        let reading = job.begin(move |ctx, tasks| {
            let function = Arc::clone(&function);
            async move { work(ctx, tasks, &*function).await }
        });
        Mapped { items: items(reading).boxed(), early: None, next: 0, failed: None }
    }

    /// Applies a function to each input, as [`Executor::map`] does, with a state that all calls share.
    ///
    /// Each call gets a clone of the state, so an `Arc` is the usual one.
    pub fn map_with<S, T, R, F, Work, I>(&self, state: S, inputs: I, function: F) -> Mapped<T, R>
    where
        S: Clone + Send + Sync + 'static,
        T: Clone + Send + Sync + 'static,
        R: Send + 'static,
        F: Fn(S, WorkContext, T) -> Work + Send + Sync + 'static,
        Work: Future<Output = Result<R>> + Send + 'static,
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        self.map(inputs, move |ctx, input| function(state.clone(), ctx, input))
    }
}

/// Does the tasks of one activity.
async fn work<T, R, F, Work>(
    ctx: WorkContext,
    mut tasks: Tasks<Numbered<T>, R>,
    function: &F,
) -> Result<(), WorkerError>
where
    T: Clone,
    F: Fn(WorkContext, T) -> Work,
    Work: Future<Output = Result<R>>,
{
    while let Some(task) = tasks.next().await {
        match function(ctx.clone(), task.data().input.clone()).await.map_err(Error::downcast::<ScriptError>) {
            Ok(result) => task.accept_result(result).await,
            Err(Ok(error)) if error.leaves_activity_ready() => task.failed(error.to_failure()).await,
            // The tasks in hand fail with the same reason, and the activity ends.
            Err(Ok(error)) => {
                let failed = error.into();
                drop(task);
                return Err(failed);
            }
            Err(Err(error)) => task.reject_result(error.in_a_line(), true).await,
        }
    }
    Ok(())
}

/// The items of a map: results and failures as they come, and at an early end the inputs that are left.
fn items<T, R>(reading: Reading<Numbered<T>, R>) -> impl Stream<Item = (u64, Mapping<T, R>)> + Send
where
    T: Clone + Send + Sync + 'static,
    R: Send + 'static,
{
    let ends = stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        match reading.next().await {
            Ok(Some(Ended::Done(finished))) => Some((vec![done(finished)], Some(reading))),
            Ok(Some(Ended::Failed(failure))) => Some((vec![failed(&failure)], Some(reading))),
            Ok(None) => None,
            Err(error) => Some((left(error), None)),
        }
    });
    ends.flat_map(stream::iter).fuse()
}

fn done<T: Clone, R>(finished: Finished<Numbered<T>, R>) -> (u64, Mapping<T, R>) {
    let Numbered { place, input } = finished.data().clone();
    let (provider, attempts) = (Some(finished.provider().clone()), finished.attempts());
    (place, Mapping { input, result: Ok(finished.into_result()), provider, attempts })
}

fn failed<T: Clone, R>(failure: &TaskFailure<Numbered<T>>) -> (u64, Mapping<T, R>) {
    let Numbered { place, input } = failure.data().clone();
    let (provider, attempts) = (failure.provider().cloned(), failure.attempts());
    let result = Err(MapFailure::Failed(failure.failure().clone()));
    (place, Mapping { input, result, provider, attempts })
}

/// The inputs that an early end has left without a result.
fn left<T: Clone, R>(error: SubmitError<Numbered<T>>) -> Vec<(u64, Mapping<T, R>)> {
    let cause = error.cause().clone();
    let unfinished = error.into_unfinished().into_iter();
    unfinished
        .map(|numbered| {
            let Numbered { place, input } = Numbered::clone(&numbered);
            let result = Err(MapFailure::NotDone(cause.clone()));
            (place, Mapping { input, result, provider: None, attempts: 0 })
        })
        .collect()
}

impl<T, R> Mapped<T, R> {
    /// Gives the items in the order of their inputs instead of the order in which they come.
    ///
    /// An item that comes before its turn is kept in memory until then.
    pub fn ordered(mut self) -> Self {
        self.early.get_or_insert_default();
        self
    }

    /// The next input with its result or its failure; `None` after the last one.
    ///
    /// **Cancel safety**: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Mapping<T, R>> {
        loop {
            let Some(early) = &mut self.early else {
                return Some(self.items.next().await?.1);
            };
            if let Some(mapping) = early.remove(&self.next) {
                self.next += 1;
                return Some(mapping);
            }
            if let Some((place, mapping)) = self.items.next().await {
                early.insert(place, mapping);
            } else {
                // Where the source wasn't read to its end, nothing is known of what is between.
                let (place, mapping) = early.pop_first()?;
                self.next = place + 1;
                return Some(mapping);
            }
        }
    }

    /// The next input that has a result; `None` after the last one, if each input has one.
    ///
    /// # Errors
    /// [`NotMapped`] once and last, after all results, where inputs have none. [`Mapped::next`] gives each of their
    /// failures.
    ///
    /// **Cancel safety**: dropping the future loses nothing.
    pub async fn try_next(&mut self) -> Result<Option<(T, R)>> {
        while let Some(Mapping { input, result, .. }) = self.next().await {
            match result {
                Ok(result) => return Ok(Some((input, result))),
                Err(failure) => {
                    self.failed.get_or_insert(NotMapped { n: 0, first: failure }).n += 1;
                }
            }
        }
        self.failed.take().map_or(Ok(None), |failed| Err(failed.into()))
    }
}
