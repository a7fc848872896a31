//! A hand-written requestor: raw JSON over the devnet's router, as yapapi and golem-js send it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use golem_devnet::clock::DevnetClock;
use golem_devnet::devnet::Devnet;
use golem_devnet::node::Requestor;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;
use yagna_api::time::{Clock as _, after};

/// Longer than anything a test waits for, in virtual time.
const DEADLINE: Duration = Duration::from_secs(600);

/// A requestor with its key.
#[derive(Debug, Clone)]
pub(crate) struct Buyer {
    router: Router,
    key: String,
    clock: DevnetClock,
    pub(crate) node: String,
}

/// What the daemon answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "the daemon answered {self:?}");
        self.body
    }
}

impl Buyer {
    /// The requestor that every devnet has.
    pub(crate) fn of(devnet: &Devnet) -> Self {
        Self::new(devnet, devnet.requestor())
    }

    pub(crate) fn new(devnet: &Devnet, requestor: &Requestor) -> Self {
        Self {
            router: devnet.router(),
            key: requestor.key.expose().into(),
            clock: devnet.clock(),
            node: requestor.node.to_string(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }

    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status: StatusCode = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: status.as_u16(), body }
    }

    /// The hour, this much later, as a timestamp.
    pub(crate) fn in_time(&self, time: Duration) -> String {
        after(self.clock.now(), time).to_string()
    }

    /// Sets money aside.
    pub(crate) async fn allocate(&self, total: &str) -> String {
        let allocation = self
            .post(
                "/payment-api/v1/allocations",
                json!({"paymentPlatform": "erc20-hoodi-tglm", "address": self.node, "totalAmount": total,
                    "timestamp": self.in_time(Duration::ZERO), "timeout": self.in_time(Duration::from_secs(86_400)),
                    "makeDeposit": false, "allocationId": "", "spentAmount": "", "remainingAmount": ""}),
            )
            .await;
        assert_eq!(allocation.status, 201);
        text(&allocation.body["allocationId"])
    }

    /// A demand's properties, as a client without debit notes' terms sends them.
    pub(crate) fn properties(&self, lasts: Duration) -> Value {
        let expires = after(self.clock.now(), lasts).as_millisecond();
        json!({
            "golem.srv.comp.expiration": expires,
            "golem.srv.caps.multi-activity": true,
            "golem.node.debug.subnet": "public",
            "golem.srv.comp.task_package": "hash:sha3:00:http://127.0.0.1:1/image",
            "golem.srv.comp.vm.package_format": "gvmkit-squash",
            "golem.com.payment.platform.erc20-hoodi-tglm.address": self.node,
            "golem.com.payment.protocol.version": "3",
        })
    }

    /// Publishes a demand.
    pub(crate) async fn demand(&self, properties: &Value) -> Demand {
        let constraints = "(&(golem.node.debug.subnet=public)\n\t(golem.com.payment.platform.erc20-hoodi-tglm.address=*)\n\t\
             (golem.com.payment.protocol.version>1)\n\t(golem.com.pricing.model=linear)\n\t\
             (&(golem.inf.mem.gib>=0.5)\n\t(golem.inf.storage.gib>=2.0)\n\t(golem.inf.cpu.threads>=1)\n\t\
             (golem.runtime.name=vm)))";
        let answer = self
            .post("/market-api/v1/demands", json!({"properties": properties, "constraints": constraints}))
            .await;
        assert_eq!(answer.status, 201);
        let mut agreed = properties.clone();
        agreed["golem.com.payment.chosen-platform"] = json!("erc20-hoodi-tglm");
        Demand { id: text(&answer.body), properties: agreed, constraints: constraints.into() }
    }

    /// Waits for the next event of a demand that is of interest, and takes all before it.
    pub(crate) async fn event(&self, demand: &Demand, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        while began.elapsed() < DEADLINE {
            let path = format!("/market-api/v1/demands/{}/events?timeout=5&maxEvents=1", demand.id);
            let events = self.get(&path).await.ok();
            if let Some(event) = events.as_array().unwrap().first()
                && wanted(event)
            {
                return event.clone();
            }
        }
        panic!("no such event of the demand in {DEADLINE:?}");
    }

    /// Waits for a proposal in this state, and gives its id.
    pub(crate) async fn proposal(&self, demand: &Demand, state: &str) -> String {
        let event = self.event(demand, |event| event["proposal"]["state"] == state).await;
        text(&event["proposal"]["proposalId"])
    }

    /// Answers a proposal; gives our own proposal's id.
    pub(crate) async fn counter(&self, demand: &Demand, proposal: &str) -> String {
        let path = format!("/market-api/v1/demands/{}/proposals/{proposal}", demand.id);
        let terms = json!({"properties": demand.properties, "constraints": demand.constraints});
        text(&self.post(&path, terms).await.ok())
    }

    /// Proposes an agreement out of a draft.
    pub(crate) async fn propose(&self, draft: &str) -> String {
        let body = json!({"proposalId": draft, "validTo": self.in_time(Duration::from_secs(3600))});
        let agreement = text(&self.post("/market-api/v1/agreements", body).await.ok());
        let confirm = format!("/market-api/v1/agreements/{agreement}/confirm?appSessionId=run-1");
        assert_eq!(self.post(&confirm, Value::Null).await.status, 204);
        agreement
    }

    /// Waits for the provider's decision.
    pub(crate) async fn decision(&self, agreement: &str, seconds: u32) -> Answer {
        self.post(&format!("/market-api/v1/agreements/{agreement}/wait?timeout={seconds}"), Value::Null).await
    }

