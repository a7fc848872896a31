//! Everything that happens in a run, as one typed stream.
//!
//! An event is stored before the effect that follows from it is sent, and shown to people only after it is
//! stored. So the same stream serves the database, the progress bar, the log, the summary and machines.
//!
//! A run that goes well tells this story, in this order for each thing that it speaks of:
//!
//! | of what | events |
//! |---|---|
//! | the money | [`AllocationIntended`], [`AllocationCreated`], at the end [`AllocationReleased`] |
//! | the market | [`DemandPublished`]; for each provider [`OfferReceived`] and [`TermsAgreed`]; [`DemandEnded`] |
//! | a rental | [`AgreementIntended`], [`AgreementCreated`], [`AgreementApproved`], [`AgreementEnded`] |
//! | its activities, one after the other | [`ActivityIntended`], [`ActivityCreated`], [`ActivityReady`], [`ActivityEnded`] |
//! | its bills | [`BillReceived`], [`BillAccepting`], [`BillAccepted`] |
//! | a job | [`JobAdded`], [`JobEnded`] |
//! | a task | [`TaskAdded`], [`TaskStarted`], [`TaskDone`] |
//! | its scripts, for those who want [details](EventKind::is_detail) | [`ScriptSent`], [`CommandFinished`], [`ScriptFinished`] |
//! | the run | [`Stopping`], [`RunEnded`] |
//!
//! The others tell what went another way. What belongs together has the same ids: tasks lead to rentals by the
//! [`RentalId`] of their attempts, rentals to providers by that of their agreements.
//!
//! # Records
//!
//! Events are kept as JSON, and are read back the same:
//! ```
//! use golem_core::event::{Event, EventKind, TaskId};
//!
//! let event = Event { at: "2026-01-01T12:00:00Z".parse()?, kind: EventKind::TaskCancelled { task: TaskId(7) } };
//! let record = r#"{"at":"2026-01-01T12:00:00Z","kind":{"event":"task_cancelled","task":7}}"#;
//! assert_eq!(serde_json::to_string(&event)?, record);
//! assert_eq!(serde_json::from_str::<Event>(record)?, event);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`AllocationIntended`]: EventKind::AllocationIntended
//! [`AllocationCreated`]: EventKind::AllocationCreated
//! [`AllocationReleased`]: EventKind::AllocationReleased
//! [`DemandPublished`]: EventKind::DemandPublished
//! [`OfferReceived`]: EventKind::OfferReceived
//! [`TermsAgreed`]: EventKind::TermsAgreed
//! [`DemandEnded`]: EventKind::DemandEnded
//! [`AgreementIntended`]: EventKind::AgreementIntended
//! [`AgreementCreated`]: EventKind::AgreementCreated
//! [`AgreementApproved`]: EventKind::AgreementApproved
//! [`AgreementEnded`]: EventKind::AgreementEnded
//! [`ActivityIntended`]: EventKind::ActivityIntended
//! [`ActivityCreated`]: EventKind::ActivityCreated
//! [`ActivityReady`]: EventKind::ActivityReady
//! [`ActivityEnded`]: EventKind::ActivityEnded
//! [`BillReceived`]: EventKind::BillReceived
//! [`BillAccepting`]: EventKind::BillAccepting
//! [`BillAccepted`]: EventKind::BillAccepted
//! [`JobAdded`]: EventKind::JobAdded
//! [`JobEnded`]: EventKind::JobEnded
//! [`TaskAdded`]: EventKind::TaskAdded
//! [`TaskStarted`]: EventKind::TaskStarted
//! [`TaskDone`]: EventKind::TaskDone
//! [`Stopping`]: EventKind::Stopping
//! [`ScriptSent`]: EventKind::ScriptSent
//! [`CommandFinished`]: EventKind::CommandFinished
//! [`ScriptFinished`]: EventKind::ScriptFinished
//! [`RunEnded`]: EventKind::RunEnded

