//! Makes rentals: negotiates, signs, opens activities and lets workers work in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use golem_core::event::{ActivityNo, FailureKind, JobId, Provider, RentalId};
use golem_core::run::{Input, OwnFault, Replay, WorkerFailure};
use golem_core::tasks::AssignedTask;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use yagna_api::activity::CreateActivity;
use yagna_api::market::{
    Agreement, AgreementState, Approval, CancelAgreement, ConfirmAgreement, CounterProposal, CreateAgreement,
    GetAgreement, NewDemand, Reason, RejectProposal, WaitForApproval,
};
use yagna_api::time::after;
use yagna_api::{ActivityId, AgreementId, DemandId, ProposalId};
use yagna_client::ClientError;

use super::close::Left;
use super::{Hold, Outside};
use crate::context::{Preparation, Scripts, WorkContext};
use crate::text::chain;
use crate::worker::{Tasks, Worker, WorkerError};

/// An activity to be opened, and whose worker is to work in it.
pub(super) struct Opening {
    pub(super) rental: RentalId,
    pub(super) no: ActivityNo,
    pub(super) job: JobId,
    pub(super) agreement: AgreementId,
    pub(super) provider: Provider,
    pub(super) worker: Arc<dyn Worker>,
    /// Whoever ends the activity while it is being created waits for its id here.
    pub(super) creating: oneshot::Sender<ActivityId>,
    pub(super) cancel: CancellationToken,
    /// Whoever ends the activity looks here whether there is anything left of it.
    pub(super) lost: Arc<AtomicBool>,
    /// The activity that an earlier process left, where there is one.
    pub(super) left: Option<(ActivityId, Box<Replay>)>,
}

