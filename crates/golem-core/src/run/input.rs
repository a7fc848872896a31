//! The inputs of a run, and its effects.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use yagna_api::market::{Agreement, NewDemand, Proposal, Reason, Terminator};
use yagna_api::payment::{DebitNote, Decoration, Invoice, Rejection};
use yagna_api::{ActivityId, AgreementId, AllocationId, DemandId, Glm, InvoiceId, ProposalId, Timestamp};

use super::found::Replay;
use crate::event::{
    ActivityNo, Attempt, AttemptFailure, Bill, Event, FailureKind, JobId, Provider, RentalId, SentScript,
    StopReason, TaskOutput,
};
use crate::source::SourceMark;
use crate::tasks::AssignedTask;

/// Something that a run must know.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub enum Input {
    /// Time has passed; at least once a second.
    Tick,
    /// There is a job to be done. Its id must be a new one.
    JobAdded {
        job: JobId,
        /// The settings of the job.
        spec: JobSpec,
    },
    /// No jobs will be added any more: the run ends with the last one it has.
    NoMoreJobs,
    /// A job is given up: what waits is dropped, what runs is stopped.
    JobCancelled { job: JobId },
    /// Tasks from a job's source, as asked for by [`Effect::LoadTasks`].
    Tasks {
        job: JobId,
        /// Their data, in order.
        data: Vec<Value>,
        /// There are no more.
        exhausted: bool,
        /// The position up to which the source has been read with them; of sources that can be read once more.
        mark: Option<SourceMark>,
    },
    /// Tasks that came up on the way, beside the source; for a job that isn't over.
    MoreTasks {
        job: JobId,
        /// Their data, in order.
        data: Vec<Value>,
    },
    /// The source of a job's tasks failed.
    SourceBroken { job: JobId, problem: String },
    /// No more work is to be begun.
    Stop { why: StopReason },
    /// The daemon can't do something just now; it is being tried again.
    Trouble { doing: String, problem: String },
    /// The daemon does its work again.
    Recovered,

    /// Something of our own fails that work needs. What it spoils is our fault.
    OwnFault { fault: OwnFault },
    /// It was looked whether that is mended, as [`Effect::ProbeOwn`] asked.
    OwnProbed {
        /// The fault that remains, if there is one.
        still: Option<String>,
    },
    /// This process stood still until just now: it was stopped, or its machine was suspended.
    Gap { lasted: Duration },
    /// The daemon has told everything that [`Effect::LookAround`] asked for, or can't be asked.
    LookedAround,
    /// The clock of this machine is far from that of the daemon.
    ClockOff {
        /// True if our clock is ahead.
        ahead: bool,
        /// The difference between the clocks.
        by: Duration,
    },

    /// The user wants to spend so much more, as [`Run::raised_by`](super::Run::raised_by) allows.
    RaiseBudget { amount: Glm },
    /// The allocation has grown as [`Effect::RaiseBudget`] asked.
    BudgetRaised { budget: Glm },
    /// It hasn't: the budget stays as it is.
    BudgetNotRaised {
        /// The budget that was asked for.
        budget: Glm,
        reason: String,
    },
    /// More is set aside, as [`Effect::GrowAllocation`] asked.
    AllocationGrown {
        allocation: AllocationId,
        /// The amount that it holds now, the spent part included.
        amount: Glm,
    },
    /// It isn't.
    AllocationNotGrown { problem: String },
    /// The allocation's end was moved ahead.
    AllocationProlonged { allocation: AllocationId, expires: Timestamp },
    /// The daemon no longer has the run's allocation.
    AllocationLost { allocation: AllocationId },
    /// A new allocation was made.
    Allocated {
        allocation: AllocationId,
        amount: Glm,
        /// The time at which the daemon releases it by itself.
        expires: Timestamp,
        /// The properties of payment for demands.
        decoration: Box<Decoration>,
    },
    /// No new allocation could be made.
    NotAllocated { problem: String },

    /// A demand is on the market.
    Published {
        demand: DemandId,
        /// The latest end of its agreements.
        expires: Timestamp,
    },
    /// It couldn't be published.
    PublishFailed { problem: String },
    /// The daemon no longer knows a demand.
    DemandLost { demand: DemandId },
    /// A provider's proposal came.
    Proposal { demand: DemandId, proposal: Box<Proposal> },
    /// A proposal came that can't be read.
    ProposalUnreadable { problem: String },
    /// A provider refused our counter-proposal.
    Rejected { ours: ProposalId, reason: Option<Reason> },
    /// Our counter-proposal was sent.
    Countered {
        /// The proposal it answers.
        proposal: ProposalId,
        ours: ProposalId,
    },
    /// Our counter-proposal couldn't be sent.
    CounterFailed {
        /// The proposal it should have answered.
        proposal: ProposalId,
        problem: String,
    },

    /// An agreement has an id.
    AgreementCreated { rental: RentalId, agreement: AgreementId },
    /// The provider approved it.
    Approved {
        rental: RentalId,
        /// The agreement as it was agreed.
        agreement: Box<Agreement>,
    },
    /// There will be no agreement.
    NotApproved {
        rental: RentalId,
        reason: String,
        /// It may have come about, or may yet: it must be ended before it can be forgotten.
        open: bool,
    },
    /// An activity was created.
    ActivityCreated { rental: RentalId, no: ActivityNo, activity: ActivityId },
    /// A worker asks for tasks; it gets them when there are some.
    WorkerReady {
        rental: RentalId,
        no: ActivityNo,
        /// The number of tasks that it would take at once.
        room: usize,
    },
    /// A worker's script was taken by its activity.
    BatchSent { rental: RentalId, no: ActivityNo, script: SentScript },
    /// An attempt succeeded.
    AttemptDone {
        rental: RentalId,
        attempt: Attempt,
        output: TaskOutput,
        took: Duration,
        /// Tasks that it gave rise to: they join its job with its result, or not at all.
        more: Vec<Value>,
    },
    /// An attempt failed.
    AttemptFailed {
        rental: RentalId,
        attempt: Attempt,
        failure: AttemptFailure,
        /// True if it may be retried.
        retry: bool,
    },
    /// An attempt never began, or was given up for our own reasons.
    AttemptCancelled { rental: RentalId, attempt: Attempt },
    /// A worker has ended, or its activity never came to work.
    WorkerEnded {
        rental: RentalId,
        no: ActivityNo,
        /// The failure, if its end had another reason than the end of its work.
        failure: Option<WorkerFailure>,
    },
    /// Work that an earlier life of the run left in an activity can't be continued. Nobody is to blame.
    ActivityUnfit { rental: RentalId, no: ActivityNo },
    /// An activity's usage was read.
    Usage {
        rental: RentalId,
        no: ActivityNo,
        /// The counters, in the order of its usage vector.
        usage: Vec<f64>,
    },
    /// An activity is over, as far as it can be ended; its agreement isn't.
    ActivityClosed {
        rental: RentalId,
        no: ActivityNo,
        /// The usage it ended with.
        usage: Option<Vec<f64>>,
        /// The reason why it couldn't be ended, if it couldn't.
        failure: Option<String>,
    },
    /// A rental's activity and agreement are over, as far as they can be ended.
    Closed {
        rental: RentalId,
        /// The usage it ended with.
        usage: Option<Vec<f64>>,
        /// The part of it that couldn't be ended, if there is one.
        failure: Option<String>,
        /// True if its agreement is known to be over.
        ended: bool,
    },
    /// An agreement that couldn't be ended in time has been ended after all.
    EndedLate { rental: RentalId },
    /// An agreement was ended by one side.
    AgreementTerminated { agreement: AgreementId, by: Terminator, reason: Option<Reason> },

    /// A debit note came.
    DebitNote {
        note: Box<DebitNote>,
        /// The time at which the daemon reported it, if it did.
        told: Option<Timestamp>,
    },
    /// An invoice came.
    Invoice {
        invoice: Box<Invoice>,
        /// The time at which the daemon reported it, if it did.
        told: Option<Timestamp>,
    },
    /// All bills have come that the daemon had of a run when it was resumed.
    BillsTold,
    /// A bill can't be read that [`Effect::FetchBill`] asked for.
    BillUnreadable { bill: Bill },
    /// A bill was accepted.
    BillAccepted { bill: Bill },
    /// A bill couldn't be accepted.
    BillFailed {
        bill: Bill,
        problem: String,
        /// True if the same may succeed later.
        passing: bool,
    },
}