    /// The whole way from a demand to an agreement in force.
    pub(crate) async fn agree(&self, properties: &Value) -> (Demand, String) {
        let demand = self.demand(properties).await;
        let initial = self.proposal(&demand, "Initial").await;
        self.counter(&demand, &initial).await;
        let draft = self.proposal(&demand, "Draft").await;
        let agreement = self.propose(&draft).await;
        let decision = self.decision(&agreement, 60).await;
        assert_eq!(decision.status, 204, "{decision:?}");
        (demand, agreement)
    }

    pub(crate) async fn agreement(&self, agreement: &str) -> Value {
        self.get(&format!("/market-api/v1/agreements/{agreement}")).await.ok()
    }

    /// Creates an activity as golem-js does.
    pub(crate) async fn activity(&self, agreement: &str) -> String {
        let body = json!({"agreementId": agreement});
        let created = self.post("/activity-api/v1/activity?timeout=30", body).await;
        text(&created.ok()["activityId"])
    }

    /// Sends a script, waits for its end and gives its results.
    pub(crate) async fn run(&self, activity: &str, script: Value) -> Vec<Value> {
        let batch = self.send_script(activity, script).await;
        let began = Instant::now();
        while began.elapsed() < DEADLINE {
            let results = self.results(activity, &batch, 30).await.ok();
            let results = results.as_array().unwrap();
            if results.last().is_some_and(|last| last["isBatchFinished"] == true) {
                return results.clone();
            }
        }
        panic!("the batch doesn't end in {DEADLINE:?}");
    }

    pub(crate) async fn send_script(&self, activity: &str, script: Value) -> String {
        let path = format!("/activity-api/v1/activity/{activity}/exec?timeout=5");
        text(&self.post(&path, json!({"text": script.to_string()})).await.ok())
    }

    pub(crate) async fn results(&self, activity: &str, batch: &str, seconds: u32) -> Answer {
        self.get(&format!("/activity-api/v1/activity/{activity}/exec/{batch}?timeout={seconds}")).await
    }

    /// An activity that is ready for commands.
    pub(crate) async fn ready(&self, agreement: &str) -> String {
        let activity = self.activity(agreement).await;
        let results = self.run(&activity, json!([{"deploy": {}}, {"start": {"args": []}}])).await;
        assert!(results.iter().all(|result| result["result"] == "Ok"), "{results:?}");
        activity
    }

    pub(crate) async fn state(&self, activity: &str) -> Value {
        self.get(&format!("/activity-api/v1/activity/{activity}/state")).await.ok()
    }

    pub(crate) async fn destroy(&self, activity: &str) {
        assert_eq!(
            self.delete(&format!("/activity-api/v1/activity/{activity}?timeout=30")).await.status,
            200
        );
    }

    pub(crate) async fn terminate(&self, agreement: &str) {
        let path = format!("/market-api/v1/agreements/{agreement}/terminate");
        let reason = json!({"message": "Successfully finished all work", "golem.requestor.code": "Success"});
        assert_eq!(self.post(&path, reason).await.status, 200);
    }

    /// Waits for the end of an agreement and gives the event of it.
    pub(crate) async fn end(&self, agreement: &str) -> Value {
        let began = Instant::now();
        while began.elapsed() < DEADLINE {
            let reason = self.get(&format!("/market-api/v1/agreements/{agreement}/terminate/reason")).await;
            if reason.status == 200 {
                return reason.body;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("the agreement doesn't end in {DEADLINE:?}");
    }

    /// Bills of one kind that were received: `debitNotes` or `invoices`, of one agreement, oldest first.
    pub(crate) async fn bills(&self, kind: &str, agreement: &str) -> Vec<Value> {
        let mut bills: Vec<_> =
            self.get(&format!("/payment-api/v1/{kind}")).await.ok().as_array().unwrap().clone();
        bills.retain(|bill| bill["agreementId"] == agreement);
        bills
    }

    /// Waits until there are so many bills of a kind, and gives them.
    pub(crate) async fn wait_bills(&self, kind: &str, agreement: &str, count: usize) -> Vec<Value> {
        let began = Instant::now();
        while began.elapsed() < DEADLINE {
            let bills = self.bills(kind, agreement).await;
            if bills.len() >= count {
                return bills;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("no {count} {kind} in {DEADLINE:?}");
    }

    pub(crate) async fn accept(&self, kind: &str, bill: &Value, allocation: &str) -> Answer {
        let (id, amount) = match kind {
            "invoices" => (&bill["invoiceId"], &bill["amount"]),
            _ => (&bill["debitNoteId"], &bill["totalAmountDue"]),
        };
        let path = format!("/payment-api/v1/{kind}/{}/accept?timeout=5", id.as_str().unwrap());
        self.post(&path, json!({"totalAmountAccepted": amount, "allocationId": allocation})).await
    }
}

/// A demand on the market, with what our counter-proposals say.
#[derive(Debug, Clone)]
pub(crate) struct Demand {
    pub(crate) id: String,
    pub(crate) properties: Value,
    pub(crate) constraints: String,
}

/// The string in a value.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no string: {value}")).into()
}

/// A `run` command that keeps its output.
pub(crate) fn run(program: &str, args: &[&str]) -> Value {
    json!({"run": {"entry_point": program, "args": args,
        "capture": {"stdout": {"atEnd": {"format": "string"}}, "stderr": {"atEnd": {"format": "string"}}}}})
}
