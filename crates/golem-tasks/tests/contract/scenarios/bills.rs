//! Debit notes and invoices: how they come, how they are accepted and refused, and what that does to an allocation.
//!
//! A real daemon pays accepted bills by a chain, and there is none here: nothing is ever settled, but for bills of
//! nothing. The devnet is asked in the same way, with its payments off.

pub(super) mod trading;

use std::time::Duration;

use golem_devnet::provider::{Behaviour, InvoiceManner, Prices, ProviderConfig};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use yagna_api::payment::{
    AcceptDebitNote, AcceptInvoice, Acceptance, BillStatus, GetAgreementLedger, GetAllocation, GetDebitNote,
    GetInvoice, ListAgreementLedgers, ReleaseAllocation,
};
use yagna_api::properties::name;
use yagna_api::{AllocationId, Glm, InvoiceId, Method, Request, Timestamp};

use self::trading::{Billed, flat, ids, invoice_of, notes, trade};
use crate::hand::{Hand, now};
use crate::rental::{Terms, agree, allocate, destroy, leave, ready};
use crate::stage::{PLATFORM, Scene};

const BASE: &str = "/payment-api/v1";
const NOBODYS: &str = "00000000-0000-4000-8000-000000000000";
/// A provider bills at once, but a daemon looks for events once a second, and delivers between nodes in its own time.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a state is looked at that is waited for.
const STEP: Duration = Duration::from_millis(50);

pub(super) async fn bills_come(scene: Scene) {
    let stage = scene.open([flat("seller", "0.5")]).await;
    let hand = &stage.hand;
    let Billed { note, invoice, since, .. } = trade(&stage).await;
    let note_events = format!("{BASE}/debitNoteEvents?timeout=5&afterTimestamp={since}");
    let invoice_events = format!("{BASE}/invoiceEvents?timeout=5&afterTimestamp={since}");
    stage.look("events of debit notes", &hand.get(&note_events).await);
    stage.look("events of invoices", &hand.get(&invoice_events).await);
    let (note, invoice) = (format!("{BASE}/debitNotes/{note}"), format!("{BASE}/invoices/{invoice}"));
    stage.look_past("the debit note", &hand.get(&note).await, &["/usageCounterVector"]);
    stage.look("the invoice", &hand.get(&invoice).await);
    let notes = hand.get(&format!("{BASE}/debitNotes?afterTimestamp={since}")).await;
    stage.look_past("all debit notes", &notes, &["/0/usageCounterVector"]);
    stage.look("all invoices", &hand.get(&format!("{BASE}/invoices?afterTimestamp={since}")).await);
    stage.look("no invoices wanted", &hand.get(&format!("{BASE}/invoices?maxItems=0")).await);
    stage.look("payments of the invoice", &hand.get(&format!("{invoice}/payments")).await);
    stage.look("payments of the debit note", &hand.get(&format!("{note}/payments")).await);
    stage.look("a debit note can't be refused", &hand.post(&format!("{note}/reject"), &refusal("1")).await);
    for list in ["debitNotes", "invoices", "payments"] {
        stage.look(&format!("none of {list}"), &hand.get(&format!("{BASE}/{list}/{NOBODYS}")).await);
    }
    stage.look("payments", &hand.get(&format!("{BASE}/payments?timeout=0&afterTimestamp={since}")).await);
    for query in ["network=hoodi&driver=erc20", "network=nowhere", "driver=nobody", "afterTimestamp=x"] {
        let payments = hand.get(&format!("{BASE}/payments?timeout=0&maxEvents=0&{query}")).await;
        stage.look(&format!("payments {query}"), &payments);
    }
    stage.close().await;
}

