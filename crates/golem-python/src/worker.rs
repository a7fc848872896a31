//! Calls of workers: a coroutine of Python for each activity, and the tasks in its hands.
//!
//! Beside the coroutine runs its other half, on the engine's runtime: it asks for tasks and hands in answers, in the order in which
//! the coroutine said so.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use golem_core::event::{AttemptFailure, FailureKind};
use golem_sdk::executor::{Task as SdkTask, Tasks as SdkTasks};
use golem_sdk::{WorkContext, WorkerError};
use pyo3::exceptions::{PyRuntimeError, PyStopAsyncIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use crate::bridge::{Bridge, done, settle};
use crate::context::Context;
use crate::error;

/// So often the loop is seen to be alive while a worker is at work.
const PULSE: Duration = Duration::from_millis(500);

/// The reason of a failed attempt whose task was dropped.
const FORGOTTEN: &str = "the worker dropped it without an answer";

/// The data of a task, with its name for people.
pub(crate) struct Item {
    pub(crate) data: Arc<Py<PyAny>>,
    pub(crate) label: String,
}

/// The result of a task.
pub(crate) type Output = Py<PyAny>;

/// A message of the coroutine to its other half.
enum Word {
    Next {
        room: usize,
    },
    Accept {
        task: u64,
        result: Output,
    },
    Reject {
        task: u64,
        reason: String,
        retry: bool,
    },
    Fail {
        task: u64,
        failure: AttemptFailure,
    },
    /// The task was dropped without an answer.
    Drop {
        task: u64,
    },
    Ended(Result<(), WorkerError>),
}

/// The coroutine of a call, to be cancelled where its activity is given up.
#[derive(Default)]
struct Coroutine {
    task: Mutex<Option<Py<PyAny>>>,
    given_up: AtomicBool,
}

impl Coroutine {
    fn lock(&self) -> MutexGuard<'_, Option<Py<PyAny>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancel(&self, py: Python<'_>) {
        let Some(task) = self.lock().take() else { return };
        if let Err(error) = task.call_method0(py, intern!(py, "cancel")) {
            error.write_unraisable(py, None);
        }
    }
}

/// Cancels the coroutine where the engine drops the call.
struct Guard {
    coroutine: Arc<Coroutine>,
    bridge: Arc<Bridge>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.coroutine.given_up.store(true, Ordering::Relaxed);
        let coroutine = Arc::clone(&self.coroutine);
        self.bridge.push(move |py| coroutine.cancel(py));
    }
}

/// Calls the worker for one activity, and waits for its end.
pub(crate) async fn call(
    bridge: Arc<Bridge>,
    worker: Arc<Py<PyAny>>,
    ctx: WorkContext,
    tasks: SdkTasks<Item, Output>,
) -> Result<(), WorkerError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a coroutine can't wait in the middle of a word, and it says no more than it has tasks and calls"
    )]
    let (sender, mut words) = unbounded_channel();
    let coroutine = Arc::new(Coroutine::default());
    let _guard = Guard { coroutine: Arc::clone(&coroutine), bridge: Arc::clone(&bridge) };
    let state =
        Arc::new(State { sender: sender.clone(), bridge: Arc::clone(&bridge), waiting: Mutex::default() });
    let (begun, to) = (Arc::clone(&state), Arc::clone(&bridge));
    bridge.push(move |py| {
        if let Err(error) = begin(py, &worker, ctx, &begun, to, &coroutine) {
            sender.send(Word::Ended(Err(error::of_worker(error.value(py))))).ok();
        }
    });
    Half { state, tasks: Fetch::Idle(Some(tasks)), wanted: VecDeque::new(), hands: HashMap::new(), last: 0 }
        .follow(&mut words)
        .await
}

