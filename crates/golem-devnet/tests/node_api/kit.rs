//! A network of one provider and one requestor, and the steps from an offer to a running activity.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use golem_devnet::clock::DevnetClock;
use golem_devnet::node::{Delays, LocalPort, Requestor, World};
use golem_devnet::port::{ExeUnitService, OfferEvent, Port, PortResult, Terms};
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use yagna_api::activity::{
    ActivityState, CommandResult, Outcome, RuntimeEvent, RuntimeEventKind, Script, State, StatePair,
};
use yagna_api::{ActivityId, AgreementId, BatchId, OfferId, Properties, Timestamp};

pub const PLATFORM: &str = "erc20-holesky-tglm";
pub const CHOSEN: &str = "golem.com.payment.chosen-platform";

#[derive(Debug)]
pub struct Net {
    pub world: World,
    pub port: LocalPort,
    pub requestor: Requestor,
    router: Router,
}

#[derive(Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    pub fn id(&self) -> String {
        self.json().as_str().unwrap().to_owned()
    }
}

pub fn start() -> Timestamp {
    "2026-01-01T00:00:00.123456789Z".parse().unwrap()
}

impl Net {
    pub fn new() -> Self {
        Self::with(Delays::none())
    }

    pub fn with(delays: Delays) -> Self {
        let world = World::new(DevnetClock::starting_at(start()), 7, delays);
        let port = world.add_provider("provider");
        let requestor = world.add_requestor("requestor");
        let router = world.router();
        Self { world, port, requestor, router }
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let content_type = answer.headers().get("content-type").map_or("", |value| value.to_str().unwrap());
        let (status, content_type) = (answer.status().as_u16(), content_type.to_owned());
        let body = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        let text =
            body.map_or_else(|_| "BROKEN".to_owned(), |body| String::from_utf8(body.to_vec()).unwrap());
        Reply { status, content_type, text }
    }