pub(super) async fn an_invoice_is_accepted(scene: Scene) {
    let stage = scene.open([flat("seller", "0.5")]).await;
    let hand = &stage.hand;
    let billed = trade(&stage).await;
    let ours = allocate(hand, "2").await.allocation_id;
    let small = allocate(hand, "0.4").await.allocation_id;
    let released = allocate(hand, "2").await.allocation_id;
    hand.call(&ReleaseAllocation(released.clone())).await;
    let strangers = stage.another_hand().await;
    let foreign = allocate(&strangers, "2").await.allocation_id;
    let accept = format!("{BASE}/invoices/{}/accept", billed.invoice);
    for (what, amount, allocation) in [
        ("too little", "0.4", ours.as_str()),
        ("too much", "0.6", ours.as_str()),
        ("too little of an unknown allocation", "0.4", NOBODYS),
        ("from an unknown allocation", "0.5", NOBODYS),
        ("from what is no id", "0.5", "nope"),
        ("from a released allocation", "0.5", released.as_str()),
        ("from another's allocation", "0.5", foreign.as_str()),
        ("from an allocation that is too small", "0.5", small.as_str()),
    ] {
        stage.look(what, &hand.post(&accept, &acceptance(amount, allocation)).await);
    }
    assert_eq!(status(hand, &billed.invoice).await, BillStatus::Received);
    stage.look("as it should be", &hand.post(&accept, &acceptance("0.50", ours.as_str())).await);
    assert_eq!(status(hand, &billed.invoice).await, BillStatus::Accepted);
    stage.look("again", &hand.post(&accept, &acceptance("0.5", ours.as_str())).await);
    stage
        .look("again, from a released one", &hand.post(&accept, &acceptance("0.5", released.as_str())).await);
    stage.look("again, too little", &hand.post(&accept, &acceptance("0.4", ours.as_str())).await);
    let reject = format!("{BASE}/invoices/{}/reject", billed.invoice);
    stage.look("refused after all", &hand.post(&reject, &refusal("0")).await);
    stage.look("the allocation", &hand.get(&format!("{BASE}/allocations/{ours}")).await);
    stage.look("spent", &hand.get(&format!("{BASE}/allocations/{ours}/expenditures")).await);
    let note = format!("{BASE}/debitNotes/{}/accept", billed.note);
    stage.look("its debit note", &hand.post(&note, &acceptance("0.5", ours.as_str())).await);
    let note = hand.call(&GetDebitNote(billed.note.clone())).await.status;
    stage.note(&format!("the debit note is {note:?} then"));
    assert_eq!(spent(hand, &ours).await, "0.5");
    let less = hand.put(&format!("{BASE}/allocations/{ours}"), &json!({"totalAmount": "0.4"})).await;
    stage.look("less than is spent", &less);
    let enough = hand.put(&format!("{BASE}/allocations/{ours}"), &json!({"totalAmount": "0.5"})).await;
    stage.look("just what is spent", &enough);
    stage.look("what is left is given back", &hand.delete(&format!("{BASE}/allocations/{ours}")).await);
    let outlived = hand.get(&format!("{BASE}/allocations/{ours}/expenditures")).await;
    stage.look("spent, after all", &outlived);
    hand.call(&ReleaseAllocation(small)).await;
    strangers.call(&ReleaseAllocation(foreign)).await;
    stage.close().await;
}

/// What the daemon says of an agreement's money, before and after it made a payment order. It is paid by nobody here.
pub(super) async fn what_is_accepted_is_scheduled(scene: Scene) {
    let stage = scene.open([flat("seller", "0.5")]).await;
    let hand = &stage.hand;
    let none = hand.get(&format!("{BASE}/payAgreements/{NOBODYS}")).await;
    stage.look("an agreement without bills", &none);
    let billed = trade(&stage).await;
    let ours = allocate(hand, "2").await.allocation_id;
    let ledger = format!("{BASE}/payAgreements/{}", billed.agreement);
    let list = format!("{BASE}/payAgreements?afterTimestamp={}", before(billed.since));
    let is_ours = |item: &Value| item["id"] == billed.agreement.as_str();
    stage.look("billed", &hand.get(&ledger).await);
    hand.call(&accept_invoice(&billed.invoice, "0.5", &ours)).await;
    stage.look("accepted", &hand.get(&list).await.keep(is_ours));
    stage.look("nothing is ordered", &hand.get(&format!("{BASE}/allocations/{ours}/orders")).await);
    // Its answer depends on whether a chain can be reached.
    hand.post_nothing(&format!("{BASE}/batchCycle/{PLATFORM}/now")).await;
    stage.look("scheduled", &hand.get(&list).await.keep(is_ours));
    stage.look("spent", &hand.get(&format!("{BASE}/allocations/{ours}/expenditures")).await);
    stage.look("ordered", &hand.get(&format!("{BASE}/allocations/{ours}/orders")).await);
    let read = hand.call(&ListAgreementLedgers { after: Some(before(billed.since)), max: None }).await;
    let own = read.items.iter().find(|own| own.id == billed.agreement).expect("it is listed");
    let all =
        [own.total_amount_due, own.total_amount_accepted, own.total_amount_scheduled, own.total_amount_paid];
    assert_eq!(all.map(|amount| amount.to_string()), ["0.5", "0.5", "0.5", "0"]);
    assert_eq!(hand.call(&GetAgreementLedger(billed.agreement.clone())).await.as_ref(), Some(own));
    let states = golem_sdk::payments::states(&hand.client, std::slice::from_ref(&billed.agreement), None)
        .await
        .expect("states");
    assert_eq!((states[0].scheduled, states[0].paid), (own.total_amount_scheduled, Glm::ZERO));
    hand.call(&ReleaseAllocation(ours)).await;
    stage.close().await;
}

