//! Ends deals: the activity, then the agreement, each within its time.

use std::time::Duration;

use golem_core::event::RentalId;
use golem_core::run::Input;
use tokio::time::sleep;
use yagna_api::activity::{DestroyActivity, GetUsage};
use yagna_api::market::{CancelAgreement, Reason, TerminateAgreement};
use yagna_api::{ActivityId, AgreementId};
use yagna_client::{ClientError, Disposition};

use super::Outside;
use crate::text::chain;

/// The first pause before an agreement that couldn't be ended is ended again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

impl Outside {
    /// Ends a deal and says so, also where it couldn't be ended in time. Then it goes on trying in silence: a daemon
    /// comes back, and so may a provider, and neither shall find an agreement that nobody wants.
    pub(super) async fn close(
        &self,
        rental: RentalId,
        agreement: Option<AgreementId>,
        activity: Option<ActivityId>,
        reason: Reason,
    ) {
        let mut usage = None;
        let mut problems = Vec::new();
        // Of one that is gone nothing is left that could be ended, and its provider might never answer.
        let lost = activity.as_ref().is_some_and(|activity| self.take_lost(activity));
        if let Some(activity) = activity.clone().filter(|_| !lost) {
            let wait = self.options.timing.destruction;
            let destroy = DestroyActivity { activity: activity.clone(), wait };
            match self.client.call_within(&destroy, wait * 2).await {
                Ok(true) => {}
                Ok(false) => problems.push(format!("activity {activity} didn't end in {} s", wait.as_secs())),
                Err(error) => problems.push(chain(&error)),
            }
            // Once it has ended its usage no longer grows: this is what its bill will be measured by.
            usage = self.usage(activity).await;
        }
        let mut left = None;
        if let Some(agreement) = agreement
            && let Err(error) = self.end_agreement(&agreement, &reason).await
        {
            problems.push(chain(&error));
            left = (error.disposition() == Disposition::Retry).then_some(agreement);
        }
        if let Some(activity) = activity.filter(|_| lost) {
            // With its agreement it is over for certain.
            usage = self.usage(activity).await;
        }
        let failure = (!problems.is_empty()).then(|| problems.join("; "));
        self.tell(Input::Closed { rental, usage, failure }).await;
        let mut pause = PAUSES.0;
        while let Some(agreement) = &left {
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
            match self.end_agreement(agreement, &reason).await {
                Err(error) if error.disposition() == Disposition::Retry => {
                    tracing::debug!(%error, %agreement, "ending the agreement again");
                }
                _ => left = None,
            }
        }
    }

    async fn usage(&self, activity: ActivityId) -> Option<Vec<f64>> {
        self.client.call_once(&GetUsage(activity)).await.ok()?.current_usage
    }

    /// Terminates an agreement; one that isn't approved yet is cancelled.
    async fn end_agreement(&self, agreement: &AgreementId, reason: &Reason) -> Result<(), ClientError> {
        let patience = self.options.timing.destruction * 2;
        let terminate = TerminateAgreement { agreement: agreement.clone(), reason: Some(reason.clone()) };
        let Err(error) = self.client.call_within(&terminate, patience).await else {
            return Ok(());
        };
        if error.disposition() == Disposition::Retry {
            return Err(error);
        }
        // The daemon says the same of one that is over and of one that isn't approved yet.
        let cancel = CancelAgreement { agreement: agreement.clone(), reason: Some(reason.clone()) };
        match self.client.call_within(&cancel, patience).await {
            Ok(()) => Ok(()),
            // It is over, or it was approved just now.
            Err(failed) if failed.is_gone() => match self.client.call_within(&terminate, patience).await {
                Err(error) if !error.is_gone() => Err(error),
                _ => Ok(()),
            },
            Err(failed) => Err(failed),
        }
    }
}
