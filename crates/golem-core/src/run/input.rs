//! What comes into a run and what goes out.

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
pub enum Input {
    /// Time has passed; at least once a second.
    Tick,
    /// There is a job to be done. Its id must be a new one.
    JobAdded {
        /// The job.
        job: JobId,
        /// What it is to keep to.
        spec: JobSpec,
    },
    /// No jobs will be added any more: the run ends with the last one it has.
    NoMoreJobs,
    /// A job is given up: what waits is dropped, what runs is stopped.
    JobCancelled {
        /// The job.
        job: JobId,
    },
    /// Tasks from a job's source, as asked for by [`Effect::LoadTasks`].
    Tasks {
        /// The job.
        job: JobId,
        /// Their data, in order.
        data: Vec<Value>,
        /// There are no more.
        exhausted: bool,
        /// How far the source has been read with them; of sources that can be read once more.
        mark: Option<SourceMark>,
    },
    /// Tasks that came up on the way, beside the source; for a job that isn't over.
    MoreTasks {
        /// The job.
        job: JobId,
        /// Their data, in order.
        data: Vec<Value>,
    },
    /// The source of a job's tasks failed.
    SourceBroken {
        /// The job.
        job: JobId,
        /// How.
        problem: String,
    },
    /// No more work is to be begun.
    Stop {
        /// Why.
        why: StopReason,
    },
    /// The daemon can't do something just now; it is being tried again.
    Trouble {
        /// What.
        doing: String,
        /// What it said.
        problem: String,
    },
    /// The daemon does its work again.
    Recovered,

    /// Something of our own fails that work needs. What it spoils is our fault.
    OwnFault {
        /// What.
        fault: OwnFault,
    },
    /// It was looked whether that is mended, as [`Effect::ProbeOwn`] asked.
    OwnProbed {
        /// What is still wrong, if anything is.
        still: Option<String>,
    },
    /// This process stood still until just now: it was stopped, or its machine was suspended.
    Gap {
        /// For how long.
        lasted: Duration,
    },
    /// The daemon has told everything that [`Effect::LookAround`] asked for, or can't be asked.
    LookedAround,
    /// The clock of this machine is far from that of the daemon.
    ClockOff {
        /// Is ours ahead?
        ahead: bool,
        /// How far apart they are.
        by: Duration,
    },

    /// The user wants to spend so much more, as [`Run::raised_by`](super::Run::raised_by) allows.
    RaiseBudget {
        /// GLM to add.
        amount: Glm,
    },
    /// The allocation has grown as [`Effect::RaiseBudget`] asked.
    BudgetRaised {
        /// The new budget.
        budget: Glm,
    },
    /// It hasn't: the budget stays as it is.
    BudgetNotRaised {
        /// What it should have become.
        budget: Glm,
        /// Why not.
        reason: String,
    },
    /// More is set aside, as [`Effect::GrowAllocation`] asked.
    AllocationGrown {
        /// The allocation.
        allocation: AllocationId,
        /// How much it holds now, what is spent of it included.
        amount: Glm,
    },
    /// It isn't.
    AllocationNotGrown {
        /// Why.
        problem: String,
    },
    /// The allocation's end was moved ahead.
    AllocationProlonged {
        /// The allocation.
        allocation: AllocationId,
        /// Its new end.
        expires: Timestamp,
    },
    /// The daemon no longer has the run's allocation.
    AllocationLost {
        /// The allocation.
        allocation: AllocationId,
    },
    /// A new allocation was made.
    Allocated {
        /// The allocation.
        allocation: AllocationId,
        /// How much it holds.
        amount: Glm,
        /// When the daemon releases it by itself.
        expires: Timestamp,
        /// How demands speak of it.
        decoration: Box<Decoration>,
    },
    /// No new allocation could be made.
    NotAllocated {
        /// Why.
        problem: String,
    },

