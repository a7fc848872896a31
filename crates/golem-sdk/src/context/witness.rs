//! Tells of scripts and their commands, to whoever asked for such details.

use std::fmt;
use std::sync::Arc;

use golem_core::event::{EventKind, RentalId};
use yagna_api::BatchId;
use yagna_api::activity::{CommandResult, Outcome};

use super::batch::{Batch, Finished};
use super::error::ScriptError;
use super::outcome::ExecutionEnd;
use super::{Inner, WorkContext};
use crate::text::{chain, tail};

/// Bytes of the end of a command's output that are told of.
const OUTPUT_TOLD: usize = 4096;

/// Somebody who may want details.
pub(crate) trait Witness: Send + Sync + fmt::Debug {
    /// True if somebody wants details just now.
    fn wants_details(&self) -> bool;

    /// Tells of one.
    fn tell(&self, detail: EventKind);
}

impl WorkContext {
    /// Makes the context report its scripts to a witness.
    pub(crate) fn witnessed(mut self, rental: RentalId, witness: Option<Arc<dyn Witness>>) -> Self {
        // Nobody else has it yet.
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.witness = witness.map(|witness| (rental, witness));
        }
        self
    }
}

impl Inner {
    fn witness(&self) -> Option<(RentalId, &dyn Witness)> {
        let (rental, witness) = self.witness.as_ref()?;
        witness.wants_details().then_some((*rental, witness.as_ref()))
    }

    /// True if somebody wants to know of scripts.
    pub(super) fn is_witnessed(&self) -> bool {
        self.witness().is_some()
    }

    pub(super) fn tell_sent(&self, batch: &BatchId, commands: impl Iterator<Item = String>) {
        if let Some((rental, witness)) = self.witness() {
            witness.tell(EventKind::ScriptSent {
                rental,
                activity: self.activity.clone(),
                batch: batch.clone(),
                commands: commands.collect(),
            });
        }
    }

    /// Tells how a committed batch ended.
    pub(super) fn tell_concluded(&self, batch: &BatchId, ended: &Result<Batch, ScriptError>) {
        let Some((rental, witness)) = self.witness() else { return };
        let so_far = match ended {
            Ok(done) => Some(done),
            Err(ScriptError::CommandFailed(failure) | ScriptError::TransferFailed(failure)) => {
                Some(&failure.so_far)
            }
            Err(ScriptError::Expired(expiry)) => Some(&expiry.so_far),
            Err(_) => None,
        };
        for finished in so_far.map(Batch::results).unwrap_or_default() {
            let Finished { command, exit_code, message, .. } = finished;
            let failure = || message.clone().unwrap_or_else(|| "no reason given".to_owned());
            witness.tell(EventKind::CommandFinished {
                rental,
                batch: batch.clone(),
                place: u32::try_from(command.place).unwrap_or(u32::MAX),
                command: command.words.clone(),
                failure: (*exit_code != Some(0)).then(failure),
                stdout: tail(&finished.stdout(), OUTPUT_TOLD).to_owned(),
                stderr: tail(&finished.stderr(), OUTPUT_TOLD).to_owned(),
            });
        }
        let failure = ended.as_ref().err().map(|error| chain(error));
        witness.tell(EventKind::ScriptFinished { rental, batch: batch.clone(), failure });
    }

    /// Tells how a whole script ended, whose commands are these in words.
    pub(super) fn tell_executed(
        &self,
        batch: &BatchId,
        words: &[String],
        ended: Result<&(Vec<CommandResult>, ExecutionEnd), &ScriptError>,
    ) {
        let Some((rental, witness)) = self.witness() else { return };
        let results = ended.map(|(results, _)| results.as_slice()).unwrap_or_default();
        for (place, (result, words)) in results.iter().zip(words).enumerate() {
            let output = |output: &Option<yagna_api::activity::Output>| {
                output.as_ref().map_or_else(String::new, |text| tail(&text.to_text(), OUTPUT_TOLD).to_owned())
            };
            let failure = || result.message.clone().unwrap_or_else(|| "no reason given".to_owned());
            witness.tell(EventKind::CommandFinished {
                rental,
                batch: batch.clone(),
                place: u32::try_from(place).unwrap_or(u32::MAX),
                command: words.clone(),
                failure: (result.result == Outcome::Error).then(failure),
                stdout: output(&result.stdout),
                stderr: output(&result.stderr),
            });
        }
        let failure = match ended {
            Ok((_, ExecutionEnd::Done)) => None,
            Ok((_, ExecutionEnd::Failed { index })) => Some(format!("command {index} failed")),
            Ok((_, ExecutionEnd::Expired)) => Some("its time ran out".to_owned()),
            Err(error) => Some(chain(error)),
        };
        witness.tell(EventKind::ScriptFinished { rental, batch: batch.clone(), failure });
    }
}
