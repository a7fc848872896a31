//! Providers that join a daemon which isn't theirs: what can be shown without one.

use std::net::{Ipv4Addr, TcpListener};

use crate::served::{Served, command};
use crate::stage::{Ended, Running};

async fn refused(flags: &[&str]) -> Ended {
    let ended = Running::start(command(flags)).end().await;
    assert_eq!(ended.out, "", "nothing is begun");
    ended
}

#[tokio::test]
async fn joining_needs_a_key_and_has_no_address_of_its_own() {
    let url = "http://127.0.0.1:1";
    for (flags, code, told) in [
        (&["--join", url][..], 2, "--app-key"),
        (&["--join", url, "--app-key", "k", "--listen", "127.0.0.1:0"], 2, "cannot be used with"),
        (&["--join", url, "--app-key", "k", "--subnet", "public"], 2, "strangers could run their commands"),
        (&["--join", "somewhere", "--app-key", "k"], 2, "`somewhere` is not a valid address of a daemon"),
        (&["--gsb-url", "tcp://127.0.0.1:1"], 2, "--join"),
        (&["--join", url, "--app-key", "k", "--gsb-url", "ftp://x"], 2, "is not a valid address of a bus"),
    ] {
        let ended = refused(flags).await;
        ended.assert_code(code);
        ended.assert_says(&[told]);
    }
}

#[tokio::test]
async fn a_daemon_that_isnt_there_or_refuses_the_key_or_has_no_bus_is_told_as_what_it_is() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let ended = refused(&["--join", &nobody, "--app-key", "a-secret"]).await;
    ended.assert_code(5);
    ended.assert_says(&[&format!("no daemon at {nobody}"), "yagna service run"]);
    assert!(!ended.err.contains("a-secret"), "{}", ended.err);

    let mut devnet = Served::start(&["--providers", "0", "--app-key", "known"]);
    let url = devnet.environment().await["YAGNA_API_URL"].clone();
    let ended = refused(&["--join", &url, "--app-key", "a-secret"]).await;
    ended.assert_code(5);
    ended.assert_says(&["refuses the app key", "yagna app-key list"]);
    let ended = refused(&["--join", &url, "--app-key", "known", "--gsb-url", "unix:/no/such/socket"]).await;
    ended.assert_code(5);
    ended.assert_says(&["unix:/no/such/socket", "--gsb-url"]);
    devnet.stop().await;
}
