//! A provider's way to a real daemon: [`Port`] over its REST API and its bus.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tracing::debug;
use yagna_api::activity::{ActivityState, ActivityUsage};
use yagna_api::identity::Me;
use yagna_api::market::{Agreement, AgreementEvent, AgreementState, Reason};
use yagna_api::payment::{DebitNote, DebitNoteEvent, Invoice, InvoiceEvent};
use yagna_api::version::Version;
use yagna_api::{
    ActivityId, AgreementId, ApiError, AppKey, AppSessionId, DebitNoteId, InvoiceId, NetworkId, NodeId,
    OfferId, ProposalId, Request, Timestamp,
};

use super::address::DaemonAddress;
use super::bus::{BindError, Bus, CallError};
use super::calls;
use super::exe_unit::ServedUnit;
use super::message::{self, ServiceError};
use super::remote;
use super::rest::{Rest, RestError, own};
use super::vpn::{self, Served};
use super::{JoinError, calls::OfferItem};
use crate::port::{
    ActivityEvent, BusError, BusValue, ExeUnitService, NewDebitNote, NewInvoice, OfferEvent, Port,
    PortResult, Terms, VpnEnd, VpnSeat,
};

/// The name of the caller of local calls.
const LOCAL: &str = "local";
/// A usage report is worthless once the next one is due.
const REPORT_PATIENCE: Duration = Duration::from_secs(3);
/// For an address to be served, a reconnection included.
const BIND_PATIENCE: Duration = Duration::from_secs(20);
/// For a call of another node's service.
const CALL_PATIENCE: Duration = Duration::from_secs(60);
/// An approval that may have been given is looked after for this long while the daemon restarts.
const APPROVAL_PATIENCE: Duration = Duration::from_secs(60);
/// A state is reported again for this long; shorter than an exe-unit may take to end.
const STATE_PATIENCE: Duration = Duration::from_secs(15);
/// The oldest daemon that the clients of today still work with.
const OLDEST: (u32, u32) = (0, 15);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// One identity of a real daemon, for the providers that sell in its name.
///
/// Calls that fail because the daemon isn't there answer with status 503, those that it doesn't answer in time with
/// 504. The bus comes back by itself after a restart of the daemon, with every exe-unit that is bound.
pub struct DaemonPort {
    rest: Rest,
    bus: Bus,
    node: NodeId,
    served: Mutex<HashMap<ActivityId, Arc<ServedUnit>>>,
    /// Shared by all ports of the same connection.
    vpns: Arc<Served>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SetUsage<'a> {
    activity_id: &'a ActivityId,
    usage: &'a ActivityUsage,
    timeout: Option<f32>,
}

impl DaemonPort {
    /// Connects to a daemon: asks who the key belongs to, and says hello on its bus.
    ///
    /// Must be called within a tokio runtime, which then keeps the bus connected until the port is dropped.
    pub async fn connect(address: DaemonAddress) -> Result<Self, JoinError> {
        let DaemonAddress { api, gsb, key } = address;
        let rest = Rest::new(&api, &key).map_err(|error| setup(error, &api))?;
        let version: Version =
            rest.json(Request::get("/version/get")).await.map_err(|error| no_daemon(&api, &error))?;
        if is_too_old(&version.current.version) {
            return Err(JoinError::TooOld { found: version.current.version });
        }
        let node = whoami(&rest, &api).await?;
        let bus = Bus::connect(gsb.clone()).await.map_err(|source| JoinError::Bus { gsb, source })?;
        debug!(version = version.current.version, %node, "joined a daemon");
        Ok(Self::new(rest, bus, node, Arc::default()))
    }

    /// The port of another identity of the same daemon. They share the connection to the bus.
    pub async fn with_key(&self, key: &AppKey) -> Result<Self, JoinError> {
        let api = self.rest.base().to_owned();
        let rest = self.rest.with_key(key).map_err(|error| setup(error, &api))?;
        let node = whoami(&rest, &api).await?;
        Ok(Self::new(rest, self.bus.clone(), node, Arc::clone(&self.vpns)))
    }