/// A while before: the daemon's ledger knows whole seconds only.
fn before(time: Timestamp) -> Timestamp {
    time - Duration::from_secs(2)
}

pub(super) async fn an_allocation_is_spent(scene: Scene) {
    let stage = scene.open([flat("seller", "0.5")]).await;
    let hand = &stage.hand;
    let allocation = allocate(hand, "0.7").await.allocation_id;
    let first = trade(&stage).await;
    let second = trade(&stage).await;
    hand.call(&accept_invoice(&first.invoice, "0.5", &allocation)).await;
    let accept = format!("{BASE}/invoices/{}/accept", second.invoice);
    let answer = hand.post(&accept, &acceptance("0.5", allocation.as_str())).await;
    stage.look("the second finds too little", &answer);
    let path = format!("{BASE}/allocations/{allocation}");
    stage.look("what is left", &hand.get(&path).await);
    hand.put(&path, &json!({"totalAmount": "1"})).await.expect(200);
    let answer = hand.post(&accept, &acceptance("0.5", allocation.as_str())).await;
    stage.look("the second after a rise", &answer);
    stage.look("nothing is left", &hand.get(&path).await);
    let spent = hand.get(&format!("{path}/expenditures")).await;
    stage.note(&format!("spent for {} agreements", spent.json().as_array().map_or(0, Vec::len)));
    hand.call(&ReleaseAllocation(allocation)).await;
    stage.close().await;
}

pub(super) async fn an_invoice_is_refused(scene: Scene) {
    let stage = scene.open([flat("seller", "0.5")]).await;
    let hand = &stage.hand;
    let Billed { invoice, since, .. } = trade(&stage).await;
    let reject = format!("{BASE}/invoices/{invoice}/reject");
    for body in [
        json!({}),
        json!({"rejectionReason": "NO_REASON", "totalAmountAccepted": "0"}),
        json!({"rejectionReason": "BAD_SERVICE"}),
        json!({"totalAmountAccepted": "0"}),
        json!("no"),
    ] {
        stage.look(&format!("refused with {body}"), &hand.post(&reject, &body).await);
    }
    let unknown = format!("{BASE}/invoices/{NOBODYS}/reject");
    stage.look("an unknown invoice", &hand.post(&unknown, &refusal("0")).await);
    stage.look("refused", &hand.post(&reject, &refusal("0.1")).await);
    stage.look("the refused invoice", &hand.get(&format!("{BASE}/invoices/{invoice}")).await);
    let again = json!({"rejectionReason": "UNSOLICITED_SERVICE", "totalAmountAccepted": 0, "message": "never asked for"});
    stage.look("refused again, in other words", &hand.post(&reject, &again).await);
    let events = Request::new(Method::Get, format!("{BASE}/invoiceEvents?timeout=5&afterTimestamp={since}"))
        .header("x-requestor-events", "REJECTED,ACCEPTED");
    stage.look("events of its answers", &hand.send(events.clone()).await);
    let allocation = allocate(hand, "1").await.allocation_id;
    let accept = format!("{BASE}/invoices/{invoice}/accept");
    stage.look("accepted after all", &hand.post(&accept, &acceptance("0.5", allocation.as_str())).await);
    assert_eq!(status(hand, &invoice).await, BillStatus::Accepted);
    assert_eq!(spent(hand, &allocation).await, "0.5");
    stage.look("events of its answers, again", &hand.send(events).await);
    hand.call(&ReleaseAllocation(allocation)).await;
    stage.close().await;
}

