//! The reasons why an executor doesn't start, and the messages for the user.

use golem_core::payload::Payload;
use golem_sdk::RunError;
use golem_sdk::executor::{Executor, StartError};
use golem_sdk::text::chain;
use yagna_api::AppKey;
use yagna_client::{Client, InProcessTransport};

use crate::stage::{assert_all_ended, builder, devnet, honest, scripted};

#[tokio::test(start_paused = true)]
async fn no_payment_account_names_driver_and_network_and_what_mends_it() {
    let devnet = devnet(scripted(), [honest("ada")]).start().await.unwrap();
    let error = builder(&devnet).driver("ZkSync").network("Rinkeby").start().await.unwrap_err();
    let StartError::NoPaymentAccount { driver, network, .. } = &error else { panic!("{error:?}") };
    assert_eq!((driver.as_str(), network.as_str()), ("zksync", "rinkeby"));
    let said = error.to_string();
    for part in ["`zksync`", "`rinkeby`", "yagna payment init --sender --driver zksync --network rinkeby"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(devnet.books().allocations.is_empty(), "no money was asked for");
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_the_account_does_not_have_is_an_error_at_the_start() {
    let devnet = devnet(scripted(), [honest("ada")]).start().await.unwrap();
    devnet.world().set_funds(&devnet.requestor().node, "0.1".parse().unwrap());
    let error = builder(&devnet).start().await.unwrap_err();
    assert!(matches!(error, StartError::Run(RunError::Allocation { .. })), "{error:?}");
    assert!(chain(&error).contains("2 GLM"), "{}", chain(&error));
    let StartError::Run(run) = &error else { panic!("{error:?}") };
    assert_eq!(run.account_remedy(), None, "there is an account, with funds");
    devnet.world().set_funds(&devnet.requestor().node, "0".parse().unwrap());
    let error = builder(&devnet).start().await.unwrap_err();
    assert!(matches!(error, StartError::NoPaymentAccount { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("`yagna payment fund --driver erc20 --network hoodi`"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_daemon_does_not_take_is_told_as_that() {
    let devnet = devnet(scripted(), [honest("ada")]).start().await.unwrap();
    let transport = InProcessTransport::new(devnet.router(), &AppKey::new("wrong")).unwrap();
    let client = Client::new(std::sync::Arc::new(transport));
    let error = builder(&devnet).client(client).start().await.unwrap_err();
    assert!(matches!(error, StartError::Run(RunError::Unauthorised { .. })), "{error:?}");
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_told_with_its_address() {
    // A port that was just free.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let builder = Executor::builder(Payload::default()).api_url(&url).app_key(AppKey::new("key"));
    let error = builder.start().await.unwrap_err();
    assert!(matches!(error, StartError::Run(RunError::Unreachable { .. })), "{error:?}");
    assert!(error.to_string().contains(&free.to_string()), "{error}");
    let builder = Executor::builder(Payload::default()).api_url("no address").app_key(AppKey::new("key"));
    let error = builder.start().await.unwrap_err();
    assert!(matches!(&error, StartError::Address { address, .. } if address == "no address"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_given_up_leaves_nothing_behind() {
    let devnet = devnet(scripted(), [honest("ada")]).start().await.unwrap();
    for patience in [0, 1, 5, 20, 100] {
        let patience = std::time::Duration::from_millis(patience);
        tokio::time::timeout(patience, builder(&devnet).start()).await.ok();
    }
    crate::stage::wait_for("the money to be given back", || {
        devnet.books().allocations.iter().all(|row| row.released)
    })
    .await;
    assert_all_ended(&devnet).await;
}
