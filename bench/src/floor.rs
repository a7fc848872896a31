//! The bare floor: what a program does that knows its providers beforehand and does nothing but send scripts.
//!
//! It keeps nothing, checks no bill and survives no failure. Whatever a whole run takes more than this is ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use serde_json::json;
use tokio::time::Instant;
use yagna_api::activity::{
    Capture, Command, CommandResult, CreateActivity, Deploy, DestroyActivity, Exec, GetResults, Run, Start,
};
use yagna_api::identity::GetMe;
use yagna_api::market::{
    Approval, ConfirmAgreement, CounterProposal, CreateAgreement, DemandEventKind, NewDemand,
    PollDemandEvents, ProposalState, Subscribe, TerminateAgreement, Unsubscribe, WaitForApproval,
};
use yagna_api::payment::{CreateAllocation, GetDecorations, NewAllocation, ReleaseAllocation};
use yagna_api::properties::name;
use yagna_api::time::after;
use yagna_api::{ActivityId, AgreementId, AppKey, Clock as _, Properties};
use yagna_client::{Client, HttpTransport, Url};

use crate::Failure;
use crate::ground::PLATFORM;

/// The longest that a provider or the daemon may take for one step.
const PATIENCE: Duration = Duration::from_secs(30);

/// The work of the floor.
#[derive(Debug)]
pub(crate) struct Floor {
    /// The address of the daemon.
    pub(crate) api_url: String,
    /// The app key.
    pub(crate) key: String,
    /// The part of the market.
    pub(crate) subnet: String,
    /// Providers at work.
    pub(crate) workers: usize,
    /// Tasks in all.
    pub(crate) tasks: usize,
    /// Tasks in one script.
    pub(crate) per_script: usize,
    /// The command line of a task.
    pub(crate) line: String,
}

impl Floor {
    /// Carries out the tasks, and returns the time from the first script to the last result.
    pub(crate) async fn run(self) -> Result<Duration, Failure> {
        let url: Url = self.api_url.parse()?;
        let client = Client::new(Arc::new(HttpTransport::new(&url, &AppKey::new(&self.key))?));
        let me = client.call_once(&GetMe).await?;
        let expires = after(golem_sdk::SystemClock.now(), Duration::from_secs(20 * 60));
        let allocation = client
            .call_once(&CreateAllocation(NewAllocation {
                total_amount: "10".parse()?,
                payment_platform: Some(json!(PLATFORM)),
                address: None,
                timeout: Some(expires),
                make_deposit: false,
                deposit: None,
                extend_timeout: None,
            }))
            .await?
            .allocation_id;
        client.call_once(&GetDecorations(vec![allocation.clone()])).await?;
        let subnet = self.subnet.as_str();
        let terms = NewDemand {
            properties: Properties::new()
                .with(name::EXPIRATION, expires.as_millisecond())
                .with(name::MULTI_ACTIVITY, true)
                .with(name::SUBNET, subnet)
                .with(name::TASK_PACKAGE, "hash:sha3:00:http://127.0.0.1:1/image")
                .with(name::VM_PACKAGE_FORMAT, "gvmkit-squash")
                .with(name::PAYMENT_PROTOCOL, "3")
                .with(name::CHOSEN_PLATFORM, PLATFORM)
                .with(name::platform_address(PLATFORM), me.identity.as_str()),
            constraints: format!(
                "(&({}={subnet})({}=*)({}=linear)({}=vm))",
                name::SUBNET,
                name::platform_address(PLATFORM),
                name::PRICING_MODEL,
                name::RUNTIME_NAME,
            ),
        };
        let demand = client.call_once(&Subscribe(terms.clone())).await?;
        let mut agreements: Vec<AgreementId> = Vec::new();
        let begun = Instant::now();
        while agreements.len() < self.workers {
            if begun.elapsed() > PATIENCE {
                return Err(format!("there are only {} providers", agreements.len()).into());
            }
            let poll = PollDemandEvents { demand: demand.clone(), wait: Duration::from_secs(1), max: 20 };
            for event in client.call_once(&poll).await?.items {
                let DemandEventKind::Proposal { proposal } = event.kind else { continue };
                if proposal.state == ProposalState::Initial {
                    let counter = CounterProposal {
                        demand: demand.clone(),
                        proposal: proposal.proposal_id,
                        terms: terms.clone(),
                    };
                    client.call_once(&counter).await?;
                } else if proposal.state == ProposalState::Draft && agreements.len() < self.workers {
                    let create = CreateAgreement { proposal_id: proposal.proposal_id, valid_to: expires };
                    let agreement = client.call_once(&create).await?;
                    let confirm = ConfirmAgreement { agreement: agreement.clone(), session: None };
                    client.call_once(&confirm).await?;
                    let wait = WaitForApproval { agreement: agreement.clone(), wait: PATIENCE };
                    if client.call_once(&wait).await? == Approval::Approved {
                        agreements.push(agreement);
                    }
                }
            }
        }
        let activities = try_join_all(agreements.iter().map(|agreement| ready(&client, agreement))).await?;
        let left = AtomicUsize::new(self.tasks);
        let started = Instant::now();
        try_join_all(activities.iter().map(|activity| self.work(&client, activity, &left))).await?;
        let took = started.elapsed();

        join_all(activities.iter().map(|activity| async {
            drop(client.call_once(&DestroyActivity { activity: activity.clone(), wait: PATIENCE }).await);
        }))
        .await;
        client.call_once(&Unsubscribe(demand)).await?;
        join_all(agreements.iter().map(|agreement| async {
            drop(client.call_once(&TerminateAgreement { agreement: agreement.clone(), reason: None }).await);
        }))
        .await;
        client.call_once(&ReleaseAllocation(allocation)).await?;
        Ok(took)
    }

    async fn work(&self, client: &Client, activity: &ActivityId, left: &AtomicUsize) -> Result<(), Failure> {
        loop {
            let taken = left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                (left > 0).then(|| left.saturating_sub(self.per_script))
            });
            let Ok(before) = taken else { return Ok(()) };
            let script = vec![shell(&self.line); before.min(self.per_script)];
            run(client, activity, script).await?;
        }
    }
}

async fn ready(client: &Client, agreement: &AgreementId) -> Result<ActivityId, Failure> {
    let create = CreateActivity { agreement: agreement.clone(), requestor_pub_key: None, wait: PATIENCE };
    let activity = client.call_once(&create).await?.activity_id;
    run(client, &activity, vec![Command::Deploy(Deploy::default()), Command::Start(Start::default())])
        .await?;
    Ok(activity)
}

async fn run(
    client: &Client,
    activity: &ActivityId,
    script: Vec<Command>,
) -> Result<Vec<CommandResult>, Failure> {
    let batch = client.call_once(&Exec { activity: activity.clone(), script, wait: PATIENCE }).await?;
    loop {
        let wait = Duration::from_secs(5);
        let poll = GetResults { activity: activity.clone(), batch: batch.clone(), wait, command: None };
        let results = client.call_once(&poll).await?;
        if results.last().is_some_and(|last| last.is_batch_finished) {
            return Ok(results);
        }
    }
}

fn shell(line: &str) -> Command {
    Command::Run(Run {
        entry_point: "/bin/sh".into(),
        args: vec!["-c".into(), line.into()],
        capture: Some(Capture::text()),
    })
}