pub(super) async fn bodies_are_read_with_care(scene: Scene) {
    let stage = scene.open([flat("seller", "0.5")]).await;
    let hand = &stage.hand;
    let billed = trade(&stage).await;
    let accept = format!("{BASE}/invoices/{}/accept", billed.invoice);
    for body in [
        json!({}),
        json!({"totalAmountAccepted": "0.5"}),
        json!({"allocationId": NOBODYS}),
        json!({"totalAmountAccepted": "x", "allocationId": NOBODYS}),
        json!({"totalAmountAccepted": null, "allocationId": NOBODYS}),
        json!({"totalAmountAccepted": "0.5", "allocationId": 5}),
        json!([]),
    ] {
        stage.look(&format!("accepted with {body}"), &hand.post(&accept, &body).await);
    }
    stage.look("accepted with nothing", &hand.post_nothing(&accept).await);
    let endless = format!("{accept}?timeout=soon");
    stage.look("a time-out that is none", &hand.post(&endless, &acceptance("0.5", NOBODYS)).await);
    for list in ["invoices", "debitNotes"] {
        let unknown = format!("{BASE}/{list}/{NOBODYS}/accept");
        stage.look(&format!("none of {list}"), &hand.post(&unknown, &acceptance("0.5", NOBODYS)).await);
    }
    // A number with a float's tail is the same number.
    let allocation = allocate(hand, "1").await.allocation_id;
    let number = json!({"totalAmountAccepted": 0.5, "allocationId": allocation, "unheardOf": true});
    stage.look("accepted with a number", &hand.post(&accept, &number).await);
    hand.call(&ReleaseAllocation(allocation)).await;
    stage.close().await;
}

pub(super) async fn debit_notes_add_up(scene: Scene) {
    let per_hour = Prices::per_hour("0.5", "0", "36").expect("prices");
    let often = Behaviour { debit_notes_every: Some(Duration::from_millis(500)), ..Behaviour::default() };
    let stage = scene.open([ProviderConfig::new("seller").priced(per_hour).behaving(often)]).await;
    let hand = &stage.hand;
    let allocation = allocate(hand, "1").await.allocation_id;
    let since = now();
    let (demand, agreement) = agree(hand, &Terms::usual(&stage)).await;
    let activity = ready(hand, &agreement).await;
    let notes = notes(hand, since, &agreement, 3).await;
    let amounts: Vec<_> = {
        let mut amounts = Vec::new();
        for note in &notes {
            let note = hand.call(&GetDebitNote(note.clone())).await;
            assert_eq!((&note.agreement_id, &note.activity_id), (&agreement, &activity));
            assert_eq!(note.status, BillStatus::Received);
            amounts.push(note.total_amount_due);
        }
        amounts
    };
    assert!(amounts.is_sorted() && amounts[0] < amounts[2], "{amounts:?}");
    let second = hand.get(&format!("{BASE}/debitNotes/{}", notes[1])).await.json();
    assert_eq!(second["previousDebitNoteId"], notes[0].as_str());
    let accept = |at: usize| {
        let acceptance = Acceptance { total_amount_accepted: amounts[at], allocation_id: allocation.clone() };
        AcceptDebitNote { debit_note: notes[at].clone(), acceptance }
    };
    // A note is for all so far: the older ones are within it.
    for (at, most) in [(1, 1), (0, 1), (2, 2), (1, 2)] {
        hand.call(&accept(at)).await;
        assert_eq!(spent(hand, &allocation).await, amounts[most].to_string(), "after {at} of {amounts:?}");
    }
    for note in &notes {
        stage.note(&format!("a note is {:?}", hand.call(&GetDebitNote(note.clone())).await.status));
    }
    let path = format!("{BASE}/allocations/{allocation}/expenditures");
    let masked = ["/0/acceptedAmount", "/1/acceptedAmount"];
    stage.look_past("spent for notes", &hand.get(&path).await, &masked);
    destroy(hand, &activity).await;
    leave(hand, &demand, &agreement).await;
    let invoice = invoice_of(hand, since, &agreement).await;
    let amount = hand.call(&GetInvoice(invoice.clone())).await.amount;
    assert!(amount >= amounts[2], "{amount} for all, {amounts:?} before");
    hand.call(&accept_invoice(&invoice, &amount.to_string(), &allocation)).await;
    assert_eq!(spent(hand, &allocation).await, amount.to_string());
    // What the notes left over is the agreement's own.
    let left = amount.checked_sub(amounts[2]).expect("more than before").to_string();
    let for_agreement = hand.get(&path).await.json()[0]["acceptedAmount"].clone();
    assert_eq!(for_agreement.as_str().map(str::parse), Some(left.parse::<Glm>()));
    stage.look_past("spent for all", &hand.get(&path).await, &masked);
    hand.call(&ReleaseAllocation(allocation)).await;
    stage.close().await;
}

