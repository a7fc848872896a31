//! Lists of any length, and hindrances in words.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use serde_json::json;
use yagna_api::AppKey;
use yagna_client::InProcessTransport;

use super::*;

const BEGIN: &str = "2026-11-22T08:00:00Z";

/// A daemon that knows so many agreements, a few of them in each second, and nothing else.
fn ledger(of: usize, in_a_second: usize, hindrances: Value) -> (Client, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let list = move |Query(query): Query<HashMap<String, String>>| {
        count.fetch_add(1, Ordering::Relaxed);
        let after: Option<Timestamp> = query.get("afterTimestamp").map(|text| text.parse().unwrap());
        let max: usize = query["maxItems"].parse().unwrap();
        let begin: Timestamp = BEGIN.parse().unwrap();
        let items: Vec<_> = (0..of)
            .map(|n| (n, begin + Duration::from_secs((n / in_a_second) as u64)))
            .filter(|(_, created)| after.is_none_or(|after| *created > after))
            .take(max)
            .map(|(n, created)| {
                json!({
                    "id": format!("a{n}"), "role": "R", "paymentPlatform": "erc20-hoodi-tglm",
                    "peerId": "0xabcdef0123456789abcdef0123456789abcdef02", "totalAmountDue": "3",
                    "totalAmountAccepted": "2", "totalAmountScheduled": "2",
                    "totalAmountPaid": if n % 2 == 0 { "2" } else { "1" },
                    "createdTs": created.to_string().trim_end_matches('Z'),
                })
            })
            .collect();
        std::future::ready(axum::Json(items))
    };
    let router = Router::new()
        .route("/payment-api/v1/payAgreements", get(list))
        .route("/payment-api/v1/payments/status", get(|| std::future::ready(axum::Json(hindrances))));
    (Client::new(Arc::new(InProcessTransport::new(router, &AppKey::new("k")).unwrap())), asked)
}

fn ids(numbers: impl IntoIterator<Item = usize>) -> Vec<AgreementId> {
    numbers.into_iter().map(|n| AgreementId::new(format!("a{n}"))).collect()
}

#[tokio::test(start_paused = true)]
async fn lists_of_any_length_are_read_to_their_end() {
    let wanted = ids([0, 3, 17, 18, 19, 49]);
    // Pages end in the middle of a second, at its end, and are smaller than what is in one.
    for (in_a_second, page) in [(1, 7), (4, 7), (7, 7), (20, 7), (50, 7), (50, 50), (3, 1)] {
        let (client, asked) = ledger(50, in_a_second, json!([]));
        let found = listed(&client, &wanted, None, page).await.unwrap();
        assert_eq!(found.len(), wanted.len(), "{in_a_second} a second, {page} a page");
        assert!(asked.load(Ordering::Relaxed) <= 60, "{in_a_second} a second, {page} a page: {asked:?}");
    }
    let (client, asked) = ledger(50, 4, json!([]));
    let nobodys = ids([3, 70]);
    assert_eq!(
        listed(&client, &nobodys, None, 1000).await.unwrap().len(),
        1,
        "no bill of the other has come"
    );
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_without_end_is_given_up() {
    let (client, asked) = ledger(1000, 1, json!([]));
    let error = listed(&client, &ids([5000]), None, 2).await.unwrap_err();
    assert!(matches!(error, PaymentsError::TooMany { read: 400 }), "{error:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 200);
}

#[tokio::test(start_paused = true)]
async fn states_come_in_order_and_only_what_is_open_is_hindered() {
    let hindrances = json!([
        {"kind": "InsufficientGas", "driver": "erc20", "network": "hoodi", "address": "0x1", "neededGasEst": "0.02"},
        {"kind": "SomethingNew"}
    ]);
    let (client, asked) = ledger(50, 4, hindrances);
    let since = BEGIN.parse::<Timestamp>().unwrap() - Duration::from_secs(1);
    let states = states(&client, &ids([9, 70, 4, 1, 3]), Some(since)).await.unwrap();
    let names: Vec<_> = states.iter().map(|state| state.agreement.as_str()).collect();
    assert_eq!(names, ["a9", "a4", "a1", "a3"], "no bill of a70 has come");
    let one: Glm = "1".parse().unwrap();
    assert_eq!((states[0].paid, states[0].accepted), (one, "2".parse().unwrap()));
    let why = "too little gas in the wallet, about 0.02 needed; SomethingNew, on erc20-hoodi-tglm";
    assert_eq!(states[0].failed.as_deref(), Some(why));
    assert_eq!(states[1].failed, None, "it is paid");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}