mod about;
mod ends;
mod name;
mod outcome;
mod printed;
mod rental;

pub use self::ends::{JobEnd, JobEndReason, RunEnd, StopReason};
pub use self::outcome::{AttemptFailure, FailureKind, TaskOutput};
pub use self::printed::Printed;
pub use self::rental::{Measured, RentalTerms};

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use yagna_api::market::{Reason, Terminator};
use yagna_api::{
    ActivityId, AgreementId, AllocationId, BatchId, DebitNoteId, DemandId, Glm, InvoiceId, NodeId,
    ProposalId, Timestamp,
};

use crate::explain::Explanation;
use crate::raise::AboveCap;
use crate::source::SourceMark;
use crate::terms::AgreedTerms;

/// One rental with one provider, from the intent to sign to the settled bill. Counted from 1 in each run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RentalId(pub u64);

/// A job of a run: a pile of tasks with a worker of its own. Counted from 0 in each run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobId(pub u64);

impl JobId {
    /// The first job of a run; the only one where a run has one.
    pub const FIRST: Self = Self(0);

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_first(&self) -> bool {
        *self == Self::FIRST
    }
}

/// The number of an activity in its rental, counted from 1: a rental has one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActivityNo(pub u32);

/// A task of a run, counted from 0 in the order in which they became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId(pub u64);

/// One attempt at one task. An outcome that names an old attempt is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt {
    /// The task.
    pub task: TaskId,
    /// The number of the attempt, from 1.
    pub number: u32,
}

/// A provider, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its node id.
    pub id: NodeId,
    /// Its own name for itself; not unique.
    pub name: String,
}

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The time of the event.
    pub at: Timestamp,
    /// The event itself.
    pub kind: EventKind,
}

