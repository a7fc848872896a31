//! Demands, offers, proposals, scans.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::kit::Net;

#[tokio::test(start_paused = true)]
async fn a_poll_waits_for_events_for_its_timeout_and_for_the_demands_end() {
    let net = Net::new();
    let demand = net.demand().await;
    let began = Instant::now();
    assert!(net.events(&demand, "2.5").await.is_empty());
    assert_eq!(began.elapsed(), Duration::from_millis(2500));
    let path = format!("/market-api/v1/demands/{demand}/events");
    assert_eq!(net.get(&path).await.expect(200).text, "[]");
    assert_eq!(began.elapsed(), Duration::from_millis(7500), "five seconds by default");
    for timeout in ["0", "-3"] {
        assert!(net.events(&demand, timeout).await.is_empty());
    }
    assert_eq!(began.elapsed(), Duration::from_millis(7500));
    // Two polls wait; one event goes to one of them, and both hear of the end.
    let offer = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        net.offer().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        net.delete(&format!("/market-api/v1/demands/{demand}")).await.expect(204);
    };
    let poll = || net.get(&path);
    let (one, two, ()) = tokio::join!(poll(), poll(), offer);
    let (got, ended) = if one.status == 200 { (one, two) } else { (two, one) };
    assert_eq!(got.json().as_array().unwrap().len(), 1);
    assert_eq!(
        ended.expect(404).message(),
        format!("Subscription [{demand}] not found. Could be unsubscribed.")
    );
    assert_eq!(began.elapsed(), Duration::from_millis(9500));
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_dropped_takes_nothing() {
    let net = Net::new();
    let demand = net.demand().await;
    for _ in 0..20 {
        let poll = net.events(&demand, "60");
        assert!(tokio::time::timeout(Duration::from_millis(100), poll).await.is_err());
    }
    net.offer().await;
    assert_eq!(net.events(&demand, "0").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn subscriptions_end_after_an_hour() {
    let net = Net::new();
    let demand = net.demand().await;
    net.offer().await;
    let initial = net.events(&demand, "0").await[0]["proposal"]["proposalId"].as_str().unwrap().to_owned();
    tokio::time::sleep(Duration::from_secs(3590)).await;
    let path = format!("/market-api/v1/demands/{demand}/events?timeout=60");
    assert_eq!(net.get(&path).await.expect(200).text, "[]", "a poll that waits goes on to its end");
    assert_eq!(net.get(&path).await.expect(404).message(), format!("Subscription [{demand}] expired."));
    assert_eq!(
        net.counter(&demand, &initial).await.expect(410).message(),
        format!("Subscription [{demand}] expired.")
    );
    assert_eq!(net.get("/market-api/v1/demands").await.json(), json!([]));
    net.delete(&format!("/market-api/v1/demands/{demand}")).await.expect(404);
    let fresh = net.demand().await;
    assert!(net.events(&fresh, "0").await.is_empty(), "the offer is as old");
}

/// Many polls at once on several threads, some of them dropped: each event goes to exactly one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn polls_at_the_same_time_share_the_events_without_loss() {
    const OFFERS: usize = 200;
    let net = Arc::new(Net::new());
    let demand: Arc<str> = net.demand().await.into();
    let mut polls = JoinSet::new();
    for poller in 0..8_u64 {
        let (net, demand) = (Arc::clone(&net), Arc::clone(&demand));
        polls.spawn(async move {
            let mut random = fastrand::Rng::with_seed(poller);
            let mut seen = Vec::new();
            loop {
                let path = format!("/market-api/v1/demands/{demand}/events?timeout=0.2&maxEvents=3");
                let patience = Duration::from_micros(random.u64(50..300_000));
                // The answer of a poll that is done is never thrown away: the time-out looks at it first.
                let Ok(reply) = tokio::time::timeout(patience, net.get(&path)).await else { continue };
                if reply.status == 404 {
                    return seen;
                }
                let events = reply.expect(200).json();
                let id =
                    |event: &serde_json::Value| event["proposal"]["proposalId"].as_str().unwrap().to_owned();
                seen.extend(events.as_array().unwrap().iter().map(id));
            }
        });
    }
    for _ in 0..OFFERS {
        net.offer().await;
        tokio::task::yield_now().await;
    }
    let mut left = 0;
    loop {
        let events = net.events(&demand, "0").await;
        if events.is_empty() {
            break;
        }
        left += events.len();
    }
    net.delete(&format!("/market-api/v1/demands/{demand}")).await.expect(204);
    let seen: Vec<String> = polls.join_all().await.into_iter().flatten().collect();
    let unique: BTreeSet<_> = seen.iter().collect();
    assert_eq!((unique.len(), seen.len() + left), (seen.len(), OFFERS));
}
