//! Commands on a machine whose instance another process keeps up.

use std::sync::Arc;
use std::time::Duration;

use golem_core::event::{ActivityNo, RentalId};
use tokio::sync::mpsc;
use yagna_api::AgreementId;
use yagna_client::Client;

use super::SCRIPT_LIMIT;
use super::machine::{Machine, Ran, RanNot};
use super::state::InstanceInfo;
use super::{LogPiece, log_script, read_log};
use crate::context::{Scripts, WorkContext};

/// The machine of an instance that another process keeps up, such as `golem-tasks up`. Commands go to it through the
/// daemon, beside those of that process; the daemon must have the same identity.
#[derive(Debug, Clone)]
pub struct RemoteMachine(Machine);

impl RemoteMachine {
    /// The machine of this instance; none where it has no machine on which commands can be run.
    pub fn of(client: &Client, info: &InstanceInfo) -> Option<Self> {
        let (Some(provider), Some(activity)) = (info.provider.clone(), info.activity.clone()) else {
            return None;
        };
        if !info.state.has_machine() {
            return None;
        }
        let agreement = info.agreement.clone().unwrap_or_else(|| AgreementId::new(""));
        // Nobody is told of what is run here.
        let (inputs, _) = mpsc::channel(1);
        let scripts = Arc::new(Scripts::new(RentalId(0), ActivityNo(0), inputs, None));
        let node = provider.id.clone();
        let lost = Arc::default();
        let ctx = WorkContext::new(client.clone(), node, provider, agreement, activity, lost, scripts);
        Some(Self(Machine::new(ctx)))
    }

    /// Runs a script of the machine's `/bin/sh` and waits for its end. While another command runs there, it waits.
    ///
    /// # Errors
    /// [`RanNot`] if the script could not run. A script that runs and fails gives `Ok` with its exit code.
    ///
    /// **Cancel safety**: where the future is dropped the script goes on.
    pub async fn sh(&self, script: &str, limit: Duration) -> Result<Ran, RanNot> {
        self.0.sh(script, limit).await
    }

    /// Reads the instance's log from this byte on, or its last bytes where none is named.
    ///
    /// # Errors
    /// [`RanNot`].
    pub async fn log(&self, from: Option<u64>) -> Result<LogPiece, RanNot> {
        let ran = self.0.sh(log_script(from), SCRIPT_LIMIT).await?;
        Ok(read_log(&ran.stdout))
    }
}
