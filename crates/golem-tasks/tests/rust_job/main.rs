//! Jobs in Rust, as programs of their own: this very file is started again as each of them.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod embedded;
mod endless;
mod jobs;
mod programs;
#[expect(dead_code, reason = "the tests of job files need more of it")]
#[path = "../binary/stage.rs"]
mod stage;

use std::future::Future;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Ok(job) = std::env::var(jobs::VARIABLE) {
        return jobs::start(&job);
    }
    let trials = [embedded::trials(), endless::trials(), programs::trials()];
    let trials = trials.into_iter().flatten().collect();
    let mut arguments = Arguments::from_args();
    // As Rust's own tests do.
    let threads = std::env::var("RUST_TEST_THREADS").ok().and_then(|threads| threads.parse().ok());
    arguments.test_threads = arguments.test_threads.or(threads);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test by its name.
fn trial<F: Future<Output = ()>>(name: &str, test: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(test());
        Ok(())
    })
}
