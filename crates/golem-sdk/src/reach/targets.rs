//! The places that a service answers at: a set that changes while forwards and proxies use it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use yagna_api::NetworkId;

/// The time for which a target gets no connections after its first failure; each further failure doubles it.
const REST: Duration = Duration::from_secs(1);
/// The longest time for which a target gets no connections.
const LONGEST_REST: Duration = Duration::from_secs(8);

/// A place that a service answers at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Target {
    /// The name of the instance, for people.
    pub name: String,
    /// The network that it is in.
    pub network: NetworkId,
    /// Its address there.
    pub ip: Ipv4Addr,
    /// The port that it listens at.
    pub port: u16,
}

impl Target {
    /// A place that a service answers at.
    pub fn new(name: impl Into<String>, network: NetworkId, ip: Ipv4Addr, port: u16) -> Self {
        Self { name: name.into(), network, ip, port }
    }

    /// Its address and port.
    pub fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip, self.port)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.address())
    }
}

/// A shared, changing set of places that a service answers at. Clones are the same set.
///
/// Whoever knows which instances are ready [sets](Self::set) them. A target that is removed gets no new connections; those
/// that it has go on until they end, or until whoever removed it ends it. [`drained`](Self::drained) waits for them.
#[derive(Debug, Clone)]
pub struct Targets(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Counts changes: of the set, and of connections of removed targets.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Arc<Entry>>,
    /// Removed ones that still have connections.
    draining: Vec<Arc<Entry>>,
    why_none: Option<String>,
    /// The place in the list at which the next search begins, so that equals take turns.
    turn: usize,
}

#[derive(Debug)]
struct Entry {
    target: Target,
    load: Mutex<Load>,
}

#[derive(Debug, Default)]
struct Load {
    connections: usize,
    failures: u32,
    rests_until: Option<Instant>,
    removed: bool,
}

impl Entry {
    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Targets {
    /// An empty set.
    pub fn new() -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), changes: watch::Sender::new(0) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the set. A target that was in it before keeps its connections.
    pub fn set(&self, targets: impl IntoIterator<Item = Target>) {
        let mut state = self.state();
        let mut before = std::mem::take(&mut state.entries);
        for target in targets {
            if state.entries.iter().any(|entry| entry.target == target) {
                continue;
            }
            // A target that is listed again no longer drains.
            let draining = state.draining.iter().position(|entry| entry.target == target);
            let entry = match before.iter().position(|entry| entry.target == target) {
                Some(place) => before.swap_remove(place),
                None => match draining {
                    Some(place) => state.draining.swap_remove(place),
                    None => Arc::new(Entry { target, load: Mutex::default() }),
                },
            };
            entry.load().removed = false;
            state.entries.push(entry);
        }
        for entry in before {
            let busy = {
                let mut load = entry.load();
                load.removed = true;
                load.connections > 0
            };
            if busy {
                state.draining.push(entry);
            }
        }
        drop(state);
        self.changed();
    }

    /// Sets the reason why there are no targets, which users are told: "web-1 is starting".
    pub fn why_none(&self, reason: impl Into<String>) {
        self.state().why_none = Some(reason.into());
    }

    /// The present targets.
    pub fn list(&self) -> Vec<Target> {
        self.state().entries.iter().map(|entry| entry.target.clone()).collect()
    }

    /// The number of connections that a target has at present.
    pub fn connections(&self, target: &Target) -> usize {
        let state = self.state();
        let mut all = state.entries.iter().chain(&state.draining);
        all.find(|entry| entry.target == *target).map_or(0, |entry| entry.load().connections)
    }

    /// The reason why there are no targets, for people.
    pub fn reason(&self) -> String {
        let told = self.state().why_none.clone();
        told.unwrap_or_else(|| "no instance of the service is ready".to_owned())
    }

    /// Chooses the target with the fewest connections among those that `fits`, and counts one more for it. Targets that
    /// failed a moment ago are chosen only where there are no others. Equals take turns.
    pub fn choose(&self, fits: impl Fn(&Target) -> bool) -> Option<Lease> {
        let mut state = self.state();
        let count = state.entries.len();
        let now = Instant::now();
        let rank = |entry: &Entry| {
            let load = entry.load();
            (load.rests_until.filter(|until| *until > now), load.connections)
        };
        let turn = state.turn;
        let places = (0..count).map(|step| (turn + step) % count);
        let best = places
            .filter(|&at| fits(&state.entries[at].target))
            .min_by_key(|&at| rank(&state.entries[at]))?;
        state.turn = (best + 1) % count;
        let entry = Arc::clone(&state.entries[best]);
        entry.load().connections += 1;
        Some(Lease { entry, targets: self.clone() })
    }

    /// Waits until there is a target.
    pub async fn ready(&self) {
        self.wait_for(|state| !state.entries.is_empty()).await;
    }

    /// Waits until no removed target has connections any more. Nothing limits the time: give it one.
    pub async fn drained(&self) {
        self.wait_for(|state| state.draining.is_empty()).await;
    }