    fn new(rest: Rest, bus: Bus, node: NodeId, vpns: Arc<Served>) -> Self {
        Self { rest, bus, node, served: Mutex::default(), vpns }
    }

    fn served(&self) -> MutexGuard<'_, HashMap<ActivityId, Arc<ServedUnit>>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unit(&self, activity: &ActivityId) -> Option<Arc<ServedUnit>> {
        self.served().get(activity).cloned()
    }

    /// Approves, and finds out what became of an approval whose answer was lost.
    async fn approve(&self, agreement: &AgreementId, session: Option<AppSessionId>) -> PortResult<()> {
        let began = Instant::now();
        loop {
            let error = match self.rest.done(calls::approve_agreement(agreement, session.as_ref())).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let state = self.rest.json::<Agreement>(calls::get_agreement(agreement)).await;
            let pending = match state.map(|found| found.state) {
                Ok(AgreementState::Approved) => return Ok(()),
                Ok(state) => state == AgreementState::Pending,
                Err(unknown) => is_down(&unknown),
            };
            if !pending || !is_down(&error) || began.elapsed() >= APPROVAL_PATIENCE {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
    }

    async fn report_state(&self, activity: &ActivityId, state: ActivityState) -> PortResult<()> {
        if let Some(unit) = self.unit(activity) {
            unit.on_state(&state);
        }
        let began = Instant::now();
        loop {
            match self.rest.done(calls::set_activity_state(activity, &state)).await {
                // A state that never arrives would leave the requestor waiting.
                Err(error) if is_down(&error) && began.elapsed() < STATE_PATIENCE => sleep(PAUSE).await,
                answer => return answer,
            }
        }
    }

    async fn report_usage(&self, activity: &ActivityId, usage: ActivityUsage) -> PortResult<()> {
        if let Some(unit) = self.unit(activity) {
            unit.on_usage(&usage);
        }
        let data = message::write(&SetUsage { activity_id: activity, usage: &usage, timeout: None });
        let address = "/local/activity/SetActivityUsage".to_owned();
        let answer = self.bus.call(LOCAL, address, data, REPORT_PATIENCE).await.map_err(on_bus)?;
        match message::read::<Result<(), ServiceError>>(&answer) {
            Ok(answer) => answer.map_err(ApiError::from),
            Err(error) => Err(own(500, error.to_string())),
        }
    }

    async fn bind(&self, activity: &ActivityId, unit: Arc<dyn ExeUnitService>) -> PortResult<()> {
        let served = Arc::new(ServedUnit::new(activity.clone(), unit));
        let address = ServedUnit::address(activity);
        let handler = Arc::clone(&served);
        self.bus.bind(address, handler, BIND_PATIENCE).await.map_err(not_bound)?;
        self.served().insert(activity.clone(), served);
        Ok(())
    }

    fn unbind(&self, activity: &ActivityId) {
        self.bus.unbind(&ServedUnit::address(activity));
        // Dropped outside the lock: an exe-unit's end is its own affair.
        let unit = self.served().remove(activity);
        drop(unit);
    }

    /// Nothing within the wait is an empty list, however the daemon says that.
    async fn activities(&self, after: Timestamp, wait: Duration) -> PortResult<Vec<ActivityEvent>> {
        match self.rest.list::<calls::ActivityItem>(calls::activity_events(after, wait)).await {
            Ok(items) => Ok(items.into_iter().map(ActivityEvent::from).collect()),
            Err(error) if error.status == 408 => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for DaemonPort {
    fn drop(&mut self) {
        for activity in std::mem::take(&mut *self.served()).into_keys() {
            self.bus.unbind(&ServedUnit::address(&activity));
        }
    }
}

impl fmt::Debug for DaemonPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DaemonPort")
            .field("node", &self.node)
            .field("rest", &self.rest)
            .finish_non_exhaustive()
    }
}

impl Port for DaemonPort {
    fn node(&self) -> NodeId {
        self.node.clone()
    }

    fn subscribe_offer(&self, offer: Terms) -> BoxFuture<'_, PortResult<OfferId>> {
        async move { self.rest.json(calls::subscribe_offer(&offer)).await }.boxed()
    }

    fn unsubscribe_offer<'a>(&'a self, offer: &'a OfferId) -> BoxFuture<'a, PortResult<()>> {
        self.rest.done(calls::unsubscribe_offer(offer)).boxed()
    }

    fn offer_events<'a>(
        &'a self,
        offer: &'a OfferId,
        wait: Duration,
    ) -> BoxFuture<'a, PortResult<Vec<OfferEvent>>> {
        async move {
            let items = self.rest.list::<OfferItem>(calls::offer_events(offer, wait)).await?;
            Ok(items.into_iter().map(OfferEvent::from).collect())
        }
        .boxed()
    }

    fn counter_proposal<'a>(
        &'a self,
        offer: &'a OfferId,
        proposal: &'a ProposalId,
        terms: Terms,
    ) -> BoxFuture<'a, PortResult<ProposalId>> {
        async move { self.rest.json(calls::counter_proposal(offer, proposal, &terms)).await }.boxed()
    }

    fn reject_proposal<'a>(
        &'a self,
        offer: &'a OfferId,
        proposal: &'a ProposalId,
        reason: Option<Reason>,
    ) -> BoxFuture<'a, PortResult<()>> {
        async move { self.rest.done(calls::reject_proposal(offer, proposal, reason.as_ref())).await }.boxed()
    }

    fn approve_agreement<'a>(
        &'a self,
        agreement: &'a AgreementId,
        session: Option<AppSessionId>,
    ) -> BoxFuture<'a, PortResult<()>> {
        self.approve(agreement, session).boxed()
    }

    fn reject_agreement<'a>(
        &'a self,
        agreement: &'a AgreementId,
        reason: Option<Reason>,
    ) -> BoxFuture<'a, PortResult<()>> {
        async move { self.rest.done(calls::reject_agreement(agreement, reason.as_ref())).await }.boxed()
    }

    fn terminate_agreement<'a>(
        &'a self,
        agreement: &'a AgreementId,
        reason: Option<Reason>,
    ) -> BoxFuture<'a, PortResult<()>> {
        async move { self.rest.done(calls::terminate_agreement(agreement, reason.as_ref())).await }.boxed()
    }

    fn agreement_events(
        &self,
        after: Timestamp,
        wait: Duration,
    ) -> BoxFuture<'_, PortResult<Vec<AgreementEvent>>> {
        self.rest.list(calls::agreement_events(after, wait)).boxed()
    }

    fn activity_events(
        &self,
        after: Timestamp,
        wait: Duration,
    ) -> BoxFuture<'_, PortResult<Vec<ActivityEvent>>> {
        self.activities(after, wait).boxed()
    }

    fn set_activity_state<'a>(
        &'a self,
        activity: &'a ActivityId,
        state: ActivityState,
    ) -> BoxFuture<'a, PortResult<()>> {
        self.report_state(activity, state).boxed()
    }

    fn set_activity_usage<'a>(
        &'a self,
        activity: &'a ActivityId,
        usage: ActivityUsage,
    ) -> BoxFuture<'a, PortResult<()>> {
        self.report_usage(activity, usage).boxed()
    }

    fn bind_exe_unit<'a>(
        &'a self,
        activity: &'a ActivityId,
        unit: Arc<dyn ExeUnitService>,
    ) -> BoxFuture<'a, PortResult<()>> {
        self.bind(activity, unit).boxed()
    }

    fn unbind_exe_unit<'a>(&'a self, activity: &'a ActivityId) -> BoxFuture<'a, ()> {
        async move { self.unbind(activity) }.boxed()
    }

    fn call_bus<'a>(
        &'a self,
        node: &'a NodeId,
        address: &'a str,
        component: &'a str,
        payload: BusValue,
    ) -> BoxFuture<'a, Result<BusValue, BusError>> {
        async move {
            let (address, data) = remote::request(node, address, component, &payload)?;
            let answer = self.bus.call(LOCAL, address.clone(), data, CALL_PATIENCE).await;
            remote::answer(&address, answer)
        }
        .boxed()
    }

    fn bind_vpn<'a>(
        &'a self,
        network: &'a NetworkId,
        end: Arc<dyn VpnEnd>,
    ) -> BoxFuture<'a, PortResult<VpnSeat>> {
        async move {
            let node = self.node.as_str();
            let taken = |_| own(409, format!("the node has another activity in the network {network}"));
            let ends = self.vpns.add(network, node, end).map_err(taken)?;
            let (bus, vpns) = (self.bus.clone(), Arc::clone(&self.vpns));
            let (of, node) = (network.clone(), node.to_owned());
            let seat = VpnSeat::new(move || {
                vpns.remove(&of, &node, || bus.unbind(&vpn::address(&of)));
            });
            let bind = async || {
                let handler = Arc::clone(&ends);
                self.bus.bind(vpn::address(network), handler, BIND_PATIENCE).await.map_err(not_bound)
            };
            ends.bound.get_or_try_init(bind).await?;
            Ok(seat)
        }
        .boxed()
    }

    fn push_frame(&self, network: &NetworkId, to: &str, frame: &[u8]) {
        self.bus.push(self.node.as_str(), vpn::remote(network, to), frame);
    }

    fn issue_debit_note(&self, note: NewDebitNote) -> BoxFuture<'_, PortResult<DebitNote>> {
        async move { self.rest.json(calls::issue_debit_note(&note)).await }.boxed()
    }

    fn send_debit_note<'a>(&'a self, note: &'a DebitNoteId) -> BoxFuture<'a, PortResult<()>> {
        self.rest.done(calls::send_debit_note(note)).boxed()
    }

    fn issue_invoice(&self, invoice: NewInvoice) -> BoxFuture<'_, PortResult<Invoice>> {
        async move { self.rest.json(calls::issue_invoice(&invoice)).await }.boxed()
    }

    fn send_invoice<'a>(&'a self, invoice: &'a InvoiceId) -> BoxFuture<'a, PortResult<()>> {
        self.rest.done(calls::send_invoice(invoice)).boxed()
    }

    fn debit_note_events(
        &self,
        after: Timestamp,
        wait: Duration,
    ) -> BoxFuture<'_, PortResult<Vec<DebitNoteEvent>>> {
        self.rest.list(calls::bill_events("debitNoteEvents", after, wait)).boxed()
    }

    fn invoice_events(
        &self,
        after: Timestamp,
        wait: Duration,
    ) -> BoxFuture<'_, PortResult<Vec<InvoiceEvent>>> {
        self.rest.list(calls::bill_events("invoiceEvents", after, wait)).boxed()
    }
}

