//! Services: brought up, looked into from other processes, found again after their process has died, and brought down.

use std::path::PathBuf;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::again::Network;
use crate::stage::{Ended, Home, PATIENCE, Running};

const PROGRAM: &str = env!("CARGO_BIN_EXE_golem-tasks");

const PAIR: &str = r#"
[service.web]
image_url = "http://127.0.0.1:1/image"
image_hash = "5f5a6d2c8e1b4f7093d6c2a1e8b7f4053c9d6e2a1b8f7c4d50e3a6b9"
command = "echo \"hello of $GOLEM_SERVICE-$GOLEM_INSTANCE\"; trap 'exit 0' TERM; while :; do sleep 0.1; done"
env = { WHO = "it's me" }
needs = ["db"]
[service.db]
image_url = "http://127.0.0.1:1/image"
image_hash = "5f5a6d2c8e1b4f7093d6c2a1e8b7f4053c9d6e2a1b8f7c4d50e3a6b9"
command = "exec sleep 1000"
"#;

fn file(home: &Home, name: &str, text: &str) -> PathBuf {
    home.write(name, text);
    home.path(name)
}

async fn golem_tasks(home: &Home, words: &[&str]) -> Ended {
    let mut command = home.program(PROGRAM);
    command.args(words);
    Running::start(command).end().await
}

