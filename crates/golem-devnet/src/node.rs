//! The emulated daemon: a whole network's state and the REST API over it.
//!
//! A [`World`] stands for all daemons of a network at once. Requestors reach it through [`World::router`] (in
//! process) or [`World::serve`] (over TCP), with the status codes, bodies and habits of yagna 0.17.6; providers
//! through [`LocalPort`]. What runs in an activity is the provider's business.
//!
//! | module | what it holds |
//! |---|---|
//! | this one | the one lock, the wake-ups, the identities |
//! | `market`, `matching`, `negotiation`, `agreement` | from an offer to a rental |
//! | `activity`, `monitor`, `bus` | what runs, and the services on the bus |
//! | `net`, `seats`, `gateway` | virtual networks, who is in them, and the requestor's end |
//! | `allocation`, `payment`, `ledger`, `settlement` | the money |
//! | `faults`, `books` | what tests put in and look up |
//! | `http` | the REST API |

mod activity;
mod agreement;
mod allocation;
mod books;
mod bus;
mod events;
mod faults;
pub(crate) mod flex;
mod gateway;
mod http;
mod ledger;
mod market;
mod matching;
mod monitor;
mod negotiation;
mod net;
mod orders;
mod payment;
mod port;
mod refusal;
mod rfc3339;
mod scan;
mod seats;
mod settlement;

pub use books::{ActivityRow, AgreementRow, AllocationRow, BillRow, Books};
pub use bus::{BusClosed, BusSocket};
pub use faults::{Fault, Faults};
pub use port::LocalPort;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use yagna_api::time::{Clock, after, between};
use yagna_api::{ActivityId, AgreementId, AppKey, Glm, NodeId, Timestamp};

use self::activity::Activities;
use self::agreement::{AgreementEntry, Agreements};
use self::allocation::Allocations;
use self::bus::Bus;
use self::events::{EventLog, to_micros};
use self::market::Market;
use self::monitor::Monitor;
use self::net::Nets;
use self::payment::{BillEntry, Bills};
use self::scan::Scans;
use self::seats::Seats;
use crate::clock::DevnetClock;
use crate::port::ActivityEvent;

/// The delays of the network.
#[derive(Debug, Clone)]
pub struct Delays {
    /// The interval at which creations and destructions of activities, and their events, are looked for; zero is "at
    /// once".
    pub activity_poll: Duration,
    /// The interval at which events of bills are looked for; zero is "at once".
    pub payment_poll: Duration,
    /// The time that a message takes from one daemon to the other: proposals, agreements.
    pub message: Duration,
    /// The time that an acceptance takes, from reading the amount accepted before to adding to it. As the real daemon
    /// does, it lets others of the same agreement in meanwhile, and then counts both in full.
    pub acceptance: Duration,
    /// The longest time after its acceptance until a bill is paid; `None` leaves it accepted, as a daemon without a
    /// chain does. For the second half of it the bill is scheduled: in a payment order, with all others that waited.
    pub settlement: Option<Duration>,
}

impl Delays {
    /// As on the real network, with payments after half a minute.
    pub fn real() -> Self {
        Self {
            activity_poll: Duration::from_millis(750),
            payment_poll: Duration::from_secs(1),
            message: Duration::from_millis(5),
            acceptance: Duration::from_millis(20),
            settlement: Some(Duration::from_secs(30)),
        }
    }

    /// Everything at once, and no payments.
    pub fn none() -> Self {
        Self {
            activity_poll: Duration::ZERO,
            payment_poll: Duration::ZERO,
            message: Duration::ZERO,
            acceptance: Duration::ZERO,
            settlement: None,
        }
    }
}

/// A requestor's way into the emulated daemon.
#[derive(Debug, Clone)]
pub struct Requestor {
    /// The key for the REST API.
    pub key: AppKey,
    /// The identity behind it.
    pub node: NodeId,
}

/// A Golem Network: one emulated daemon for all its nodes. Clones are the same network.
#[derive(Clone)]
pub struct World(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    state: Mutex<State>,
    clock: DevnetClock,
    pub(crate) delays: Delays,
    pub(crate) faults: Faults,
    /// The ends of virtual networks.
    pub(crate) seats: Arc<Seats>,
    /// Connections into virtual networks, which outlive their requests.
    tunnels: Mutex<JoinSet<()>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("delays", &self.0.delays).finish_non_exhaustive()
    }
}

impl World {
    /// A network without nodes. Ids are drawn from the seed; the time is the clock's.
    pub fn new(clock: DevnetClock, seed: u64, delays: Delays) -> Self {
        let faults = Faults::new();
        let state = State::new(clock.now(), seed);
        let (seats, tunnels) = (Arc::default(), Mutex::default());
        Self(Arc::new(Inner { state: Mutex::new(state), clock, delays, faults, seats, tunnels }))
    }

    /// Adds a node that sells, with its own identity.
    pub fn add_provider(&self, name: &str) -> LocalPort {
        let (node, _) = self.add_node(name);
        LocalPort::new(self.clone(), node)
    }

