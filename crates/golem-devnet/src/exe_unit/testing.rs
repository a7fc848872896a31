//! A daemon of one activity, for the tests of the exe-unit: keeps what is reported, and has files on its bus.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use sha3::{Digest as _, Sha3_256};
use yagna_api::activity::{
    ActivityState, ActivityUsage, Command, CommandResult, Deploy, Run, RuntimeEvent, Start, State, StatePair,
};
use yagna_api::market::{AgreementEvent, Reason};
use yagna_api::payment::{DebitNote, DebitNoteEvent, Invoice, InvoiceEvent};
use yagna_api::{
    ActivityId, AgreementId, ApiError, AppSessionId, BatchId, Clock, DebitNoteId, InvoiceId, NetworkId,
    NodeId, OfferId, ProposalId, Timestamp,
};

use super::{ExeUnit, ExeUnitConfig};
use crate::port::{
    ActivityEvent, BusError, BusValue, ExeUnitService, NewDebitNote, NewInvoice, OfferEvent, Port,
    PortResult, Terms, VpnEnd, VpnSeat,
};
use crate::runtime::Runtime;

pub(super) const REQUESTOR: &str = "0x1111111111111111111111111111111111111111";

/// Tells tokio's time.
#[derive(Debug)]
pub(crate) struct TestClock(tokio::time::Instant);

impl Default for TestClock {
    fn default() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        yagna_api::time::after(start, self.0.elapsed())
    }
}

#[derive(Debug, Default)]
pub(crate) struct FakePort {
    pub(crate) states: Mutex<Vec<ActivityState>>,
    pub(super) usage: Mutex<Vec<ActivityUsage>>,
    pub(super) bound: Mutex<Option<Arc<dyn ExeUnitService>>>,
    pub(super) refuses_binding: bool,
    /// Files offered by id.
    pub(super) offered: Mutex<HashMap<String, Vec<u8>>>,
    /// Files received by id: chunks by offset, then the hash.
    pub(super) received: Mutex<HashMap<String, Received>>,
    pub(super) flight: Flight,
}

#[derive(Debug, Default)]
pub(super) struct Received {
    chunks: BTreeMap<u64, Vec<u8>>,
    hash: Option<String>,
}

/// Counts calls under way, and answers each chunk later than the one after it.
#[derive(Debug, Default)]
pub(super) struct Flight {
    now: Mutex<usize>,
    pub(super) most: Mutex<usize>,
}

impl Received {
    /// The whole file, if its hash is right.
    pub(super) fn content(&self) -> Vec<u8> {
        let mut content = Vec::new();
        for (offset, chunk) in &self.chunks {
            assert_eq!(*offset, content.len() as u64, "no gaps");
            content.extend_from_slice(chunk);
        }
        assert_eq!(self.hash.as_deref(), Some(hex::encode(Sha3_256::digest(&content)).as_str()));
        content
    }
}

impl FakePort {
    /// Every state that was reported.
    pub(super) fn pairs(&self) -> Vec<StatePair> {
        self.states.lock().unwrap().iter().map(|state| state.state).collect()
    }

    fn answer(&self, address: &str, component: &str, payload: &BusValue) -> Result<BusValue, BusError> {
        let id =
            address.strip_prefix("/public/gftp/").ok_or_else(|| BusError::NoEndpoint(address.to_owned()))?;
        let offered = self.offered.lock().unwrap();
        let mut received = self.received.lock().unwrap();
        let number = |value: &BusValue, name: &str| value.field(name).and_then(BusValue::as_u64).unwrap();
        let size = |bytes: &Vec<u8>| bytes.len() as u64;
        match component {
            "GetMetadata" => {
                let file = offered.get(id).ok_or_else(|| BusError::NoEndpoint(address.to_owned()))?;
                Ok(BusValue::Map(vec![("fileSize".to_owned(), BusValue::UInt(size(file)))]))
            }
            "GetChunk" => {
                let (offset, wanted) = (number(payload, "offset"), number(payload, "size"));
                let file = &offered[id];
                assert!(wanted <= 40 * 1024 && offset + wanted <= size(file), "asked beyond the end");
                let range = usize::try_from(offset).unwrap()..usize::try_from(offset + wanted).unwrap();
                Ok(BusValue::Map(vec![
                    ("offset".to_owned(), BusValue::UInt(offset)),
                    ("content".to_owned(), BusValue::Bytes(file[range].to_vec())),
                ]))
            }
            "UploadChunk" => {
                let chunk = payload.field("chunk").unwrap();
                let Some(BusValue::Bytes(content)) = chunk.field("content") else {
                    panic!("no bytes: {chunk:?}")
                };
                assert!(content.len() <= 40 * 1024);
                let file = received.entry(id.to_owned()).or_default();
                let old = file.chunks.insert(number(chunk, "offset"), content.clone());
                assert!(old.is_none(), "a chunk came twice");
                Ok(BusValue::Null)
            }
            "UploadFinished" => {
                let Some(BusValue::Text(hash)) = payload.field("hash") else {
                    panic!("no hash: {payload:?}")
                };
                if id == "refusing" {
                    let (kind, message) = ("IntegrityError".to_owned(), "wrong hash".to_owned());
                    return Err(BusError::Service { kind, message });
                }
                received.entry(id.to_owned()).or_default().hash = Some(hash.clone());
                Ok(BusValue::Null)
            }
            other => panic!("unknown component {other}"),
        }
    }
}