/// The kinds of events of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub enum EventKind {
    /// Money is about to be set aside. Stored before the request.
    AllocationIntended {
        amount: Glm,
        platform: String,
        /// The time at which it is to be released by itself. No two intents of a wallet name the same moment: where the
        /// answer was lost, the allocation is found again by it.
        expires: Timestamp,
    },
    /// Money was set aside.
    AllocationCreated {
        allocation: AllocationId,
        amount: Glm,
        /// The time at which the daemon releases it by itself.
        expires: Timestamp,
    },
    /// The allocation's end was moved ahead of the run.
    AllocationProlonged {
        allocation: AllocationId,
        /// The time at which the daemon now releases it by itself.
        expires: Timestamp,
    },
    /// More is set aside: the windows of the budget allow it now.
    AllocationAmended {
        allocation: AllocationId,
        /// The amount that it holds now, the spent part included.
        amount: Glm,
    },
    /// The daemon no longer has the allocation: somebody released it, or it expired. Nothing is signed and no bill
    /// accepted before there is a new one, whose intent and creation are told as those of the first.
    AllocationLost { allocation: AllocationId },
    /// The budget is about to be raised. Stored before the request.
    BudgetIntended { budget: Glm },
    /// The budget was raised: more is set aside.
    BudgetRaised { budget: Glm },
    /// The budget couldn't be raised and is what it was.
    BudgetNotRaised {
        /// The budget that was asked for.
        budget: Glm,
        reason: String,
    },
    /// The rest of the money was given back.
    AllocationReleased { allocation: AllocationId },
    /// A demand is on the market.
    #[doc(alias = "SubscriptionCreated")]
    DemandPublished {
        demand: DemandId,
        /// The latest end of agreements made from it.
        expires: Timestamp,
    },
    /// A demand is no longer on the market.
    DemandEnded { demand: DemandId, why: String },
    /// Something couldn't be done just now; it will be tried again.
    Trouble { doing: String, problem: String },
    /// Trouble that was told of is over.
    Recovered {
        /// The name of what works again, in words.
        what: String,
    },
    /// An offer fits and is being negotiated.
    #[doc(alias = "ProposalReceived")]
    OfferReceived {
        provider: Provider,
        /// GLM an hour at full use.
        per_hour: Glm,
        /// GLM for the start.
        start: Glm,
    },
    /// We refused an offer.
    #[doc(alias = "ProposalRejected")]
    OfferRefused {
        provider: Provider,
        reason: String,
        /// The reason in words that all refusals for the same cause share; empty where they are those of the reason.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        group: String,
        /// The price that was above its cap, if that was the cause.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        above: Option<AboveCap>,
    },
    /// A provider refused our terms.
    RefusedByProvider {
        provider: Provider,
        /// The reason, if one was given.
        reason: Option<Reason>,
    },
    /// A provider agreed to our terms; an agreement can be signed.
    #[doc(alias = "ProposalConfirmed")]
    TermsAgreed { provider: Provider },
    /// An agreement is about to be signed. Stored before the request.
    AgreementIntended {
        rental: RentalId,
        provider: Provider,
        proposal: ProposalId,
        /// GLM an hour at full use.
        per_hour: Glm,
        /// GLM for the start of an activity.
        start: Glm,
        /// The terms by which its bills are measured.
        terms: Box<RentalTerms>,
    },
    /// An agreement has an id, but isn't approved yet.
    AgreementCreated { rental: RentalId, agreement: AgreementId },
    /// The provider approved.
    #[doc(alias = "AgreementConfirmed")]
    AgreementApproved {
        rental: RentalId,
        agreement: AgreementId,
        /// The terms that both sides agreed to.
        agreed: AgreedTerms,
    },
    /// There will be no agreement.
    #[doc(alias = "AgreementRejected")]
    AgreementFailed { rental: RentalId, reason: String },
    /// An activity is about to be created. Stored before the request.
    ActivityIntended {
        rental: RentalId,
        /// For which job; left out in records where it is the first.
        #[serde(default, skip_serializing_if = "JobId::is_first")]
        job: JobId,
    },
    /// An activity has been created.
    ActivityCreated { rental: RentalId, activity: ActivityId },
    /// The activity is deployed, started and set up; it takes tasks.
    #[doc(alias = "WorkerStarted")]
    ActivityReady { rental: RentalId },
    /// A script was sent. A [detail](EventKind::is_detail).
    ScriptSent {
        rental: RentalId,
        activity: ActivityId,
        /// The batch that it became.
        batch: BatchId,
        /// Its commands in a few words each, never their environment.
        commands: Vec<String>,
    },
    /// A command of a script has ended. A [detail](EventKind::is_detail), told when its script has ended too.
    CommandFinished {
        rental: RentalId,
        batch: BatchId,
        /// Its place there, from 0.
        place: u32,
        /// The command in a few words.
        command: String,
        /// The error when it failed; `None` where it succeeded.
        failure: Option<String>,
        /// The end of its captured standard output.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        stdout: String,
        /// The end of its captured standard error.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        stderr: String,
    },
    /// A script has ended. A [detail](EventKind::is_detail).
    ScriptFinished {
        rental: RentalId,
        batch: BatchId,
        /// The failure, if it failed.
        failure: Option<String>,
    },
    /// The activity is over.
    #[doc(alias = "WorkerFinished")]
    ActivityEnded {
        rental: RentalId,
        /// The usage it ended with, if it could be read.
        usage: Option<Vec<f64>>,
        /// The failure, if it failed.
        failure: Option<String>,
        /// True if its end was confirmed, and its usage read after that. Then it has used no more.
        #[serde(default, skip_serializing_if = "is_false")]
        complete: bool,
    },
    /// The agreement is over.
    #[doc(alias = "AgreementTerminated")]
    AgreementEnded {
        rental: RentalId,
        agreement: AgreementId,
        by: Terminator,
        reason: Reason,
        /// True if the daemon no longer has it. Then no bill for it can come any more.
        #[serde(default, skip_serializing_if = "is_false")]
        forgotten: bool,
    },
    /// A job is known to the run; its tasks follow.
    #[doc(alias("JobStarted", "ComputationStarted"))]
    JobAdded {
        job: JobId,
        /// The time at which it ends, finished or not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<Timestamp>,
        retries: u32,
    },
    /// A job's source has been read so far. A later process compares the source with this before it reads on.
    SourceRead {
        #[serde(default, skip_serializing_if = "JobId::is_first")]
        job: JobId,
        /// The place up to which it was read, and a digest of it.
        mark: SourceMark,
    },
    /// A job's source has no more tasks.
    SourceExhausted {
        #[serde(default, skip_serializing_if = "JobId::is_first")]
        job: JobId,
    },
    /// There is more to do for the run's own job, though it was over or its source had no more: tasks have been added to its
    /// source since, or tasks that failed are tried afresh.
    JobReopened {
        #[serde(default, skip_serializing_if = "JobId::is_first")]
        job: JobId,
    },
    /// A job is over: no more comes of it.
    #[doc(alias("JobFinished", "ComputationFinished"))]
    JobEnded { job: JobId, end: JobEnd },
    /// A task is known to the run.
    TaskAdded {
        /// Its job; left out in records where it is the first.
        #[serde(default, skip_serializing_if = "JobId::is_first")]
        job: JobId,
        task: TaskId,
        data: Value,
        /// True if another task added it, beside the job's source.
        #[serde(default, skip_serializing_if = "is_false")]
        spawned: bool,
    },
    /// A task that had failed for good is tried afresh: its attempts so far no longer count.
    TaskReopened {
        #[serde(default, skip_serializing_if = "JobId::is_first")]
        job: JobId,
        task: TaskId,
        data: Value,
        /// Its attempts so far: the next one's number is one more.
        attempts: u32,
    },
    /// A task is being tried.
    TaskStarted { attempt: Attempt, rental: RentalId },
    /// A script was sent to an activity: whoever goes on with it finds its batch by this.
    BatchSent {
        rental: RentalId,
        no: ActivityNo,
        /// The attempts in its worker's hands; none while the worker sets itself up.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attempts: Vec<Attempt>,
        script: SentScript,
    },
    /// A task is done; this is its one result.
    #[doc(alias("TaskAccepted", "TaskFinished"))]
    TaskDone {
        /// The attempt that made it.
        attempt: Attempt,
        rental: RentalId,
        output: TaskOutput,
        /// The duration of the attempt.
        took: Duration,
    },
    /// An attempt failed; the task will be tried again.
    #[doc(alias = "TaskRejected")]
    AttemptFailed { attempt: Attempt, rental: RentalId, failure: AttemptFailure },
    /// An attempt was given up through no fault of its own; the task waits for another.
    AttemptCancelled {
        attempt: Attempt,
        rental: RentalId,
        /// The reason in words, where the machine was lost while it had other tasks in hand as well: any of them may have cost
        /// it, so that each is tried alone from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost: Option<String>,
        /// The time that it took, where that isn't the time since its start: none of one that never began.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took: Option<Duration>,
    },
    /// A task failed for good.
    TaskFailed {
        attempt: Attempt,
        /// The rental, unless it never began.
        rental: Option<RentalId>,
        failure: AttemptFailure,
    },
    /// A task was given up with its job: it has no result and will have none.
    TaskCancelled { task: TaskId },
    /// A task wasn't finished when its job's deadline passed.
    TaskExpired { task: TaskId },
    /// A bill came.
    #[doc(alias("DebitNoteReceived", "InvoiceReceived"))]
    BillReceived {
        /// The rental, if it is one of ours.
        rental: Option<RentalId>,
        bill: Bill,
        /// The amount that it asks for: for a debit note all that its activity owes so far.
        amount: Glm,
        /// The time at which the daemon reported it, by the daemon's clock. Bills of each kind are told of in this
        /// order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        told: Option<Timestamp>,
    },
    /// A bill is about to be accepted. Stored before the request.
    BillAccepting {
        rental: RentalId,
        bill: Bill,
        amount: Glm,
        /// GLM that it adds to what the rental's bills promised before.
        #[serde(default, skip_serializing_if = "is_zero")]
        increase: Glm,
        /// The measurements of its activity that a debit note states.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        measured: Option<Measured>,
    },
    /// A bill has been accepted: it will be paid.
    #[doc(alias("DebitNoteAccepted", "InvoiceAccepted"))]
    BillAccepted {
        rental: RentalId,
        bill: Bill,
        amount: Glm,
        /// The cost of the rental so far.
        total: Glm,
    },
    /// A bill was refused.
    BillRefused {
        /// The rental, if it is one of ours.
        rental: Option<RentalId>,
        bill: Bill,
        amount: Glm,
        reason: String,
        /// The measurements of its activity that a debit note states, as far as they are believed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        measured: Option<Measured>,
        /// True if it is owed all the same. Then it couldn't be accepted for reasons of ours, such as the budget.
        #[serde(default, skip_serializing_if = "is_false")]
        open: bool,
    },
    /// A bill that was expected hasn't come in time.
    BillMissing { rental: RentalId, agreement: AgreementId },
    /// A provider gets no tasks for a while.
    ProviderSetBack { provider: Provider, until: Timestamp, reason: String },
    /// Tasks wait and nothing runs: this is why.
    #[doc(alias = "NoProposalsConfirmed")]
    Waiting { explanation: Box<Explanation> },
    /// The budget holds nothing more for now: what ran is ended, and the run waits.
    Paused {
        /// The time at which it is considered again, as far as is known.
        until: Timestamp,
        /// GLM that the budget's windows are to free before.
        missing: Glm,
    },
    /// The budget holds enough again, or nothing waits for it: the run goes on.
    PauseEnded,
    /// The run is resumed after its process had ended.
    RunResumed {
        /// The things that were there to go on with.
        resumed: Resumed,
    },
    /// No more work is begun.
    #[doc(alias = "ExecutionInterrupted")]
    Stopping { why: StopReason },
    /// The run is over.
    #[doc(alias = "ShutdownFinished")]
    RunEnded { end: RunEnd },
}