    /// Adds a node that buys, with its own identity and app key.
    pub fn add_requestor(&self, name: &str) -> Requestor {
        let (node, key) = self.add_node(name);
        Requestor { key, node }
    }

    /// Adds a requestor with an app key of the caller's choice; `None` when the key is taken.
    pub fn add_requestor_with_key(&self, name: &str, key: AppKey) -> Option<Requestor> {
        self.with(|state| {
            if state.keys.contains_key(key.expose()) {
                return None;
            }
            let node = state.add_node(name);
            let caller = Caller { node: node.clone(), key_name: name.into() };
            state.keys.insert(key.expose().to_owned(), caller);
            Some(Requestor { key, node })
        })
    }

    /// Adds another app key for a node that is already there.
    pub fn add_key(&self, node: &NodeId, name: &str) -> AppKey {
        self.with(|state| {
            let key = AppKey::new(state.hex(32));
            state.keys.insert(key.expose().to_owned(), Caller { node: node.clone(), key_name: name.into() });
            key
        })
    }

    /// Limits what a requestor can set aside; without a limit it can set aside anything.
    pub fn set_funds(&self, node: &NodeId, funds: Glm) {
        self.with(|state| {
            if let Some(node) = state.nodes.get_mut(node) {
                node.funds = Some(funds);
            }
        });
    }

    /// Makes a requestor's account ready to pay on a platform, `driver-network-token`, before its first allocation.
    pub fn initialise_account(&self, node: &NodeId, platform: &str) {
        self.with(|state| {
            state.allocations.senders.insert((node.clone(), platform.to_owned()));
        });
    }

    /// Things to go wrong.
    pub fn faults(&self) -> Faults {
        self.0.faults.clone().of(self)
    }

    /// The present state of the network's books.
    pub fn books(&self) -> Books {
        self.with(|state| Books::of(state))
    }

    /// Ends all that runs for it: takes every exe-unit off the bus, and ends networks and the connections into them.
    pub(crate) fn end(&self) {
        self.0.tunnels.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        let units: Vec<_> = self.with(|state| {
            state.lose_networks();
            state.activities.0.values_mut().filter_map(|record| record.unit.take()).collect()
        });
        // Not under the lock: the end of a unit may take a while.
        drop(units);
    }

    /// The network's clock.
    pub fn clock(&self) -> DevnetClock {
        self.0.clock.clone()
    }

    /// Looks at the state or changes it; whatever was due has happened before.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = self.0.clock.now();
        state.apply_due();
        look(&mut state)
    }

    /// Looks until something is found or the deadline has passed.
    ///
    /// Looks at once, then at every wake-up, or every `step` where that isn't zero. What is found is returned
    /// without another await, so that a caller that goes away never takes anything with it.
    pub(crate) async fn wait<T>(
        &self,
        wake: &Notify,
        deadline: Instant,
        step: Duration,
        look: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        self.wait_and_wake(wake, deadline, step, look, State::next_due).await
    }

    /// Waits for a condition, and looks again each time that `due` has passed.
    pub(crate) async fn wait_and_wake<T>(
        &self,
        wake: &Notify,
        deadline: Instant,
        step: Duration,
        mut look: impl FnMut(&mut State) -> Option<T>,
        due: impl Fn(&State) -> Option<Duration>,
    ) -> Option<T> {
        loop {
            let woken = wake.notified();
            let (found, due) = self.with(|state| (look(state), due(state)));
            let now = Instant::now();
            if found.is_some() || now >= deadline {
                return found;
            }
            if step.is_zero() {
                let until = due.map_or(deadline, |due| deadline.min(now + due));
                tokio::select! {
                    () = woken => {}
                    () = tokio::time::sleep_until(until) => {}
                }
            } else {
                tokio::time::sleep_until(deadline.min(now + step)).await;
            }
        }
    }

    /// Lets the time pass that a message takes from one daemon to the other.
    pub(crate) async fn message(&self) {
        if !self.0.delays.message.is_zero() {
            tokio::time::sleep(self.0.delays.message).await;
        }
    }

    /// Carries a connection that outlives its request, for as long as the network exists.
    pub(crate) fn carry(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let mut tunnels = self.0.tunnels.lock().unwrap_or_else(PoisonError::into_inner);
        while tunnels.try_join_next().is_some() {}
        tunnels.spawn(connection);
    }

    /// Waits half the time of a message: events that are visible at both ends happen in between.
    pub(crate) async fn half_a_message(&self) {
        if !self.0.delays.message.is_zero() {
            tokio::time::sleep(self.0.delays.message / 2).await;
        }
    }

    fn add_node(&self, name: &str) -> (NodeId, AppKey) {
        let node = self.with(|state| state.add_node(name));
        let key = self.add_key(&node, name);
        (node, key)
    }
}

/// The caller of the API: the identity behind an app key.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) node: NodeId,
    pub(crate) key_name: Arc<str>,
}

