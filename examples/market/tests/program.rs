//! The program, as it is, on devnets.

#![expect(clippy::unwrap_used, reason = "what goes wrong here is a failed test")]

use golem_devnet::devnet::{Devnet, DevnetBuilder};
use golem_devnet::provider::{Behaviour, Hardware, OfferFlaw, Prices, ProviderConfig};
use golem_examples::CANCELLED;
use golem_examples::testing::Stage;
use serde_json::Value;

const MARKET: &str = env!("CARGO_BIN_EXE_market");

fn provider(name: &str, env_hour: &str) -> ProviderConfig {
    let hardware = Hardware { threads: 2, memory_gib: 4.0, ..Hardware::default() };
    let prices = Prices::per_hour("0.001", "0.1", env_hour).unwrap();
    ProviderConfig { hardware, ..ProviderConfig::new(name).priced(prices) }
}

/// Three good offers, one of them elsewhere, and one that can't be read.
fn network() -> DevnetBuilder {
    let flaw = Behaviour { offer_flaw: Some(OfferFlaw::PricesAsText), ..Behaviour::default() };
    let gpu = ProviderConfig { runtime_name: "vm-nvidia".into(), ..provider("gpu", "2") };
    let elsewhere = ProviderConfig { subnet: Some("elsewhere".into()), ..provider("eve", "0.5") };
    Devnet::builder()
        .provider(gpu)
        .provider(provider("ada", "0.02"))
        .provider(elsewhere)
        .provider(provider("odd", "1").behaving(flaw))
}

#[tokio::test]
async fn offers_are_listed_with_their_prices_the_cheapest_first() {
    let stage = Stage::with_devnet(network()).await;
    let ended = stage.run(MARKET, &["--for", "1"]).await;
    ended.assert_code(0);
    let rows: Vec<Vec<_>> = ended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["provider", "id", "GLM/h", "start", "threads", "memory", "runtime", "subnet"]);
    assert_eq!(rows.len(), 3, "{}", ended.stdout);
    let without_id = |row: &[&str]| [&row[..1], &row[2..]].concat().join(" ");
    assert_eq!(without_id(&rows[1]), "ada 0.22 0.001 2 4.0 vm public");
    assert_eq!(without_id(&rows[2]), "gpu 2.2 0.001 2 4.0 vm-nvidia public");
    assert!(ended.stderr.contains(" can't be read: the price `"), "{}", ended.stderr);
    assert!(ended.stderr.ends_with("2 offers, 1 more can't be read\n"), "{}", ended.stderr);
    let books = stage.devnet().books();
    assert_eq!((books.demands, books.agreements.len(), books.allocations.len()), (0, 0, 0), "it only looks");
    stage.close().await;
}

#[tokio::test]
async fn programs_read_json() {
    let stage = Stage::with_devnet(network()).await;
    let ended = stage.run(MARKET, &["--for", "1", "--json", "--subnet-tag", "elsewhere"]).await;
    ended.assert_code(0);
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [eve] = &lines[..] else { panic!("{}", ended.stdout) };
    for (field, value) in [
        ("provider", "eve"),
        ("glm_per_hour", "0.7"),
        ("glm_start", "0.001"),
        ("runtime", "vm"),
        ("subnet", "elsewhere"),
    ] {
        assert_eq!(eve[field], value);
    }
    assert_eq!(eve["threads"], 2);
    assert_eq!(eve["memory_gib"], 4.0);
    assert_eq!(eve["platforms"][0], stage.devnet().payment_platform());
    let id = stage.devnet().books().nodes.into_iter().find(|(name, _)| name == "eve").unwrap().1;
    assert_eq!(eve["provider_id"], id.as_str());
    stage.close().await;
}

#[tokio::test]
async fn only_what_is_asked_for_is_listed() {
    let stage = Stage::with_devnet(network().provider(ProviderConfig::new("big"))).await;
    for (flags, expected) in [
        (&["--runtime", "vm-nvidia"][..], "gpu"),
        (&["--min-threads", "4"], "big"),
        (&["--min-memory", "5.5"], "big"),
        (&["--min-threads", "2", "--runtime", "vm-nvidia"], "gpu"),
    ] {
        let ended = stage.run(MARKET, &[flags, &["--for", "1", "--json"]].concat()).await;
        ended.assert_code(0);
        let found: Vec<Value> =
            ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(found.len(), 1, "{flags:?}: {}", ended.stdout);
        assert_eq!(found[0]["provider"], expected, "{flags:?}");
    }
    stage.close().await;
}

#[tokio::test]
async fn an_empty_market_is_told() {
    let stage = Stage::with_devnet(network()).await;
    let ended = stage.run(MARKET, &["--for", "1", "--subnet-tag", "nowhere"]).await;
    ended.assert_code(1);
    assert_eq!(ended.stdout, "");
    assert!(
        ended.stderr.ends_with("no such offers in the subnet `nowhere` within 1 s\n"),
        "{}",
        ended.stderr
    );
    stage.close().await;
}

#[tokio::test]
async fn ctrl_c_lists_what_was_seen() {
    let stage = Stage::with_devnet(network()).await;
    let mut running = stage.start(MARKET, &["--for", "3600"]);
    running.says("can't be read").await;
    running.interrupt();
    let ended = running.end().await;
    ended.assert_code(i32::from(CANCELLED));
    assert!(ended.stdout.contains("\nada "), "{}", ended.stdout);
    stage.close().await;
}

#[tokio::test]
async fn the_devnet_inside_has_offers_and_mistakes_are_told() {
    let stage = Stage::bare();
    let ended = stage.run(MARKET, &["--devnet", "--for", "1"]).await;
    ended.assert_code(0);
    assert_eq!(ended.stdout.lines().count(), 4, "{}", ended.stdout);
    let ended = stage.run(MARKET, &[]).await;
    ended.assert_error("error: no app key is given");
    for flags in [["--for", "0"], ["--for", "long"], ["--min-threads", "x"]] {
        let ended = stage.run(MARKET, &flags).await;
        ended.assert_code(2);
        assert!(ended.stderr.contains(flags[0]), "{}", ended.stderr);
    }
    let ended = stage.run(MARKET, &["--devnet", "--subnet-tag", "a)(b"]).await;
    ended.assert_error("error: the constraint `(golem.node.debug.subnet=a)(b)` can't be read: ");
}
