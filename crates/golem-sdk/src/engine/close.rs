//! Ends activities and rentals: the activity, then the agreement, each within its time.

use std::time::Duration;

use golem_core::event::{ActivityNo, RentalId};
use golem_core::run::Input;
use tokio::time::sleep;
use yagna_api::activity::{DestroyActivity, GetUsage};
use yagna_api::market::{CancelAgreement, Reason, TerminateAgreement};
use yagna_api::{ActivityId, AgreementId, ApiError, Endpoint};
use yagna_client::{ClientError, Disposition};

use super::Outside;
use crate::text::chain;

/// The first pause before an agreement that couldn't be ended is ended again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// The longest that the end of an activity is waited for before its agreement is ended, which ends it for certain.
///
/// A provider takes some 1 s. One that is gone never answers, and at the end of a run the time for all of this is short: an
/// agreement whose end wasn't even asked for would be left in force.
const LONGEST_DESTRUCTION: Duration = Duration::from_secs(4);

/// The time beyond its own wait that the daemon may take to answer that it was in vain.
const LAST_WORD: Duration = Duration::from_secs(1);

/// The number of times that an agreement must be found over for its provider before that is believed, and the pause in
/// between.
const LOOKS: u32 = 3;
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// Usage that was reported so many seconds before an activity was ended may be all of it.
const NEWEST: i64 = 2;

/// The remains of an activity when its worker has ended.
pub(super) struct Left {
    /// None where it never came to be.
    pub(super) activity: Option<ActivityId>,
    /// True if it is known to be gone.
    pub(super) lost: bool,
}

impl Outside {
    /// Ends a rental and says so, also where it couldn't be ended in time. Then it goes on trying in silence: a daemon
    /// comes back, and so may a provider, and neither shall find an agreement that nobody wants.
    pub(super) async fn close(
        &self,
        rental: RentalId,
        agreement: Option<AgreementId>,
        left: Left,
        reason: Reason,
    ) {
        let (mut usage, problem) = self.end_activity(&left).await;
        let mut problems = Vec::from_iter(problem);
        let mut unended = None;
        if let Some(agreement) = agreement
            && let Err(error) = self.end_agreement(&agreement, &reason).await
        {
            problems.push(chain(&error));
            unended = (error.disposition() == Disposition::Retry).then_some(agreement);
        }
        if let Some(activity) = left.activity.filter(|_| left.lost) {
            // With its agreement it is over for certain.
            usage = self.usage(activity).await;
        }
        let failure = (!problems.is_empty()).then(|| problems.join("; "));
        let ended = unended.is_none();
        self.tell(Input::Closed { rental, usage, failure, ended }).await;
        let mut pause = PAUSES.0;
        while let Some(agreement) = &unended {
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
            match self.end_agreement(agreement, &reason).await {
                Err(error) if error.disposition() == Disposition::Retry => {
                    tracing::debug!(%error, %agreement, "ending the agreement again");
                }
                _ => {
                    unended = None;
                    self.tell(Input::EndedLate { rental }).await;
                }
            }
        }
    }

    /// Ends an activity and says so; its agreement goes on.
    pub(super) async fn close_activity(&self, rental: RentalId, no: ActivityNo, left: Left) {
        let (mut usage, mut failure) = self.end_activity(&left).await;
        if let Some(activity) = left.activity.filter(|_| left.lost) {
            // Only its provider knows whether it has ended: with the agreement it is certainly over.
            failure = Some(format!("activity {activity} is lost"));
            usage = self.usage(activity).await;
        }
        self.tell(Input::ActivityClosed { rental, no, usage, failure }).await;
    }

    /// Destroys an activity, if there is one. What it has used, and why it couldn't be ended.
    ///
    /// Of one that is lost nothing is left that could be ended, and its provider might never answer.
    async fn end_activity(&self, left: &Left) -> (Option<Vec<f64>>, Option<String>) {
        let Some(activity) = left.activity.clone().filter(|_| !left.lost) else {
            return (None, None);
        };
        let (begun, wait) = (self.clock.now(), self.options.timing.destruction.min(LONGEST_DESTRUCTION));
        let destroy = DestroyActivity { activity: activity.clone(), wait };
        let problem = match self.client.call_within(&destroy, wait + LAST_WORD).await {
            Ok(true) => None,
            Ok(false) => Some(format!("activity {activity} didn't end in {} s", wait.as_secs())),
            Err(error) => Some(chain(&error)),
        };
        // Once it has ended its usage no longer grows: this is what its bill will be measured by. But a daemon that has
        // seen it end may know no more than what it was last asked for.
        let read = self.client.call_once(&GetUsage(activity)).await.ok();
        let fresh = read.filter(|usage| usage.timestamp.saturating_add(NEWEST) >= begun.as_second());
        (fresh.and_then(|usage| usage.current_usage), problem)
    }

    /// Reads what an activity that goes on has used.
    pub(super) async fn read_usage(&self, rental: RentalId, no: ActivityNo, activity: ActivityId) {
        if let Some(usage) = self.usage(activity).await {
            self.tell(Input::Usage { rental, no, usage }).await;
        }
    }

    async fn usage(&self, activity: ActivityId) -> Option<Vec<f64>> {
        self.client.call_once(&GetUsage(activity)).await.ok()?.current_usage
    }

    /// Terminates an agreement; one that isn't approved yet is cancelled. One that is over for its provider counts as ended.
    pub(super) async fn end_agreement(
        &self,
        agreement: &AgreementId,
        reason: &Reason,
    ) -> Result<(), ClientError> {
        let terminate = TerminateAgreement { agreement: agreement.clone(), reason: Some(reason.clone()) };
        match self.ask_to_end(&terminate).await {
            Ok(None | Some(true)) => return Ok(()),
            Err(error) if error.disposition() == Disposition::Retry => return Err(error),
            // The daemon says the same of one that is over and of one that isn't approved yet.
            Ok(Some(false)) | Err(_) => {}
        }
        let cancel = CancelAgreement { agreement: agreement.clone(), reason: Some(reason.clone()) };
        match self.ask_to_end(&cancel).await {
            Ok(_) => Ok(()),
            // It is over, or it was approved just now.
            Err(failed) if failed.is_gone() => match self.ask_to_end(&terminate).await {
                Err(error) if !error.is_gone() => Err(error),
                _ => Ok(()),
            },
            Err(failed) => Err(failed),
        }
    }

    /// Asks for an agreement's end. `None`: it isn't in force for its provider, and the daemon will never know.
    ///
    /// The daemon has the same words for that and for a provider's daemon that failed once, so it is asked several times.
    async fn ask_to_end<E: Endpoint>(&self, request: &E) -> Result<Option<E::Answer>, ClientError> {
        let patience = self.options.timing.destruction * 2;
        for _ in 1..LOOKS {
            match self.client.call_within(request, patience).await {
                Err(error) if binds_nobody(&error) => sleep(LOOK_PAUSE).await,
                answer => return answer.map(Some),
            }
        }
        match self.client.call_within(request, patience).await {
            Err(error) if binds_nobody(&error) => Ok(None),
            answer => answer.map(Some),
        }
    }
}

fn binds_nobody(error: &ClientError) -> bool {
    error.api().is_some_and(ApiError::binds_no_provider)
}
