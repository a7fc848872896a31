//! The way from the engine's threads to a Python event loop.
//!
//! Work for the loop waits in a queue; the loop is woken once, by a byte in a pipe, and does all that waits then. So the
//! engine's threads never wait for the interpreter's lock, and a thousand results cost one wake-up.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use golem_sdk::text::panic_text;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::runtime::runtime;

/// A loop that did nothing for so long was blocked by somebody.
const BLOCKED: Duration = Duration::from_secs(1);

type Delivery = Box<dyn FnOnce(Python<'_>) + Send>;

/// The queue of one event loop.
pub(crate) struct Bridge {
    /// The address of the loop's object; it is never read, only compared.
    of_loop: usize,
    queue: Mutex<Queue>,
    wake: Wake,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Delivery>,
    /// The loop was woken then, and hasn't come yet.
    woken: Option<Instant>,
}

enum Wake {
    #[cfg(unix)]
    Pipe(std::os::unix::net::UnixStream),
    /// `call_soon_threadsafe` of a loop that watches no pipes, and the object that it is to call.
    Call(Py<PyAny>, PyOnceLock<Py<PyAny>>),
}

impl Bridge {
    /// That of the running loop.
    pub(crate) fn current(py: Python<'_>) -> PyResult<Arc<Self>> {
        let running = running_loop(py)?;
        let known = bridges(py)?;
        if let Ok(reader) = known.get_item(&running) {
            return Ok(Arc::clone(&reader.cast::<Reader>()?.get().bridge));
        }
        let reader = Reader::attached_to(&running)?;
        let bridge = Arc::clone(&reader.get().bridge);
        known.set_item(&running, reader)?;
        Ok(bridge)
    }

    /// Checks that it is called on its own loop, and gives that.
    pub(crate) fn event_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let running = running_loop(py)?;
        if running.as_ptr() as usize == self.of_loop {
            return Ok(running);
        }
        Err(PyRuntimeError::new_err(
            "This object belongs to another event loop. Use it in the loop that it was made in, or make another one in this loop.",
        ))
    }

    /// Queues this to be called on the loop.
    pub(crate) fn push(&self, delivery: impl FnOnce(Python<'_>) + Send + 'static) {
        let mut queue = self.lock();
        queue.waiting.push_back(Box::new(delivery));
        if queue.woken.is_some() {
            return;
        }
        queue.woken = Some(Instant::now());
        drop(queue);
        self.wake();
    }

    /// A new future of the loop.
    pub(crate) fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.event_loop(py)?.call_method0(intern!(py, "create_future"))
    }

    fn wake(&self) {
        match &self.wake {
            #[cfg(unix)]
            Wake::Pipe(pipe) => {
                // A full pipe wakes it as well, and a loop that is gone does nothing any more.
                let _sent = rustix::io::write(pipe, &[1]);
            }
            Wake::Call(call_soon, reader) => {
                Python::try_attach(|py| {
                    let called = reader.get(py).map(|reader| call_soon.call1(py, (reader,)));
                    if let Some(Err(error)) = called {
                        tracing::debug!(%error, "an event loop is gone");
                    }
                });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing is done under the lock that could leave it half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The callable that the loop calls when it is woken.
#[pyclass(frozen, weakref)]
struct Reader {
    bridge: Arc<Bridge>,
    #[cfg(unix)]
    pipe: Option<std::os::unix::net::UnixStream>,
}

impl Reader {
    fn attached_to<'py>(running: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let py = running.py();
        #[cfg(unix)]
        {
            use std::os::fd::AsRawFd;
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            theirs.set_nonblocking(true)?;
            let file = theirs.as_raw_fd();
            let bridge = Bridge::with(running, Wake::Pipe(ours));
            let reader = Bound::new(py, Self { bridge, pipe: Some(theirs) })?;
            if running.call_method1(intern!(py, "add_reader"), (file, &reader)).is_ok() {
                return Ok(reader);
            }
        }
        let call_soon = running.getattr(intern!(py, "call_soon_threadsafe"))?.unbind();
        let bridge = Bridge::with(running, Wake::Call(call_soon, PyOnceLock::new()));
        #[cfg(unix)]
        let reader = Bound::new(py, Self { bridge, pipe: None })?;
        #[cfg(not(unix))]
        let reader = Bound::new(py, Self { bridge })?;
        if let Wake::Call(_, called) = &reader.get().bridge.wake {
            called.set(py, reader.clone().into_any().unbind()).ok();
        }
        Ok(reader)
    }

    fn drain_pipe(&self) {
        #[cfg(unix)]
        if let Some(pipe) = &self.pipe {
            let mut bytes = [0; 16];
            let _read = rustix::io::read(pipe, &mut bytes);
        }
    }
}

impl Bridge {
    fn with(running: &Bound<'_, PyAny>, wake: Wake) -> Arc<Self> {
        Arc::new(Self { of_loop: running.as_ptr() as usize, queue: Mutex::default(), wake })
    }
}

#[pymethods]
impl Reader {
    fn __call__(&self, py: Python<'_>) {
        self.drain_pipe();
        let mut queue = self.bridge.lock();
        let waiting = std::mem::take(&mut queue.waiting);
        let woken = queue.woken.take();
        drop(queue);
        if let Some(blocked) = woken.map(|woken| woken.elapsed()).filter(|time| *time > BLOCKED) {
            warn(py, blocked);
        }
        for delivery in waiting {
            delivery(py);
        }
    }
}

/// Says that the loop was blocked, in Python's log.
fn warn(py: Python<'_>, time: Duration) {
    let told = py
        .import("golem_tasks._blocked")
        .and_then(|module| module.call_method1("warn", (time.as_secs_f64(),)));
    if let Err(error) = told {
        error.write_unraisable(py, None);
    }
}

fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let running = GET.import(py, "asyncio", "_get_running_loop")?.call0()?;
    if running.is_none() {
        return Err(PyRuntimeError::new_err(
            "No event loop is running here. Call this within a coroutine, for example in asyncio.run(main()).",
        ));
    }
    Ok(running)
}

/// The readers of all loops that live.
fn bridges(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static KNOWN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let known = KNOWN.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("weakref")?.getattr("WeakKeyDictionary")?.call0()?.unbind())
    })?;
    Ok(known.bind(py))
}

