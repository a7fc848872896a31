//! Allocations, debit notes, invoices, their events and payments.

use std::time::Duration;

use golem_devnet::node::Delays;
use golem_devnet::port::{NewDebitNote, NewInvoice, Port as _};
use serde_json::{Value, json};
use tokio::time::Instant;
use yagna_api::payment::{BillEventKind, BillStatus};
use yagna_api::{ActivityId, AgreementId, AllocationId, DebitNoteId, Glm, InvoiceId, Timestamp};

use crate::kit::{FakeUnit, Net, PLATFORM};

const BASE: &str = "/payment-api/v1";

fn glm(text: &str) -> Glm {
    text.parse().unwrap()
}

async fn note(net: &Net, activity: &ActivityId, amount: &str, due: bool) -> DebitNoteId {
    let new = NewDebitNote {
        activity: activity.clone(),
        total_amount_due: glm(amount),
        usage: vec![1.0, 2.0],
        payment_due_date: due.then(|| "2026-01-02T00:00:00Z".parse().unwrap()),
    };
    let id = net.port.issue_debit_note(new).await.unwrap().debit_note_id;
    net.port.send_debit_note(&id).await.unwrap();
    id
}

async fn invoice(net: &Net, agreement: &AgreementId, amount: &str) -> InvoiceId {
    let new = NewInvoice {
        agreement: agreement.clone(),
        activities: Vec::new(),
        amount: glm(amount),
        payment_due_date: "2026-01-02T00:00:00Z".parse().unwrap(),
    };
    let id = net.port.issue_invoice(new).await.unwrap().invoice_id;
    net.port.send_invoice(&id).await.unwrap();
    id
}

fn acceptance(amount: &str, allocation: &str) -> Value {
    json!({"totalAmountAccepted": amount, "allocationId": allocation})
}

#[tokio::test(start_paused = true)]
async fn allocations_have_the_daemons_defaults() {
    let net = Net::new();
    let me = net.requestor.node.to_string();
    for (platform, shown) in [
        (json!(null), "erc20-holesky-tglm"),
        (json!({"token": "glm"}), "erc20-polygon-glm"),
        (json!({"network": "hoodi"}), "erc20-hoodi-tglm"),
        (json!("erc20-mainnet-glm"), "erc20-mainnet-glm"),
    ] {
        let body =
            json!({"totalAmount": "10", "paymentPlatform": platform, "allocationId": "", "spentAmount": ""});
        let it = net.post(&format!("{BASE}/allocations"), body).await.expect(201).json();
        assert_eq!(it["paymentPlatform"], shown);
        assert_eq!(
            (
                &it["address"],
                &it["totalAmount"],
                &it["spentAmount"],
                &it["remainingAmount"],
                &it["makeDeposit"]
            ),
            (&json!(me), &json!("10"), &json!("0"), &json!("10"), &json!(false))
        );
        assert_eq!(it["timestamp"], "2026-01-01T00:00:00.123456789Z");
        assert!(it["timeout"].as_str().unwrap().starts_with("2035-12-30"));
    }
    let accounts = net.get(&format!("{BASE}/requestorAccounts")).await.expect(200).json();
    assert_eq!(accounts.as_array().unwrap().len(), 4);
    assert_eq!(
        accounts[1],
        json!({"platform": "erc20-hoodi-tglm", "address": me, "driver": "erc20", "network": "hoodi",
        "token": "tGLM", "send": true, "receive": false})
    );
    net.offer().await;
    let accounts = net.get(&format!("{BASE}/providerAccounts")).await.expect(200).json();
    assert_eq!((&accounts[0]["receive"], &accounts[0]["address"]), (&json!(true), &json!(net.port.node())));
}

