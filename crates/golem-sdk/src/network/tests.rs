use golem_devnet::devnet::Devnet;
use yagna_client::InProcessTransport;

use super::*;

fn client(devnet: &Devnet) -> Client {
    let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key).unwrap();
    Client::new(Arc::new(transport))
}

fn node(n: u8) -> NodeId {
    format!("0x{n:040x}").parse().unwrap()
}

#[tokio::test]
async fn networks_choose_ranges_that_no_other_uses() {
    let devnet = Devnet::builder().providers(0).start().await.unwrap();
    let client = client(&devnet);
    let first = Network::create(&client, None).await.unwrap();
    let second = Network::create(&client, None).await.unwrap();
    assert_eq!(first.range().to_string(), "192.168.0.0/24");
    assert_eq!(second.range().to_string(), "192.168.1.0/24");
    let error = Network::create(&client, Some("192.168.0.128/25")).await.unwrap_err();
    assert!(error.to_string().contains("overlaps with 192.168.0.0/24"), "{error}");
    first.remove().await.unwrap();
    first.remove().await.unwrap();
    assert_eq!(
        Network::create(&client, Some("192.168.0.128/25")).await.unwrap().own_address().octets()[3],
        129
    );
    devnet.stop().await;
}

#[tokio::test]
async fn addresses_are_given_back_and_rest_for_a_while() {
    let devnet = Devnet::builder().providers(0).start().await.unwrap();
    let client = client(&devnet);
    let network = Network::create(&client, Some("10.3.0.0/29")).await.unwrap();
    let mut seats = Vec::new();
    for n in 1..=4 {
        seats.push(network.join(&node(n), None).await.unwrap());
    }
    let taken = network.join(&node(2), None).await.unwrap_err();
    assert!(
        taken.to_string().contains("has a machine in the network 10.3.0.0/29 already, at 10.3.0.3"),
        "{taken}"
    );
    let second = seats.remove(1);
    let its = second.address();
    second.leave().await.unwrap();
    // The address that was never used comes first, then the one that rests, and that one at once for who wants just it.
    assert_eq!(network.join(&node(5), None).await.unwrap().address().to_string(), "10.3.0.6");
    let again = network.join(&node(6), Some(its)).await.unwrap();
    assert_eq!(again.address(), its);
    let full = network.join(&node(7), None).await.unwrap_err();
    assert!(full.to_string().contains("is full: all of its 5 addresses"), "{full}");
    again.leave().await.unwrap();
    assert_eq!(network.join(&node(7), None).await.unwrap().address(), its);
    devnet.stop().await;
}

#[tokio::test]
async fn a_later_process_finds_the_network_with_its_members() {
    let devnet = Devnet::builder().providers(0).start().await.unwrap();
    let client = client(&devnet);
    let network = Network::create(&client, None).await.unwrap();
    let seat = network.join(&node(1), None).await.unwrap();
    let found = Network::find(&client, network.id()).await.unwrap().unwrap();
    assert_eq!(found.members().await, [(seat.address(), node(1))]);
    assert_eq!(found.member(&node(1)).await.unwrap().address(), seat.address());
    assert_ne!(found.join(&node(2), None).await.unwrap().address(), seat.address());
    found.remove().await.unwrap();
    assert!(Network::find(&client, network.id()).await.unwrap().is_none());
    let gone = network.join(&node(3), None).await.unwrap_err();
    assert!(matches!(gone, NetworkError::Gone { .. }), "{gone}");
    devnet.stop().await;
}

#[tokio::test]
async fn a_deployment_names_all_members_and_ourselves_and_those_that_come_later_are_announced() {
    let devnet = Devnet::builder().providers(0).start().await.unwrap();
    let client = client(&devnet);
    let network = Network::create(&client, Some("10.4.0.0/24")).await.unwrap();
    let first = network.join(&node(1), None).await.unwrap();
    let (deployed, version) = first.deploy().await;
    assert_eq!((deployed.node_ip.as_str(), deployed.gateway.as_deref()), ("10.4.0.2", Some("10.4.0.1")));
    assert_eq!(deployed.nodes.keys().collect::<Vec<_>>(), ["10.4.0.1", "10.4.0.2"]);
    let second = network.join(&node(2), None).await.unwrap();
    assert_eq!(second.deploy().await.0.nodes.len(), 3);
    first.announce(version).await.unwrap();
    network.remove().await.unwrap();
    assert!(matches!(first.announce(version).await, Err(NetworkError::Gone { .. })));
    // There is nothing to give back.
    first.leave().await.unwrap();
    devnet.stop().await;
}