fn no<'a, T: Send + 'a>() -> BoxFuture<'a, PortResult<T>> {
    Box::pin(async { Err(ApiError { status: 501, message: "not in this test".to_owned(), problem: None }) })
}

impl Port for FakePort {
    fn node(&self) -> NodeId {
        REQUESTOR.parse().unwrap()
    }

    fn subscribe_offer(&self, _: Terms) -> BoxFuture<'_, PortResult<OfferId>> {
        no()
    }

    fn unsubscribe_offer<'a>(&'a self, _: &'a OfferId) -> BoxFuture<'a, PortResult<()>> {
        no()
    }

    fn offer_events<'a>(&'a self, _: &'a OfferId, _: Duration) -> BoxFuture<'a, PortResult<Vec<OfferEvent>>> {
        no()
    }

    fn counter_proposal<'a>(
        &'a self,
        _: &'a OfferId,
        _: &'a ProposalId,
        _: Terms,
    ) -> BoxFuture<'a, PortResult<ProposalId>> {
        no()
    }

    fn reject_proposal<'a>(
        &'a self,
        _: &'a OfferId,
        _: &'a ProposalId,
        _: Option<Reason>,
    ) -> BoxFuture<'a, PortResult<()>> {
        no()
    }

    fn approve_agreement<'a>(
        &'a self,
        _: &'a AgreementId,
        _: Option<AppSessionId>,
    ) -> BoxFuture<'a, PortResult<()>> {
        no()
    }

    fn reject_agreement<'a>(
        &'a self,
        _: &'a AgreementId,
        _: Option<Reason>,
    ) -> BoxFuture<'a, PortResult<()>> {
        no()
    }

    fn terminate_agreement<'a>(
        &'a self,
        _: &'a AgreementId,
        _: Option<Reason>,
    ) -> BoxFuture<'a, PortResult<()>> {
        no()
    }

    fn agreement_events(&self, _: Timestamp, _: Duration) -> BoxFuture<'_, PortResult<Vec<AgreementEvent>>> {
        no()
    }

    fn activity_events(&self, _: Timestamp, _: Duration) -> BoxFuture<'_, PortResult<Vec<ActivityEvent>>> {
        no()
    }

    fn set_activity_state<'a>(
        &'a self,
        _: &'a ActivityId,
        state: ActivityState,
    ) -> BoxFuture<'a, PortResult<()>> {
        self.states.lock().unwrap().push(state);
        Box::pin(async { Ok(()) })
    }

    fn set_activity_usage<'a>(
        &'a self,
        _: &'a ActivityId,
        usage: ActivityUsage,
    ) -> BoxFuture<'a, PortResult<()>> {
        self.usage.lock().unwrap().push(usage);
        Box::pin(async { Ok(()) })
    }

    fn bind_exe_unit<'a>(
        &'a self,
        _: &'a ActivityId,
        unit: Arc<dyn ExeUnitService>,
    ) -> BoxFuture<'a, PortResult<()>> {
        if self.refuses_binding {
            return no();
        }
        *self.bound.lock().unwrap() = Some(unit);
        Box::pin(async { Ok(()) })
    }

    fn unbind_exe_unit<'a>(&'a self, _: &'a ActivityId) -> BoxFuture<'a, ()> {
        *self.bound.lock().unwrap() = None;
        Box::pin(async {})
    }

    fn bind_vpn<'a>(&'a self, _: &'a NetworkId, _: Arc<dyn VpnEnd>) -> BoxFuture<'a, PortResult<VpnSeat>> {
        no()
    }

    fn push_frame(&self, _: &NetworkId, _: &str, _: &[u8]) {}

    fn call_bus<'a>(
        &'a self,
        node: &'a NodeId,
        address: &'a str,
        component: &'a str,
        payload: BusValue,
    ) -> BoxFuture<'a, Result<BusValue, BusError>> {
        assert_eq!(node.as_str(), REQUESTOR);
        Box::pin(async move {
            let under_way = {
                let mut now = self.flight.now.lock().unwrap();
                *now += 1;
                *now
            };
            {
                let mut most = self.flight.most.lock().unwrap();
                *most = (*most).max(under_way);
            }
            // Others get their turn, so that answers come in another order than questions.
            for _ in 0..=(under_way * 7) % 5 {
                tokio::task::yield_now().await;
            }
            let answer = self.answer(address, component, &payload);
            *self.flight.now.lock().unwrap() -= 1;
            answer
        })
    }

    fn issue_debit_note(&self, _: NewDebitNote) -> BoxFuture<'_, PortResult<DebitNote>> {
        no()
    }

    fn send_debit_note<'a>(&'a self, _: &'a DebitNoteId) -> BoxFuture<'a, PortResult<()>> {
        no()
    }

    fn issue_invoice(&self, _: NewInvoice) -> BoxFuture<'_, PortResult<Invoice>> {
        no()
    }

    fn send_invoice<'a>(&'a self, _: &'a InvoiceId) -> BoxFuture<'a, PortResult<()>> {
        no()
    }

    fn debit_note_events(&self, _: Timestamp, _: Duration) -> BoxFuture<'_, PortResult<Vec<DebitNoteEvent>>> {
        no()
    }

    fn invoice_events(&self, _: Timestamp, _: Duration) -> BoxFuture<'_, PortResult<Vec<InvoiceEvent>>> {
        no()
    }
}