#[tokio::test(start_paused = true)]
async fn allocations_are_refused_by_problem_documents() {
    let net = Net::new();
    net.world.set_funds(&net.requestor.node, glm("5"));
    for (body, status, short) in [
        (json!({"totalAmount": "1", "paymentPlatform": "nonsense"}), 400, "bad-payment-platform"),
        (json!({"totalAmount": "1", "paymentPlatform": "erc20-nowhere-glm"}), 400, "bad-payment-platform"),
        (json!({"totalAmount": "1", "timeout": "2020-01-01T00:00:00Z"}), 400, "timeout-passed"),
        (
            json!({"totalAmount": "1", "address": "0x0000000000000000000000000000000000000001"}),
            500,
            "internal-error",
        ),
        (json!({"totalAmount": "6"}), 400, "insufficient-account-funds"),
    ] {
        let reply = net.post(&format!("{BASE}/allocations"), body.clone()).await.expect(status);
        assert_eq!(reply.content_type, "application/problem+json");
        let problem = yagna_api::ApiError::read(status, reply.text.as_bytes()).problem.unwrap();
        assert_eq!(problem.short(), short, "{body}");
    }
    net.post(&format!("{BASE}/allocations"), json!({"totalAmount": "x"})).await.expect(400);
    net.post(&format!("{BASE}/allocations"), json!({})).await.expect(400);
    let first = net.allocation("4").await;
    let reply =
        net.post(&format!("{BASE}/allocations"), json!({"totalAmount": "1.5"})).await.expect(400).json();
    assert_eq!(
        (&reply["requestedFunds"], &reply["availableFunds"], &reply["reservedFunds"]),
        (&json!("1.5"), &json!("1"), &json!("4"))
    );
    net.call(&format!("PUT {BASE}/allocations/{first}"), Some(json!({"totalAmount": "5"}))).await.expect(200);
    net.call(&format!("PUT {BASE}/allocations/{first}"), Some(json!({"totalAmount": "5.1"})))
        .await
        .expect(400);
}

