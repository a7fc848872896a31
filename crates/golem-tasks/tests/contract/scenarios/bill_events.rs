//! Events of bills: read by cursor, filtered by session and by kind, and followed as a stream.

use futures_util::StreamExt as _;
use yagna_api::payment::{BillEventKind, EventFilter};
use yagna_api::{AppSessionId, Method, Request};
use yagna_client::Polled;

use super::bills::trading::{flat, ids, rental, trade};
use crate::hand::now;
use crate::stage::Scene;

const BASE: &str = "/payment-api/v1";

pub(super) async fn events_are_read_by_cursor(scene: Scene) {
    let stage = scene.open([flat("seller", "0.5")]).await;
    let hand = &stage.hand;
    let since = now();
    let session = AppSessionId::new("the first session");
    let first = rental(&stage, Some(session.clone())).await;
    let second = rental(&stage, None).await;
    let path = format!("{BASE}/invoiceEvents?afterTimestamp={since}");
    let ask = |query: &'static str| {
        let path = format!("{path}&timeout=5{query}");
        async move { ids(&hand.get(&path).await.expect(200)) }
    };
    let (one, two) = (first.invoice.as_str(), second.invoice.as_str());
    assert_eq!(ask("").await, [one, two]);
    assert_eq!(ask("&maxEvents=1").await, [one]);
    assert_eq!(ask("&appSessionId=the%20first%20session").await, [one]);
    assert_eq!(ask("&appSessionId=the+first+session").await, [one]);
    assert_eq!(ask("&appSessionId=the%20first%20session&maxEvents=9").await, [one]);
    stage.look("no events wanted", &hand.get(&format!("{path}&timeout=5&maxEvents=0")).await);
    let unknown = format!("{path}&timeout=0.1&appSessionId=none");
    stage.look("of no session", &hand.get(&unknown).await);
    let dates: Vec<_> = hand.get(&path).await.json().as_array().expect("a list").clone();
    let date = |at: usize| dates[at]["eventDate"].as_str().expect("a time").to_owned();
    let after = |date: String| format!("{BASE}/invoiceEvents?afterTimestamp={date}&timeout=0.2");
    assert_eq!(ids(&hand.get(&after(date(0))).await), [two], "strictly after the first");
    stage.look("after the last", &hand.get(&after(date(1))).await);
    for (header, value) in [
        ("x-requestor-events", "RECEIVED"),
        ("x-requestor-events", "CANCELLED,RECEIVED"),
        ("x-requestor-events", "CANCELLED, RECEIVED"),
        ("x-requestor-events", "received"),
        ("x-requestor-events", "InvoiceReceivedEvent"),
        ("x-requestor-events", ""),
        ("x-requestor-events", "ACCEPTED,REJECTED,SETTLED"),
        ("x-provider-events", "RECEIVED"),
        ("x-provider-events", ""),
    ] {
        let request = Request::new(Method::Get, format!("{path}&timeout=0.1")).header(header, value);
        let found = ids(&hand.send(request).await.expect(200)).len();
        stage.note(&format!("{header}: {value:?} lets {found} through"));
    }
    for query in ["timeout=x", "maxEvents=-1", "maxEvents=x", "afterTimestamp=yesterday"] {
        stage.look(query, &hand.get(&format!("{BASE}/invoiceEvents?{query}")).await);
    }
    stage.close().await;
}

pub(super) async fn a_stream_of_events_goes_on(scene: Scene) {
    let stage = scene.open([flat("seller", "0.5")]).await;
    let hand = &stage.hand;
    let first = trade(&stage).await;
    let filter = |after| EventFilter { after: Some(after), ..EventFilter::default() };
    let mut stream = hand.client.invoice_events(filter(first.since));
    let Some(Polled::Event(event)) = stream.next().await else { panic!("no event") };
    assert_eq!((&event.invoice_id, &event.kind), (&first.invoice, &BillEventKind::Received));
    // The client goes, and another one goes on where it was.
    drop(stream);
    let second = trade(&stage).await;
    let mut stream = hand.client.clone().invoice_events(filter(event.event_date));
    let Some(Polled::Event(event)) = stream.next().await else { panic!("no event") };
    assert_eq!((&event.invoice_id, &event.kind), (&second.invoice, &BillEventKind::Received));
    let mut notes = hand.client.debit_note_events(filter(first.since));
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let Some(Polled::Event(event)) = notes.next().await else { panic!("no event") };
        seen.push(event.debit_note_id);
    }
    assert_eq!(seen, [first.note, second.note]);
    let third = trade(&stage).await;
    let Some(Polled::Event(event)) = stream.next().await else { panic!("no event") };
    assert_eq!(event.invoice_id, third.invoice);
    stage.close().await;
}