/// Something to be done outside. Its outcome comes back as an [`Input`] within a bounded time, except where it says
/// that nothing comes back.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub enum Effect {
    /// Read up to so many tasks from a job's source, at least one unless there are no more.
    LoadTasks { job: JobId, most: usize },
    /// Look whether something of our own works again.
    ProbeOwn { fault: OwnFault },
    /// Ask the daemon what has changed while this process stood still: agreements that have ended and bills come as inputs of
    /// their own, and [`Input::LookedAround`] after them.
    LookAround {
        /// The agreements that are in force as far as the run knows.
        agreements: Vec<AgreementId>,
        /// Debit notes that came after this moment are asked for; all of them if it is `None`.
        debit_notes_after: Option<Timestamp>,
        /// Invoices that came after this moment are asked for; all of them if it is `None`.
        invoices_after: Option<Timestamp>,
    },
    /// Add to the allocation. The budget rises only when that was done.
    RaiseBudget {
        /// GLM to add; none where the budget's windows hold no more for now.
        by: Glm,
        /// The new budget in all.
        budget: Glm,
    },
    /// Set more aside, as the windows of the budget allow. No other change of the allocation is under way.
    GrowAllocation { by: Glm },
    /// Make a new allocation in place of one that is lost. Sets money aside.
    Allocate {
        amount: Glm,
        /// The time at which it is to end by itself, exactly.
        expires: Timestamp,
    },
    /// Publish a demand and follow its events.
    Publish {
        demand: Box<NewDemand>,
        /// The latest end of its agreements.
        expires: Timestamp,
    },
    /// Take a demand off the market; nothing comes back.
    Withdraw { demand: DemandId },
    /// Answer a proposal with our terms.
    Counter { demand: DemandId, proposal: ProposalId, terms: Box<NewDemand> },
    /// Refuse a proposal; nothing comes back.
    RefuseProposal { demand: DemandId, proposal: ProposalId, reason: Reason },
    /// Create an agreement, confirm it and wait for the provider. Spends.
    Sign { rental: RentalId, proposal: ProposalId },
    /// Wait no longer for the provider's decision: take the agreement back. The outcome is that of [`Effect::Sign`].
    TakeBack { rental: RentalId },
    /// Create an activity, prepare it and start the job's worker in it. Spends.
    OpenActivity {
        rental: RentalId,
        no: ActivityNo,
        /// The job that the worker is for.
        job: JobId,
        agreement: AgreementId,
        provider: Provider,
    },
    /// Read the usage of an activity that goes on. Nothing follows where that fails.
    ReadUsage {
        rental: RentalId,
        /// The number of its activity.
        no: ActivityNo,
        activity: ActivityId,
    },
    /// Start the job's worker again in an activity that an earlier life of the run left.
    ResumeActivity {
        rental: RentalId,
        no: ActivityNo,
        /// The job that the worker is for.
        job: JobId,
        agreement: AgreementId,
        provider: Provider,
        activity: ActivityId,
        /// The work that its worker had done.
        replay: Box<Replay>,
    },
    /// Stop the worker and destroy the activity; the agreement goes on.
    CloseActivity {
        rental: RentalId,
        no: ActivityNo,
        /// The activity, where it is known.
        activity: Option<ActivityId>,
        /// True if the worker is told that there are no more tasks, and given time to end by itself. Otherwise it is
        /// stopped wherever it is.
        gently: bool,
    },
    /// Hand tasks to a worker that asked for some.
    Assign { rental: RentalId, tasks: Vec<AssignedTask> },
    /// Stop the worker, destroy the activity, terminate the agreement: whatever of these there is.
    Close {
        rental: RentalId,
        /// Its agreement, unless the provider has ended it.
        agreement: Option<AgreementId>,
        /// Its activity, if there is one.
        activity: Option<ActivityId>,
        reason: Reason,
    },
    /// Promise to pay a bill. Spends.
    AcceptBill { bill: Bill, amount: Glm },
    /// Read a bill that an earlier life of the run left undecided. It comes back as if the daemon had told of it, or
    /// as [`Input::BillUnreadable`].
    FetchBill { bill: Bill },
    /// Refuse an invoice; nothing comes back.
    RejectInvoice { invoice: InvoiceId, rejection: Rejection },
}

