//! What a run knows beside its state. All of it may be lost in a crash: it is deduced anew, asked for again, or begins afresh.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use yagna_api::payment::Invoice;
use yagna_api::{AgreementId, AllocationId, Glm, NodeId, Timestamp};

use super::RunConfig;
use super::bills::Postponed;
use super::jobs::Job;
use super::market::Market;
use super::money::Backing;
use super::ours::Ours;
use super::part::Part;
use super::pause::{Pause, Vain};
use super::rental::LiveRental;
use super::spending::Growth;
use crate::event::{Bill, JobId, RentalId};
use crate::standing::{Records, Standings};

/// What may be lost of a run in a crash.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) backing: Backing,
    /// The allocation that was made in place of a lost one: news of those before it may come late, and twice.
    pub(super) anew: Option<AllocationId>,
    /// Jobs that aren't over.
    pub(super) jobs: BTreeMap<JobId, Job>,
    /// True if more jobs may come, so that the run goes on without one.
    pub(super) standing: bool,
    /// True if it was said that no more jobs come.
    pub(super) no_more_jobs: bool,
    pub(super) part: Option<Part>,
    pub(super) market: Market,
    pub(super) standings: Standings,
    pub(super) records: Records,
    pub(super) rentals: BTreeMap<RentalId, LiveRental>,
    /// Rentals by agreement, for as long as the rentals are kept: bills may come late.
    pub(super) by_agreement: HashMap<AgreementId, RentalId>,
    /// Agreements that were taken back since a provider last approved one.
    pub(super) taken_back: usize,
    /// The rentals whose bills are being accepted.
    pub(super) accepting: HashMap<Bill, RentalId>,
    /// Bills that couldn't be accepted, and when to try again.
    pub(super) bills_again: BTreeSet<(Timestamp, Bill)>,
    /// Bills that an earlier process decided about, and that may be told of once more.
    pub(super) seen_before: HashSet<Bill>,
    /// Invoices that wait for debit notes they may have overtaken, and until when.
    pub(super) held_invoices: Vec<(Timestamp, RentalId, Invoice)>,
    /// True if all bills have come that the daemon had when the run began or was resumed.
    pub(super) bills_told: bool,
    /// Bills that are right and that the budget's windows don't hold just now.
    pub(super) postponed: Vec<Postponed>,
    /// Providers that have done a task.
    pub(super) proven: HashSet<NodeId>,
    /// What may have been promised in all before the allocation is used up.
    pub(super) backed: Glm,
    pub(super) growth: Growth,
    /// By how much the allocation grows with the budget that is being raised.
    pub(super) raising: Option<Glm>,
    /// A wish for more budget that waits until the allocation has grown.
    pub(super) raise_waits: Option<Glm>,
    pub(super) paused: Option<Pause>,
    pub(super) vain: Vain,
    pub(super) stopping: Option<Stopping>,
    /// When something last ran, or when the run began.
    pub(super) last_alive: Timestamp,
    pub(super) last_explained: Option<Timestamp>,
    /// True if the budget forbade an agreement at the last look.
    pub(super) budget_blocks: bool,
    /// True if an agreement was ended for want of money, and none was raised since.
    pub(super) ended_for_money: bool,
    /// GLM that the agreement would have needed that the budget last forbade.
    pub(super) needed: Option<Glm>,
    pub(super) trouble: Option<String>,
    /// The last trouble told of each thing we do, until it is over.
    pub(super) told: BTreeMap<String, String>,
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) ours: Ours,
}

/// How the stopping of a run goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopping {
    pub(super) since: Timestamp,
    /// Since when every rental is over and only bills are awaited.
    pub(super) settling_since: Option<Timestamp>,
    /// True if it was told that rentals are still being ended.
    pub(super) is_told: bool,
}

impl Live {
    pub(super) fn new(config: &RunConfig, now: Timestamp) -> Self {
        Self {
            backing: Backing::There,
            anew: None,
            jobs: BTreeMap::new(),
            standing: config.standing,
            no_more_jobs: false,
            part: config.only.clone().map(Part::new),
            market: Market::default(),
            standings: Standings::default(),
            records: config.known.clone(),
            rentals: BTreeMap::new(),
            by_agreement: HashMap::new(),
            taken_back: 0,
            accepting: HashMap::new(),
            bills_again: BTreeSet::new(),
            seen_before: HashSet::new(),
            held_invoices: Vec::new(),
            bills_told: true,
            postponed: Vec::new(),
            proven: HashSet::new(),
            backed: config.budget.at_first(),
            growth: Growth::default(),
            raising: None,
            raise_waits: None,
            paused: None,
            vain: Vain::default(),
            stopping: None,
            last_alive: now,
            last_explained: None,
            budget_blocks: false,
            ended_for_money: false,
            needed: None,
            trouble: None,
            told: BTreeMap::new(),
            failures: BTreeMap::new(),
            ours: Ours::default(),
        }
    }
}