/// Asks for the identity that the key belongs to.
async fn whoami(rest: &Rest, api: &str) -> Result<NodeId, JoinError> {
    match rest.json::<Me>(Request::get("/me")).await {
        Ok(me) => Ok(me.identity),
        Err(error) if error.is_unauthorised() => Err(JoinError::Key { api: api.to_owned() }),
        Err(error) => Err(no_daemon(api, &error)),
    }
}

fn no_daemon(api: &str, error: &ApiError) -> JoinError {
    let problem = if is_down(error) {
        error.message.clone()
    } else {
        format!("it answers {}: {}", error.status, error.message)
    };
    JoinError::NoDaemon { api: api.to_owned(), problem }
}

/// Text that is no version says nothing about age.
fn is_too_old(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u32>);
    matches!((parts.next(), parts.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < OLDEST)
}

fn setup(error: RestError, api: &str) -> JoinError {
    match error {
        RestError::Address => JoinError::Address(api.to_owned()),
        RestError::Key => JoinError::Key { api: api.to_owned() },
        RestError::Client(source) => JoinError::Client(source.into()),
    }
}

/// The daemon restarts, or is gone.
fn is_down(error: &ApiError) -> bool {
    matches!(error.status, 502..=504)
}

fn not_bound(error: BindError) -> ApiError {
    match error {
        BindError::NoConnection => own(503, error.to_string()),
        BindError::Refused(why) => own(409, why),
    }
}

fn on_bus(error: CallError) -> ApiError {
    match error {
        CallError::Lost | CallError::Busy => own(503, error.to_string()),
        CallError::Timeout => own(504, error.to_string()),
        CallError::Refused { code, text } => own(u16::try_from(code).unwrap_or(500), text),
    }
}

#[cfg(test)]
mod tests;
