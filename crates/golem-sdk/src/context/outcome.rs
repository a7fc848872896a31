//! The outcome of a script, judged from the results of its commands.

use yagna_api::activity::{CommandResult, Outcome};

use super::error::ScriptError;
use crate::script::Step;
use crate::transfer::{Brought, Rest, TransferError};

/// The ways in which a script ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionEnd {
    /// Every command succeeded.
    Done,
    /// This command failed, and nothing after it was run.
    Failed {
        /// Its place in the script.
        index: usize,
    },
    /// Time ran out while a command was being run; it may still be running.
    Expired,
}

/// Our own trouble, of which a script has failed.
pub(super) fn take_ours(end: ExecutionEnd, brought: &mut Brought) -> Option<(TransferError, u64)> {
    match end {
        ExecutionEnd::Failed { index } => brought.seen.ours.remove(&index),
        ExecutionEnd::Done | ExecutionEnd::Expired => None,
    }
}

/// True for a step that brings a file here.
pub(super) fn is_download(step: &Step) -> bool {
    matches!(step, Step::Download { .. })
}

/// Decides how a script ended, once the data that it brought is looked at. Nothing that wasn't brought counts as done,
/// whatever the provider says; what we refused is told in our words; and nothing that was brought counts where its
/// command failed, or, of files, where another one did.
pub(super) fn judge(
    is_download: &[bool],
    results: &mut Vec<CommandResult>,
    end: ExecutionEnd,
    brought: &mut Brought,
) -> ExecutionEnd {
    results.truncate(is_download.len());
    let mut end = end;
    if end == ExecutionEnd::Done {
        let missing =
            (0..results.len()).find(|place| is_download[*place] && !brought.seen.whole.contains(place));
        if let Some(index) = missing {
            results.truncate(index + 1);
            results[index].result = Outcome::Error;
            results[index].message = Some("nothing arrived".to_owned());
            end = ExecutionEnd::Failed { index };
        }
    }
    if let ExecutionEnd::Failed { index } = end
        && let Some(refused) = brought.seen.refused.get(&index)
    {
        results[index].message = Some(refused.clone());
    }
    let succeeded = |place: usize| results.get(place).is_some_and(|result| result.result == Outcome::Ok);
    for (place, bytes) in brought.bytes.iter_mut().enumerate() {
        bytes.take_if(|_| !succeeded(place));
    }
    if end != ExecutionEnd::Done {
        brought.files.clear();
    }
    end
}

/// The way in which the batch ended, if it has.
pub(super) fn ended(results: &[CommandResult], n_commands: usize) -> Option<ExecutionEnd> {
    if let Some(index) = results.iter().position(|result| result.result == Outcome::Error) {
        return Some(ExecutionEnd::Failed { index });
    }
    let finished = results.last().is_some_and(|last| last.is_batch_finished);
    (finished || results.len() >= n_commands).then_some(ExecutionEnd::Done)
}

/// The state of a script's transfers once it has been followed. A batch ends with the first command that fails: where
/// that one moves no file, each transfer before it has succeeded, and none after it has begun.
pub(super) fn rest_of(
    followed: &Result<(Vec<CommandResult>, ExecutionEnd), ScriptError>,
    is_transfer: impl Fn(usize) -> bool,
) -> Rest {
    match followed {
        Ok((_, ExecutionEnd::Done)) => Rest::Over,
        Ok((_, ExecutionEnd::Failed { index })) if !is_transfer(*index) => Rest::Over,
        Ok(_) | Err(_) => Rest::Unknown,
    }
}
