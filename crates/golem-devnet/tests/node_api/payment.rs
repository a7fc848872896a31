//! Allocations, debit notes, invoices, their events and payments.

use std::time::Duration;

use golem_devnet::node::Delays;
use golem_devnet::port::{NewDebitNote, NewInvoice, Port as _};
use serde_json::{Value, json};
use tokio::time::Instant;
use yagna_api::payment::{BillEventKind, BillStatus};
use yagna_api::{ActivityId, AgreementId, DebitNoteId, Glm, InvoiceId, Timestamp};

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
