//! Activities: the handshake with the provider, and what it reports of them.
//!
//! What an exe-unit does is the provider's business; here calls are passed to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use yagna_api::activity::{
    ActivityState, ActivityUsage, CommandResult, Script, State as ActivityStage, StatePair,
};
use yagna_api::market::AgreementState;
use yagna_api::{ActivityId, AgreementId, BatchId, NodeId, Timestamp};

use super::agreement::AgreementRecord;
use super::monitor::{Vigil, is_alive};
use super::negotiation::{Side, is_hex};
use super::refusal::Refusal;
use super::{Due, State, World};
use crate::port::{ActivityEvent, ActivityEventKind, ExeUnitService};

/// The time for which the REST call waits beyond the provider's own.
const MARGIN: Duration = Duration::from_secs(1);

/// All activities.
#[derive(Debug, Default)]
pub(crate) struct Activities(pub(crate) HashMap<ActivityId, ActivityRecord>);

#[derive(Debug)]
pub(crate) struct ActivityRecord {
    pub(crate) agreement: AgreementId,
    pub(crate) requestor: NodeId,
    pub(crate) provider: NodeId,
    /// The state in the books of the provider's daemon.
    pub(crate) state: ActivityState,
    pub(crate) usage: Option<ActivityUsage>,
    /// The state in the books of the requestor's daemon: nothing of an activity whose creation failed, and of others
    /// what it saw last.
    seen: Option<Seen>,
    pub(crate) created: Timestamp,
    pub(crate) unit: Option<Arc<dyn ExeUnitService>>,
    pub(crate) vigil: Vigil,
    /// Its requestor's patience is over.
    given_up: bool,
    wake: Arc<Notify>,
}

/// An activity as the requestor's daemon remembers it. Once it is on its way to its end, it isn't asked about again.
#[derive(Debug, Clone)]
struct Seen {
    state: ActivityState,
    usage: ActivityUsage,
}

impl ActivityRecord {
    fn is_over(&self) -> bool {
        self.state.state.0 == ActivityStage::Terminated
    }
}

impl World {
    /// Creates an activity and waits for its provider to say that it is there.
    pub(crate) async fn create_activity(
        &self,
        caller: &NodeId,
        agreement: &AgreementId,
        wait: Duration,
    ) -> Result<ActivityId, Refusal> {
        let (id, wake) = self.with(|state| state.begin_activity(caller, agreement, wait))?;
        let look = |state: &mut State| {
            let record = &state.activities.0[&id];
            let state = &record.state;
            match state.state.0 {
                ActivityStage::New => None,
                ActivityStage::Terminated => Some(Err(Refusal::new(
                    500,
                    format!(
                        "Service error: Activity {id} was abruptly terminated. Reason: {}, message: {}",
                        state.reason.as_deref().unwrap_or("None"),
                        state.error_message.as_deref().unwrap_or("None"),
                    ),
                ))),
                _ => Some(Ok(id.clone())),
            }
        };
        let deadline = Instant::now() + wait;
        if let Some(answer) = self.wait(&wake, deadline, self.0.delays.activity_poll, look).await {
            if answer.is_ok() {
                self.with(|state| state.on_created(&id));
            }
            answer
        } else {
            self.with(|state| state.give_up_activity(&id));
            Err(Refusal::timeout())
        }
    }

    /// Ends an activity and waits for its provider to say that it has ended.
    pub(crate) async fn destroy_activity(
        &self,
        caller: &NodeId,
        id: &ActivityId,
        wait: Duration,
    ) -> Result<(), Refusal> {
        let (wake, ending, frozen) = self.with(|state| {
            let record = state.own_activity(caller, id)?;
            // Activities that are about to end aren't waited for.
            let (wake, ending) = (Arc::clone(&record.wake), !is_alive(&record.state));
            let frozen = state.is_frozen(&record.provider);
            state.ask_destruction(id);
            Ok::<_, Refusal>((wake, ending, frozen))
        })?;
        let look = |state: &mut State| (ending || state.activities.0[id].is_over()).then_some(());
        let deadline = Instant::now() + if frozen { wait + MARGIN } else { wait };
        let ended = self.wait(&wake, deadline, self.0.delays.activity_poll, look).await;
        ended.ok_or_else(Refusal::timeout)?;
        self.with(|state| state.on_destroyed(id));
        Ok(())
    }

    /// An activity's state, as far as the requestor's daemon can tell.
    pub(crate) async fn activity_state(
        &self,
        caller: &NodeId,
        id: &ActivityId,
        wait: Duration,
    ) -> Result<ActivityState, Refusal> {
        match self
            .with(|state| state.look_at(caller, id, |record, seen| seen.state = record.state.clone()))?
        {
            Some(seen) => Ok(seen.state),
            None => Err(silence(wait).await),
        }
    }

    /// Answers the request for an activity's usage, with the same rules as for its state.
    pub(crate) async fn activity_usage(
        &self,
        caller: &NodeId,
        id: &ActivityId,
        wait: Duration,
    ) -> Result<ActivityUsage, Refusal> {
        let look = |record: &ActivityRecord, seen: &mut Seen| {
            if let Some(usage) = &record.usage {
                seen.usage = usage.clone();
            }
        };
        match self.with(|state| state.look_at(caller, id, look))? {
            Some(seen) => Ok(seen.usage),
            None => Err(silence(wait).await),
        }
    }

