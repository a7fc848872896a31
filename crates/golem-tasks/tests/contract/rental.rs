//! The steps from a demand to a running activity, by the client under test. Each must succeed.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use yagna_api::activity::{
    Capture, Command, CommandResult, CreateActivity, Deploy, DestroyActivity, Exec, GetResults, Run, Start,
};
use yagna_api::market::{
    Approval, ConfirmAgreement, CounterProposal, CreateAgreement, DemandEvent, DemandEventKind, NewDemand,
    PollDemandEvents, Proposal, ProposalState, Subscribe, TerminateAgreement, Unsubscribe, WaitForApproval,
};
use yagna_api::payment::{Allocation, CreateAllocation, GetDecorations, NewAllocation};
use yagna_api::properties::name;
use yagna_api::{ActivityId, AgreementId, BatchId, DemandId, Glm, Properties, ProposalId};

use crate::hand::{Hand, in_time};
use crate::stage::{PLATFORM, Stage};

/// The network may need a while to spread an offer.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long a batch may take: large files go by two daemons, perhaps on a busy machine.
const BATCH: Duration = Duration::from_secs(100);

/// What a requestor puts into a demand and into its counter-proposals.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) properties: Properties,
    pub(crate) constraints: String,
}

impl Terms {
    /// Terms that every honest provider of the stage agrees to.
    pub(crate) fn usual(stage: &Stage) -> Self {
        Self::of(&stage.hand, &stage.subnet)
    }

    /// The same for another requestor.
    pub(crate) fn of(hand: &Hand, subnet: &str) -> Self {
        let expires = in_time(Duration::from_secs(20 * 60)).as_millisecond();
        let properties = Properties::new()
            .with(name::EXPIRATION, expires)
            .with(name::MULTI_ACTIVITY, true)
            .with(name::SUBNET, subnet)
            .with(name::TASK_PACKAGE, "hash:sha3:00:http://127.0.0.1:1/image")
            .with(name::VM_PACKAGE_FORMAT, "gvmkit-squash")
            .with(name::PAYMENT_PROTOCOL, "3")
            .with(name::CHOSEN_PLATFORM, PLATFORM)
            .with(name::platform_address(PLATFORM), hand.node().as_str());
        let constraints = format!(
            "(&({}={subnet})({}=*)({}=linear)({}>=0.5)({}=vm))",
            name::SUBNET,
            name::platform_address(PLATFORM),
            name::PRICING_MODEL,
            name::MEMORY_GIB,
            name::RUNTIME_NAME,
        );
        Self { properties, constraints }
    }

    /// With one more property.
    #[must_use]
    pub(crate) fn with(mut self, property: &str, value: impl Into<Value>) -> Self {
        self.properties.set(property, value);
        self
    }

    /// As the daemon takes them.
    pub(crate) fn demand(&self) -> NewDemand {
        NewDemand { properties: self.properties.clone(), constraints: self.constraints.clone() }
    }

    /// As raw JSON.
    pub(crate) fn json(&self) -> Value {
        json!({"properties": self.properties, "constraints": self.constraints})
    }
}

/// Sets money aside.
pub(crate) async fn allocate(hand: &Hand, total: &str) -> Allocation {
    let new = NewAllocation {
        total_amount: total.parse::<Glm>().expect("an amount"),
        payment_platform: Some(json!(PLATFORM)),
        address: None,
        timeout: Some(in_time(Duration::from_secs(3600))),
        make_deposit: false,
        deposit: None,
        extend_timeout: None,
    };
    let allocation = hand.call(&CreateAllocation(new)).await;
    hand.call(&GetDecorations(vec![allocation.allocation_id.clone()])).await;
    allocation
}

/// Publishes a demand.
pub(crate) async fn publish(hand: &Hand, terms: &Terms) -> DemandId {
    hand.call(&Subscribe(terms.demand())).await
}

/// Waits for the next event of a demand that is of interest; those before it are lost.
pub(crate) async fn event(
    hand: &Hand,
    demand: &DemandId,
    wanted: impl Fn(&DemandEvent) -> bool,
) -> DemandEvent {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let poll = PollDemandEvents { demand: demand.clone(), wait: Duration::from_secs(2), max: 1 };
        let listed = hand.call(&poll).await;
        assert!(listed.unreadable.is_empty(), "unreadable: {:?}", listed.unreadable);
        if let Some(event) = listed.items.into_iter().next()
            && wanted(&event)
        {
            return event;
        }
    }
    panic!("no such event of the demand within {PATIENCE:?}");
}