impl EventKind {
    /// The names of those that are details.
    pub const DETAILS: &[&str] = &["script_sent", "command_finished", "script_finished"];

    /// True if the event is a detail: shown at once to those who asked for details, and neither stored nor decided
    /// upon.
    ///
    /// There may be thousands a second, so they aren't even made where nobody asked.
    pub fn is_detail(&self) -> bool {
        matches!(self, Self::ScriptSent { .. } | Self::CommandFinished { .. } | Self::ScriptFinished { .. })
    }
}

/// A script in an activity's hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentScript {
    /// The commands' fingerprint, without the addresses of files that are moved.
    pub digest: String,
    /// Its batch.
    pub batch: BatchId,
    /// The files that it moves: the command's place in it, and the name under which the file is served to the provider.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub served: Vec<(u32, String)>,
}

/// The things that a run found when it was resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resumed {
    /// Tasks that are known and have no end yet.
    pub tasks: u64,
    /// Attempts that go on where they were.
    pub running: u64,
    /// Rentals that go on.
    pub adopted: u64,
    /// Rentals that were found over, or that are ended now.
    pub ended: u64,
    /// Rentals that are over and whose final bill is awaited.
    pub unsettled: u64,
    /// GLM accepted so far.
    pub accepted: Glm,
}

/// A bill of either kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bill {
    /// For an activity so far.
    DebitNote(DebitNoteId),
    /// For a whole agreement.
    Invoice(InvoiceId),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(amount: &Glm) -> bool {
    amount.is_zero()
}
