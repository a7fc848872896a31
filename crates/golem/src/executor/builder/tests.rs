//! Where an executor's settings come from.

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
    let payload = Payload { min_mem_gib: -1.0, ..Payload::default() };
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

    let client = connect::with(Some(format!("http://{address}")), Some(key), |_| None).unwrap();
    client.call(&GetMe).await.unwrap();
    let executor =
        Executor::builder(Payload::default()).client(client).start_in(variables(&[])).await.unwrap();
    assert_eq!((executor.driver(), executor.network()), ("erc20", "hoodi"));
    executor.close().await.unwrap();
    devnet.stop().await;
}