pub(super) async fn two_activities_have_one_invoice(scene: Scene) {
    let stage = scene.open([flat("seller", "0.5")]).await;
    let hand = &stage.hand;
    let since = now();
    let (demand, agreement) = agree(hand, &Terms::usual(&stage)).await;
    for _ in 0..2 {
        let activity = ready(hand, &agreement).await;
        destroy(hand, &activity).await;
    }
    leave(hand, &demand, &agreement).await;
    let notes = notes(hand, since, &agreement, 2).await;
    let invoice = invoice_of(hand, since, &agreement).await;
    let read = hand.call(&GetInvoice(invoice.clone())).await;
    assert_eq!((read.amount.to_string().as_str(), read.activity_ids.len()), ("1", 2));
    // The one activity is paid from one allocation, the rest from another.
    let [first, second] =
        [allocate(hand, "0.5").await, allocate(hand, "0.5").await].map(|new| new.allocation_id);
    let accept = format!("{BASE}/debitNotes/{}/accept", notes[0]);
    stage.look("the first note", &hand.post(&accept, &acceptance("0.5", first.as_str())).await);
    let accept = format!("{BASE}/invoices/{invoice}/accept");
    stage.look("too much for the first", &hand.post(&accept, &acceptance("1", first.as_str())).await);
    stage.look("the rest from the second", &hand.post(&accept, &acceptance("1", second.as_str())).await);
    for allocation in [&first, &second] {
        let path = format!("{BASE}/allocations/{allocation}/expenditures");
        stage.look("what was spent of it", &hand.get(&path).await);
    }
    for allocation in [first, second] {
        assert_eq!(spent(hand, &allocation).await, "0.5");
        hand.call(&ReleaseAllocation(allocation)).await;
    }
    stage.close().await;
}

pub(super) async fn a_debit_note_may_be_payable(scene: Scene) {
    let stage = scene.open([flat("seller", "0.5")]).await;
    let hand = &stage.hand;
    let since = now();
    let terms = Terms::usual(&stage)
        .with(name::DEBIT_NOTE_INTERVAL, 120)
        .with(name::PAYMENT_TIMEOUT, 120)
        .with(name::ACCEPT_TIMEOUT, 120);
    let (demand, agreement) = agree(hand, &terms).await;
    let activity = ready(hand, &agreement).await;
    destroy(hand, &activity).await;
    leave(hand, &demand, &agreement).await;
    let note = notes(hand, since, &agreement, 1).await.remove(0);
    let path = format!("{BASE}/debitNotes/{note}");
    stage.look_past("it says until when", &hand.get(&path).await, &["/usageCounterVector"]);
    let allocation = allocate(hand, "1").await.allocation_id;
    let accepted = hand.post(&format!("{path}/accept"), &acceptance("0.5", allocation.as_str())).await;
    stage.look("accepted", &accepted);
    let invoice = invoice_of(hand, since, &agreement).await;
    hand.call(&accept_invoice(&invoice, "0.5", &allocation)).await;
    let path = format!("{BASE}/allocations/{allocation}/expenditures");
    stage.look_past("spent", &hand.get(&path).await, &["/0/scheduledAmount"]);
    assert_eq!(spent(hand, &allocation).await, "0.5");
    hand.call(&ReleaseAllocation(allocation)).await;
    stage.close().await;
}

