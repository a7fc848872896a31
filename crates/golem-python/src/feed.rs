//! The way of tasks into a job, from a coroutine that is asked for them as they are wanted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::Stream;
use futures_util::stream;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use tokio::sync::Notify;

use crate::bridge::{Bridge, done, settle};
use crate::worker::{Item, outcome};

/// So many tasks are asked for at once.
const ROOM: usize = 64;

/// The way of tasks into a job.
#[pyclass(frozen, module = "golem_tasks._native")]
pub(crate) struct Feed {
    shared: Arc<Shared>,
}

struct Shared {
    bridge: Arc<Bridge>,
    describe: Option<Py<PyAny>>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    buffer: VecDeque<Item>,
    /// The source has said all.
    end: Option<Result<(), String>>,
    /// The call that waits until tasks are wanted.
    waiter: Option<Py<PyAny>>,
    is_hungry: bool,
    /// Nobody wants any more.
    is_over: bool,
    /// The source's coroutine.
    coroutine: Option<Py<PyAny>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the source how many tasks are wanted.
    fn tell(&self, waiter: Py<PyAny>, room: usize) {
        self.bridge.push(move |py| {
            let room = room.into_pyobject(py).map(|room| room.into_any().unbind());
            settle(waiter.bind(py), room.map_err(PyErr::from));
        });
    }

    async fn next(&self) -> Option<Result<Item, String>> {
        loop {
            let waiter = {
                let mut state = self.lock();
                if let Some(item) = state.buffer.pop_front() {
                    return Some(Ok(item));
                }
                if let Some(end) = state.end.take() {
                    state.end = Some(Ok(()));
                    return end.err().map(Err);
                }
                let waiter = state.waiter.take();
                state.is_hungry = waiter.is_none();
                waiter
            };
            if let Some(waiter) = waiter {
                self.tell(waiter, ROOM);
            }
            self.changed.notified().await;
        }
    }

    fn end(&self, end: Result<(), String>) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        state.coroutine = None;
        drop(state);
        self.changed.notify_one();
    }
}

/// Ends the source where its job reads no more.
struct Reader(Arc<Shared>);

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_over = true;
        state.buffer.clear();
        let (waiter, coroutine) = (state.waiter.take(), state.coroutine.take());
        drop(state);
        if let Some(waiter) = waiter {
            self.0.tell(waiter, 0);
        }
        if let Some(coroutine) = coroutine {
            self.0.bridge.push(move |py| {
                if let Err(error) = coroutine.call_method0(py, intern!(py, "cancel")) {
                    error.write_unraisable(py, None);
                }
            });
        }
    }
}

/// Begins to read a source: a coroutine function that is called with a feed.
pub(crate) fn read(
    source: &Bound<'_, PyAny>,
    bridge: &Arc<Bridge>,
    describe: Option<Py<PyAny>>,
) -> PyResult<impl Stream<Item = Result<Item, String>> + Send + use<>> {
    let py = source.py();
    let shared = Arc::new(Shared {
        bridge: Arc::clone(bridge),
        describe,
        state: Mutex::default(),
        changed: Notify::new(),
    });
    let event_loop = bridge.event_loop(py)?;
    let made = source.call1((Feed { shared: Arc::clone(&shared) },))?;
    let task = event_loop.call_method1(intern!(py, "create_task"), (made,))?;
    shared.lock().coroutine = Some(task.clone().unbind());
    task.call_method1(intern!(py, "add_done_callback"), (Ended(Arc::clone(&shared)),))?;
    let reader = Reader(shared);
    Ok(stream::unfold(reader, |reader| async move { reader.0.next().await.map(|next| (next, reader)) }))
}

/// The callback for the end of the source's task.
#[pyclass(frozen)]
struct Ended(Arc<Shared>);

#[pymethods]
impl Ended {
    fn __call__(&self, task: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.end(outcome(task)?.map(|_| ()).map_err(|error| error.in_a_line()));
        Ok(())
    }
}

#[pymethods]
impl Feed {
    fn ready<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut state = self.shared.lock();
        let now = if state.is_over {
            Some(0)
        } else if std::mem::take(&mut state.is_hungry) {
            Some(ROOM)
        } else {
            None
        };
        drop(state);
        if let Some(room) = now {
            return done(py, &self.shared.bridge, Ok(room.into_pyobject(py)?.into_any().unbind()));
        }
        let future = self.shared.bridge.future(py)?;
        self.shared.lock().waiter = Some(future.clone().unbind());
        Ok(future)
    }

    fn put(&self, data: &Bound<'_, PyList>) -> PyResult<()> {
        let describe = self.shared.describe.as_ref();
        let items = data.iter().map(|data| item(&data, describe)).collect::<PyResult<Vec<_>>>()?;
        let mut state = self.shared.lock();
        if !state.is_over {
            state.buffer.extend(items);
        }
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }
}

/// A task's data with its name.
pub(crate) fn item(data: &Bound<'_, PyAny>, describe: Option<&Py<PyAny>>) -> PyResult<Item> {
    let py = data.py();
    let label = match describe {
        Some(describe) => describe.call1(py, (data,))?.bind(py).str()?.to_string(),
        // The name of a text is itself; of anything else Python knows best.
        None => match data.cast::<PyString>() {
            Ok(text) => text.to_string(),
            Err(_) => py.import("golem_tasks._bridge")?.call_method1("label", (data,))?.extract()?,
        },
    };
    Ok(Item { data: Arc::new(data.clone().unbind()), label })
}
