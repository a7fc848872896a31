//! Runs of which so many tasks have failed that they would stop as soon as they are resumed.

use golem_core::halt::Halt;
use golem_core::state::RunState;
use golem_sdk::run::nothing_open;

use crate::exit::{Exit, Failure};
use crate::options::RunOptions;

/// The run has stopped for its failures, and nothing has changed.
#[derive(Debug, thiserror::Error)]
#[error("run `{run_id}` stops when too many tasks fail ({halt}): {failed} have failed, {done} are done")]
struct Halted {
    run_id: String,
    halt: Halt,
    failed: u64,
    done: u64,
}

/// Says so before a daemon is asked, where there is nothing to be settled there either.
pub(super) fn check(options: &RunOptions, state: &RunState, retried: usize) -> Result<(), Failure> {
    let Some(halt) = options.limits.halt else { return Ok(()) };
    let (run_id, done) = (options.run_id.clone(), state.done);
    let failed = state.failed.saturating_sub(u64::try_from(retried).unwrap_or(u64::MAX));
    if !halt.is_reached(done, failed) || !nothing_open(state) {
        return Ok(());
    }
    Err(Failure::new(Exit::Halted, Halted { run_id, halt, failed, done })
        .advise("--retry-failed attempts them again; with a higher --halt the run goes on without them"))
}