/// An exe-unit with its daemon.
pub(super) struct Stand {
    pub(super) port: Arc<FakePort>,
    pub(super) unit: ExeUnit,
    pub(super) service: Arc<dyn ExeUnitService>,
    batches: AtomicU32,
}

impl Stand {
    pub(super) async fn new(runtime: &dyn Runtime) -> Self {
        Self::with(runtime, ExeUnitConfig::default()).await
    }

    pub(super) async fn with(runtime: &dyn Runtime, config: ExeUnitConfig) -> Self {
        let port = Arc::new(FakePort::default());
        let clock = Arc::new(TestClock::default());
        let activity = ActivityId::new("a1");
        let unit = ExeUnit::start(activity, Arc::clone(&port) as Arc<dyn Port>, clock, runtime, config)
            .await
            .unwrap();
        let service = port.bound.lock().unwrap().clone().expect("it is bound");
        Self { port, unit, service, batches: AtomicU32::new(0) }
    }

    /// One that is deployed and started.
    pub(super) async fn ready(runtime: &dyn Runtime) -> Self {
        let stand = Self::new(runtime).await;
        let results = stand.run(vec![deploy(), start()]).await;
        assert!(results.iter().all(|result| result.message.is_none()), "{results:?}");
        stand
    }

    /// Sends a script.
    pub(super) async fn exec(&self, script: Vec<Command>) -> BatchId {
        let id = BatchId::new(format!("b{}", self.batches.fetch_add(1, Ordering::Relaxed)));
        self.service.exec(id.clone(), script).await.unwrap();
        id
    }

    /// Sends a script and waits for all that comes of it.
    pub(super) async fn run(&self, script: Vec<Command>) -> Vec<CommandResult> {
        let id = self.exec(script).await;
        self.all(&id).await
    }

    /// Waits for the end of a batch.
    pub(super) async fn all(&self, batch: &BatchId) -> Vec<CommandResult> {
        self.events(batch).await;
        self.service.results(batch, Duration::ZERO, None).await.unwrap()
    }

    /// All events of a batch: their stream ends with it.
    pub(super) async fn events(&self, batch: &BatchId) -> Vec<RuntimeEvent> {
        let events = self.service.events(batch).collect();
        tokio::time::timeout(Duration::from_secs(100_000), events).await.expect("the batch ends")
    }
}

pub(super) fn deploy() -> Command {
    Command::Deploy(Deploy::default())
}

pub(super) fn start() -> Command {
    Command::Start(Start::default())
}

pub(super) fn run(program: &str, args: &[&str]) -> Command {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    Command::Run(Run {
        entry_point: program.to_owned(),
        args,
        capture: Some(yagna_api::activity::Capture::text()),
    })
}

pub(super) fn pair(state: State, next: Option<State>) -> StatePair {
    StatePair(state, next)
}
