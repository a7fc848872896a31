//! Makes deals: negotiates, signs, opens activities and lets workers work in them.

use golem_core::event::{Provider, RentalId};
use golem_core::run::Input;
use golem_core::tasks::AssignedTask;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use yagna_api::activity::CreateActivity;
use yagna_api::market::{
    Agreement, AgreementState, Approval, CancelAgreement, ConfirmAgreement, CounterProposal, CreateAgreement,
    GetAgreement, NewDemand, Reason, RejectProposal, WaitForApproval,
};
use yagna_api::properties::name;
use yagna_api::time::after;
use yagna_api::{ActivityId, AgreementId, DemandId, ProposalId};

use super::Outside;
use crate::context::{Preparation, WorkContext};
use crate::text::chain;
use crate::worker::{Tasks, WorkerError};

/// Why there is no agreement to work with.
enum NotMade {
    /// There is none, and there will be none.
    Over(String),
    /// There may be one: it must be ended.
    Open(String),
}

impl Outside {
    pub(super) async fn counter(&self, demand: DemandId, proposal: ProposalId, terms: NewDemand) {
        let counter = CounterProposal { demand, proposal: proposal.clone(), terms };
        let input = match self.client.call(&counter).await {
            Ok(ours) => Input::Countered { proposal, ours },
            Err(error) => Input::CounterFailed { proposal, problem: chain(&error) },
        };
        self.tell(input).await;
    }

    pub(super) async fn refuse(&self, demand: DemandId, proposal: ProposalId, reason: Reason) {
        let reject = RejectProposal { demand, proposal, reason: Some(reason) };
        if let Err(error) = self.client.call_once(&reject).await {
            tracing::debug!(%error, "a proposal couldn't be refused");
        }
    }

    /// Makes an agreement, or finds out that there is none.
    pub(super) async fn sign(&self, rental: RentalId, proposal: ProposalId) {
        let input = match self.try_sign(rental, proposal).await {
            Ok(agreement) => Input::Approved { rental, agreement: Box::new(agreement) },
            Err(NotMade::Over(reason)) => Input::NotApproved { rental, reason, open: false },
            Err(NotMade::Open(reason)) => Input::NotApproved { rental, reason, open: true },
        };
        self.tell(input).await;
    }

    async fn try_sign(&self, rental: RentalId, proposal_id: ProposalId) -> Result<Agreement, NotMade> {
        let wait = self.options.timing.approval;
        let valid_to = after(self.clock.now(), wait * 2);
        let create = CreateAgreement { proposal_id, valid_to };
        // One that was made though its answer was lost is never confirmed: it comes to nothing.
        let created = self.client.call(&create).await;
        let agreement = created.map_err(|error| NotMade::Over(chain(&error)))?;
        self.tell(Input::AgreementCreated { rental, agreement: agreement.clone() }).await;
        let confirm =
            ConfirmAgreement { agreement: agreement.clone(), session: Some(self.options.session.clone()) };
        let decided = match self.client.call(&confirm).await {
            Ok(()) => self.client.call(&WaitForApproval { agreement: agreement.clone(), wait }).await,
            Err(error) => Err(error),
        };
        match decided {
            Ok(Approval::Approved) => {
                self.client.call(&GetAgreement(agreement)).await.map_err(|error| NotMade::Open(chain(&error)))
            }
            Ok(Approval::Refused(reason)) => Err(NotMade::Over(reason)),
            // Whatever went wrong, the provider may still approve: the agreement must not stay open.
            Ok(Approval::Undecided) => {
                self.take_back(&agreement, format!("no answer within {} s", wait.as_secs())).await
            }
            Err(error) => self.take_back(&agreement, chain(&error)).await,
        }
    }

    /// Takes an undecided agreement back, unless its provider has approved it meanwhile.
    async fn take_back(&self, id: &AgreementId, why: String) -> Result<Agreement, NotMade> {
        let cancel = CancelAgreement { agreement: id.clone(), reason: Some(Reason::new(why.clone())) };
        if let Err(error) = self.client.call(&cancel).await {
            tracing::debug!(%error, agreement = %id, "an undecided agreement couldn't be cancelled");
        }
        match self.client.call(&GetAgreement(id.clone())).await {
            Ok(agreement) => match agreement.state {
                AgreementState::Approved => Ok(agreement),
                AgreementState::Pending => Err(NotMade::Open(why)),
                // Never confirmed, or over.
                _ => Err(NotMade::Over(why)),
            },
            Err(_) => Err(NotMade::Open(why)),
        }
    }

    /// Opens an activity and lets the worker work in it, until the deal ends.
    pub(super) async fn open(
        &self,
        rental: RentalId,
        agreement: Agreement,
        assigned: mpsc::Receiver<Vec<AssignedTask>>,
        creating: oneshot::Sender<ActivityId>,
        cancel: CancellationToken,
    ) {
        let create = CreateActivity {
            agreement: agreement.agreement_id.clone(),
            requestor_pub_key: None,
            wait: self.options.timing.creation,
        };
        // Not given up half-way: the activity would come to life unseen.
        let failure = match self.client.call(&create).await {
            Ok(created) => {
                let activity = created.activity_id;
                self.tell(Input::ActivityCreated { rental, activity: activity.clone() }).await;
                // Nobody waits for it unless the deal ends now.
                creating.send(activity.clone()).ok();
                let work = self.work(rental, agreement, activity, assigned);
                match cancel.run_until_cancelled(work).await {
                    Some(worked) => worked.err().map(|error| chain(&error)),
                    None => return,
                }
            }
            Err(error) => Some(chain(&error)),
        };
        self.tell(Input::WorkerEnded { rental, failure }).await;
    }

    /// The activity of a deal that ends while it is being created, if it comes soon.
    pub(super) async fn wait_for_creation(
        &self,
        created: oneshot::Receiver<ActivityId>,
    ) -> Option<ActivityId> {
        timeout(self.options.timing.destruction, created).await.ok()?.ok()
    }

    async fn work(
        &self,
        rental: RentalId,
        agreement: Agreement,
        activity: ActivityId,
        assigned: mpsc::Receiver<Vec<AssignedTask>>,
    ) -> Result<(), WorkerError> {
        let name = agreement.offer.properties.text(name::NODE_NAME).unwrap_or_default().to_owned();
        let provider = Provider { name, id: agreement.offer.provider_id };
        let id = agreement.agreement_id;
        let ctx = WorkContext::new(self.client.clone(), self.node.clone(), provider, id, activity);
        let limit = self.options.timing.deployment;
        ctx.make_ready(Preparation { implicit_start: true, limit }).await?;
        let mut tasks = Tasks { rental, assigned, inputs: self.inputs.clone() };
        self.worker.work(&ctx, &mut tasks).await
    }
}