fn begin(
    py: Python<'_>,
    worker: &Py<PyAny>,
    ctx: WorkContext,
    state: &Arc<State>,
    bridge: Arc<Bridge>,
    coroutine: &Arc<Coroutine>,
) -> PyResult<()> {
    if coroutine.given_up.load(Ordering::Relaxed) {
        return Ok(());
    }
    let event_loop = bridge.event_loop(py)?;
    let context = Context::new(ctx, bridge);
    let made = worker.call1(py, (context, Tasks { state: Arc::clone(state) }))?;
    let task = event_loop.call_method1(intern!(py, "create_task"), (made,))?;
    *coroutine.lock() = Some(task.clone().unbind());
    let ended = Ended { sender: state.sender.clone(), coroutine: Arc::clone(coroutine) };
    task.call_method1(intern!(py, "add_done_callback"), (ended,))?;
    Ok(())
}

/// The callback for the end of the coroutine's task.
#[pyclass(frozen)]
struct Ended {
    sender: UnboundedSender<Word>,
    coroutine: Arc<Coroutine>,
}

#[pymethods]
impl Ended {
    fn __call__(&self, task: &Bound<'_, PyAny>) -> PyResult<()> {
        self.coroutine.lock().take();
        let end = outcome(task)?;
        self.sender.send(Word::Ended(end.map(|_| ()))).ok();
        Ok(())
    }
}

/// The outcome of a task of the event loop: its result, or the error of a worker.
pub(crate) fn outcome<'py>(task: &Bound<'py, PyAny>) -> PyResult<Result<Bound<'py, PyAny>, WorkerError>> {
    let py = task.py();
    if task.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        return Ok(Err(WorkerError::other("the worker was cancelled by its program")));
    }
    let exception = task.call_method0(intern!(py, "exception"))?;
    if exception.is_none() {
        return Ok(Ok(task.call_method0(intern!(py, "result"))?));
    }
    Ok(Err(error::of_worker(&exception)))
}

/// The other half of a coroutine.
struct Half {
    state: Arc<State>,
    tasks: Fetch,
    wanted: VecDeque<usize>,
    hands: HashMap<u64, SdkTask<Item, Output>>,
    last: u64,
}

type Fetched = (SdkTasks<Item, Output>, Option<Vec<SdkTask<Item, Output>>>);

/// The tasks, at rest or being asked for.
enum Fetch {
    Idle(Option<SdkTasks<Item, Output>>),
    Busy(BoxFuture<'static, Fetched>),
}

impl Fetch {
    /// Asks for tasks where they are wanted, and waits for them; for ever where none are.
    async fn next(&mut self, wanted: &mut VecDeque<usize>) -> Option<Vec<SdkTask<Item, Output>>> {
        loop {
            match self {
                Self::Idle(tasks) => match (wanted.pop_front(), tasks.take()) {
                    (Some(room), Some(mut tasks)) => {
                        *self = Self::Busy(Box::pin(async move {
                            let pack = tasks.next_pack(room).await;
                            (tasks, pack)
                        }));
                    }
                    (_, back) => {
                        *tasks = back;
                        std::future::pending::<()>().await;
                    }
                },
                Self::Busy(asking) => {
                    let (tasks, pack) = asking.await;
                    *self = Self::Idle(Some(tasks));
                    return pack;
                }
            }
        }
    }
}

impl Half {
    async fn follow(mut self, words: &mut UnboundedReceiver<Word>) -> Result<(), WorkerError> {
        // A loop that doesn't come to do nothing is blocked.
        let mut pulse = tokio::time::interval(PULSE);
        loop {
            tokio::select! {
                biased;
                word = words.recv() => match word {
                    Some(Word::Next { room }) => self.wanted.push_back(room),
                    Some(Word::Accept { task, result }) => {
                        if let Some(task) = self.hands.remove(&task) {
                            task.accept_result(result).await;
                        }
                    }
                    Some(Word::Reject { task, reason, retry }) => {
                        if let Some(task) = self.hands.remove(&task) {
                            task.reject_result(reason, retry).await;
                        }
                    }
                    Some(Word::Fail { task, failure }) => {
                        if let Some(task) = self.hands.remove(&task) {
                            task.failed(failure).await;
                        }
                    }
                    // Python lets go of it after the worker has asked for the next one, so it is answered at once.
                    Some(Word::Drop { task }) => {
                        if let Some(task) = self.hands.remove(&task) {
                            task.failed(AttemptFailure::new(FailureKind::Lost, FORGOTTEN)).await;
                        }
                    }
                    Some(Word::Ended(end)) => return end,
                    // The state holds a sender itself.
                    None => return Ok(()),
                },
                pack = self.tasks.next(&mut self.wanted) => self.hand_over(pack),
                _ = pulse.tick() => self.state.bridge.push(|_| ()),
            }
        }
    }