    pub async fn raw(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub async fn call_as(&self, key: &str, line: &str, body: Option<&Value>) -> Reply {
        let bearer = format!("Bearer {key}");
        let mut headers = vec![("authorization", bearer.as_str())];
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        self.raw(line, &headers, &body).await
    }

    pub async fn call(&self, line: &str, body: Option<Value>) -> Reply {
        self.call_as(self.requestor.key.expose(), line, body.as_ref()).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(&format!("GET {path}"), None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(&format!("POST {path}"), Some(body)).await
    }

    pub async fn post_empty(&self, path: &str) -> Reply {
        self.call(&format!("POST {path}"), None).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.call(&format!("DELETE {path}"), None).await
    }

    pub async fn offer(&self) -> OfferId {
        self.port.subscribe_offer(self.offer_terms()).await.unwrap()
    }

    pub fn offer_terms(&self) -> Terms {
        Terms {
            properties: Properties::new()
                .with("golem.runtime.name", "vm")
                .with("golem.inf.mem.gib", 8.0)
                .with(format!("golem.com.payment.platform.{PLATFORM}.address"), self.port.node().as_str()),
            constraints: "(golem.srv.comp.expiration>0)".to_owned(),
        }
    }

    pub fn demand_body(&self) -> Value {
        json!({
            "properties": {
                "golem": {"srv.comp.expiration": 1_800_000_000_000_u64},
                (format!("golem.com.payment.platform.{PLATFORM}.address")): self.requestor.node,
                CHOSEN: PLATFORM,
            },
            "constraints": "(&(golem.runtime.name=vm)(golem.inf.mem.gib>=0.5))",
        })
    }

    pub async fn demand(&self) -> String {
        self.post("/market-api/v1/demands", self.demand_body()).await.expect(201).id()
    }

    pub async fn events(&self, demand: &str, timeout: &str) -> Vec<Value> {
        let path = format!("/market-api/v1/demands/{demand}/events?timeout={timeout}&maxEvents=100");
        self.get(&path).await.expect(200).json().as_array().unwrap().clone()
    }

    pub async fn offer_events(&self, offer: &OfferId) -> Vec<OfferEvent> {
        self.port.offer_events(offer, Duration::from_secs(5)).await.unwrap()
    }

    pub async fn counter(&self, demand: &str, proposal: &str) -> Reply {
        self.post(&format!("/market-api/v1/demands/{demand}/proposals/{proposal}"), self.demand_body()).await
    }

    /// Negotiates until the provider has sent a draft; gives its id and the requestor's counter.
    pub async fn draft(&self, demand: &str, offer: &OfferId) -> (String, String) {
        let initial = self.events(demand, "1").await;
        let initial = initial[0]["proposal"]["proposalId"].as_str().unwrap().to_owned();
        let ours = self.counter(demand, &initial).await.expect(200).id();
        let theirs = self.offer_events(offer).await;
        let Some(OfferEvent::Proposal(theirs)) = theirs.last() else { panic!("no proposal: {theirs:?}") };
        self.port.counter_proposal(offer, &theirs.proposal_id, self.offer_terms()).await.unwrap();
        let draft = self.events(demand, "1").await;
        (draft[0]["proposal"]["proposalId"].as_str().unwrap().to_owned(), ours)
    }

    pub async fn create(&self, draft: &str) -> Reply {
        let body = json!({"proposalId": draft, "validTo": "2026-01-01T01:00:00+00:00"});
        self.post("/market-api/v1/agreements", body).await
    }

    /// An agreement in force, under a session.
    pub async fn rental_in(&self, session: &str) -> AgreementId {
        let (demand, offer) = (self.demand().await, self.offer().await);
        let (draft, _) = self.draft(&demand, &offer).await;
        let id = AgreementId::new(self.create(&draft).await.expect(200).id());
        self.post_empty(&format!("/market-api/v1/agreements/{id}/confirm?appSessionId={session}"))
            .await
            .expect(204);
        self.port.approve_agreement(&id, None).await.unwrap();
        self.port.unsubscribe_offer(&offer).await.unwrap();
        id
    }

    pub async fn rental(&self) -> AgreementId {
        self.rental_in("s").await
    }

    pub async fn set_state(&self, activity: &ActivityId, state: State, reason: Option<&str>) {
        let state = ActivityState {
            state: StatePair(state, None),
            reason: reason.map(str::to_owned),
            error_message: reason.map(|_| "it broke".to_owned()),
        };
        self.port.set_activity_state(activity, state).await.unwrap();
    }

    /// An activity with an exe-unit.
    pub async fn activity(&self, agreement: &AgreementId, unit: FakeUnit) -> ActivityId {
        let create = self.post("/activity-api/v1/activity?timeout=60", json!(agreement));
        let serve = async {
            let event = self.port.activity_events(Timestamp::MIN, Duration::from_secs(5)).await.unwrap();
            let id = event.last().unwrap().activity.clone();
            self.port.bind_exe_unit(&id, Arc::new(unit)).await.unwrap();
            self.set_state(&id, State::Initialized, None).await;
        };
        let (created, ()) = tokio::join!(create, serve);
        ActivityId::new(created.expect(200).id())
    }

    pub async fn allocation(&self, amount: &str) -> String {
        let body = json!({"totalAmount": amount, "paymentPlatform": PLATFORM});
        let reply = self.post("/payment-api/v1/allocations", body).await.expect(201);
        reply.json()["allocationId"].as_str().unwrap().to_owned()
    }
}

/// An exe-unit that finishes every command of a batch after a while, or never.
#[derive(Debug, Clone, Default)]
pub struct FakeUnit {
    pub hangs: bool,
}

impl ExeUnitService for FakeUnit {
    fn exec(&self, _batch: BatchId, _script: Script) -> BoxFuture<'_, PortResult<()>> {
        async { Ok(()) }.boxed()
    }

    fn results<'a>(
        &'a self,
        batch: &'a BatchId,
        wait: Duration,
        command: Option<u32>,
    ) -> BoxFuture<'a, PortResult<Vec<CommandResult>>> {
        async move {
            if self.hangs {
                return std::future::pending().await;
            }
            if command == Some(9) {
                tokio::time::sleep(wait).await;
                return Err(yagna_api::ApiError { status: 408, message: "Timeout".into(), problem: None });
            }
            let result = CommandResult {
                index: 0,
                result: Outcome::Ok,
                stdout: Some(yagna_api::activity::Output::Text(batch.as_str().len().to_string())),
                stderr: None,
                message: None,
                is_batch_finished: true,
                event_date: start(),
            };
            Ok(vec![result])
        }
        .boxed()
    }

    fn events(&self, batch: &BatchId) -> BoxStream<'static, RuntimeEvent> {
        let event = |index, kind| RuntimeEvent { batch_id: batch.clone(), index, timestamp: start(), kind };
        let events = vec![
            event(0, RuntimeEventKind::Started { command: json!({"run": {}}) }),
            event(0, RuntimeEventKind::Finished { return_code: 0, message: None }),
        ];
        futures_util::stream::iter(events).boxed()
    }
}