/// One node's own part of the state.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Agreements, oldest first, in whichever role.
    pub(crate) agreements: Vec<AgreementId>,
    pub(crate) agreement_log: EventLog<AgreementEntry>,
    pub(crate) agreement_wake: Arc<Notify>,
    pub(crate) activity_log: EventLog<ActivityEvent>,
    pub(crate) activity_wake: Arc<Notify>,
    pub(crate) debit_note_log: EventLog<BillEntry>,
    pub(crate) invoice_log: EventLog<BillEntry>,
    pub(crate) bill_wake: Arc<Notify>,
    pub(crate) funds: Option<Glm>,
    /// A frozen node's daemon takes no messages and gives no answers.
    pub(crate) frozen: bool,
}

impl Node {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            agreements: Vec::new(),
            agreement_log: EventLog::default(),
            agreement_wake: Arc::default(),
            activity_log: EventLog::default(),
            activity_wake: Arc::default(),
            debit_note_log: EventLog::default(),
            invoice_log: EventLog::default(),
            bill_wake: Arc::default(),
            funds: None,
            frozen: false,
        }
    }
}

/// The events that are due at some time without any request.
#[derive(Debug)]
pub(crate) enum Due {
    /// A payment cycle of a payer on a platform.
    Cycle { payer: NodeId, platform: String, pay_after: Duration },
    /// A payment order is paid.
    Pay(String),
    /// A requestor's patience with a new activity is over, even if it went away itself.
    GiveUp(ActivityId),
}

/// Everything the network knows.
#[derive(Debug)]
pub(crate) struct State {
    /// The time of this look.
    pub(crate) now: Timestamp,
    last_stamp: Timestamp,
    random: fastrand::Rng,
    pub(crate) nodes: HashMap<NodeId, Node>,
    pub(crate) keys: HashMap<String, Caller>,
    pub(crate) market: Market,
    pub(crate) agreements: Agreements,
    pub(crate) activities: Activities,
    pub(crate) monitor: Monitor,
    pub(crate) allocations: Allocations,
    pub(crate) bills: Bills,
    pub(crate) nets: Nets,
    pub(crate) bus: Bus,
    pub(crate) scans: Scans,
    schedule: BTreeMap<Timestamp, Due>,
}

impl State {
    fn new(now: Timestamp, seed: u64) -> Self {
        Self {
            now,
            last_stamp: to_micros(now),
            random: fastrand::Rng::with_seed(seed),
            nodes: HashMap::new(),
            keys: HashMap::new(),
            market: Market::default(),
            agreements: Agreements::default(),
            activities: Activities::default(),
            monitor: Monitor::default(),
            allocations: Allocations::default(),
            bills: Bills::default(),
            nets: Nets::default(),
            bus: Bus::default(),
            scans: Scans::default(),
            schedule: BTreeMap::new(),
        }
    }

    fn add_node(&mut self, name: &str) -> NodeId {
        let id: NodeId = format!("0x{}", self.hex(40)).parse().expect("0x and 40 hex digits are a node id");
        self.nodes.insert(id.clone(), Node::new(name));
        id
    }

    /// Random lowercase hex digits.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.random.usize(..16)])).collect()
    }

    /// A random UUID.
    pub(crate) fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.random.u128(..).to_be_bytes()).into_uuid().to_string()
    }

    /// A time for an event: now, but later than every event before it, in whole microseconds.
    pub(crate) fn stamp(&mut self) -> Timestamp {
        let next = after(self.last_stamp, Duration::from_micros(1));
        self.last_stamp = to_micros(self.now).max(next);
        self.last_stamp
    }

    /// The time of an event once more, where none has come since; else a time for a later one.
    pub(crate) fn stamp_like(&mut self, at: Timestamp) -> Timestamp {
        if self.last_stamp == at { at } else { self.stamp() }
    }

    /// Lets something happen after a while.
    pub(crate) fn schedule(&mut self, wait: Duration, due: Due) {
        let mut at = after(self.now, wait);
        while self.schedule.contains_key(&at) {
            at = after(at, Duration::from_nanos(1));
        }
        self.schedule.insert(at, due);
    }

    /// The time until the next event that happens without a request.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.schedule.keys().next().map(|at| between(self.now, *at))
    }

    fn apply_due(&mut self) {
        while let Some(entry) = self.schedule.first_entry().filter(|entry| *entry.key() <= self.now) {
            match entry.remove() {
                Due::Cycle { payer, platform, pay_after } => {
                    self.order_payments(&payer, &platform, Some(pay_after));
                }
                Due::Pay(order) => self.pay_order(&order),
                Due::GiveUp(activity) => self.give_up_activity(&activity),
            }
        }
        self.apply_monitor();
    }

    /// A node that is known to exist: ids are only ever made by this world.
    pub(crate) fn node(&mut self, id: &NodeId) -> &mut Node {
        self.nodes.get_mut(id).expect("every identity in the books was made by this world")
    }

    pub(crate) fn is_frozen(&self, id: &NodeId) -> bool {
        self.nodes.get(id).is_some_and(|node| node.frozen)
    }
}