fn instances(ended: &Ended) -> Vec<Value> {
    ended.assert_code(0);
    ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn services_come_up_in_their_order_and_are_reached_from_other_processes() {
    let home = Home::new();
    let stack = file(&home, "pair.toml", PAIR);
    let mut command = home.program(PROGRAM);
    command.args(["up", stack.to_str().unwrap(), "--devnet"]);
    let mut up = Running::start(command);
    up.says("web-1  ready").await;
    let ps = golem_tasks(&home, &["ps", "--json"]).await;
    let states: Vec<_> = instances(&ps)
        .iter()
        .map(|one| (one["name"].as_str().unwrap().to_owned(), one["state"].as_str().unwrap().to_owned()))
        .collect();
    let ready = |name: &str| (name.to_owned(), "ready".to_owned());
    assert!(states.contains(&ready("web-1")) && states.contains(&ready("db-1")), "{states:?}");
    golem_tasks(&home, &["ps"]).await.assert_says(&[]);

    let ran =
        golem_tasks(&home, &["exec", "web", "--", "sh", "-c", "echo \"$WHO\"; echo lost >&2; exit 5"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(5), "it's me\n"), "{ran:?}");
    ran.assert_says(&["lost"]);
    let logs = golem_tasks(&home, &["logs", "web-1"]).await;
    assert_eq!(logs.out, "hello of web-1\n");
    for (words, code, says) in [
        (&["exec", "web-2", "true"][..], 2, "`web-2` is not a service or an instance that is up: "),
        (&["logs", "nobody"], 2, "web-1"),
        (&["exec", "db", "--timeout", "1s", "sleep", "30"], 7, "took longer than 1 s"),
        (&["down", "other"], 2, "no services named `other`"),
        (&["up", stack.to_str().unwrap(), "--devnet"], 9, "the services `pair` are up already"),
    ] {
        let refused = golem_tasks(&home, words).await;
        refused.assert_code(code);
        refused.assert_says(&[says]);
    }

    let down = golem_tasks(&home, &["down"]).await;
    down.assert_code(0);
    down.assert_says(&["has been asked to bring pair down", "pair is down"]);
    let ended = up.end().await;
    ended.assert_code(0);
    let at = |what: &str| ended.err.find(what).unwrap_or_else(|| panic!("{what}: {}", ended.err));
    assert!(at("db-1  ready") < at("web-1  starting"), "{}", ended.err);
    ended.assert_says(&["web-1  stopped: on request", "pair is down; it cost "]);
    golem_tasks(&home, &["ps"]).await.assert_says(&["no services are up"]);
    golem_tasks(&home, &["down"]).await.assert_says(&["no services are up"]);
    assert_eq!(instances(&golem_tasks(&home, &["ps", "--all", "--json"]).await).len(), 2);
}

#[tokio::test]
async fn a_later_process_finds_the_instances_that_live() {
    let (home, network) = (Home::new(), Network::new().await);
    let section = if has_networks().await { "[network]\n" } else { "" };
    let stack = file(&home, "pair.toml", &format!("{section}{PAIR}"));
    let words = ["up", stack.to_str().unwrap()];
    let mut first = network.start(&home, &words);
    first.says("web-1  ready").await;
    let before = instances(&network.ask(&home, &["ps", "--json"]).await);
    first.kill();
    first.end().await;
    let left = network.ask(&home, &["ps"]).await;
    assert!(left.out.contains("ready (not kept up)"), "{}", left.out);

    let mut second = network.start(&home, &words);
    second.says("web-1  ready").await;
    let after = instances(&network.ask(&home, &["ps", "--json"]).await);
    let machine = |one: &Value| (one["activity"].clone(), one["network"].clone(), one["address"].clone());
    let machines = |all: &[Value]| -> Vec<_> { all.iter().map(machine).collect() };
    assert_eq!(machines(&before), machines(&after));
    // It is the very process that was started first.
    assert_eq!(network.ask(&home, &["logs", "web-1"]).await.out, "hello of web-1\n");
    second.interrupt();
    let ended = second.end().await;
    ended.assert_code(130);
    ended.assert_says(&["stopping the services; Ctrl+C again leaves at once", "pair is down"]);
    network.assert_at_rest().await;
}

#[tokio::test]
async fn what_a_dead_process_left_is_brought_down() {
    let (home, network) = (Home::new(), Network::new().await);
    let stack = file(&home, "pair.toml", PAIR);
    let mut up = network.start(&home, &["up", stack.to_str().unwrap()]);
    up.says("web-1  ready").await;
    up.kill();
    up.end().await;
    let down = network.ask(&home, &["down", stack.to_str().unwrap()]).await;
    down.assert_code(0);
    down.assert_says(&["nobody keeps pair up any more", "everything is settled"]);
    network.assert_at_rest().await;
    // The next time it begins anew, by another run.
    let mut again = network.start(&home, &["up", stack.to_str().unwrap()]);
    again.says("web-1  ready").await;
    again.interrupt();
    again.end().await.assert_code(130);
    network.assert_at_rest().await;
}

#[tokio::test]
async fn a_service_that_fails_says_why_and_those_that_need_it_are_never_started() {
    let home = Home::new();
    let text = PAIR.replace("exec sleep 1000", "echo 'no such file'; exit 3") + "restart = \"no\"\n";
    let stack = file(&home, "pair.toml", &text);
    let ended = golem_tasks(&home, &["up", stack.to_str().unwrap(), "--devnet"]).await;
    ended.assert_code(1);
    ended.assert_says(&["db-1  stopped", "its process ended with exit code 3", "    no such file"]);
    assert!(!ended.err.contains("web-1  starting"), "{}", ended.err);
}

#[tokio::test]
async fn a_file_that_is_not_valid_is_refused_before_anything_is_bought() {
    let home = Home::new();
    let stack =
        file(&home, "pair.toml", "[service.web]\nimage_tag = \"golem/alpine:latest\"\nneeds = [\"db\"]\n");
    let refused = golem_tasks(&home, &["up", stack.to_str().unwrap(), "--devnet"]).await;
    refused.assert_code(2);
    refused.assert_says(&["has no `command`", "`web` needs `db`"]);
    golem_tasks(&home, &["up", "nowhere.toml", "--devnet"]).await.assert_code(2);
    assert!(!home.database().exists(), "nothing was begun");
}

/// True if processes may have networks of their own here.
async fn has_networks() -> bool {
    let mut command = tokio::process::Command::new("unshare");
    command.args(["-Urn", "ip", "link", "set", "lo", "up"]);
    command.output().await.is_ok_and(|output| output.status.success())
}

/// A port of this machine that nothing listens on.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// True if an answer has all the bytes that it says it has.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.is_some_and(|length| body.len() >= length.trim().parse().unwrap())
}