pub(super) async fn a_bill_may_be_too_high(scene: Scene) {
    let greedy = Behaviour { bill_factor: 3.0, ..Behaviour::default() };
    let stage = scene.open([flat("greedy", "0.5").behaving(greedy)]).await;
    let hand = &stage.hand;
    let billed = trade(&stage).await;
    // The daemon doesn't know what was agreed: to check it is the requestor's business.
    assert_eq!(hand.call(&GetInvoice(billed.invoice.clone())).await.amount.to_string(), "1.5");
    assert_eq!(hand.call(&GetDebitNote(billed.note.clone())).await.total_amount_due.to_string(), "1.5");
    let allocation = allocate(hand, "2").await.allocation_id;
    let accept = format!("{BASE}/invoices/{}/accept", billed.invoice);
    let right = acceptance("0.5", allocation.as_str());
    stage.look("the right amount is the wrong one", &hand.post(&accept, &right).await);
    stage.look("all it claims", &hand.post(&accept, &acceptance("1.5", allocation.as_str())).await);
    assert_eq!(spent(hand, &allocation).await, "1.5");
    hand.call(&ReleaseAllocation(allocation)).await;
    stage.close().await;
}

pub(super) async fn an_invoice_may_come_twice(scene: Scene) {
    let twice = Behaviour { invoicing: InvoiceManner::Twice, ..Behaviour::default() };
    let stage = scene.open([flat("twice", "0.5").behaving(twice)]).await;
    let hand = &stage.hand;
    let billed = trade(&stage).await;
    let since = billed.since;
    let begin = Instant::now();
    let invoices = loop {
        let found = invoices(hand, since).await;
        if found.len() > 1 || begin.elapsed() > PATIENCE {
            break found;
        }
        sleep(STEP).await;
    };
    stage.note(&format!("{} invoices came", invoices.len()));
    let allocation = allocate(hand, "2").await.allocation_id;
    for invoice in &invoices {
        let accept = format!("{BASE}/invoices/{invoice}/accept");
        stage.look("accept", &hand.post(&accept, &acceptance("0.5", allocation.as_str())).await);
        stage.note(&format!("spent {}", spent(hand, &allocation).await));
    }
    hand.call(&ReleaseAllocation(allocation)).await;
    stage.close().await;
}

pub(super) async fn nothing_is_billed_for_nothing(scene: Scene) {
    let stage = scene.open([flat("generous", "0")]).await;
    let hand = &stage.hand;
    let Billed { invoice, since, .. } = trade(&stage).await;
    let allocation = allocate(hand, "1").await.allocation_id;
    let accept = format!("{BASE}/invoices/{invoice}/accept");
    stage.look("accept nothing", &hand.post(&accept, &acceptance("0", allocation.as_str())).await);
    let begin = Instant::now();
    while status(hand, &invoice).await != BillStatus::Settled {
        assert!(begin.elapsed() < PATIENCE, "it isn't settled");
        sleep(STEP).await;
    }
    stage.look("what was nothing is paid", &hand.get(&format!("{BASE}/invoices/{invoice}")).await);
    let events = Request::new(Method::Get, format!("{BASE}/invoiceEvents?timeout=5&afterTimestamp={since}"))
        .header("x-requestor-events", "RECEIVED,ACCEPTED,SETTLED");
    stage.look("its events", &hand.send(events).await);
    stage.look("nothing is spent", &hand.get(&format!("{BASE}/allocations/{allocation}")).await);
    hand.call(&ReleaseAllocation(allocation)).await;
    stage.close().await;
}