/// Waits for a proposal in this state.
pub(crate) async fn proposal(hand: &Hand, demand: &DemandId, state: ProposalState) -> Proposal {
    let wanted = |event: &DemandEvent| matches!(&event.kind, DemandEventKind::Proposal { proposal } if proposal.state == state);
    match event(hand, demand, wanted).await.kind {
        DemandEventKind::Proposal { proposal } => proposal,
        DemandEventKind::Rejected { .. } => unreachable!("only proposals are wanted"),
    }
}

/// Answers a proposal; gives our own proposal's id.
pub(crate) async fn counter(
    hand: &Hand,
    demand: &DemandId,
    proposal: &ProposalId,
    terms: &Terms,
) -> ProposalId {
    let counter =
        CounterProposal { demand: demand.clone(), proposal: proposal.clone(), terms: terms.demand() };
    hand.call(&counter).await
}

/// From a demand to a provider's draft.
pub(crate) async fn draft(hand: &Hand, demand: &DemandId, terms: &Terms) -> Proposal {
    let initial = proposal(hand, demand, ProposalState::Initial).await;
    counter(hand, demand, &initial.proposal_id, terms).await;
    proposal(hand, demand, ProposalState::Draft).await
}

/// Proposes an agreement out of a draft.
pub(crate) async fn propose(hand: &Hand, draft: &ProposalId) -> AgreementId {
    let valid_to = in_time(Duration::from_secs(3600));
    let agreement = hand.call(&CreateAgreement { proposal_id: draft.clone(), valid_to }).await;
    hand.call(&ConfirmAgreement { agreement: agreement.clone(), session: None }).await;
    agreement
}

/// Waits for the provider's decision.
pub(crate) async fn decision(hand: &Hand, agreement: &AgreementId) -> Approval {
    hand.call(&WaitForApproval { agreement: agreement.clone(), wait: Duration::from_secs(30) }).await
}

/// The whole way from nothing to an agreement in force.
pub(crate) async fn agree(hand: &Hand, terms: &Terms) -> (DemandId, AgreementId) {
    let demand = publish(hand, terms).await;
    let draft = draft(hand, &demand, terms).await;
    let agreement = propose(hand, &draft.proposal_id).await;
    assert_eq!(decision(hand, &agreement).await, Approval::Approved);
    (demand, agreement)
}

/// Creates an activity.
pub(crate) async fn create(hand: &Hand, agreement: &AgreementId) -> ActivityId {
    let create = CreateActivity {
        agreement: agreement.clone(),
        requestor_pub_key: None,
        wait: Duration::from_secs(30),
    };
    hand.call(&create).await.activity_id
}

/// Creates an activity and brings it to where it runs commands.
pub(crate) async fn ready(hand: &Hand, agreement: &AgreementId) -> ActivityId {
    let activity = create(hand, agreement).await;
    let script = vec![Command::Deploy(Deploy::default()), Command::Start(Start::default())];
    let results = run(hand, &activity, script).await;
    assert_eq!(results.len(), 2, "{results:?}");
    assert!(results[1].is_batch_finished, "{results:?}");
    activity
}

/// Sends a script.
pub(crate) async fn exec(hand: &Hand, activity: &ActivityId, script: Vec<Command>) -> BatchId {
    hand.call(&Exec { activity: activity.clone(), script, wait: Duration::from_secs(20) }).await
}

/// Sends a script, waits for its end and gives its results.
pub(crate) async fn run(hand: &Hand, activity: &ActivityId, script: Vec<Command>) -> Vec<CommandResult> {
    let batch = exec(hand, activity, script).await;
    results(hand, activity, &batch).await
}

/// Waits for a batch's end.
pub(crate) async fn results(hand: &Hand, activity: &ActivityId, batch: &BatchId) -> Vec<CommandResult> {
    let begin = Instant::now();
    while begin.elapsed() < BATCH {
        let wait = Duration::from_secs(2);
        let poll = GetResults { activity: activity.clone(), batch: batch.clone(), wait, command: None };
        let results = hand.call(&poll).await;
        if results.last().is_some_and(|last| last.is_batch_finished) {
            return results;
        }
    }
    panic!("the batch isn't done within {BATCH:?}");
}

/// Destroys an activity.
pub(crate) async fn destroy(hand: &Hand, activity: &ActivityId) {
    hand.call(&DestroyActivity { activity: activity.clone(), wait: Duration::from_secs(30) }).await;
}

/// Ends an agreement, and the demand it came from.
pub(crate) async fn leave(hand: &Hand, demand: &DemandId, agreement: &AgreementId) {
    hand.call(&Unsubscribe(demand.clone())).await;
    hand.call(&TerminateAgreement { agreement: agreement.clone(), reason: None }).await;
}

/// A line for the shell, its output captured as text.
pub(crate) fn shell(line: &str) -> Command {
    Command::Run(Run {
        entry_point: "/bin/sh".into(),
        args: vec!["-c".into(), line.into()],
        capture: Some(Capture::text()),
    })
}