#[tokio::test(start_paused = true)]
async fn allocations_are_amended_released_and_run_out() {
    let net = Net::new();
    let id = net.allocation("10").await;
    let path = format!("{BASE}/allocations/{id}");
    let line = format!("PUT {BASE}/allocations/{id}");
    let put = |body| net.call(&line, Some(body));
    assert_eq!(put(json!({"totalAmount": 12.5})).await.expect(200).json()["remainingAmount"], "12.5");
    put(json!({"timeout": "2020-01-01T00:00:00Z"})).await.expect(400);
    put(json!({"deposit": {"id": "1", "contract": "0x"}})).await.expect(400);
    net.call(&format!("PUT {BASE}/allocations/nope"), Some(json!({}))).await.expect(404);
    let other = net.world.add_requestor("other");
    for line in [format!("GET {path}"), format!("DELETE {path}")] {
        let reply = net.call_as(other.key.expose(), &line, None).await.expect(404);
        assert_eq!(reply.text, r#"{"message":null}"#);
    }
    assert_eq!(net.delete(&path).await.expect(200).text, "null");
    let again = net.delete(&path).await.expect(410);
    assert_eq!(again.message(), format!("Allocation {id} has been already released"));
    assert_eq!(net.get(&path).await.expect(404).text, r#"{"message":null}"#);
    net.delete(&format!("{BASE}/allocations/nope")).await.expect(404);
    let body = json!({"totalAmount": "1", "timeout": "2026-01-01T00:10:00+00:00"});
    let short = net.post(&format!("{BASE}/allocations"), body).await.expect(201).json()["allocationId"]
        .as_str()
        .unwrap()
        .to_owned();
    let list = |query: &str| net.call_owned(format!("GET {BASE}/allocations{query}"));
    assert_eq!(list("").await.json().as_array().unwrap().len(), 1);
    assert_eq!(list("?afterTimestamp=2026-01-01T00:11:00Z").await.json(), json!([]));
    tokio::time::sleep(Duration::from_secs(601)).await;
    net.get(&format!("{BASE}/allocations/{short}")).await.expect(404);
    assert_eq!(list("").await.json(), json!([]));
    let row = net.world.books().allocations[1].clone();
    assert!(row.released && row.id == AllocationId::new(short));
}

impl Net {
    async fn call_owned(&self, line: String) -> crate::kit::Reply {
        self.call(&line, None).await
    }
}

#[tokio::test(start_paused = true)]
async fn decorations_want_a_raw_comma() {
    let net = Net::new();
    let (a, b) = (net.allocation("1").await, net.allocation("1").await);
    let get = |ids: String| net.call_owned(format!("GET {BASE}/demandDecorations{ids}"));
    let one = get(format!("?allocationIds={a}")).await.expect(200).json();
    assert_eq!(
        one,
        json!({
            "properties": [
                {"key": format!("golem.com.payment.platform.{PLATFORM}.address"), "value": net.requestor.node},
                {"key": "golem.com.payment.protocol.version", "value": "3"},
            ],
            "constraints": [format!("(golem.com.payment.platform.{PLATFORM}.address=*)"), "(golem.com.payment.protocol.version>1)"],
        })
    );
    get(format!("?allocationIds={a},{b}")).await.expect(200);
    let encoded = get(format!("?allocationIds={a}%2C{b}")).await.expect(400);
    assert!(encoded.text.ends_with("expected a borrowed string"), "{}", encoded.text);
    get(format!("?allocationIds={a}&allocationIds={b}")).await.expect(400);
    get(String::new()).await.expect(400);
    get(format!("?allocationIds={a},nope")).await.expect(404);
    net.delete(&format!("{BASE}/allocations/{b}")).await.expect(200);
    get(format!("?allocationIds={a},{b}")).await.expect(404);
}

#[tokio::test(start_paused = true)]
async fn accepting_charges_only_the_increase_and_may_be_repeated() {
    let net = Net::new();
    let allocation = net.allocation("1").await;
    let agreement = net.rental().await;
    let activity = net.activity(&agreement, FakeUnit::default()).await;
    let remaining = || async {
        net.get(&format!("{BASE}/allocations/{allocation}")).await.json()["remainingAmount"].clone()
    };
    let accept = |kind: &'static str, id: String, body: Value| {
        let net = &net;
        async move { net.post(&format!("{BASE}/{kind}/{id}/accept?timeout=5"), body).await }
    };
    let first = note(&net, &activity, "0.2", false).await;
    let second = note(&net, &activity, "0.5", false).await;
    let read = net.get(&format!("{BASE}/debitNotes/{second}")).await.expect(200).json();
    assert_eq!(
        (&read["status"], &read["totalAmountDue"], &read["previousDebitNoteId"]),
        (&json!("RECEIVED"), &json!("0.5"), &json!(first))
    );
    assert_eq!(
        (&read["timestamp"], &read["usageCounterVector"]),
        (&json!("2026-01-01T00:00:00.123Z"), &json!([1.0, 2.0]))
    );
    assert_eq!(read.get("paymentDueDate"), None);

    accept("debitNotes", "nope".into(), acceptance("0.5", &allocation)).await.expect(404);
    let wrong = accept("debitNotes", second.to_string(), acceptance("0.4", &allocation)).await.expect(400);
    assert_eq!(wrong.message(), "Invalid amount accepted");
    let unknown = accept("debitNotes", second.to_string(), acceptance("0.5", "nope")).await.expect(400);
    assert_eq!(unknown.message(), "Allocation nope not found");
    for _ in 0..2 {
        let reply =
            accept("debitNotes", second.to_string(), acceptance("0.50", &allocation)).await.expect(200);
        assert_eq!(reply.text, "null");
    }
    assert_eq!(remaining().await, "0.5");
    accept("debitNotes", first.to_string(), acceptance("0.2", &allocation)).await.expect(200);
    assert_eq!(remaining().await, "0.5", "an older one adds nothing");
    for (call, text) in [("POST", "reject"), ("GET", "payments")] {
        let reply = net
            .call(&format!("{call} {BASE}/debitNotes/{first}/{text}"), Some(json!(null)))
            .await
            .expect(501);
        assert_eq!(reply.text, r#"{"message":null}"#);
    }
    let large = note(&net, &activity, "1.5", false).await;
    let reply = accept("debitNotes", large.to_string(), acceptance("1.5", &allocation)).await.expect(400);
    assert_eq!(reply.message(), "Not enough funds. Allocated: 0.5 Needed: 1");
    let refusal = net.port.issue_invoice(NewInvoice {
        agreement: agreement.clone(),
        activities: vec![activity.clone()],
        amount: glm("0.8"),
        payment_due_date: "2026-01-02T00:00:00Z".parse().unwrap(),
    });
    assert!(
        refusal.await.unwrap_err().message.starts_with("Requested amount for agreement cannot be lowered.")
    );

    let more = net.allocation("2").await;
    let bill = invoice(&net, &agreement, "1.6").await;
    for _ in 0..2 {
        accept("invoices", bill.to_string(), acceptance("1.6", &more)).await.expect(200);
    }
    let spent = net.get(&format!("{BASE}/allocations/{more}")).await.json()["spentAmount"].clone();
    assert_eq!(spent, "1.1");
    let orders = net.get(&format!("{BASE}/allocations/{more}/expenditures")).await.expect(200).json();
    assert_eq!(
        orders,
        json!([{"allocationId": more, "agreementId": agreement, "acceptedAmount": "1.1", "scheduledAmount": "0"}])
    );
    accept("debitNotes", large.to_string(), acceptance("1.5", &more)).await.expect(200);
    assert_eq!(
        net.get(&format!("{BASE}/allocations/{more}")).await.json()["spentAmount"],
        "1.1",
        "its invoice is accepted"
    );
    let put = net
        .call(&format!("PUT {BASE}/allocations/{more}"), Some(json!({"totalAmount": "1"})))
        .await
        .expect(400);
    assert_eq!(put.message(), "New allocation would be smaller than the already spent amount");
    net.delete(&format!("{BASE}/allocations/{more}")).await.expect(200);
    accept("invoices", bill.to_string(), acceptance("1.6", &more)).await.expect(200);
    assert!(net.world.books().unanswered_invoices().next().is_none());

    let agreement = net.rental().await;
    let bill = invoice(&net, &agreement, "0.1").await;
    accept("invoices", bill.to_string(), acceptance("0.1", &more)).await.expect(400);
    let agreement = net.rental().await;
    let free = invoice(&net, &agreement, "0").await;
    accept("invoices", free.to_string(), acceptance("0", &allocation)).await.expect(200);
    assert_eq!(net.get(&format!("{BASE}/invoices/{free}")).await.json()["status"], "SETTLED");
}

#[tokio::test(start_paused = true)]
async fn invoices_can_be_refused_and_still_be_accepted() {
    let net = Net::new();
    let allocation = net.allocation("1").await;
    let agreement = net.rental().await;
    let bill = invoice(&net, &agreement, "0.3").await;
    let path = format!("{BASE}/invoices/{bill}");
    let rejection =
        json!({"rejectionReason": "BAD_SERVICE", "totalAmountAccepted": "0", "message": "nothing came"});
    net.post(&format!("{path}/reject"), json!({"rejectionReason": "OTHER", "totalAmountAccepted": "0"}))
        .await
        .expect(400);
    for _ in 0..2 {
        assert_eq!(net.post(&format!("{path}/reject"), rejection.clone()).await.expect(200).text, "null");
    }
    assert_eq!(net.get(&path).await.json()["status"], "REJECTED");
    let events = net.port.invoice_events(Timestamp::MIN, Duration::ZERO).await.unwrap();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert!(
        matches!(&event.kind, BillEventKind::Rejected { rejection: Some(r) } if r.message.as_deref() == Some("nothing came"))
    );
    net.post(&format!("{path}/accept"), acceptance("0.3", &allocation)).await.expect(200);
    assert_eq!(
        net.post(&format!("{path}/reject"), rejection).await.expect(400).message(),
        "Invoice accepted"
    );
    let other = net.world.add_requestor("other");
    net.call_as(other.key.expose(), &format!("GET {path}"), None).await.expect(404);
}

#[tokio::test(start_paused = true)]
async fn a_bill_is_seen_once_it_is_sent_and_needs_a_platform() {
    let net = Net::new();
    let agreement = net.rental().await;
    let new = NewInvoice {
        agreement,
        activities: Vec::new(),
        amount: glm("1"),
        payment_due_date: "2026-01-02T00:00:00Z".parse().unwrap(),
    };
    let bill = net.port.issue_invoice(new).await.unwrap();
    assert_eq!((bill.status, bill.payment_platform.as_str()), (BillStatus::Issued, PLATFORM));
    net.get(&format!("{BASE}/invoices/{}", bill.invoice_id)).await.expect(404);
    for _ in 0..2 {
        net.port.send_invoice(&bill.invoice_id).await.unwrap();
    }
    let list = net.get(&format!("{BASE}/invoices")).await.expect(200).json();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["invoiceId"]), (1, &json!(bill.invoice_id)));
    assert_eq!(net.get(&format!("{BASE}/debitNotes")).await.json(), json!([]));
    let events = net.get(&format!("{BASE}/invoiceEvents?timeout=0")).await.json();
    assert_eq!(events.as_array().unwrap().len(), 1, "it is received once");
}

