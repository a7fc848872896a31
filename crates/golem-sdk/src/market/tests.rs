//! Scans on a devnet.

use std::collections::BTreeSet;
use std::sync::Arc;

use golem_devnet::devnet::{Devnet, DevnetBuilder};
use golem_devnet::provider::{Behaviour, Hardware, OfferFlaw, Prices, ProviderConfig};
use yagna_api::{AppKey, Clock as _};
use yagna_client::InProcessTransport;

use super::*;

const SHORT: Duration = Duration::from_secs(2);

fn small(name: &str) -> ProviderConfig {
    let prices = Prices::per_hour("0.001", "0.1", "0.02").unwrap();
    let hardware = Hardware { threads: 2, ..Hardware::default() };
    ProviderConfig { hardware, ..ProviderConfig::new(name).priced(prices) }
}

fn client(devnet: &Devnet) -> Client {
    let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key).unwrap();
    Client::new(Arc::new(transport))
}

async fn start(devnet: DevnetBuilder) -> (Devnet, Client) {
    let devnet = devnet.start().await.unwrap();
    let client = client(&devnet);
    (devnet, client)
}

async fn all(mut offers: Offers) -> Vec<Offer> {
    let mut found = Vec::new();
    while let Some(offer) = offers.try_next().await.unwrap() {
        found.push(offer);
    }
    assert!(offers.try_next().await.unwrap().is_none(), "the end is the end");
    found
}

fn names(offers: &[Offer]) -> Vec<&str> {
    let mut names: Vec<_> =
        offers.iter().filter_map(|offer| offer.properties().text(name::NODE_NAME)).collect();
    names.sort_unstable();
    names
}

#[tokio::test(start_paused = true)]
async fn every_offer_is_shown_once_with_its_prices() {
    let (devnet, client) = start(Devnet::builder().provider(small("ada")).provider(small("bob"))).await;
    let begin = Instant::now();
    let found = all(Scan::new().lasting(SHORT).start(&client).await.unwrap()).await;
    assert_eq!(begin.elapsed(), SHORT, "it looks for so long and no longer");
    assert_eq!(names(&found), ["ada", "bob"]);
    let ids: BTreeSet<_> = found.iter().map(|offer| offer.id().clone()).collect();
    assert_eq!(ids.len(), 2);
    for offer in &found {
        let terms = offer.terms().unwrap();
        assert_eq!(terms.provider, *offer.provider());
        assert_eq!(terms.threads, 2);
        assert_eq!(terms.pricing.per_hour(2).to_string(), "0.22");
        assert_eq!(terms.pricing.start_price().to_string(), "0.001");
        assert!(offer.published() <= devnet.clock().now());
        offer.constraints().parse::<Constraints>().unwrap();
    }
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_what_is_asked_for_is_shown() {
    let elsewhere = ProviderConfig { subnet: Some("elsewhere".into()), ..small("eve") };
    let wasm = ProviderConfig { runtime_name: "wasmtime".into(), ..small("wim") };
    let big = ProviderConfig::new("big");
    let providers = [small("ada"), elsewhere, wasm, big];
    let (devnet, client) =
        start(providers.into_iter().fold(Devnet::builder(), DevnetBuilder::provider)).await;
    let vm = Payload::default();
    let mut four = Payload::default();
    four.min_cpu_threads = 4;
    for (scan, expected) in [
        (Scan::new(), &["ada", "big", "eve", "wim"][..]),
        (Scan::new().subnet("public"), &["ada", "big", "wim"]),
        (Scan::new().subnet("public").payload(&vm), &["ada", "big"]),
        (Scan::new().payload(&four), &["big"]),
        (Scan::new().constraint("(golem.inf.cpu.threads<4)"), &["ada", "eve", "wim"]),
        (Scan::new().subnet("nowhere"), &[]),
    ] {
        let found = all(scan.clone().lasting(SHORT).start(&client).await.unwrap()).await;
        assert_eq!(names(&found), expected, "{scan:?}");
    }
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_cant_be_read_spoils_only_itself() {
    let behaviour = Behaviour { offer_flaw: Some(OfferFlaw::PricesAsText), ..Behaviour::default() };
    let odd = small("odd").behaving(behaviour);
    let (devnet, client) = start(Devnet::builder().provider(odd).provider(small("ada"))).await;
    let found = all(Scan::new().lasting(SHORT).start(&client).await.unwrap()).await;
    let (good, bad): (Vec<_>, Vec<_>) = found.iter().partition(|offer| offer.terms().is_ok());
    assert_eq!((good.len(), bad.len()), (1, 1));
    assert!(matches!(bad[0].terms(), Err(OfferProblem::NoPrice(_))));
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_scan_that_is_over_is_over_at_the_daemon_too() {
    let (devnet, client) = start(Devnet::builder().provider(small("ada"))).await;
    all(Scan::new().lasting(SHORT).start(&client).await.unwrap()).await;
    let poll = PollScan { scan: ScanId::new("0"), wait: Duration::ZERO, max: 1, peer: None };
    let error = client.call_once(&poll).await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_its_way_is_said_at_the_start() {
    let (devnet, client) = start(Devnet::builder().provider(small("ada"))).await;
    let said = async |scan: Scan, client: &Client| match scan.start(client).await {
        Ok(_) => panic!("it started"),
        Err(error) => crate::text::chain(&error),
    };
    let odd = said(Scan::new().constraint("(broken"), &client).await;
    assert!(odd.starts_with("the constraint `(broken` can't be read: "), "{odd}");
    let odd = said(Scan::new().subnet("a)(b=c"), &client).await;
    assert!(odd.starts_with("the constraint `(golem.node.debug.subnet=a)(b=c)` can't be read: "), "{odd}");
    let mut nothing = Payload::default();
    nothing.min_mem_gib = -1.0;
    let odd = said(Scan::new().payload(&nothing), &client).await;
    assert_eq!(odd, "no offer could match the payload: -1 is not a valid amount of memory");
    let transport = InProcessTransport::new(devnet.router(), &AppKey::new("nobody's")).unwrap();
    let odd = said(Scan::new(), &Client::new(Arc::new(transport))).await;
    assert!(odd.contains("doesn't accept the app key"), "{odd}");
    devnet.stop().await;
}