    /// A demand is on the market.
    Published {
        /// The demand.
        demand: DemandId,
        /// When its agreements end.
        expires: Timestamp,
    },
    /// It couldn't be published.
    PublishFailed {
        /// Why.
        problem: String,
    },
    /// The daemon no longer knows a demand.
    DemandLost {
        /// The demand.
        demand: DemandId,
    },
    /// A provider's proposal came.
    Proposal {
        /// For which demand.
        demand: DemandId,
        /// The proposal.
        proposal: Box<Proposal>,
    },
    /// A proposal came that can't be read.
    ProposalUnreadable {
        /// What is wrong with it.
        problem: String,
    },
    /// A provider refused our counter-proposal.
    Rejected {
        /// Our counter-proposal.
        ours: ProposalId,
        /// Its reason.
        reason: Option<Reason>,
    },
    /// Our counter-proposal was sent.
    Countered {
        /// The proposal it answers.
        proposal: ProposalId,
        /// Ours.
        ours: ProposalId,
    },
    /// Our counter-proposal couldn't be sent.
    CounterFailed {
        /// The proposal it should have answered.
        proposal: ProposalId,
        /// Why.
        problem: String,
    },

    /// An agreement has an id.
    AgreementCreated {
        /// The rental.
        rental: RentalId,
        /// The agreement.
        agreement: AgreementId,
    },
    /// The provider approved it.
    Approved {
        /// The rental.
        rental: RentalId,
        /// The agreement as it was agreed.
        agreement: Box<Agreement>,
    },
    /// There will be no agreement.
    NotApproved {
        /// The rental.
        rental: RentalId,
        /// Why.
        reason: String,
        /// It may have come about, or may yet: it must be ended before it can be forgotten.
        open: bool,
    },
    /// An activity was created.
    ActivityCreated {
        /// The rental.
        rental: RentalId,
        /// Which of its activities.
        no: ActivityNo,
        /// The activity.
        activity: ActivityId,
    },
    /// A worker asks for tasks; it gets them when there are some.
    WorkerReady {
        /// The rental.
        rental: RentalId,
        /// Which of its activities.
        no: ActivityNo,
        /// How many tasks it would take at once.
        room: usize,
    },
    /// A worker's script was taken by its activity.
    BatchSent {
        /// The rental.
        rental: RentalId,
        /// Which of its activities.
        no: ActivityNo,
        /// The script.
        script: SentScript,
    },
    /// An attempt succeeded.
    AttemptDone {
        /// The rental.
        rental: RentalId,
        /// The attempt.
        attempt: Attempt,
        /// What came of it.
        output: TaskOutput,
        /// How long it took.
        took: Duration,
        /// Tasks that it gave rise to: they join its job with its result, or not at all.
        more: Vec<Value>,
    },
    /// An attempt failed.
    AttemptFailed {
        /// The rental.
        rental: RentalId,
        /// The attempt.
        attempt: Attempt,
        /// Why.
        failure: AttemptFailure,
        /// May it be tried again?
        retry: bool,
    },
    /// An attempt never began, or was given up for our own reasons.
    AttemptCancelled {
        /// The rental.
        rental: RentalId,
        /// The attempt.
        attempt: Attempt,
    },
    /// A worker has ended, or its activity never came to work.
    WorkerEnded {
        /// The rental.
        rental: RentalId,
        /// Which of its activities.
        no: ActivityNo,
        /// Why, if not because its work was over.
        failure: Option<WorkerFailure>,
    },
    /// What an earlier life of the run left in an activity can't be gone on with. Nobody is to blame.
    ActivityUnfit {
        /// The rental.
        rental: RentalId,
        /// Which of its activities.
        no: ActivityNo,
    },
    /// An activity's usage was read.
    Usage {
        /// The rental.
        rental: RentalId,
        /// Which of its activities.
        no: ActivityNo,
        /// The counters, in the order of its usage vector.
        usage: Vec<f64>,
    },
    /// An activity is over, as far as it can be ended; its agreement isn't.
    ActivityClosed {
        /// The rental.
        rental: RentalId,
        /// Which of its activities.
        no: ActivityNo,
        /// The usage it ended with.
        usage: Option<Vec<f64>>,
        /// Why it couldn't be ended.
        failure: Option<String>,
    },
    /// A rental's activity and agreement are over, as far as they can be ended.
    Closed {
        /// The rental.
        rental: RentalId,
        /// The usage it ended with.
        usage: Option<Vec<f64>>,
        /// What of it couldn't be ended.
        failure: Option<String>,
        /// Is its agreement known to be over?
        ended: bool,
    },
    /// An agreement that couldn't be ended in time has been ended after all.
    EndedLate {
        /// The rental.
        rental: RentalId,
    },
    /// An agreement was ended by one side.
    AgreementTerminated {
        /// The agreement.
        agreement: AgreementId,
        /// Who ended it.
        by: Terminator,
        /// Why.
        reason: Option<Reason>,
    },