impl Effect {
    /// True if the events of its step must be durable before it is sent.
    ///
    /// So it is with all that spends, and with all that follows from an outcome.
    pub fn needs_intent(&self) -> bool {
        !matches!(
            self,
            Self::Assign { .. } | Self::LoadTasks { .. } | Self::Counter { .. } | Self::ReadUsage { .. }
        )
    }
}

/// The reason why a worker couldn't go on, or its activity never came to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerFailure {
    /// The kind of failure: [`FailureKind::Invalid`] and [`FailureKind::OwnTrouble`] are never its provider's fault,
    /// [`FailureKind::Lost`] never that of the work.
    pub kind: FailureKind,
    /// In words.
    pub message: String,
}

impl WorkerFailure {
    /// The activity, or the way to it, is lost.
    pub fn lost(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Lost, message: message.into() }
    }
}

/// The answer to an input.
#[derive(Debug, Default)]
pub struct Step {
    /// The events, which are to be stored first.
    pub events: Vec<Event>,
    /// The effects, which are to be carried out then.
    pub effects: Vec<Effect>,
}

/// The settings of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobSpec {
    /// The number of retries of a failed task; as the run says where this says nothing.
    pub retries: Option<u32>,
    /// The time at which the job ends, finished or not.
    pub deadline: Option<Timestamp>,
    /// True if tasks may be added to its source meanwhile: before the job ends it is asked for tasks once more.
    pub grows: bool,
}

/// The reasons why a budget can't be raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotRaised {
    /// The run begins no more work: more money would change nothing.
    Stopping,
    /// The daemon no longer has the run's allocation, and a new one isn't made yet.
    AllocationLost,
    /// There isn't so much GLM.
    TooMuch,
    /// Nothing is said of the whole: there are limits for any hour or day only.
    NotLimitedInAll,
}

/// Something of the requestor's own that work needs and that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFault {
    /// The error and its place, in words.
    pub problem: String,
    /// The folder that something couldn't be written to, where it is about one.
    pub folder: Option<PathBuf>,
    /// So many bytes at least should have been written there.
    pub bytes: u64,
}