    fn hand_over(&mut self, pack: Option<Vec<SdkTask<Item, Output>>>) {
        let pack = pack.map(|pack| {
            let handed = pack.into_iter().map(|task| {
                self.last += 1;
                let handed = Task {
                    key: self.last,
                    id: task.id().0,
                    attempt: task.attempt(),
                    data: Arc::clone(&task.data().data),
                    started: Instant::now(),
                    is_answered: AtomicBool::new(false),
                    sender: self.state.sender.clone(),
                };
                self.hands.insert(self.last, task);
                handed
            });
            handed.collect::<Vec<_>>()
        });
        let state = Arc::clone(&self.state);
        self.state.bridge.push(move |py| {
            if let Err(error) = state.deliver(py, pack) {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// The state that the two halves share.
struct State {
    sender: UnboundedSender<Word>,
    bridge: Arc<Bridge>,
    waiting: Mutex<Waiting>,
}

/// The coroutine's calls that wait for tasks. All of it happens on the event loop.
#[derive(Default)]
struct Waiting {
    calls: VecDeque<(Py<PyAny>, Wish)>,
    /// Requests that are on their way.
    asked: usize,
    /// Tasks whose call was cancelled.
    kept: VecDeque<Py<Task>>,
    over: bool,
}

/// The result that a call waits for.
#[derive(Clone, Copy, PartialEq)]
enum Wish {
    OneOrNone,
    /// One, or the end of an async iteration.
    OneOrStop,
    Pack(usize),
}

impl Wish {
    fn end(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::OneOrNone => Ok(py.None()),
            Self::OneOrStop => Err(PyStopAsyncIteration::new_err(())),
            Self::Pack(_) => Ok(PyList::empty(py).into_any().unbind()),
        }
    }

    fn take(self, py: Python<'_>, kept: &mut VecDeque<Py<Task>>) -> PyResult<Py<PyAny>> {
        match (self, kept.len()) {
            (_, 0) => self.end(py),
            (Self::Pack(room), n) => Ok(PyList::new(py, kept.drain(..n.min(room)))?.into_any().unbind()),
            (Self::OneOrNone | Self::OneOrStop, _) => {
                Ok(kept.pop_front().map_or_else(|| py.None(), Py::into_any))
            }
        }
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask<'py>(&self, py: Python<'py>, wish: Wish) -> PyResult<Bound<'py, PyAny>> {
        let future = self.bridge.future(py)?;
        let mut waiting = self.lock();
        if !waiting.kept.is_empty() {
            let result = wish.take(py, &mut waiting.kept);
            drop(waiting);
            return done(py, &self.bridge, result);
        }
        if waiting.over {
            drop(waiting);
            return done(py, &self.bridge, wish.end(py));
        }
        waiting.calls.retain(|(call, _)| !is_done(call.bind(py)));
        waiting.calls.push_back((future.clone().unbind(), wish));
        let ask = waiting.asked < waiting.calls.len();
        waiting.asked += usize::from(ask);
        drop(waiting);
        let room = if let Wish::Pack(room) = wish { room } else { 1 };
        if ask && self.sender.send(Word::Next { room }).is_err() {
            // The activity is over.
            self.deliver(py, None)?;
        }
        Ok(future)
    }

    /// Tasks have come, or the end of them.
    fn deliver(&self, py: Python<'_>, pack: Option<Vec<Task>>) -> PyResult<()> {
        let mut waiting = self.lock();
        waiting.asked = waiting.asked.saturating_sub(1);
        match pack {
            Some(pack) => {
                for task in pack {
                    waiting.kept.push_back(Py::new(py, task)?);
                }
            }
            None => waiting.over = true,
        }
        let mut settled = Vec::new();
        while !waiting.kept.is_empty() || waiting.over {
            let Some((call, wish)) = waiting.calls.pop_front() else { break };
            if !is_done(call.bind(py)) {
                settled.push((call, wish.take(py, &mut waiting.kept)));
            }
        }
        drop(waiting);
        for (call, result) in settled {
            settle(call.bind(py), result);
        }
        Ok(())
    }
}

fn is_done(future: &Bound<'_, PyAny>) -> bool {
    future.call_method0(intern!(future.py(), "done")).and_then(|done| done.is_truthy()).unwrap_or(true)
}

/// The tasks for one worker.
#[pyclass(frozen, module = "golem_tasks._native")]
pub(crate) struct Tasks {
    state: Arc<State>,
}

#[pymethods]
impl Tasks {
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.state.ask(py, Wish::OneOrNone)
    }

    fn next_pack<'py>(&self, py: Python<'py>, room: usize) -> PyResult<Bound<'py, PyAny>> {
        self.state.ask(py, Wish::Pack(room.max(1)))
    }