/// The status and the body of a page at a port of this machine.
async fn page(port: u16) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = "GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A forwarded port keeps a connection open that the other side has closed.
    let read = tokio::time::timeout(PATIENCE, async {
        while !is_whole(&answer) && stream.read_buf(&mut answer).await.unwrap() > 0 {}
    });
    read.await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn requests_reach_the_instances_that_are_ready_by_a_port_of_this_machine() {
    if !has_networks().await {
        eprintln!("this machine allows no network namespaces: services in networks were not tested");
        return;
    }
    let home = Home::new();
    let (local, forwarded) = (free_port(), free_port());
    let text = format!(
        r#"
[network]
range = "10.77.0.0/24"
[service.web]
image_url = "http://127.0.0.1:1/image"
image_hash = "5f5a6d2c8e1b4f7093d6c2a1e8b7f4053c9d6e2a1b8f7c4d50e3a6b9"
init = ["mkdir -p /golem/work/site", "echo $GOLEM_INSTANCE at $GOLEM_IP asks $DB > /golem/work/site/page"]
command = "cd /golem/work/site && exec python3 -m http.server 80"
env = {{ DB = "{{{{ service.db.host }}}}:4001 {{{{ service.db.ip }}}}" }}
needs = ["db"]
instances = 2
ready = {{ http = ":80/page" }}
http = {{ local = {local}, port = 80 }}
[service.db]
image_url = "http://127.0.0.1:1/image"
image_hash = "5f5a6d2c8e1b4f7093d6c2a1e8b7f4053c9d6e2a1b8f7c4d50e3a6b9"
command = "cd /golem/work && exec python3 -m http.server 4001"
ready = {{ tcp = 4001 }}
forward = ["{forwarded}:4001"]
"#
    );
    let stack = file(&home, "pair.toml", &text);
    let words = ["up", stack.to_str().unwrap(), "--devnet", "--devnet-providers", "4"];
    let mut command = home.program(PROGRAM);
    command.args(words);
    let mut up = Running::start(command);
    up.says("web-1  ready").await;
    up.says("web-2  ready").await;
    let mut pages = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let (status, text) = page(local).await;
        assert_eq!(status, 200, "{text}");
        pages.insert(text);
    }
    let both = ["1 at 10.77.0.3 asks db:4001 10.77.0.2\n", "2 at 10.77.0.4 asks db:4001 10.77.0.2\n"];
    assert!(pages.iter().all(|page| both.contains(&page.as_str())) || pages.len() == 2, "{pages:?}");
    assert_eq!(page(forwarded).await.0, 404, "the database has no such page");
    // The machines find one another by name.
    let asked = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://db:4001/\").status)'";
    let ran = golem_tasks(&home, &["exec", "web-2", "--", "sh", "-c", asked]).await;
    assert_eq!(ran.out, "200\n", "{ran:?}");

    // One whose process is killed gets no requests, and comes back.
    golem_tasks(&home, &["exec", "web-1", "--", "sh", "-c", "kill -9 $(cat /tmp/golem-service/pid)"]).await;
    for _ in 0..4 {
        assert_eq!(page(local).await.0, 200);
    }
    up.says("its process ended with exit code 137").await;

    // Ports that are in use are refused before anything is begun.
    let other = file(&home, "other.toml", &text);
    let refused = golem_tasks(&home, &["up", other.to_str().unwrap(), "--devnet"]).await;
    refused.assert_code(2);
    refused.assert_says(&[
        &format!("port {forwarded} of this machine is in use"),
        "choose another local port for the service `",
    ]);

    golem_tasks(&home, &["down", "pair"]).await.assert_code(0);
    up.end().await.assert_code(0);
}
