//! The native module of the Python package: `golem_tasks._native`.
//!
//! It is thin: data goes in and out, and the engine decides. `python/golem_tasks/_native.pyi` says what is here; this is where each
//! part is.
//!
//! | module | what it holds |
//! |---|---|
//! | `bridge`, `runtime` | from the engine's threads to an event loop, and back |
//! | `executor`, `submitted`, `feed` | an executor, its jobs, their tasks |
//! | `worker`, `context`, `command` | a worker's call, its activity, commands and their results |
//! | `payload`, `strategy`, `consumer` | machines, offers, events |
//! | `devnet` | the emulated network |
//! | `job` | durable runs, and the programs |
//! | `error`, `json` | exceptions; JSON and Python's values |

mod bridge;
mod command;
mod consumer;
mod context;
mod devnet;
mod error;
mod executor;
mod feed;
mod job;
mod json;
mod payload;
mod runtime;
mod strategy;
mod submitted;
mod worker;

use pyo3::prelude::*;

/// The engine of golem-tasks for Python.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("Error", module.py().get_type::<error::Error>())?;
    module.add_class::<command::CommandResult>()?;
    module.add_class::<context::Context>()?;
    module.add_class::<context::Stream>()?;
    module.add_class::<devnet::Devnet>()?;
    module.add_class::<executor::Executor>()?;
    module.add_class::<feed::Feed>()?;
    module.add_class::<job::JobTask>()?;
    module.add_class::<job::Runner>()?;
    module.add_class::<submitted::Finished>()?;
    module.add_class::<submitted::Submitted>()?;
    module.add_class::<submitted::TaskFailure>()?;
    module.add_class::<worker::Task>()?;
    module.add_class::<worker::Tasks>()?;
    module.add_function(wrap_pyfunction!(job::gftp, module)?)?;
    module.add_function(wrap_pyfunction!(job::job_main, module)?)?;
    module.add_function(wrap_pyfunction!(job::main, module)?)?;
    module.add_function(wrap_pyfunction!(job::program, module)?)?;
    module.add_function(wrap_pyfunction!(payload::resolve_payload, module)?)
}