#[tokio::test(start_paused = true)]
async fn events_are_filtered_by_role_kind_session_and_cursor() {
    let net = Net::new();
    let allocation = net.allocation("10").await;
    let (one, two) = (net.rental_in("one").await, net.rental_in("two").await);
    let first = invoice(&net, &one, "1").await;
    let second = invoice(&net, &two, "2").await;
    net.post(&format!("{BASE}/invoices/{first}/accept"), acceptance("1", &allocation)).await.expect(200);
    let bearer = format!("Bearer {}", net.requestor.key.expose());
    let poll = |query: &'static str, names: Option<&'static str>| {
        let (net, bearer) = (&net, bearer.as_str());
        async move {
            let mut headers = vec![("authorization", bearer)];
            headers.extend(names.map(|names| ("x-requestor-events", names)));
            let reply = net
                .raw(&format!("GET {BASE}/invoiceEvents?timeout=0{query}"), &headers, "")
                .await
                .expect(200);
            let events = reply.json().as_array().unwrap().clone();
            events
                .iter()
                .map(|event| {
                    (
                        event["invoiceId"].as_str().unwrap().to_owned(),
                        event["eventType"].as_str().unwrap().to_owned(),
                    )
                })
                .collect::<Vec<_>>()
        }
    };
    let received = |id: &InvoiceId| (id.to_string(), "InvoiceReceivedEvent".to_owned());
    let accepted = |id: &InvoiceId| (id.to_string(), "InvoiceAcceptedEvent".to_owned());
    assert_eq!(poll("", None).await, [received(&first), received(&second)]);
    assert_eq!(
        poll("", Some("RECEIVED,ACCEPTED")).await,
        [received(&first), received(&second), accepted(&first)]
    );
    assert_eq!(poll("", Some("ACCEPTED")).await, [accepted(&first)]);
    assert!(poll("", Some("")).await.is_empty());
    assert_eq!(poll("", Some("ACCEPTED, RECEIVED")).await, [accepted(&first)], "a space is part of a name");
    assert!(poll("", Some("InvoiceReceivedEvent")).await.is_empty());
    assert_eq!(poll("&appSessionId=two", None).await, [received(&second)]);
    assert!(poll("&maxEvents=0", None).await.is_empty());
    assert_eq!(poll("&maxEvents=1", None).await, [received(&first)]);
    assert!(poll("&maxEvents=2", Some("ACCEPTED")).await.is_empty(), "the limit comes before the filter");
    assert!(poll("&afterTimestamp=2026-01-02T00:00:00Z", None).await.is_empty());
    // The provider hears of its own side only.
    let events = net.port.invoice_events(Timestamp::MIN, Duration::ZERO).await.unwrap();
    assert_eq!(
        events.iter().map(|event| (&event.invoice_id, &event.kind)).collect::<Vec<_>>(),
        [(&first, &BillEventKind::Accepted)]
    );
}

