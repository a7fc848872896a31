//! APIs that are elsewhere than the rest of the daemon: which call goes where.

use std::error::Error as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use yagna_api::activity::GetState;
use yagna_api::identity::GetMe;
use yagna_api::market::GetAgreement;
use yagna_api::payment::GetAllocation;
use yagna_api::{ActivityId, AgreementId, AllocationId};
use yagna_client::{ApiUrls, Client, HttpTransport, RetryPolicy, TransportError};

use crate::served::{Served, key};

type Asked = Arc<Mutex<Vec<String>>>;

/// A daemon that refuses everything and remembers what it was asked.
async fn listener() -> (Served, Asked) {
    async fn refuse(State(asked): State<Asked>, uri: Uri) -> StatusCode {
        asked.lock().unwrap().push(uri.to_string());
        StatusCode::NOT_FOUND
    }
    let asked = Asked::default();
    (Served::start(Router::new().fallback(refuse).with_state(Arc::clone(&asked))).await, asked)
}

fn client(base: &str, apis: &ApiUrls) -> Client {
    let transport = HttpTransport::with_apis(&base.parse().unwrap(), apis, &key()).unwrap();
    Client::new(Arc::new(transport)).with_retry(RetryPolicy::NEVER)
}

async fn ask_everything(client: &Client) {
    client.call(&GetMe).await.unwrap_err();
    client.call(&GetAgreement(AgreementId::new("a"))).await.unwrap_err();
    client.call(&GetAllocation(AllocationId::new("b"))).await.unwrap_err();
    client.call(&GetState(ActivityId::new("c"))).await.unwrap_err();
    client.socket("reach a node", "/net-api/v1/net/d/tcp/10.0.0.1/80", None).await.unwrap_err();
    client.socket("serve files", "/gsb-api/v1/services/e", None).await.unwrap_err();
}

#[tokio::test]
async fn each_call_goes_where_its_api_is() {
    let (base, at_base) = listener().await;
    let (other, elsewhere) = listener().await;
    let at = |path: &str| Some(format!("{}{path}", other.url()).parse().unwrap());
    let apis = ApiUrls { market: at("/m/v7/"), payment: at("/p"), activity: at(""), net: at("/n") };
    ask_everything(&client(&base.url(), &apis)).await;
    assert_eq!(*at_base.lock().unwrap(), ["/me", "/gsb-api/v1/services/e"]);
    let asked = elsewhere.lock().unwrap().clone();
    let expected = [
        "/m/v7/agreements/a",
        "/p/allocations/b",
        "/activity/c/state?timeout=10",
        "/n/net/d/tcp/10.0.0.1/80",
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn what_is_not_set_stays_with_the_daemon() {
    let (base, at_base) = listener().await;
    let (other, elsewhere) = listener().await;
    let apis = ApiUrls { payment: Some(other.url().parse().unwrap()), ..ApiUrls::default() };
    ask_everything(&client(&base.url(), &apis)).await;
    assert_eq!(*elsewhere.lock().unwrap(), ["/allocations/b"]);
    assert_eq!(at_base.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn an_api_that_cannot_be_reached_is_named_by_its_own_address() {
    let (base, _) = listener().await;
    let gone = listener().await.0.stop().await;
    let apis =
        ApiUrls { market: Some(format!("http://{gone}/market").parse().unwrap()), ..ApiUrls::default() };
    let error = client(&base.url(), &apis).call(&GetAgreement(AgreementId::new("a"))).await.unwrap_err();
    let source = error.source().and_then(|source| source.downcast_ref::<TransportError>());
    let Some(TransportError::Unreachable { address, .. }) = source else { panic!("{error:?}") };
    assert_eq!(*address, format!("http://{gone}/market"));
}