    /// Sends a script to the exe-unit.
    pub(crate) async fn exec(
        &self,
        caller: &NodeId,
        id: &ActivityId,
        script: Script,
        wait: Duration,
    ) -> Result<BatchId, Refusal> {
        let (unit, batch) = self.with(|state| {
            let unit = state.unit(caller, id, "Exec")?;
            Ok::<_, Refusal>((unit, BatchId::new(state.hex(32))))
        })?;
        let Some(unit) = unit else {
            return Err(silence(wait).await);
        };
        match tokio::time::timeout(wait + MARGIN, unit.exec(batch.clone(), script)).await {
            Ok(answer) => answer.map(|()| batch).map_err(Refusal::from),
            Err(_) => Err(Refusal::timeout()),
        }
    }

    /// A batch's results so far, once it or the command named is done, or the time is over.
    pub(crate) async fn results(
        &self,
        caller: &NodeId,
        id: &ActivityId,
        batch: &BatchId,
        wait: Duration,
        command: Option<u32>,
    ) -> Result<Vec<CommandResult>, Refusal> {
        let unit = self.with(|state| state.unit(caller, id, "GetExecBatchResults"))?;
        let Some(unit) = unit else {
            return Err(silence(wait).await);
        };
        match tokio::time::timeout(wait + MARGIN, unit.results(batch, wait, command)).await {
            Ok(answer) => answer.map_err(Refusal::from),
            Err(_) => Err(Refusal::timeout()),
        }
    }
}

/// The answer of a daemon when the other one is frozen: nothing, until its own patience ends.
async fn silence(wait: Duration) -> Refusal {
    tokio::time::sleep(wait + MARGIN).await;
    Refusal::timeout()
}

impl State {
    /// An activity of the caller's as requestor.
    pub(crate) fn own_activity(&self, caller: &NodeId, id: &ActivityId) -> Result<&ActivityRecord, Refusal> {
        let record = self.activities.0.get(id).filter(|record| record.seen.is_some());
        let record = record.ok_or_else(|| unknown(id))?;
        if record.requestor == *caller { Ok(record) } else { Err(forbidden(caller, &record.requestor)) }
    }

    /// An agreement that the caller has proposed to a provider.
    pub(crate) fn initiated_agreement(
        &self,
        caller: &NodeId,
        id: &AgreementId,
    ) -> Result<&AgreementRecord, Refusal> {
        if !is_hex(id.as_str(), 64) {
            let problem = if id.as_str().bytes().all(|b| b.is_ascii_hexdigit()) {
                "hash has invalid length. Should be |64|"
            } else {
                "contains non hexadecimal characters."
            };
            return Err(Refusal::new(500, format!("Service error: Id [{id}] {problem}")));
        }
        let not_found = || Refusal::new(404, format!("Not found: {id}"));
        let record = self.agreements.0.get(id).ok_or_else(not_found)?;
        if record.requestor == *caller { Ok(record) } else { Err(forbidden(caller, &record.requestor)) }
    }

    /// The activities of an agreement that one of its sides knows of.
    pub(crate) fn list_activities(
        &self,
        caller: &NodeId,
        agreement: &AgreementId,
    ) -> Result<Vec<ActivityId>, Refusal> {
        if let Ok((record, Side::Provider)) = self.own_agreement(caller, agreement) {
            return Ok(record.activities.clone());
        }
        let all = &self.initiated_agreement(caller, agreement)?.activities;
        Ok(all.iter().filter(|id| self.activities.0[*id].seen.is_some()).cloned().collect())
    }

    fn on_created(&mut self, id: &ActivityId) {
        let now = self.now.as_second();
        if let Some(record) = self.activities.0.get_mut(id) {
            let new = StatePair(ActivityStage::New, None);
            record.seen = Some(Seen {
                state: ActivityState { state: new, reason: None, error_message: None },
                usage: ActivityUsage { current_usage: None, timestamp: now },
            });
        }
    }

    /// The requestor's daemon notes its own success, whatever the provider says.
    fn on_destroyed(&mut self, id: &ActivityId) {
        if let Some(seen) = self.activities.0.get_mut(id).and_then(|record| record.seen.as_mut()) {
            let over = StatePair(ActivityStage::Terminated, None);
            seen.state = ActivityState { state: over, reason: None, error_message: None };
        }
    }

    /// The state in the books of the requestor's daemon, after a look at the provider's unless the activity is past it;
    /// `None` when the provider's daemon is frozen.
    fn look_at(
        &mut self,
        caller: &NodeId,
        id: &ActivityId,
        look: impl FnOnce(&ActivityRecord, &mut Seen),
    ) -> Result<Option<Seen>, Refusal> {
        let record = self.own_activity(caller, id)?;
        let mut seen = record.seen.clone().expect("own activities are seen");
        if is_alive(&seen.state) {
            if self.is_frozen(&record.provider) {
                return Ok(None);
            }
            look(record, &mut seen);
            if let Some(record) = self.activities.0.get_mut(id) {
                record.seen = Some(seen.clone());
            }
        }
        Ok(Some(seen))
    }

