//! Services: brought up, looked into from other processes, found again after their process has died, and brought down.

use std::path::PathBuf;

use serde_json::Value;

use crate::again::Network;
use crate::stage::{Ended, Home, Running};

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
    let stack = file(&home, "pair.toml", PAIR);
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
    let machines = |all: &[Value]| -> Vec<_> { all.iter().map(|one| one["activity"].clone()).collect() };
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