#[tokio::test(start_paused = true)]
async fn bill_events_are_looked_for_once_a_second() {
    let net = Net::with(Delays { payment_poll: Duration::from_secs(1), ..Delays::none() });
    let agreement = net.rental().await;
    let began = Instant::now();
    let events_path = format!("{BASE}/invoiceEvents?timeout=5");
    let bill = async {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        invoice(&net, &agreement, "1").await;
    };
    let (reply, ()) = tokio::join!(net.get(&events_path), bill);
    assert_eq!(reply.json().as_array().unwrap().len(), 1);
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    let idle = Instant::now();
    assert_eq!(net.get(&format!("{BASE}/debitNoteEvents")).await.expect(200).text, "[]");
    assert_eq!(idle.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn bills_that_are_accepted_at_the_same_time_are_both_counted() {
    let net = Net::with(Delays { acceptance: Duration::from_millis(20), ..Delays::none() });
    let allocation = net.allocation("10").await;
    let agreement = net.rental().await;
    let activity = net.activity(&agreement, FakeUnit::default()).await;
    let part = note(&net, &activity, "0.5", true).await;
    let bill = invoice(&net, &agreement, "0.5").await;
    let invoice_accepted = async {
        let path = format!("{BASE}/invoices/{bill}/accept");
        net.post(&path, acceptance("0.5", &allocation)).await.expect(200)
    };
    let note_accepted = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let path = format!("{BASE}/debitNotes/{part}/accept");
        net.post(&path, acceptance("0.5", &allocation)).await.expect(200)
    };
    tokio::join!(invoice_accepted, note_accepted);
    let ledger = net.get(&format!("{BASE}/payAgreements/{agreement}")).await.expect(200).json();
    assert_eq!((&ledger["totalAmountDue"], &ledger["totalAmountAccepted"]), (&"0.5".into(), &"1".into()));
    let left = net.get(&format!("{BASE}/allocations/{allocation}")).await.expect(200).json();
    assert_eq!(left["spentAmount"], "1");
}

#[tokio::test(start_paused = true)]
async fn accepted_bills_are_paid_when_the_devnet_pays() {
    let net = Net::with(Delays { settlement: Some(Duration::from_secs(30)), ..Delays::none() });
    let allocation = net.allocation("10").await;
    let agreement = net.rental().await;
    let activity = net.activity(&agreement, FakeUnit::default()).await;
    let part = note(&net, &activity, "0.5", true).await;
    net.post(&format!("{BASE}/debitNotes/{part}/accept"), acceptance("0.5", &allocation)).await.expect(200);
    let bill = invoice(&net, &agreement, "2").await;
    net.post(&format!("{BASE}/invoices/{bill}/accept"), acceptance("2", &allocation)).await.expect(200);
    assert_eq!(net.get(&format!("{BASE}/payments?timeout=0")).await.expect(200).text, "[]");
    let began = Instant::now();
    let paid = net.get(&format!("{BASE}/payments?timeout=60")).await.expect(200).json();
    assert_eq!(began.elapsed(), Duration::from_secs(30), "a poll that waits hears of it");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let all = net.get(&format!("{BASE}/payments?timeout=0")).await.json();
    let amounts: Vec<_> = all.as_array().unwrap().iter().map(|it| it["payload"]["amount"].clone()).collect();
    assert_eq!(amounts, ["0.5", "1.5"], "what was paid for the debit note isn't paid again");
    assert_eq!(paid[0], all[0]);
    assert_eq!(net.get(&format!("{BASE}/invoices/{bill}")).await.json()["status"], "SETTLED");
    assert_eq!(
        net.get(&format!("{BASE}/invoices/{bill}/payments")).await.json().as_array().unwrap().len(),
        2
    );
    let id = all[1]["payload"]["paymentId"].as_str().unwrap();
    assert_eq!(net.get(&format!("{BASE}/payments/{id}")).await.expect(200).json(), all[1]);
    net.get(&format!("{BASE}/payments/nope")).await.expect(404);
    let after = all[0]["payload"]["timestamp"].as_str().unwrap();
    for (query, count) in [
        ("&network=holesky", 2),
        ("&network=polygon", 0),
        ("&driver=erc20", 2),
        ("&maxEvents=1", 1),
        ("&appSessionId=s", 2),
        ("&appSessionId=x", 0),
    ] {
        let list = net.get(&format!("{BASE}/payments?timeout=0{query}")).await.expect(200).json();
        assert_eq!(list.as_array().unwrap().len(), count, "{query}");
    }
    assert_eq!(
        net.get(&format!("{BASE}/payments?timeout=0&afterTimestamp={after}"))
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    net.get(&format!("{BASE}/payments?timeout=0&network=nowhere")).await.expect(500);
    assert_eq!(net.get(&format!("{BASE}/payments/status")).await.expect(200).text, "[]");
    net.get(&format!("{BASE}/payments/status?network=nowhere")).await.expect(404);
    let kinds: Vec<_> = net
        .port
        .invoice_events(Timestamp::MIN, Duration::ZERO)
        .await
        .unwrap()
        .into_iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(kinds, [BillEventKind::Accepted, BillEventKind::Settled]);
    assert_eq!(net.world.books().payments.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_accepted_is_scheduled_in_one_order_and_then_paid() {
    let net = Net::with(Delays { settlement: Some(Duration::from_secs(30)), ..Delays::none() });
    let allocation = net.allocation("10").await;
    let agreement = net.rental().await;
    let activity = net.activity(&agreement, FakeUnit::default()).await;
    assert_eq!(net.get(&format!("{BASE}/payAgreements")).await.expect(200).text, "[]");
    assert_eq!(net.get(&format!("{BASE}/payAgreements/{agreement}")).await.expect(200).text, "null");
    let part = note(&net, &activity, "0.5", false).await;
    net.post(&format!("{BASE}/debitNotes/{part}/accept"), acceptance("0.5", &allocation)).await.expect(200);
    let bill = invoice(&net, &agreement, "2").await;
    net.post(&format!("{BASE}/invoices/{bill}/accept"), acceptance("2", &allocation)).await.expect(200);
    let amounts = async || {
        let ledger = net.get(&format!("{BASE}/payAgreements")).await.expect(200).json();
        assert_eq!(ledger.as_array().unwrap().len(), 1);
        let own = net.get(&format!("{BASE}/payAgreements/{agreement}")).await.expect(200).json();
        assert_eq!(own, ledger[0]);
        ["Accepted", "Scheduled", "Paid"]
            .map(|it| own[format!("totalAmount{it}")].as_str().unwrap().to_owned())
    };
    assert_eq!(amounts().await, ["2", "0", "0"]);
    assert_eq!(net.get(&format!("{BASE}/batchOrders")).await.expect(200).text, "[]");
    assert_eq!(net.get(&format!("{BASE}/allocations/{allocation}/orders")).await.expect(200).text, "[]");
    tokio::time::sleep(Duration::from_secs(16)).await;
    assert_eq!(amounts().await, ["2", "2", "0"]);
    let orders = net.get(&format!("{BASE}/batchOrders")).await.expect(200).json();
    assert_eq!((orders.as_array().unwrap().len(), &orders[0]["totalAmount"]), (1, &json!("2")));
    assert_eq!(orders[0]["paidAmount"], "0");
    let items = net.get(&format!("{BASE}/allocations/{allocation}/orders")).await.expect(200).json();
    let parts: Vec<_> = items.as_array().unwrap().iter().map(|it| it["amount"].clone()).collect();
    assert_eq!(parts, ["0.5", "1.5"], "the activity's part, and what is left for the invoice");
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(amounts().await, ["2", "2", "2"]);
    assert_eq!(net.get(&format!("{BASE}/batchOrders")).await.json()[0]["paidAmount"], "2");
    assert_eq!(net.get(&format!("{BASE}/invoices/{bill}")).await.json()["status"], "SETTLED");
}
