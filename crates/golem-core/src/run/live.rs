//! The part of a run that may be lost in a crash: it is deduced again, asked for again, or begins afresh.

pub(super) mod bills;
pub(super) mod jobs;
pub(super) mod market;
pub(super) mod money;
pub(super) mod ours;
pub(super) mod pace;
pub(super) mod part;

use std::collections::{BTreeMap, HashMap, HashSet};

use yagna_api::{AgreementId, NodeId, Timestamp};

use self::bills::Bills;
use self::jobs::Job;
use self::market::Market;
use self::money::Money;
use self::ours::Ours;
use self::pace::Pace;
use self::part::Part;
use super::config::RunConfig;
use super::rental::LiveRental;
use crate::event::{JobId, RentalId};
use crate::standing::{Records, Standings};

/// The part of a run that may be lost in a crash.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) money: Money,
    pub(super) bills: Bills,
    pub(super) providers: Providers,
    /// Jobs that aren't over.
    pub(super) jobs: BTreeMap<JobId, Job>,
    /// True if more jobs may come, so that the run goes on without one.
    pub(super) standing: bool,
    /// True if it was said that no more jobs come.
    pub(super) no_more_jobs: bool,
    pub(super) part: Option<Part>,
    pub(super) market: Market,
    pub(super) rentals: BTreeMap<RentalId, LiveRental>,
    /// The rentals of each provider, for as long as they are kept.
    pub(super) by_provider: HashMap<NodeId, Vec<RentalId>>,
    /// Rentals by agreement, for as long as the rentals are kept: bills may come late.
    pub(super) by_agreement: HashMap<AgreementId, RentalId>,
    /// Agreements that were taken back since a provider last approved one.
    pub(super) taken_back: usize,
    pub(super) stopping: Option<Stopping>,
    /// The moment at which something last ran, or the begin of the run.
    pub(super) last_alive: Timestamp,
    pub(super) last_explained: Option<Timestamp>,
    pub(super) trouble: Option<String>,
    /// The last trouble told of each thing we do, until it is over.
    pub(super) told: BTreeMap<String, String>,
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) ours: Ours,
    pub(super) pace: Pace,
}

/// The run's experience with providers.
#[derive(Debug)]
pub(super) struct Providers {
    pub(super) standings: Standings,
    pub(super) records: Records,
    /// Providers that have done a task.
    pub(super) proven: HashSet<NodeId>,
}

/// The progress of a run that is being stopped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopping {
    pub(super) since: Timestamp,
    /// The moment since which every rental is over and only bills are awaited.
    pub(super) settling_since: Option<Timestamp>,
    /// True if it was told that rentals are still being ended.
    pub(super) is_told: bool,
}

impl Live {
    pub(super) fn new(config: &RunConfig, now: Timestamp) -> Self {
        Self {
            money: Money::new(config.budget.at_first()),
            bills: Bills::new(),
            providers: Providers::new(config.known.clone()),
            jobs: BTreeMap::new(),
            standing: config.standing,
            no_more_jobs: false,
            part: config.only.clone().map(Part::new),
            market: Market::default(),
            rentals: BTreeMap::new(),
            by_provider: HashMap::new(),
            by_agreement: HashMap::new(),
            taken_back: 0,
            stopping: None,
            last_alive: now,
            last_explained: None,
            trouble: None,
            told: BTreeMap::new(),
            failures: BTreeMap::new(),
            ours: Ours::default(),
            pace: Pace::default(),
        }
    }
}

impl Live {
    /// Adds a rental of this provider.
    pub(super) fn add_rental(&mut self, id: RentalId, provider: &NodeId, rental: LiveRental) {
        self.rentals.insert(id, rental);
        self.by_provider.entry(provider.clone()).or_default().push(id);
    }

    /// Forgets a rental of this provider.
    pub(super) fn remove_rental(&mut self, id: RentalId, provider: &NodeId) {
        self.rentals.remove(&id);
        if let Some(ids) = self.by_provider.get_mut(provider) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_provider.remove(provider);
            }
        }
    }
}

impl Providers {
    fn new(known: Records) -> Self {
        Self { standings: Standings::default(), records: known, proven: HashSet::new() }
    }
}