    /// The exe-unit of an activity; `None` when its node is frozen.
    pub(crate) fn unit(
        &self,
        caller: &NodeId,
        id: &ActivityId,
        message: &str,
    ) -> Result<Option<Arc<dyn ExeUnitService>>, Refusal> {
        let record = self.own_activity(caller, id)?;
        if self.is_frozen(&record.provider) {
            return Ok(None);
        }
        record.unit.clone().map(Some).ok_or_else(|| {
            Refusal::new(
                500,
                format!(
                    "GSB error: Remote service at `/net/{}/exeunit/{id}/{message}` error: GSB failure: Bad request: \
                     endpoint address not found",
                    record.provider
                ),
            )
        })
    }

    /// The provider reports a state.
    pub(crate) fn set_activity_state(
        &mut self,
        provider: &NodeId,
        id: &ActivityId,
        state: ActivityState,
    ) -> Result<(), Refusal> {
        let record = self.provided_activity(provider, id)?;
        // An ended activity stays ended: a late report of a running exe-unit changes nothing.
        if !record.is_over() {
            record.report(state);
        }
        record.wake.notify_waiters();
        if !record.given_up {
            self.begin_vigil(id);
        }
        Ok(())
    }

    /// The provider reports usage.
    pub(crate) fn set_activity_usage(&mut self, provider: &NodeId, id: &ActivityId, usage: ActivityUsage) {
        // The daemon doesn't notice that it knows no such activity.
        if let Ok(record) = self.provided_activity(provider, id) {
            record.usage = Some(usage);
            self.on_usage_report(id);
        }
    }

    /// An activity that this node provides.
    pub(crate) fn provided_activity(
        &mut self,
        provider: &NodeId,
        id: &ActivityId,
    ) -> Result<&mut ActivityRecord, Refusal> {
        self.activities.0.get_mut(id).filter(|record| record.provider == *provider).ok_or_else(|| unknown(id))
    }

    fn begin_activity(
        &mut self,
        caller: &NodeId,
        agreement: &AgreementId,
        wait: Duration,
    ) -> Result<(ActivityId, Arc<Notify>), Refusal> {
        let record = self.initiated_agreement(caller, agreement)?;
        let stage = record.state(self.now);
        if stage == AgreementState::Proposal {
            // The provider hasn't heard of it.
            return Err(Refusal::new(404, format!("Not found: {agreement}")));
        }
        if stage != AgreementState::Approved {
            return Err(Refusal::new(
                400,
                format!("Bad request: Agreement {agreement} is not Approved. Current state: {stage:?}"),
            ));
        }
        let provider = record.provider.clone();
        let id = ActivityId::new(self.hex(32));
        let wake = Arc::<Notify>::default();
        let record = ActivityRecord {
            agreement: agreement.clone(),
            requestor: caller.clone(),
            provider,
            state: ActivityState {
                state: StatePair(ActivityStage::New, None),
                reason: None,
                error_message: None,
            },
            usage: None,
            seen: None,
            created: self.now,
            unit: None,
            vigil: Vigil::new(self.now),
            given_up: false,
            wake: Arc::clone(&wake),
        };
        self.activities.0.insert(id.clone(), record);
        if let Some(agreement) = self.agreements.0.get_mut(agreement) {
            agreement.activities.push(id.clone());
        }
        self.tell_activity(&id, ActivityEventKind::Create);
        self.schedule(wait, Due::GiveUp(id.clone()));
        Ok((id, wake))
    }

    /// Gives up an activity that hasn't started in time.
    pub(crate) fn give_up_activity(&mut self, id: &ActivityId) {
        let given_up = self.activities.0.get_mut(id).is_some_and(|record| {
            record.state.state.0 == ActivityStage::New && !std::mem::replace(&mut record.given_up, true)
        });
        if given_up {
            self.ask_destruction(id);
        }
    }

    /// Asks a provider to end an activity, again if it was asked before.
    pub(crate) fn ask_destruction(&mut self, id: &ActivityId) {
        if self.activities.0.get(id).is_some_and(|record| is_alive(&record.state)) {
            self.tell_activity(id, ActivityEventKind::Destroy);
        }
    }

    fn tell_activity(&mut self, id: &ActivityId, kind: ActivityEventKind) {
        let at = self.stamp();
        let record = &self.activities.0[id];
        let (provider, agreement) = (record.provider.clone(), record.agreement.clone());
        let node = self.node(&provider);
        node.activity_log.push(at, ActivityEvent { event_date: at, activity: id.clone(), agreement, kind });
        node.activity_wake.notify_waiters();
    }
}

fn forbidden(caller: &NodeId, authorized: &NodeId) -> Refusal {
    Refusal::new(403, format!("Forbidden: caller: {caller} is not authorized: {authorized}"))
}

fn unknown(id: &ActivityId) -> Refusal {
    Refusal::new(500, format!("DAO error: Not found: agreement id for activity: {id}"))
}
