//! Ends deals: the activity, then the agreement, each within its time.

use golem_core::event::RentalId;
use golem_core::run::Input;
use yagna_api::activity::{DestroyActivity, GetUsage};
use yagna_api::market::{Reason, TerminateAgreement};
use yagna_api::{ActivityId, AgreementId};

use super::Outside;
use crate::text::chain;

impl Outside {
    pub(super) async fn close(
        &self,
        rental: RentalId,
        agreement: Option<AgreementId>,
        activity: Option<ActivityId>,
        reason: Reason,
    ) {
        let mut usage = None;
        let mut problems = Vec::new();
        if let Some(activity) = activity {
            let wait = self.options.timing.destruction;
            let destroy = DestroyActivity {
                activity: activity.clone(),
                wait,
            };
            match self.client.call_within(&destroy, wait * 2).await {
                Ok(true) => {}
                Ok(false) => problems.push(format!("activity {activity} didn't end in {} s", wait.as_secs())),
                Err(error) => problems.push(chain(&error)),
            }
            // Once it has ended its usage no longer grows: this is what its bill will be measured by.
            usage = self
                .client
                .call_once(&GetUsage(activity))
                .await
                .ok()
                .and_then(|usage| usage.current_usage);
        }
        if let Some(agreement) = agreement {
            let terminate = TerminateAgreement {
                agreement,
                reason: Some(reason),
            };
            if let Err(error) = self
                .client
                .call_within(&terminate, self.options.timing.destruction * 2)
                .await
            {
                problems.push(chain(&error));
            }
        }
        let failure = (!problems.is_empty()).then(|| problems.join("; "));
        self.tell(Input::Closed {
            rental,
            usage,
            failure,
        })
        .await;
    }
}