/// The reasons why an agreement couldn't be signed.
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
    pub(super) async fn sign(&self, rental: RentalId, proposal: ProposalId, cancel: CancellationToken) {
        let input = match self.try_sign(rental, proposal, cancel).await {
            Ok(agreement) => Input::Approved { rental, agreement: Box::new(agreement) },
            Err(NotMade::Over(reason)) => Input::NotApproved { rental, reason, open: false },
            Err(NotMade::Open(reason)) => Input::NotApproved { rental, reason, open: true },
        };
        self.tell(input).await;
    }

    async fn try_sign(
        &self,
        rental: RentalId,
        proposal_id: ProposalId,
        cancel: CancellationToken,
    ) -> Result<Agreement, NotMade> {
        let wait = self.options.timing.approval;
        let valid_to = after(self.clock.now(), wait * 2);
        let create = CreateAgreement { proposal_id, valid_to };
        // One that was made though its answer was lost is never confirmed: it comes to nothing.
        let created = self.client.call(&create).await;
        if let Err(error) = &created {
            self.tell_ours(error).await;
        }
        let agreement = created.map_err(|error| NotMade::Over(chain(&error)))?;
        self.tell(Input::AgreementCreated { rental, agreement: agreement.clone() }).await;
        let confirm =
            ConfirmAgreement { agreement: agreement.clone(), session: Some(self.options.session.clone()) };
        let decided = match self.client.call(&confirm).await {
            Ok(()) => {
                let approval = WaitForApproval { agreement: agreement.clone(), wait };
                match cancel.run_until_cancelled(self.client.call(&approval)).await {
                    Some(decided) => decided,
                    None => return self.take_back(&agreement, "it isn't wanted any more".to_owned()).await,
                }
            }
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
            Err(error) => {
                self.tell_ours(&error).await;
                self.take_back(&agreement, chain(&error)).await
            }
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

    /// Opens an activity and lets the worker work in it, until either ends.
    pub(super) async fn open(&self, opening: Opening, assigned: mpsc::Receiver<Vec<AssignedTask>>) {
        let Opening { rental, no, job, agreement, provider, worker, creating, cancel, lost, left } = opening;
        let (left, replay) = left.unzip();
        let opened = match left {
            Some(activity) => Ok(activity),
            None => self.create(rental, no, agreement.clone()).await,
        };
        let failure = match opened {
            Ok(activity) => {
                // Nobody waits for it unless the activity ends now.
                creating.send(activity.clone()).ok();
                let (client, node) = (self.client.clone(), self.node.clone());
                let scripts = Arc::new(Scripts::new(rental, no, self.inputs.clone(), replay.as_deref()));
                let (lost_here, known) = (Arc::clone(&lost), Arc::clone(&scripts));
                let ctx = WorkContext::new(client, node, provider, agreement, activity, lost_here, known)
                    .witnessed(rental, self.witness.clone());
                let again = replay.map(|replay| replay.tasks).unwrap_or_default();
                let inputs = self.inputs.clone();
                let tasks = Tasks { rental, no, job, assigned, inputs, again, scripts };
                let worked = cancel.run_until_cancelled(self.work(&ctx, tasks, &*worker)).await;
                ctx.release().await;
                match worked {
                    Some(Err(error)) => Some(error.to_failure()),
                    // A worker may pass over it, but nothing can follow on what is lost.
                    Some(Ok(())) if lost.load(Ordering::Relaxed) => {
                        Some(WorkerFailure::lost("the activity is lost"))
                    }
                    Some(Ok(())) => None,
                    None => return,
                }
            }
            Err(error) if self.tell_ours(&error).await => {
                Some(WorkerFailure { kind: FailureKind::OwnTrouble, message: chain(&error) })
            }
            Err(error) => Some(WorkerFailure::lost(chain(&error))),
        };
        self.tell(Input::WorkerEnded { rental, no, failure }).await;
    }

    /// Tells the run where an error is trouble of our own: `true` if so.
    async fn tell_ours(&self, error: &ClientError) -> bool {
        let ours = crate::fault::is_out_of_files(error);
        if ours {
            let fault = OwnFault { problem: chain(error), folder: None, bytes: 0 };
            self.tell(Input::OwnFault { fault }).await;
        }
        ours
    }

    async fn create(
        &self,
        rental: RentalId,
        no: ActivityNo,
        agreement: AgreementId,
    ) -> Result<ActivityId, ClientError> {
        let wait = self.options.timing.creation;
        let create = CreateActivity { agreement, requestor_pub_key: None, wait };
        // Not given up half-way: the activity would come to life unseen.
        let activity = self.client.call(&create).await?.activity_id;
        self.tell(Input::ActivityCreated { rental, no, activity: activity.clone() }).await;
        Ok(activity)
    }

    /// Ends a worker, and finds the activity it worked in. A worker that is to end gently is told that there are no
    /// more tasks, and has as long as a run that stops gives to running tasks.
    pub(super) async fn end_worker(
        &self,
        hold: Option<Hold>,
        activity: Option<ActivityId>,
        gently: bool,
    ) -> Left {
        let Some(Hold { cancel, assign, created, ended, lost }) = hold else {
            return Left { activity, lost: false };
        };
        drop(assign);
        if gently && timeout(self.options.config.stop_grace, ended).await.is_err() {
            tracing::debug!(?activity, "a worker that was told to end is stopped");
        }
        cancel.cancel();
        let activity = match activity {
            Some(activity) => Some(activity),
            None => self.wait_for_creation(created).await,
        };
        Left { activity, lost: lost.load(Ordering::Relaxed) }
    }

    /// The activity of a rental that ends while it is being created, if it comes soon.
    async fn wait_for_creation(&self, created: oneshot::Receiver<ActivityId>) -> Option<ActivityId> {
        timeout(self.options.timing.destruction, created).await.ok()?.ok()
    }

    async fn work(
        &self,
        ctx: &WorkContext,
        mut tasks: Tasks,
        worker: &dyn Worker,
    ) -> Result<(), WorkerError> {
        let limit = self.options.timing.deployment;
        let deployment = worker.implicit_start().then(|| worker.deployment());
        ctx.make_ready(Preparation { deployment, limit }).await?;
        worker.work(ctx, &mut tasks).await
    }
}