    async fn wait_for(&self, condition: impl Fn(&State) -> bool) {
        let mut changes = self.0.changes.subscribe();
        while !condition(&self.state()) {
            // The sender is a part of this very set, so it lives.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn changed(&self) {
        self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Default for Targets {
    fn default() -> Self {
        Self::new()
    }
}

/// A connection to a target, as its set counts it. Dropping it ends the counting.
#[derive(Debug)]
pub struct Lease {
    entry: Arc<Entry>,
    targets: Targets,
}

impl Lease {
    /// The target.
    pub fn target(&self) -> &Target {
        &self.entry.target
    }

    /// True if the target has been removed from its set.
    pub fn is_removed(&self) -> bool {
        self.entry.load().removed
    }

    /// Notes that the target couldn't be reached: others are chosen first for a while.
    pub fn failed(&self) {
        let mut load = self.entry.load();
        let rest = (REST * 2_u32.saturating_pow(load.failures.min(8))).min(LONGEST_REST);
        load.failures = load.failures.saturating_add(1);
        load.rests_until = Some(Instant::now() + rest);
    }

    /// Notes that the target was reached.
    pub fn worked(&self) {
        let mut load = self.entry.load();
        load.failures = 0;
        load.rests_until = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let last_of_removed = {
            let mut load = self.entry.load();
            load.connections -= 1;
            load.removed && load.connections == 0
        };
        if last_of_removed {
            self.targets.state().draining.retain(|entry| !Arc::ptr_eq(entry, &self.entry));
            self.targets.changed();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn target(name: &str) -> Target {
        let host = name.bytes().last().unwrap_or(0);
        Target::new(name, NetworkId::new("n"), Ipv4Addr::new(10, 0, 0, host), 80)
    }

    fn any(targets: &Targets) -> Option<Lease> {
        targets.choose(|_| true)
    }

    #[tokio::test(start_paused = true)]
    async fn the_fewest_connections_win_and_equals_take_turns() {
        let targets = Targets::new();
        assert!(any(&targets).is_none());
        targets.set(["a", "b", "c"].map(target));
        let mut names = BTreeMap::new();
        for _ in 0..9 {
            let lease = any(&targets).unwrap();
            *names.entry(lease.target().name.clone()).or_insert(0) += 1;
        }
        assert!(names.values().all(|count| *count == 3), "{names:?}");
        let held: Vec<_> = (0..3).map(|_| any(&targets).unwrap()).collect();
        let free = held.into_iter().filter(|lease| lease.target().name == "b").count();
        assert_eq!(free, 1);
        let _a = targets.choose(|target| target.name == "a").unwrap();
        let _c = targets.choose(|target| target.name == "c").unwrap();
        let (first, second) = (any(&targets).unwrap(), any(&targets).unwrap());
        assert_eq!(first.target().name, "b");
        assert_ne!(second.target(), first.target());
        assert!(targets.choose(|_| false).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_rests_and_is_still_chosen_where_there_is_no_other() {
        let targets = Targets::new();
        targets.set(["a", "b"].map(target));
        targets.choose(|target| target.name == "a").unwrap().failed();
        let names: Vec<_> = (0..4).map(|_| any(&targets).unwrap().target().name.clone()).collect();
        assert_eq!(names, ["b"; 4]);
        assert_eq!(targets.choose(|target| target.name == "a").unwrap().target().name, "a");
        tokio::time::advance(Duration::from_millis(1001)).await;
        let names: Vec<_> = (0..2).map(|_| any(&targets).unwrap().target().name.clone()).collect();
        assert!(names.contains(&"a".to_owned()), "{names:?}");
        let a = targets.choose(|target| target.name == "a").unwrap();
        a.failed();
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(any(&targets).unwrap().target().name, "b", "a second failure rests longer");
        a.worked();
        assert_eq!(targets.connections(a.target()), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_removed_target_drains_and_one_that_comes_back_keeps_its_connections() {
        let targets = Targets::new();
        targets.set(["a", "b"].map(target));
        let lease = targets.choose(|target| target.name == "a").unwrap();
        targets.set([target("b"), target("b")]);
        assert_eq!(targets.list(), [target("b")]);
        assert!(lease.is_removed());
        assert_eq!(targets.connections(&target("a")), 1);
        assert!(tokio::time::timeout(Duration::from_secs(1), targets.drained()).await.is_err());
        targets.set(["a", "b"].map(target));
        assert!(!lease.is_removed());
        assert_eq!(any(&targets).unwrap().target().name, "b");
        targets.drained().await;
        targets.set([]);
        let waits = tokio::time::timeout(Duration::from_secs(1), async {
            tokio::join!(targets.drained(), async { drop(lease) })
        });
        waits.await.unwrap();
        assert_eq!(targets.connections(&target("a")), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_target_ends_with_the_first_and_the_reason_is_told_meanwhile() {
        let targets = Targets::new();
        assert_eq!(targets.reason(), "no instance of the service is ready");
        targets.why_none("web-1 is starting");
        assert_eq!(targets.reason(), "web-1 is starting");
        let waits = tokio::time::timeout(Duration::from_secs(1), async {
            tokio::join!(targets.ready(), async { targets.set([target("a")]) })
        });
        waits.await.unwrap();
    }
}