    /// A debit note came.
    DebitNote {
        /// The note.
        note: Box<DebitNote>,
        /// When the daemon told of it, where it did.
        told: Option<Timestamp>,
    },
    /// An invoice came.
    Invoice {
        /// The invoice.
        invoice: Box<Invoice>,
        /// When the daemon told of it, where it did.
        told: Option<Timestamp>,
    },
    /// All bills have come that the daemon had of a run when it was resumed.
    BillsTold,
    /// A bill can't be read that [`Effect::FetchBill`] asked for.
    BillUnreadable {
        /// Which.
        bill: Bill,
    },
    /// A bill was accepted.
    BillAccepted {
        /// Which.
        bill: Bill,
    },
    /// A bill couldn't be accepted.
    BillFailed {
        /// Which.
        bill: Bill,
        /// Why.
        problem: String,
        /// The same may succeed later.
        passing: bool,
    },
}

/// Something to be done outside. Its outcome comes back as an [`Input`] within a bounded time, except where it says
/// that nothing comes back.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Read up to so many tasks from a job's source, at least one unless there are no more.
    LoadTasks {
        /// The job.
        job: JobId,
        /// How many.
        most: usize,
    },
    /// Look whether something of our own works again.
    ProbeOwn {
        /// What failed.
        fault: OwnFault,
    },
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
        /// What the budget is to become in all.
        budget: Glm,
    },
    /// Set more aside, as the windows of the budget allow. No other change of the allocation is under way.
    GrowAllocation {
        /// GLM to add.
        by: Glm,
    },
    /// Make a new allocation in place of one that is lost. Sets money aside.
    Allocate {
        /// How much.
        amount: Glm,
        /// When it is to end by itself, exactly.
        expires: Timestamp,
    },
    /// Publish a demand and follow its events.
    Publish {
        /// What to publish.
        demand: Box<NewDemand>,
        /// When its agreements end.
        expires: Timestamp,
    },
    /// Take a demand off the market; nothing comes back.
    Withdraw {
        /// The demand.
        demand: DemandId,
    },
    /// Answer a proposal with our terms.
    Counter {
        /// For which demand.
        demand: DemandId,
        /// The provider's proposal.
        proposal: ProposalId,
        /// Our terms.
        terms: Box<NewDemand>,
    },
    /// Refuse a proposal; nothing comes back.
    RefuseProposal {
        /// For which demand.
        demand: DemandId,
        /// The provider's proposal.
        proposal: ProposalId,
        /// Why.
        reason: Reason,
    },
    /// Create an agreement, confirm it and wait for the provider. Spends.
    Sign {
        /// The rental.
        rental: RentalId,
        /// The provider's draft.
        proposal: ProposalId,
    },
    /// Wait no longer for the provider's decision: take the agreement back. The outcome is that of [`Effect::Sign`].
    TakeBack {
        /// The rental.
        rental: RentalId,
    },
    /// Create an activity, prepare it and start the job's worker in it. Spends.
    OpenActivity {
        /// The rental.
        rental: RentalId,
        /// Which of its activities.
        no: ActivityNo,
        /// Whose worker.
        job: JobId,
        /// Its agreement.
        agreement: AgreementId,
        /// The provider.
        provider: Provider,
    },
    /// Read the usage of an activity that goes on. Nothing follows where that fails.
    ReadUsage {
        /// The rental.
        rental: RentalId,
        /// The number of its activity.
        no: ActivityNo,
        /// The activity.
        activity: ActivityId,
    },
    /// Start the job's worker again in an activity that an earlier life of the run left.
    ResumeActivity {
        /// The rental.
        rental: RentalId,
        /// Which of its activities.
        no: ActivityNo,
        /// Whose worker.
        job: JobId,
        /// Its agreement.
        agreement: AgreementId,
        /// The provider.
        provider: Provider,
        /// The activity.
        activity: ActivityId,
        /// What its worker had done.
        replay: Box<Replay>,
    },
    /// Stop the worker and destroy the activity; the agreement goes on.
    CloseActivity {
        /// The rental.
        rental: RentalId,
        /// Which of its activities.
        no: ActivityNo,
        /// The activity, where it is known.
        activity: Option<ActivityId>,
        /// Is the worker told that there are no more tasks, and given time to end by itself? Otherwise it is
        /// stopped wherever it is.
        gently: bool,
    },
    /// Hand tasks to a worker that asked for some.
    Assign {
        /// The rental.
        rental: RentalId,
        /// At least one.
        tasks: Vec<AssignedTask>,
    },
    /// Stop the worker, destroy the activity, terminate the agreement: whatever of these there is.
    Close {
        /// The rental.
        rental: RentalId,
        /// Its agreement, unless the provider has ended it.
        agreement: Option<AgreementId>,
        /// Its activity, if there is one.
        activity: Option<ActivityId>,
        /// Why the agreement ends.
        reason: Reason,
    },
    /// Promise to pay a bill. Spends.
    AcceptBill {
        /// Which.
        bill: Bill,
        /// Exactly its amount.
        amount: Glm,
    },
    /// Read a bill that an earlier life of the run left undecided. It comes back as if the daemon had told of it, or
    /// as [`Input::BillUnreadable`].
    FetchBill {
        /// Which.
        bill: Bill,
    },
    /// Refuse an invoice; nothing comes back.
    RejectInvoice {
        /// Which.
        invoice: InvoiceId,
        /// Why.
        rejection: Rejection,
    },
}

