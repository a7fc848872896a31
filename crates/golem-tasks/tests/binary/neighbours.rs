//! Two runs on one database at the same time, and what the one learns from the other.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;

use golem_devnet::devnet::Devnet;
use golem_devnet::provider::{Behaviour, Prices, ProviderConfig};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use yagna_api::NodeId;

use crate::stage::{Home, Running};

/// A network with a provider that is a little cheaper than the others and fails every task; the others are sound.
async fn network() -> Devnet {
    let priced = |name: &str, hour: &str| {
        ProviderConfig::new(name).priced(Prices::per_hour("0", hour, "0.01").unwrap())
    };
    let fails = Behaviour { fails_commands: Some(3), ..Behaviour::default() };
    let devnet = Devnet::builder().providers(0).seed(7).provider(priced("broken", "0.06").behaving(fails));
    let devnet = devnet.provider(priced("sound", "0.08")).provider(priced("sounder", "0.09"));
    devnet.start().await.unwrap()
}

#[tokio::test]
async fn a_run_puts_back_a_provider_that_fails_another_run_at_the_same_time() {
    let (home, devnet) = (Home::new(), network().await);
    let address = devnet.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let reaching = |mut command: Command| {
        command
            .env("YAGNA_APPKEY", devnet.requestor().key.expose())
            .env("YAGNA_API_URL", format!("http://{address}"));
        command
    };
    let steps = "[[steps]]\nrun = \"echo -n {{ task }}\"\n[limits]\nretries = 5\n";
    let waiting = home.job(&format!("[tasks]\nlines = \"-\"\n{steps}"));
    let mut command = reaching(home.command(&waiting, ["--run-id", "waits", "--workers", "1", "-v"]));
    command.stdin(Stdio::piped());
    let mut waits = Running::start(command);
    let mut input = waits.input();
    waits.says("run waits").await;

    home.write(
        "other.toml",
        std::fs::read_to_string(&waiting).unwrap().replace("lines = \"-\"", "range = { end = 4 }"),
    );
    let other = reaching(home.command(&home.path("other.toml"), ["--run-id", "fails", "--workers", "1"]));
    let other = Running::start(other).end().await;
    other.assert_code(0);
    let signed = |n_before: usize| {
        let books = devnet.books();
        let of = |id: &NodeId| devnet.providers().find(|known| known.node() == id).unwrap().name().to_owned();
        books.agreements[n_before..].iter().map(|row| of(&row.provider)).collect::<Vec<_>>()
    };
    assert_eq!(signed(0).first().map(String::as_str), Some("broken"), "the cheapest one is tried first");

    waits.says("a provider has failed another run of this database").await;
    let before = devnet.books().agreements.len();
    input.write_all(b"one\ntwo\nthree\n").await.unwrap();
    drop(input);
    let waits = waits.end().await;
    waits.assert_code(0);
    let signed = signed(before);
    assert!(!signed.is_empty() && !signed.contains(&"broken".to_owned()), "{signed:?}");
}
