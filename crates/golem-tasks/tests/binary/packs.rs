//! Short tasks that travel together: one that kills its machine, one that never ends, ones that are large; outputs whose end is
//! lost; and what tasks leave on a machine for the next one.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use golem_core::event::FailureKind;
use golem_devnet::devnet::Devnet;
use golem_devnet::provider::{Behaviour, Prices, ProviderConfig};
use golem_tasks::store::TaskStatus;

use crate::stage::{Ended, Home, Running};

/// Runs the job on a devnet whose providers all behave so.
async fn run(
    home: &Home,
    job: &str,
    providers: usize,
    behaviour: Behaviour,
    flags: &[&str],
) -> (Ended, Devnet) {
    let job = home.job(job);
    let mut builder = Devnet::builder().providers(0).seed(7);
    for n in 0..providers {
        let prices = Prices::per_hour("0", "0.05", "0.01").unwrap();
        let config = ProviderConfig::new(format!("p{n}")).priced(prices).behaving(behaviour.clone());
        builder = builder.provider(config);
    }
    let devnet = builder.start().await.unwrap();
    let address = devnet.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let mut command = home.command(&job, flags);
    command
        .env("YAGNA_APPKEY", devnet.requestor().key.expose())
        .env("YAGNA_API_URL", format!("http://{address}"));
    (Running::start(command).end().await, devnet)
}

#[tokio::test]
async fn a_task_that_kills_its_machine_is_found_and_nobody_else_pays_for_it() {
    let home = Home::new();
    let job = "[tasks]\nrange = { end = 200 }\n[[steps]]\n\
               run = \"echo {% if task == 150 %}poison{% else %}{{ task }}{% endif %}\"\n[limits]\nretries = 1\n";
    let behaviour = Behaviour { loses_machine_on: Some("poison".into()), ..Behaviour::default() };
    let (ended, devnet) = run(&home, job, 6, behaviour, &["--workers", "1"]).await;
    ended.assert_code(1);
    ended.assert_says(&["199 of 200 tasks done, 1 failed", "task 150, attempt 2, on "]);
    let kept = home.kept().await;
    let (done, failed): (Vec<_>, Vec<_>) =
        kept.tasks.iter().partition(|task| task.status == TaskStatus::Done);
    assert_eq!(done.len(), 199);
    assert_eq!((failed[0].task.0, failed[0].failure.as_ref().unwrap().kind), (150, FailureKind::Lost));
    let books = devnet.books();
    assert!(books.agreements.len() <= 4, "three machines are lost: {:?}", books.agreements);
    assert!(!ended.err.contains("all providers"), "{}", ended.err);
    devnet.stop().await;
}

#[tokio::test]
async fn a_task_that_never_ends_is_noticed_by_its_own_limit_and_its_neighbours_are_done() {
    let home = Home::new();
    let job = "[tasks]\nrange = { end = 300 }\n[[steps]]\n\
               run = \"{% if task == 200 %}exec sleep 1000{% else %}echo {{ task }}{% endif %}\"\n\
               [limits]\ntask_timeout = \"3s\"\nretries = 0\n";
    let (ended, devnet) = run(&home, job, 3, Behaviour::default(), &["--workers", "1"]).await;
    ended.assert_code(1);
    ended.assert_says(&["299 of 300 tasks done, 1 failed", "it ran into its limit of 3s"]);
    let kept = home.kept().await;
    let failed = &kept.tasks[200];
    assert_eq!(failed.failure.as_ref().unwrap().kind, FailureKind::Expired);
    let took =
        kept.tasks.iter().filter(|task| task.status == TaskStatus::Done).filter_map(|task| task.took).max();
    assert!(
        took.unwrap() < Duration::from_secs(3),
        "the time that was waited isn't that of the others: {took:?}"
    );
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
    devnet.stop().await;
}

#[tokio::test]
async fn a_pack_of_large_tasks_stays_below_what_a_daemon_takes() {
    let home = Home::new();
    let lines: Vec<_> = (0..40).map(|n| format!("{n}{}", "\"".repeat(60_000))).collect();
    home.write("lines.txt", lines.join("\n"));
    let job = "[tasks]\nlines = \"lines.txt\"\n[[steps]]\nrun = \": '{{ task }}'; echo fine\"\n";
    let (ended, devnet) = run(&home, job, 2, Behaviour::default(), &["--workers", "1"]).await;
    ended.assert_code(0);
    assert_eq!(ended.results().len(), 40);
    assert!(!ended.err.contains("failed on"), "{}", ended.err);
    devnet.stop().await;
}

#[tokio::test]
async fn an_output_whose_end_is_lost_is_no_result() {
    let home = Home::new();
    let job = "[tasks]\nrange = { end = 40 }\n[[steps]]\nrun = \"echo task {{ task }} is done\"\n\
               [limits]\nretries = 9\n";
    let behaviour = Behaviour { cuts_output: Some(3), ..Behaviour::default() };
    let (ended, devnet) = run(&home, job, 3, behaviour, &["--workers", "2"]).await;
    ended.assert_code(0);
    let expected: Vec<_> = (0..40).map(|task| (task, format!("task {task} is done"))).collect();
    let expected: Vec<_> = expected.iter().map(|(task, text)| (*task, text.as_str())).collect();
    assert_eq!(ended.results(), expected);
    ended.assert_says(&["output incomplete"]);
    devnet.stop().await;
}

#[tokio::test]
async fn something_in_the_background_that_holds_the_output_doesnt_hold_the_task() {
    let home = Home::new();
    let job = "[tasks]\nvalues = [1]\n[[steps]]\nrun = \"sleep 300 & echo fine\"\n";
    let (ended, devnet) = run(&home, job, 1, Behaviour::default(), &[]).await;
    ended.assert_code(0);
    assert_eq!(ended.results(), [(0, "fine")]);
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
    devnet.stop().await;
}

#[tokio::test]
async fn a_failure_on_a_used_machine_says_so_and_is_tried_again_on_a_fresh_one() {
    let home = Home::new();
    // Whoever finds what another one left fails.
    let job = "[tasks]\nrange = { end = 4 }\n[[steps]]\n\
               run = \"[ ! -e /golem/work/left ] || exit 7; touch /golem/work/left; echo {{ task }}\"\n\
               [limits]\nretries = 3\n";
    let (ended, devnet) = run(&home, job, 1, Behaviour::default(), &["--workers", "1"]).await;
    ended.assert_code(0);
    assert_eq!(ended.results(), [(0, "0"), (1, "1"), (2, "2"), (3, "3")]);
    ended.assert_says(&["exited with code 7 (after `1` other task on the same machine)"]);
    devnet.stop().await;
}

#[tokio::test]
async fn without_kept_files_each_task_finds_the_machine_as_the_setup_left_it() {
    let home = Home::new();
    let job = "keep_files = false\n[tasks]\nrange = { end = 4 }\n\
               [[setup]]\nrun = \"echo prepared > /golem/output/c.txt\"\n\
               [[steps]]\nrun = \"echo {{ task }} >> /golem/output/c.txt; cat /golem/output/c.txt\"\n";
    let (ended, devnet) = run(&home, job, 2, Behaviour::default(), &["--workers", "2", "--json"]).await;
    ended.assert_code(0);
    for task in 0..4 {
        let whole = format!("prepared\\n{task}\\n");
        assert!(ended.out.contains(&whole), "{}", ended.out);
    }
    devnet.stop().await;
}
