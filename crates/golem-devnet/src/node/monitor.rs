//! The reaction of a provider's daemon to an exe-unit that no longer reports usage.
//!
//! After five seconds of silence the activity is `Unresponsive`, until a report brings back the state it had. After ten
//! its provider is asked to destroy it, and from then on no report helps any more. The daemon looks every second and
//! counts whole seconds; here an activity's next deadline stands in a list that whoever looks at the state works off.
//! Only a provider that waits for events of its activities has to wake up for it.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use yagna_api::activity::{ActivityState, State as ActivityStage, StatePair};
use yagna_api::time::{after, between};
use yagna_api::{ActivityId, NodeId, Timestamp};

use super::State;
use super::activity::ActivityRecord;

/// More than five whole seconds.
const UNRESPONSIVE_AFTER: i64 = 6;
/// More than ten whole seconds.
const DESTROYED_AFTER: i64 = 11;
/// The pause before an activity whose daemon is frozen is looked at again.
const LATER: Duration = Duration::from_secs(1);

/// The schedule of looks at activities.
#[derive(Debug, Default)]
pub(crate) struct Monitor {
    all: BTreeSet<(Timestamp, ActivityId)>,
    by_node: HashMap<NodeId, BTreeSet<(Timestamp, ActivityId)>>,
}

/// The monitor's record of one activity.
#[derive(Debug)]
pub(crate) struct Vigil {
    /// The time of the last report of usage, in whole seconds; before the first one, the time at which the activity was
    /// asked for.
    reported: i64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// It isn't there yet.
    Ahead,
    Watching,
    /// It was in this state before it fell silent.
    Unresponsive(ActivityState),
    /// It ended, or is to be destroyed.
    Over,
}

impl Vigil {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { reported: now.as_second(), stage: Stage::Ahead }
    }
}

impl Monitor {
    fn add(&mut self, at: Timestamp, node: &NodeId, activity: &ActivityId) {
        self.all.insert((at, activity.clone()));
        self.by_node.entry(node.clone()).or_default().insert((at, activity.clone()));
    }

    fn remove(&mut self, at: Timestamp, node: &NodeId, activity: &ActivityId) {
        let entry = (at, activity.clone());
        self.all.remove(&entry);
        if let Some(own) = self.by_node.get_mut(node) {
            own.remove(&entry);
            if own.is_empty() {
                self.by_node.remove(node);
            }
        }
    }
}

impl ActivityRecord {
    /// Takes a state that was reported. One of an activity that is unresponsive shows when that has passed.
    pub(crate) fn report(&mut self, state: ActivityState) {
        match &mut self.vigil.stage {
            Stage::Unresponsive(before) if is_alive(&state) => {
                self.state.state = StatePair(ActivityStage::Unresponsive, state.state.1);
                *before = state;
            }
            _ => self.state = state,
        }
    }
}

impl State {
    /// An activity is there: from now on its exe-unit has to report usage.
    pub(crate) fn begin_vigil(&mut self, id: &ActivityId) {
        let Some(record) = self.activities.0.get_mut(id) else {
            return;
        };
        if matches!(record.vigil.stage, Stage::Ahead) && is_alive(&record.state) {
            record.vigil.stage = Stage::Watching;
            let (provider, reported) = (record.provider.clone(), record.vigil.reported);
            self.monitor.add(second(reported + UNRESPONSIVE_AFTER), &provider, id);
        }
    }

    /// Usage was reported.
    pub(crate) fn on_usage_report(&mut self, id: &ActivityId) {
        let now = self.now.as_second();
        let Some(record) = self.activities.0.get_mut(id) else {
            return;
        };
        record.vigil.reported = now;
        if matches!(record.vigil.stage, Stage::Unresponsive(_))
            && let Stage::Unresponsive(before) = std::mem::replace(&mut record.vigil.stage, Stage::Watching)
            && is_alive(&record.state)
        {
            record.state = before;
        }
    }

    /// Looks at the activities whose time has come.
    pub(crate) fn apply_monitor(&mut self) {
        while let Some((at, id)) = self.monitor.all.first().filter(|(at, _)| *at <= self.now).cloned() {
            let Some(record) = self.activities.0.get(&id) else {
                self.monitor.all.pop_first();
                continue;
            };
            let provider = record.provider.clone();
            self.monitor.remove(at, &provider, &id);
            if let Some(next) = self.look_after(&id, &provider) {
                self.monitor.add(next, &provider, &id);
            }
        }
    }

    /// The time until the monitor next has to report one of a provider's activities.
    pub(crate) fn next_monitored(&self, node: &NodeId) -> Option<Duration> {
        self.monitor.by_node.get(node)?.first().map(|(at, _)| between(self.now, *at))
    }

    /// Looks at one activity, and says when to look again.
    fn look_after(&mut self, id: &ActivityId, provider: &NodeId) -> Option<Timestamp> {
        // A frozen daemon has no monitor.
        if self.is_frozen(provider) {
            return Some(after(self.now, LATER));
        }
        let now = self.now.as_second();
        let record = self.activities.0.get_mut(id)?;
        if !is_alive(&record.state) {
            record.vigil.stage = Stage::Over;
            return None;
        }
        let silent = now - record.vigil.reported;
        if silent < UNRESPONSIVE_AFTER {
            return Some(second(record.vigil.reported + UNRESPONSIVE_AFTER));
        }
        if matches!(record.vigil.stage, Stage::Watching) {
            let state = StatePair(ActivityStage::Unresponsive, record.state.state.1);
            let unresponsive = ActivityState { state, reason: None, error_message: None };
            record.vigil.stage = Stage::Unresponsive(std::mem::replace(&mut record.state, unresponsive));
        }
        if silent < DESTROYED_AFTER {
            return Some(second(record.vigil.reported + DESTROYED_AFTER));
        }
        record.vigil.stage = Stage::Over;
        self.ask_destruction(id);
        None
    }
}

/// Neither ended nor on its way to it.
pub(crate) fn is_alive(state: &ActivityState) -> bool {
    let StatePair(now, next) = state.state;
    now != ActivityStage::Terminated && next != Some(ActivityStage::Terminated)
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}