impl Effect {
    /// Must the events of its step be durable before it is sent?
    ///
    /// So it is with all that spends, and with all that follows from an outcome.
    pub fn needs_intent(&self) -> bool {
        !matches!(
            self,
            Self::Assign { .. } | Self::LoadTasks { .. } | Self::Counter { .. } | Self::ReadUsage { .. }
        )
    }
}

/// Why a worker couldn't go on, or its activity never came to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerFailure {
    /// What kind of failure: [`FailureKind::Invalid`] and [`FailureKind::OwnTrouble`] are never its provider's fault, [`FailureKind::Lost`] never that of
    /// the work.
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
    /// What happened, to be stored first.
    pub events: Vec<Event>,
    /// What to do about it.
    pub effects: Vec<Effect>,
}

/// What a job is to keep to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobSpec {
    /// How often a task is tried again after failing; as the run says where this says nothing.
    pub retries: Option<u32>,
    /// When the job ends, finished or not.
    pub deadline: Option<Timestamp>,
    /// True if tasks may be added to its source meanwhile: before the job ends it is asked for tasks once more.
    pub grows: bool,
}

/// Why a budget can't be raised.
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
    /// What is wrong and where, in words.
    pub problem: String,
    /// The folder that something couldn't be written to, where it is about one.
    pub folder: Option<PathBuf>,
    /// So many bytes at least should have been written there.
    pub bytes: u64,
}
