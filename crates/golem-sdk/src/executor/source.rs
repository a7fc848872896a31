//! The sources of an executor's tasks: the user's own iterators and streams, which may wait, fail and panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, StreamExt};

use super::table::Table;
use crate::jobs::JobSource;
use crate::text::panic_text;

/// So many tasks of an iterator are read for the list of the unfinished ones, at most.
const MOST_LISTED: usize = 1 << 20;

/// The rest of a job's source when the job ends early.
pub(super) trait Rest<T>: Send + Sync {
    /// The tasks that weren't read, as far as they can be; and whether there may be more.
    fn take_rest(&self) -> (Vec<T>, bool);

    /// The error of the source, if it failed.
    fn problem(&self) -> Option<String>;
}

/// An iterator of tasks, as a source.
pub(super) fn iterator<T, R, I>(tasks: I, table: &Arc<Table<T, R>>) -> (JobSource, Arc<dyn Rest<T>>)
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    I: Iterator<Item = T> + Send + 'static,
{
    let shared = Arc::new(Shared::<I>(Mutex::new(Reading { tasks: Some(tasks), problem: None })));
    let (reading, table) = (Arc::clone(&shared), Arc::clone(table));
    let tasks = std::iter::from_fn(move || {
        let next = reading.lock().next().transpose()?;
        Some(next.map(|data| table.enter(data)))
    });
    (JobSource::Iterator(Box::new(tasks)), shared)
}

/// A stream of tasks that may fail, as a source.
pub(super) fn stream<T, R, S>(tasks: S, table: &Arc<Table<T, R>>) -> (JobSource, Arc<dyn Rest<T>>)
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    S: Stream<Item = Result<T, String>> + Send + 'static,
{
    let state = Arc::new(StreamState::default());
    let (told, table) = (Arc::clone(&state), Arc::clone(table));
    let at_end = Arc::clone(&state);
    let tasks = AssertUnwindSafe(tasks).catch_unwind().map(move |task| {
        let task = task.unwrap_or_else(|panic| Err(format!("the source panicked: {}", panic_text(&*panic))));
        match task {
            Ok(data) => Ok(table.enter(data)),
            Err(problem) => {
                *told.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem.clone());
                Err(problem)
            }
        }
    });
    let end = futures_util::stream::poll_fn(move |_| {
        at_end.exhausted.store(true, Ordering::Relaxed);
        std::task::Poll::Ready(None)
    });
    (JobSource::Stream(tasks.chain(end).boxed()), state)
}

/// An iterator that the run reads until its job ends, and the job's reader afterwards.
struct Shared<I>(Mutex<Reading<I>>);

struct Reading<I> {
    /// `None` once it is over or has failed.
    tasks: Option<I>,
    problem: Option<String>,
}

impl<I: Iterator> Reading<I> {
    fn next(&mut self) -> Result<Option<I::Item>, String> {
        let Some(tasks) = &mut self.tasks else {
            return Ok(None);
        };
        match catch_unwind(AssertUnwindSafe(|| tasks.next())) {
            Ok(Some(task)) => Ok(Some(task)),
            Ok(None) => {
                self.tasks = None;
                Ok(None)
            }
            Err(panic) => {
                let problem = format!("the source panicked: {}", panic_text(&*panic));
                self.tasks = None;
                self.problem = Some(problem.clone());
                Err(problem)
            }
        }
    }
}

impl<I> Shared<I> {
    fn lock(&self) -> MutexGuard<'_, Reading<I>> {
        // A panic of the user's iterator is caught within.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I: Iterator + Send> Rest<I::Item> for Shared<I> {
    fn take_rest(&self) -> (Vec<I::Item>, bool) {
        let mut reading = self.lock();
        let is_bounded = reading
            .tasks
            .as_ref()
            .is_none_or(|tasks| tasks.size_hint().1.is_some_and(|most| most <= MOST_LISTED));
        let mut rest = Vec::new();
        while is_bounded && rest.len() < MOST_LISTED {
            let Ok(Some(task)) = reading.next() else { break };
            rest.push(task);
        }
        let more = reading.tasks.take().is_some() || reading.problem.is_some();
        (rest, more)
    }

    fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }
}

#[derive(Default)]
struct StreamState {
    exhausted: AtomicBool,
    problem: Mutex<Option<String>>,
}

impl<T> Rest<T> for StreamState {
    fn take_rest(&self) -> (Vec<T>, bool) {
        // To wait for them now would be to wait for ever, maybe.
        (Vec::new(), !self.exhausted.load(Ordering::Relaxed))
    }

    fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
