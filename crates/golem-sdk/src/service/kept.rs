//! The instances of a service as this process knows them: their states, their machines, and who waits for a change.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use yagna_api::Timestamp;

use super::machine::Machine;
use super::restart::Failures;
use super::state::{EndReason, InstanceInfo, InstanceState, Place};

/// The instances of a service.
pub(super) struct Kept {
    service: String,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    stop: CancellationToken,
    has_wanted: Notify,
}

#[derive(Default)]
struct State {
    instances: BTreeMap<Place, Instance>,
    /// Places that are to be filled.
    wanted: VecDeque<Place>,
}

struct Instance {
    info: InstanceInfo,
    machine: Option<Machine>,
    failures: Failures,
    suspect: Arc<Notify>,
    /// Ends this instance alone, for the reason beside it.
    retire: CancellationToken,
    retired: Option<EndReason>,
}

impl Kept {
    pub(super) fn new(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            state: Mutex::default(),
            changes: watch::Sender::new(0),
            stop: CancellationToken::new(),
            has_wanted: Notify::new(),
        }
    }

    pub(super) fn infos(&self) -> Vec<InstanceInfo> {
        self.lock().instances.values().map(|instance| instance.info.clone()).collect()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
        self.changes.send_modify(|n| *n += 1);
    }

    pub(super) fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// True if no instance has a machine.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_down = |instance: &Instance| {
            matches!(instance.info.state, InstanceState::Pending | InstanceState::Stopped)
        };
        self.lock().instances.values().all(is_down)
    }

    /// The next place to be filled, if there is one.
    pub(super) fn take_wanted(&self) -> Option<Place> {
        self.lock().wanted.pop_front()
    }

    /// Waits until there may be a place to be filled.
    pub(super) async fn wanted(&self) {
        self.has_wanted.notified().await;
    }

    /// Wants this place to be filled.
    pub(super) fn want(&self, place: Place, now: Timestamp) {
        self.expect(place, now);
        self.lock().wanted.push_back(place);
        self.has_wanted.notify_one();
    }

    /// Knows of a place that is going to be filled.
    pub(super) fn expect(&self, place: Place, now: Timestamp) {
        self.lock().instance(&self.service, place, now);
        self.changes.send_modify(|n| *n += 1);
    }

    /// True if a later turn of this place is there or expected.
    pub(super) fn has_successor(&self, place: Place) -> bool {
        self.lock().instances.iter().any(|(other, instance)| {
            other.number == place.number
                && other.turn > place.turn
                && instance.info.state != InstanceState::Stopped
        })
    }

    /// The information about an instance, changed; what was changed is returned.
    pub(super) fn change(
        &self,
        place: Place,
        now: Timestamp,
        change: impl FnOnce(&mut InstanceInfo),
    ) -> InstanceInfo {
        let info = {
            let mut state = self.lock();
            let instance = state.instance(&self.service, place, now);
            let before = instance.info.state;
            change(&mut instance.info);
            if instance.info.state != before {
                instance.info.since = now;
            }
            if !instance.info.state.has_machine() && instance.info.state != InstanceState::Starting {
                instance.machine = None;
            }
            instance.info.clone()
        };
        if info.state == InstanceState::Ready {
            self.retire_predecessors(place);
        }
        self.changes.send_modify(|n| *n += 1);
        info
    }

    /// Gives an instance its machine, and what ends it alone.
    pub(super) fn begin(
        &self,
        place: Place,
        now: Timestamp,
        machine: &Machine,
    ) -> (CancellationToken, Arc<Notify>) {
        let mut state = self.lock();
        let instance = state.instance(&self.service, place, now);
        instance.machine = Some(machine.clone());
        (instance.retire.clone(), Arc::clone(&instance.suspect))
    }

    /// Ends one instance for this reason.
    pub(super) fn retire(&self, place: Place, reason: EndReason) {
        if let Some(instance) = self.lock().instances.get_mut(&place) {
            instance.retired.get_or_insert(reason);
            instance.retire.cancel();
        }
    }

    /// The reason for which an instance was told to end.
    pub(super) fn retired(&self, place: Place) -> EndReason {
        let state = self.lock();
        let reason = state.instances.get(&place).and_then(|instance| instance.retired.clone());
        reason.unwrap_or(EndReason::Asked)
    }

    /// The failures of a place: they are its own, whatever its turn.
    pub(super) fn with_failures<T>(&self, place: Place, work: impl FnOnce(&mut Failures) -> T) -> Option<T> {
        self.lock().instances.get_mut(&place).map(|instance| work(&mut instance.failures))
    }

    /// Removes an instance that a successor has replaced, or that its service no longer needs.
    pub(super) fn forget(&self, place: Place) {
        self.lock().instances.remove(&place);
        self.changes.send_modify(|n| *n += 1);
    }

    /// The machine of an instance; its state where it has none.
    pub(super) fn machine(&self, number: u32) -> Result<Machine, Option<InstanceState>> {
        let state = self.lock();
        let mut found = None;
        // The one that does its work comes first, then the newest.
        let of_number = state.instances.iter().filter(|(place, _)| place.number == number);
        for (_, instance) in of_number {
            match &instance.machine {
                Some(machine) if instance.info.state == InstanceState::Ready => return Ok(machine.clone()),
                Some(machine) if instance.info.state.has_machine() => found = Some(Ok(machine.clone())),
                _ => found = found.or(Some(Err(Some(instance.info.state)))),
            }
        }
        found.unwrap_or(Err(None))
    }

    /// The address that an instance of this place had last, if no other instance has it.
    pub(super) fn last_address(&self, place: Place) -> Option<std::net::Ipv4Addr> {
        self.lock().instances.get(&place)?.info.address
    }

    pub(super) fn suspect(&self, number: u32) {
        for (place, instance) in &self.lock().instances {
            if place.number == number {
                instance.suspect.notify_one();
            }
        }
    }

    fn retire_predecessors(&self, place: Place) {
        let older: Vec<_> = {
            let state = self.lock();
            let is_older = |other: &&Place| other.number == place.number && other.turn < place.turn;
            state.instances.keys().filter(is_older).copied().collect()
        };
        for older in older {
            self.retire(older, EndReason::Renewed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}

impl State {
    fn instance(&mut self, service: &str, place: Place, now: Timestamp) -> &mut Instance {
        self.instances.entry(place).or_insert_with(|| Instance {
            info: InstanceInfo::new(service, place, now),
            machine: None,
            failures: Failures::default(),
            suspect: Arc::default(),
            retire: CancellationToken::new(),
            retired: None,
        })
    }
}
