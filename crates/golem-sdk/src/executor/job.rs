//! A job that is about to be handed in: its tasks, and what is its own about it.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::BoxStream;
use tokio::time::Instant;

use super::submitted::{Handed, Outcomes, Reading, Submitted};
use super::table::{Describe, Table};
use super::tasks::{Hands, Tasks};
use super::{Executor, source};
use crate::context::WorkContext;
use crate::jobs::JobOptions;
use crate::text::cut;
use crate::worker::WorkerError;

/// Characters of a task's description that are kept.
const DESCRIPTION: usize = 200;

/// A job for an [`Executor`], not handed in yet.
///
/// # Example
///
/// ```
/// # use std::sync::Arc;
/// # use golem_sdk::payload::Payload;
/// # use golem_sdk::executor::Executor;
/// # use golem_devnet::devnet::Devnet;
/// # use yagna_client::{Client, InProcessTransport};
/// struct Frame(u32);
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let devnet = Devnet::builder().providers(1).start().await?;
/// # let client = Client::new(Arc::new(InProcessTransport::new(devnet.router(), &devnet.requestor().key)?));
/// # let executor = Executor::builder(Payload::default()).client(client).start().await?;
/// let mut frames = executor
///     .job((1..=3).map(Frame))
///     .described(|frame| format!("frame {}", frame.0))
///     .retries(1)
///     .submit(|_ctx, mut tasks| async move {
///         while let Some(task) = tasks.next().await {
///             let n = task.data().0;
///             task.accept_result(n).await;
///         }
///         Ok(())
///     });
/// # let mut done = 0;
/// while let Some(frame) = frames.try_next().await? {
///     println!("{} is done", frame.result());
/// #   done += 1;
/// }
/// # assert_eq!(done, 3);
/// executor.close().await?;
/// # devnet.stop().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens before `submit`"]
pub struct Job<'e, T> {
    executor: &'e Executor,
    source: Source<T>,
    describe: Describe<T>,
    retries: Option<u32>,
    timeout: Option<Duration>,
    /// True if each activity is deployed and started before its worker begins.
    implicit_start: bool,
    /// True if the executor's own time-out doesn't end the job.
    is_endless: bool,
}

pub(super) enum Source<T> {
    Iterator(Box<dyn Iterator<Item = T> + Send>),
    Stream(BoxStream<'static, Result<T, String>>),
}

impl<T> fmt::Debug for Job<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("retries", &self.retries)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl<'e, T: Send + Sync + 'static> Job<'e, T> {
    pub(super) fn new(executor: &'e Executor, source: Source<T>) -> Self {
        Self::described_by(executor, source, of_itself)
    }

    pub(super) fn described_by(
        executor: &'e Executor,
        source: Source<T>,
        describe: impl Fn(&T) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let implicit_start = executor.implicit_start;
        Self {
            executor,
            source,
            describe: Box::new(describe),
            retries: None,
            timeout: None,
            implicit_start,
            is_endless: false,
        }
    }

    /// Sets the name of a task in events and in the log, so that people know it; at most 200 characters are kept.
    ///
    /// Default: texts, numbers and paths are called what they are; anything else has its number only.
    pub fn described(self, describe: impl Fn(&T) -> String + Send + Sync + 'static) -> Self {
        Self { describe: Box::new(move |data| Some(describe(data))), ..self }
    }

    /// Sets the number of retries of a failed task of this job. Default: as the executor says.
    pub fn retries(self, retries: u32) -> Self {
        Self { retries: Some(retries), ..self }
    }

    /// Sets the time that this job may take, from now on; never longer than the executor's own time-out.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Leaves it to the worker to deploy and start each activity.
    pub(crate) fn explicit_start(self) -> Self {
        Self { implicit_start: false, ..self }
    }

    /// Goes on whatever time the executor gives to its jobs.
    pub(crate) fn endless(self) -> Self {
        Self { is_endless: true, ..self }
    }

    /// Hands it in, for this worker function; see [`Executor::submit`].
    pub fn submit<R, F, Work>(self, worker: F) -> Submitted<T, R>
    where
        R: Send + 'static,
        F: Fn(WorkContext, Tasks<T, R>) -> Work + Send + Sync + 'static,
        Work: Future<Output = Result<(), WorkerError>> + Send + 'static,
    {
        Submitted::new(self.begin(worker))
    }

    /// Hands it in as [`Job::submit`] does, and tells of each task that fails for good when it does, not only in the end.
    pub fn submit_outcomes<R, F, Work>(self, worker: F) -> Outcomes<T, R>
    where
        R: Send + 'static,
        F: Fn(WorkContext, Tasks<T, R>) -> Work + Send + Sync + 'static,
        Work: Future<Output = Result<(), WorkerError>> + Send + 'static,
    {
        Outcomes::new(self.begin(worker))
    }

    /// Hands it in, and leaves reading to the caller.
    pub(super) fn begin<R, F, Work>(self, worker: F) -> Reading<T, R>
    where
        R: Send + 'static,
        F: Fn(WorkContext, Tasks<T, R>) -> Work + Send + Sync + 'static,
        Work: Future<Output = Result<(), WorkerError>> + Send + 'static,
    {
        let Self { executor, source, describe, retries, timeout, implicit_start, is_endless } = self;
        let describe: Describe<T> = Box::new(move |data| {
            // It is the user's code, and runs where nothing else may panic.
            let described = catch_unwind(AssertUnwindSafe(|| describe(data))).ok().flatten();
            described.map(|text| cut(&text, DESCRIPTION))
        });
        let table = Arc::new(Table::new(describe));
        let (source, rest) = match source {
            Source::Iterator(tasks) => source::iterator(tasks, &table),
            Source::Stream(tasks) => source::stream(tasks, &table),
        };
        let limits = executor.limits;
        let deadline = limits.deadline.filter(|_| !is_endless);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let own = timeout.filter(|own| left.is_none_or(|left| *own < left));
        let options = JobOptions { retries, timeout: own.or(left) };
        let worker = Arc::new(Hands { worker, table: Arc::clone(&table), implicit_start });
        let handle = executor.handle.clone();
        let handing = async move { handle.submit(worker, source, options).await };
        Reading {
            job: Handed::now(handing.boxed()),
            table,
            rest,
            watch: Arc::clone(&executor.watch),
            timeout: own.unwrap_or(limits.timeout),
            keys: HashMap::new(),
            failed: Vec::new(),
        }
    }
}

/// The text of data that people can read.
pub(super) fn of_itself<T: 'static>(data: &T) -> Option<String> {
    let data: &dyn Any = data;
    macro_rules! one_of {
        ($($kind:ty),*) => {
            $(if let Some(data) = data.downcast_ref::<$kind>() {
                return Some(data.to_string());
            })*
        };
    }
    one_of!(
        String,
        &'static str,
        u64,
        u32,
        usize,
        i32,
        i64,
        u16,
        u8,
        i16,
        i8,
        u128,
        i128,
        f64,
        f32,
        char,
        bool
    );
    data.downcast_ref::<PathBuf>().map(|path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_can_read_describes_itself_and_all_else_is_silent() {
        assert_eq!(of_itself(&7_u64).as_deref(), Some("7"));
        assert_eq!(of_itself(&"seven").as_deref(), Some("seven"));
        assert_eq!(of_itself(&String::from("seven")).as_deref(), Some("seven"));
        assert_eq!(of_itself(&PathBuf::from("a/b")).as_deref(), Some("a/b"));
        assert_eq!(of_itself(&[7_u64]), None);
    }
}