pub(super) async fn an_invoice_may_never_come(scene: Scene) {
    let never = Behaviour { invoicing: InvoiceManner::Never, ..Behaviour::default() };
    let stage = scene.open([flat("forgetful", "0.5").behaving(never)]).await;
    let hand = &stage.hand;
    let since = now();
    let (demand, agreement) = agree(hand, &Terms::usual(&stage)).await;
    let activity = ready(hand, &agreement).await;
    destroy(hand, &activity).await;
    leave(hand, &demand, &agreement).await;
    let notes = notes(hand, since, &agreement, 1).await;
    let allocation = allocate(hand, "1").await.allocation_id;
    let accept = format!("{BASE}/debitNotes/{}/accept", notes[0]);
    for (what, amount, allocation) in [
        ("too much", "0.6", allocation.as_str()),
        ("from an unknown allocation", "0.5", NOBODYS),
        ("as it should be", "0.5", allocation.as_str()),
        ("again", "0.5", allocation.as_str()),
    ] {
        stage.look(what, &hand.post(&accept, &acceptance(amount, allocation)).await);
    }
    let note = hand.get(&format!("{BASE}/debitNotes/{}", notes[0])).await;
    stage.look_past("the debit note", &note, &["/usageCounterVector"]);
    stage.look("spent", &hand.get(&format!("{BASE}/allocations/{allocation}/expenditures")).await);
    assert_eq!(invoices(hand, since).await, []);
    hand.call(&ReleaseAllocation(allocation)).await;
    stage.close().await;
}

pub(super) async fn bills_are_for_two_only(scene: Scene) {
    let stage = scene.open([flat("seller", "0.5")]).await;
    let billed = trade(&stage).await;
    let stranger = stage.another_hand().await;
    let allocation = allocate(&stranger, "1").await.allocation_id;
    let (note, invoice) =
        (format!("{BASE}/debitNotes/{}", billed.note), format!("{BASE}/invoices/{}", billed.invoice));
    for bill in [&note, &invoice] {
        stage.look("read another's", &stranger.get(bill).await);
        let body = acceptance("0.5", allocation.as_str());
        stage.look("accept another's", &stranger.post(&format!("{bill}/accept"), &body).await);
    }
    stage.look("refuse another's", &stranger.post(&format!("{invoice}/reject"), &refusal("0")).await);
    stage.look("payments of another's", &stranger.get(&format!("{invoice}/payments")).await);
    let of_ours = |item: &Value| item["agreementId"] == billed.agreement.as_str();
    let listed = stranger.get(&format!("{BASE}/invoices?afterTimestamp={}", billed.since)).await;
    stage.look("list another's", &listed.keep(of_ours));
    // Its identity may have traded before, and be sent a late invoice of that.
    assert!(
        !invoices(&stranger, billed.since).await.contains(&billed.invoice),
        "another's invoice is told of"
    );
    assert_eq!(status(&stage.hand, &billed.invoice).await, BillStatus::Received);
    stranger.call(&ReleaseAllocation(allocation)).await;
    stage.close().await;
}

/// The invoices that came since.
async fn invoices(hand: &Hand, since: Timestamp) -> Vec<InvoiceId> {
    let path = format!("{BASE}/invoiceEvents?timeout=1&afterTimestamp={since}");
    ids(&hand.get(&path).await.expect(200)).into_iter().map(InvoiceId::new).collect()
}

async fn status(hand: &Hand, invoice: &InvoiceId) -> BillStatus {
    hand.call(&GetInvoice(invoice.clone())).await.status
}

async fn spent(hand: &Hand, allocation: &AllocationId) -> String {
    hand.call(&GetAllocation(allocation.clone())).await.spent_amount.to_string()
}

fn accept_invoice(invoice: &InvoiceId, amount: &str, allocation: &AllocationId) -> AcceptInvoice {
    let total_amount_accepted: Glm = amount.parse().expect("an amount");
    let acceptance = Acceptance { total_amount_accepted, allocation_id: allocation.clone() };
    AcceptInvoice { invoice: invoice.clone(), acceptance }
}

fn acceptance(amount: &str, allocation: &str) -> Value {
    json!({"totalAmountAccepted": amount, "allocationId": allocation})
}

fn refusal(amount: &str) -> Value {
    json!({"rejectionReason": "BAD_SERVICE", "totalAmountAccepted": amount, "message": "bad"})
}
