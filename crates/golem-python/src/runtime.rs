//! The one async runtime of the process.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// The runtime that everything of the engine runs on. It is begun when it is first asked for, and lives as long as the process.
pub(crate) fn runtime() -> &'static Runtime {
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .enable_all()
            .thread_name("golem-tasks")
            .build()
            .expect("a process that runs Python can start threads")
    })
}
