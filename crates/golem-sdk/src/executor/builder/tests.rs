//! The sources of an executor's settings.

use golem_devnet::devnet::Devnet;
use yagna_api::identity::GetMe;

use golem_core::payload::Payload;

use super::*;

fn variables(set: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
    |name| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
}

#[tokio::test]
async fn without_a_key_one_line_says_how_to_get_one() {
    for set in [&[][..], &[("YAGNA_APPKEY", " ")]] {
        let error = Executor::builder(Payload::default()).start_in(variables(set)).await.unwrap_err();
        assert!(matches!(error, StartError::NoAppKey), "{error:?}");
        let said = error.to_string();
        assert!(said.contains("YAGNA_APPKEY") && said.contains("`yagna app-key create"), "{said}");
    }
}

#[tokio::test]
async fn what_could_never_work_is_refused_before_anything_else() {
    let mut payload = Payload::default();
    payload.min_mem_gib = -1.0;
    let error = Executor::builder(payload).start_in(variables(&[])).await.unwrap_err();
    assert!(matches!(error, StartError::Payload(_)), "{error:?}");
    let nobody = Executor::builder(Payload::default()).max_workers(0);
    let error = nobody.start_in(variables(&[])).await.unwrap_err();
    assert!(matches!(error, StartError::NoWorkers), "{error:?}");
}

#[tokio::test]
async fn what_is_said_counts_before_the_environment_and_that_before_the_defaults() {
    let devnet = Devnet::builder().payment_platform("erc20-holesky-tglm").start().await.unwrap();
    let address = devnet.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let key = devnet.requestor().key.clone();
    let (url, exposed) = (format!("http://{address}"), key.expose().to_owned());
    let environment = move |name: &str| match name {
        "YAGNA_API_URL" => Some(url.clone()),
        "YAGNA_APPKEY" => Some(exposed.clone()),
        "YAGNA_PAYMENT_NETWORK" => Some("Holesky".to_owned()),
        "YAGNA_PAYMENT_DRIVER" => Some(String::new()),
        _ => None,
    };

    let executor = Executor::builder(Payload::default()).start_in(&environment).await.unwrap();
    assert_eq!((executor.driver(), executor.network()), ("erc20", "holesky"));
    executor.close().await.unwrap();

    let said = Executor::builder(Payload::default()).network("sepolia");
    let executor = said.start_in(&environment).await.unwrap();
    assert_eq!(executor.network(), "sepolia");
    executor.close().await.unwrap();

    let client =
        connect::with(Some(format!("http://{address}")), Some(key), ApiUrls::default(), |_| None).unwrap();
    client.call(&GetMe).await.unwrap();
    let executor =
        Executor::builder(Payload::default()).client(client).start_in(variables(&[])).await.unwrap();
    assert_eq!((executor.driver(), executor.network()), ("erc20", "hoodi"));
    executor.close().await.unwrap();
    devnet.stop().await;
}

#[tokio::test]
async fn single_apis_are_found_by_the_environment_and_by_what_is_said_before_it() {
    let devnet = Devnet::builder().start().await.unwrap();
    let address = devnet.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let exposed = devnet.requestor().key.expose().to_owned();
    // A port that was just free: nobody is there.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let environment = |variables: Vec<(&'static str, String)>| {
        let (url, exposed) = (format!("http://{address}"), exposed.clone());
        move |name: &str| match name {
            "YAGNA_API_URL" => Some(url.clone()),
            "YAGNA_APPKEY" => Some(exposed.clone()),
            _ => variables.iter().find(|(set, _)| *set == name).map(|(_, value)| value.clone()),
        }
    };
    let executor = || Executor::builder(Payload::default());

    let nowhere = ("YAGNA_PAYMENT_URL", format!("http://{free}/payment-api/v1"));
    let error = executor().start_in(environment(vec![nowhere.clone()])).await.unwrap_err();
    assert!(crate::text::chain(&error).contains(&free.to_string()), "{error:?}");
    assert!(devnet.books().allocations.is_empty(), "the daemon itself wasn't asked for money");

    let said = ApiUrls {
        payment: Some(format!("http://{address}/payment-api/v1").parse().unwrap()),
        ..ApiUrls::default()
    };
    let executor = executor().api_urls(said).start_in(environment(vec![nowhere])).await.unwrap();
    assert_eq!(devnet.books().allocations.len(), 1);
    executor.close().await.unwrap();

    let wrong = environment(vec![("YAGNA_NET_URL", "somewhere".to_owned())]);
    let error = Executor::builder(Payload::default()).start_in(wrong).await.unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, StartError::ApiUrl(_)), "{error:?}");
    assert!(said.contains("YAGNA_NET_URL") && said.contains("http://127.0.0.1:7465/net-api/v1"), "{said}");
    devnet.stop().await;
}