    fn __aiter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __anext__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.state.ask(py, Wish::OneOrStop)
    }
}

/// One attempt of one task.
#[pyclass(frozen, weakref, module = "golem_tasks._native")]
pub(crate) struct Task {
    /// Its number among those of its worker.
    key: u64,
    #[pyo3(get)]
    id: u64,
    #[pyo3(get)]
    attempt: u32,
    data: Arc<Py<PyAny>>,
    started: Instant,
    is_answered: AtomicBool,
    sender: UnboundedSender<Word>,
}

impl Task {
    fn answer(&self, word: Word) -> PyResult<()> {
        if self.is_answered.swap(true, Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err(format!(
                "Task {} has its answer already: a task is accepted or rejected once.",
                self.id
            )));
        }
        // Nobody waits for it where its activity is over: the task is tried elsewhere then.
        self.sender.send(word).ok();
        Ok(())
    }
}

#[pymethods]
impl Task {
    #[getter]
    fn data(&self, py: Python<'_>) -> Py<PyAny> {
        self.data.clone_ref(py)
    }

    #[getter]
    fn running_time(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    #[getter]
    fn is_answered(&self) -> bool {
        self.is_answered.load(Ordering::Relaxed)
    }

    #[pyo3(signature = (result = None))]
    fn accept(&self, py: Python<'_>, result: Option<Py<PyAny>>) -> PyResult<()> {
        self.answer(Word::Accept { task: self.key, result: result.unwrap_or_else(|| py.None()) })
    }

    #[pyo3(signature = (reason = String::new(), retry = false))]
    fn reject(&self, reason: String, retry: bool) -> PyResult<()> {
        self.answer(Word::Reject { task: self.key, reason, retry })
    }

    fn fail(&self, error: &Bound<'_, PyAny>) -> PyResult<bool> {
        if self.is_answered() {
            return self.answer(Word::Drop { task: self.key }).map(|()| false);
        }
        let (failure, ready) = error::of_attempt(error);
        if ready {
            self.answer(Word::Fail { task: self.key, failure })?;
        }
        // Else the worker raises it, and the engine fails what is in its hands.
        Ok(ready)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<Task {}: {}>", self.id, self.data.bind(py).repr()?))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.is_answered.load(Ordering::Relaxed) {
            self.sender.send(Word::Drop { task: self.key }).ok();
        }
    }
}
