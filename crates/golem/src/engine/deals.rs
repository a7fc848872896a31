//! Makes deals: negotiates, signs, opens activities and lets workers work in them.

use golem_core::event::{Provider, RentalId};
use golem_core::run::Input;
use golem_core::tasks::AssignedTask;
use tokio::sync::mpsc;
use yagna_api::activity::{Command, CreateActivity, Deploy, Start};
use yagna_api::market::{
    Agreement, AgreementState, Approval, CancelAgreement, ConfirmAgreement, CounterProposal, CreateAgreement,
    GetAgreement, NewDemand, Reason, RejectProposal, WaitForApproval,
};
use yagna_api::properties::name;
use yagna_api::time::after;
use yagna_api::{AgreementId, DemandId, ProposalId};

use super::Outside;
use crate::context::WorkContext;
use crate::script::Script;
use crate::text::chain;
use crate::worker::{Tasks, WorkerError};

impl Outside {
    pub(super) async fn counter(&self, demand: DemandId, proposal: ProposalId, terms: NewDemand) {
        let counter = CounterProposal {
            demand,
            proposal: proposal.clone(),
            terms,
        };
        let input = match self.client.call(&counter).await {
            Ok(ours) => Input::Countered { proposal, ours },
            Err(error) => Input::CounterFailed {
                proposal,
                problem: chain(&error),
            },
        };
        self.tell(input).await;
    }

    pub(super) async fn refuse(&self, demand: DemandId, proposal: ProposalId, reason: Reason) {
        let reject = RejectProposal {
            demand,
            proposal,
            reason: Some(reason),
        };
        if let Err(error) = self.client.call_once(&reject).await {
            tracing::debug!(%error, "a proposal couldn't be refused");
        }
    }

    /// Makes an agreement, or finds out that there is none.
    pub(super) async fn sign(&self, rental: RentalId, proposal: ProposalId) {
        let input = match self.try_sign(rental, proposal).await {
            Ok(agreement) => Input::Approved {
                rental,
                agreement: Box::new(agreement),
            },
            Err(reason) => Input::NotApproved { rental, reason },
        };
        self.tell(input).await;
    }

    async fn try_sign(&self, rental: RentalId, proposal_id: ProposalId) -> Result<Agreement, String> {
        let wait = self.options.timing.approval;
        let valid_to = after(self.clock.now(), wait * 2);
        let create = CreateAgreement {
            proposal_id,
            valid_to,
        };
        let agreement = self.client.call(&create).await.map_err(|error| chain(&error))?;
        self.tell(Input::AgreementCreated {
            rental,
            agreement: agreement.clone(),
        })
        .await;
        let confirm = ConfirmAgreement {
            agreement: agreement.clone(),
            session: Some(self.options.session.clone()),
        };
        let confirmed = self.client.call(&confirm).await;
        let decided = match confirmed {
            Ok(()) => {
                self.client
                    .call(&WaitForApproval {
                        agreement: agreement.clone(),
                        wait,
                    })
                    .await
            }
            Err(error) => Err(error),
        };
        let reason = match decided {
            Ok(Approval::Approved) => None,
            Ok(Approval::Refused(reason)) => return Err(reason),
            Ok(Approval::Undecided) => Some(format!("no answer within {} s", wait.as_secs())),
            Err(error) => Some(chain(&error)),
        };
        match reason {
            None => self.read(&agreement).await,
            // Whatever went wrong, the provider may still approve: the agreement must not stay open.
            Some(reason) => self.take_back(&agreement, reason).await,
        }
    }

    async fn read(&self, agreement: &AgreementId) -> Result<Agreement, String> {
        self.client
            .call(&GetAgreement(agreement.clone()))
            .await
            .map_err(|error| chain(&error))
    }

    /// Takes an undecided agreement back, unless its provider has approved it meanwhile.
    async fn take_back(&self, id: &AgreementId, why: String) -> Result<Agreement, String> {
        let cancel = CancelAgreement {
            agreement: id.clone(),
            reason: Some(Reason::new(why.clone())),
        };
        if let Err(error) = self.client.call(&cancel).await {
            tracing::debug!(%error, agreement = %id, "an undecided agreement couldn't be cancelled");
        }
        match self.read(id).await {
            Ok(agreement) if agreement.state == AgreementState::Approved => Ok(agreement),
            _ => Err(why),
        }
    }

    /// Opens an activity and lets the worker work in it. Dropped when the deal ends.
    pub(super) async fn open(
        &self,
        rental: RentalId,
        agreement: Agreement,
        assigned: mpsc::Receiver<Vec<AssignedTask>>,
    ) {
        let failure = self
            .try_open(rental, agreement, assigned)
            .await
            .err()
            .map(|error| chain(&error));
        self.tell(Input::WorkerEnded { rental, failure }).await;
    }

    async fn try_open(
        &self,
        rental: RentalId,
        agreement: Agreement,
        assigned: mpsc::Receiver<Vec<AssignedTask>>,
    ) -> Result<(), WorkerError> {
        let timing = self.options.timing;
        let id = agreement.agreement_id;
        let create = CreateActivity {
            agreement: id.clone(),
            requestor_pub_key: None,
            wait: timing.creation,
        };
        let created = self
            .client
            .call(&create)
            .await
            .map_err(crate::context::ScriptError::from)?;
        let activity = created.activity_id;
        self.tell(Input::ActivityCreated {
            rental,
            activity: activity.clone(),
        })
        .await;
        let provider = Provider {
            name: agreement
                .offer
                .properties
                .text(name::NODE_NAME)
                .unwrap_or_default()
                .to_owned(),
            id: agreement.offer.provider_id,
        };
        let ctx = WorkContext::new(self.client.clone(), self.node.clone(), provider, id, activity);
        let start = Script::new()
            .command(Command::Deploy(Deploy::default()))
            .command(Command::Start(Start::default()));
        ctx.must("deployment", start, timing.deployment).await?;
        let mut tasks = Tasks {
            rental,
            assigned,
            inputs: self.inputs.clone(),
        };
        self.worker.work(&ctx, &mut tasks).await
    }
}