/// Carries this out on the engine's runtime, and gives a future of the loop for it. Cancelling the future drops the work.
pub(crate) fn spawn<'py, T, W, F>(
    py: Python<'py>,
    bridge: &Arc<Bridge>,
    work: W,
    finish: F,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    W: Future<Output = T> + Send + 'static,
    F: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
{
    spawn_kept(py, bridge, work, finish, |_, _| ())
}

/// Works like [`spawn`], and gives a result that comes after the future was cancelled to `keep`.
pub(crate) fn spawn_kept<'py, T, W, F, K>(
    py: Python<'py>,
    bridge: &Arc<Bridge>,
    work: W,
    finish: F,
    keep: K,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    W: Future<Output = T> + Send + 'static,
    F: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    K: FnOnce(Python<'_>, PyResult<Py<PyAny>>) + Send + 'static,
{
    let future = bridge.future(py)?;
    let (waiting, to) = (future.clone().unbind(), Arc::clone(bridge));
    let running = runtime().spawn(async move {
        let done = AssertUnwindSafe(work).catch_unwind().await;
        to.push(move |py| {
            let result = match done {
                Ok(done) => finish(py, done),
                Err(panic) => Err(PyRuntimeError::new_err(format!(
                    "The engine has a bug, please report it: {}.",
                    panic_text(&*panic)
                ))),
            };
            if let Some(result) = settle(waiting.bind(py), result) {
                keep(py, result);
            }
        });
    });
    future.call_method1(intern!(py, "add_done_callback"), (Abort(running.abort_handle()),))?;
    Ok(future)
}

/// Gives a future its result; the result back where the future has been cancelled.
pub(crate) fn settle(future: &Bound<'_, PyAny>, result: PyResult<Py<PyAny>>) -> Option<PyResult<Py<PyAny>>> {
    let py = future.py();
    let is_done = future.call_method0(intern!(py, "done")).and_then(|done| done.is_truthy()).unwrap_or(true);
    if is_done {
        return Some(result);
    }
    let set = match result {
        Ok(result) => future.call_method1(intern!(py, "set_result"), (result,)),
        Err(error) => future.call_method1(intern!(py, "set_exception"), (error.into_value(py),)),
    };
    if let Err(error) = set {
        error.write_unraisable(py, Some(future));
    }
    None
}

/// A future that is done already.
pub(crate) fn done<'py>(
    py: Python<'py>,
    bridge: &Bridge,
    result: PyResult<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let future = bridge.future(py)?;
    settle(&future, result);
    Ok(future)
}

/// Drops the work of a future that is cancelled.
#[pyclass(frozen)]
struct Abort(AbortHandle);

#[pymethods]
impl Abort {
    fn __call__(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        if future.call_method0(intern!(future.py(), "cancelled"))?.is_truthy()? {
            self.0.abort();
        }
        Ok(())
    }
}
