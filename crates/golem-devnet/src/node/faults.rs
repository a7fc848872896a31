//! Things to go wrong on purpose, for tests of those who must live with them.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use yagna_api::{DemandId, NodeId};

use super::market::DemandItem;
use super::{State, World};

/// The faults that can hit a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status, and nothing is done.
    Status(u16),
    /// The connection is dropped, and nothing is done.
    Drop,
    /// It is carried out, and then the connection is dropped: the answer is lost.
    LoseAnswer,
    /// It is never answered, and nothing is done.
    Freeze,
}

/// A handle to make things go wrong in one network. Clones are the same handle.
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Shared>,
    world: Option<World>,
}

#[derive(Debug)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    /// The number of rules, so that requests needn't take the lock when there are none.
    active: AtomicUsize,
    cut: Notify,
    /// The cuts of streams and sockets, which outlive their request.
    cuts: watch::Sender<u64>,
    requests: AtomicU64,
}

#[derive(Debug)]
struct Rule {
    /// Only paths that contain this.
    text: String,
    fault: Fault,
    left: Option<u64>,
    until: Option<Instant>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("rules", &self.shared.rules).finish_non_exhaustive()
    }
}

impl Faults {
    pub(crate) fn new() -> Self {
        let shared = Shared {
            rules: Mutex::default(),
            active: AtomicUsize::new(0),
            cut: Notify::new(),
            cuts: watch::Sender::new(0),
            requests: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared), world: None }
    }

    pub(crate) fn of(mut self, world: &World) -> Self {
        self.world = Some(world.clone());
        self
    }

    /// Hits the next `count` requests whose method, path and query, such as `POST /activity-api/v1/activity`,
    /// contain the text; the empty text is in all of them.
    pub fn next(&self, count: u64, text: &str, fault: Fault) {
        self.add(Rule { text: text.to_owned(), fault, left: Some(count), until: None });
    }

    /// Hits every such request for a while.
    pub fn for_a_while(&self, period: Duration, text: &str, fault: Fault) {
        self.add(Rule { text: text.to_owned(), fault, left: None, until: Some(Instant::now() + period) });
    }

    /// Hits every such request until [`Faults::clear`].
    pub fn always(&self, text: &str, fault: Fault) {
        self.add(Rule { text: text.to_owned(), fault, left: None, until: None });
    }

    /// Nothing goes wrong any more; frozen nodes thaw. Requests that hang are cut.
    pub fn clear(&self) {
        let mut rules = self.rules();
        rules.clear();
        self.shared.active.store(0, Ordering::Release);
        drop(rules);
        self.with_world(|world| {
            world.with(|state| state.nodes.values_mut().for_each(|node| node.frozen = false));
        });
        self.cut_all();
    }

    /// Starts the requestors' daemon again: long polls and streams are cut, demands, scans and virtual networks are forgotten,
    /// and for `down` every connection is dropped. All else survives.
    pub fn restart(&self, down: Duration) {
        if !down.is_zero() {
            self.for_a_while(down, "", Fault::Drop);
        }
        // First the cut: who waits shall lose its connection, not learn that its demand is gone.
        self.cut_all();
        self.with_world(|world| {
            world.with(|state| {
                state.forget_demands();
                state.forget_scans();
                state.lose_networks();
            });
        });
    }

    /// Loses all virtual networks, as a daemon that is started again does: their connections end and their ids are unknown.
    /// The machines that are in them are not told.
    pub fn lose_networks(&self) {
        self.with_world(|world| world.with(State::lose_networks));
    }

    /// Freezes a provider's daemon: it takes no messages and gives no answers until [`Faults::thaw`].
    pub fn freeze(&self, node: &NodeId) {
        self.set_frozen(node, true);
    }

    /// Lets a frozen daemon go on.
    pub fn thaw(&self, node: &NodeId) {
        self.set_frozen(node, false);
    }

    /// Puts any JSON as an event on a demand's queue.
    pub fn inject_event(&self, demand: &DemandId, event: Value) {
        self.with_world(|world| world.with(|state| state.queue_for_demand(demand, DemandItem::Raw(event))));
    }

    /// Puts any JSON as an event on the queues of all demands of a node.
    pub fn inject_event_for(&self, node: &NodeId, event: &Value) {
        self.with_world(|world| {
            world.with(|state| {
                for demand in state.list_demands(node) {
                    state.queue_for_demand(&DemandId::new(&demand.id), DemandItem::Raw(event.clone()));
                }
            });
        });
    }

    /// The number of requests so far.
    pub fn request_count(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Counts a request, and gives the fault that hits it, if there is one. `line` is only asked for when it matters.
    pub(crate) fn hit(&self, line: impl FnOnce() -> String) -> Option<Fault> {
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
        if self.shared.active.load(Ordering::Acquire) == 0 {
            return None;
        }
        let line = line();
        let now = Instant::now();
        let mut rules = self.rules();
        rules.retain(|rule| rule.until.is_none_or(|until| now < until) && rule.left != Some(0));
        let found = rules.iter_mut().find(|rule| line.contains(&rule.text)).map(|rule| {
            if let Some(left) = &mut rule.left {
                *left -= 1;
            }
            rule.fault
        });
        rules.retain(|rule| rule.left != Some(0));
        self.shared.active.store(rules.len(), Ordering::Release);
        found
    }

    /// Resolves when whatever waits is to be cut. Counts from its making.
    pub(crate) fn cut(&self) -> tokio::sync::futures::Notified<'_> {
        self.shared.cut.notified()
    }

    /// Waits for the next cut of a stream or a socket, which outlives its request.
    pub(crate) fn watch_cut(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut cuts = self.shared.cuts.subscribe();
        // An error means that the network itself is gone.
        async move { drop(cuts.changed().await) }
    }

    /// Ends every connection that waits or lasts.
    pub(crate) fn cut_all(&self) {
        self.shared.cut.notify_waiters();
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    fn add(&self, rule: Rule) {
        let mut rules = self.rules();
        rules.push(rule);
        self.shared.active.store(rules.len(), Ordering::Release);
    }

    fn set_frozen(&self, node: &NodeId, frozen: bool) {
        self.with_world(|world| {
            world.with(|state| {
                if let Some(node) = state.nodes.get_mut(node) {
                    node.frozen = frozen;
                }
            });
        });
    }

    fn with_world(&self, act: impl FnOnce(&World)) {
        if let Some(world) = &self.world {
            act(world);
        }
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, Vec<Rule>> {
        self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
