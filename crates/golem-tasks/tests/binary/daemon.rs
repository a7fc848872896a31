//! Runs through a daemon: the same way as on the devnet, but that somebody else has started it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use golem_devnet::devnet::Devnet;
use yagna_api::Glm;

use crate::stage::{Home, Running};

const JOB: &str = "[tasks]\nrange = { end = 8 }\n[[steps]]\nrun = \"echo $(( {{ task }} + 1 ))\"\n";
const NO_FLAGS: [&str; 0] = [];

#[tokio::test]
async fn without_a_key_one_message_says_how_to_get_one() {
    let home = Home::new();
    let job = home.job(JOB);
    let ended = Running::start(home.command(&job, NO_FLAGS)).end().await;
    ended.assert_code(2);
    assert_eq!(ended.out, "");
    assert_eq!(ended.err.matches("error: ").count(), 1, "{}", ended.err);
    ended.assert_says(&["YAGNA_APPKEY", "yagna service run", "yagna app-key create", "--devnet"]);
    assert!(!home.database().exists(), "nothing was begun");
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_told_at_once() {
    let home = Home::new();
    let job = home.job(JOB);
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let mut command = home.command(&job, NO_FLAGS);
    command.env("YAGNA_APPKEY", "a-secret-key").env("YAGNA_API_URL", format!("http://{address}"));
    let ended = Running::start(command).end().await;
    ended.assert_code(5);
    assert!(ended.took < Duration::from_secs(10), "it took {:?}", ended.took);
    assert_eq!(ended.err.matches("error: ").count(), 1, "{}", ended.err);
    ended.assert_says(&[&address, "yagna service run", "--api-url", "--devnet"]);
    assert!(!ended.err.contains("a-secret-key"), "{}", ended.err);
    assert_eq!((ended.out.as_str(), home.n_runs().await), ("", 0));
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_named_where_the_daemon_may_be_behind_it_and_never_used_on_this_machine()
 {
    let home = Home::new();
    let job = home.job(JOB);
    let proxies = ["http_proxy", "HTTP_PROXY", "ALL_PROXY"];
    let mut command = home.command(&job, ["--api-url", "http://daemon.invalid:7465"]);
    command.env("YAGNA_APPKEY", "a-key").env("HTTP_PROXY", "http://me:secret@127.0.0.1:1");
    let ended = Running::start(command).end().await;
    ended.assert_code(5);
    ended.assert_says(&["not through the proxy http://127.0.0.1:1 that HTTP_PROXY names", "daemon.invalid"]);
    assert!(!ended.err.contains("secret"), "{}", ended.err);

    let devnet = Devnet::builder().providers(2).seed(7).start().await.unwrap();
    let address = devnet.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let mut command = home.command(&job, ["--api-url", &format!("http://localhost:{}", address.port())]);
    command.env("YAGNA_APPKEY", devnet.requestor().key.expose());
    for proxy in proxies {
        command.env(proxy, "http://127.0.0.1:1");
    }
    Running::start(command).end().await.assert_code(0);
    devnet.stop().await;
}

#[tokio::test]
async fn a_registry_that_cant_be_asked_is_named_with_its_proxy() {
    let home = Home::new();
    home.job(JOB);
    let text = String::from_utf8(home.read("job.toml")).unwrap();
    let tasks = &text[text.find("[tasks]").unwrap()..];
    home.write("job.toml", format!("[payload]\nimage_tag = \"golem/alpine:latest\"\n{tasks}"));
    let devnet = Devnet::builder().providers(2).seed(7).start().await.unwrap();
    let address = devnet.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let mut command =
        home.command(&home.path("job.toml"), ["--api-url", &format!("http://localhost:{}", address.port())]);
    command
        .env("YAGNA_APPKEY", devnet.requestor().key.expose())
        .env("GOLEM_REGISTRY_URL", "http://registry.invalid")
        .env("http_proxy", "http://127.0.0.1:1");
    let ended = Running::start(command).end().await;
    assert_ne!(ended.code, Some(0));
    ended.assert_says(&[
        "the registry at http://registry.invalid can't be asked",
        "through the proxy http://127.0.0.1:1 that http_proxy names",
    ]);
    devnet.stop().await;
}

#[tokio::test]
async fn a_daemon_over_http_runs_the_same_job_and_its_books_are_closed() {
    let home = Home::new();
    let job = home.job(JOB);
    let devnet = Devnet::builder().providers(3).seed(7).start().await.unwrap();
    let address = devnet.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let url = format!("http://{address}");

    let mut wrong = home.command(&job, ["--api-url", &url]);
    wrong.env("YAGNA_APPKEY", "no-such-key");
    let ended = Running::start(wrong).end().await;
    ended.assert_code(5);
    ended.assert_says(&["doesn't accept the app key", "yagna app-key list"]);
    assert!(!ended.err.contains("no-such-key"), "{}", ended.err);

    let key = devnet.requestor().key.expose().to_owned();
    let mut command = home.command(&job, NO_FLAGS);
    command.env("YAGNA_APPKEY", &key).env("YAGNA_API_URL", &url);
    let ended = Running::start(command).end().await;
    ended.assert_code(0);
    let expected: Vec<_> = (0..8).map(|task| (task, (task + 1).to_string())).collect();
    assert!(ended.results().into_iter().eq(expected.iter().map(|(task, text)| (*task, text.as_str()))));
    assert!(!ended.err.contains(&key), "{}", ended.err);

    let kept = home.kept().await;
    kept.assert_settled();
    let books = devnet.books();
    assert_eq!(books.agreements.len(), kept.rentals.len());
    assert_eq!(books.open_agreements().count(), 0, "{:?}", books.agreements);
    assert_eq!(books.running_activities().count(), 0, "{:?}", books.activities);
    assert_eq!(books.unanswered_invoices().count(), 0, "{:?}", books.invoices);
    assert!(books.allocations.iter().all(|allocation| allocation.released), "{:?}", books.allocations);
    let billed = books.invoices.iter().map(|row| row.amount);
    let billed = billed.fold(Glm::ZERO, |sum, amount| sum.checked_add(amount).unwrap());
    assert_eq!(billed, kept.summary.cost);
    devnet.stop().await;
}
