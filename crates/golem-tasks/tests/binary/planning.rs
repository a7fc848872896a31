//! A look at what a run would be before it begins, and the news of its end.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::stage::{Ended, Home, Running};

const TASKS: &str = "[tasks]\nrange = { end = 6 }\n[[steps]]\nrun = \"echo {{ task }}\"\n";

/// Runs the program on a devnet that is the same every time.
async fn on_devnet(home: &Home, words: &[&str]) -> Ended {
    let mut command = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
    command.args(words).args(["--devnet", "--devnet-seed", "7"]);
    Running::start(command).end().await
}

#[tokio::test]
async fn a_plan_says_who_would_be_hired_and_buys_nothing() {
    let home = Home::new();
    let job = home.job(TASKS);
    let job = job.to_str().unwrap();
    let plan = ["plan", job, "--for", "1s", "--workers", "2", "--devnet-providers", "4"];
    let ended = on_devnet(&home, &plan).await;
    ended.assert_code(0);
    for part in [
        "6 tasks, 2 providers at once, 1 GLM",
        "4 of 4 offers in the subnet `public` fit; 2 providers would be hired, if they agree",
        "no estimate: this database has no run of this job",
        "Nothing was bought.",
    ] {
        assert!(ended.out.contains(part), "`{part}`: {}", ended.out);
    }
    assert!(!home.database().exists(), "a plan keeps nothing");

    let ended = on_devnet(&home, &[&plan[..], &["--task-takes", "10m", "--json"]].concat()).await;
    ended.assert_code(0);
    let plan_json: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&plan_json["type"], &plan_json["fitting"]), (&"plan".into(), &4.into()));
    assert_eq!(plan_json["hired"].as_array().unwrap().len(), 2);
    assert_eq!(plan_json["others"].as_array().unwrap().len(), 2);
    let estimate = &plan_json["estimate"];
    // Six tasks of ten minutes on two providers.
    assert_eq!((&estimate["seconds"], &estimate["providers"]), (&1800.0.into(), &2.into()), "{estimate}");

    // Once the job has run, its times are known, and so are the providers.
    home.run(job.as_ref(), &["--workers", "2"]).await.assert_code(0);
    let ended = on_devnet(&home, &plan).await;
    assert!(ended.out.contains("the middle one of 6 results of run "), "{}", ended.out);
    assert!(ended.out.contains("results") && ended.out.contains("limit     "), "{}", ended.out);
    assert_eq!(home.n_runs().await, 1);
}

#[tokio::test]
async fn a_plan_counts_the_offers_that_do_not_fit_by_reason() {
    let home = Home::new();
    let job = home.job(&format!("{TASKS}[limits]\nmax_price_per_hour = 0.0001\n"));
    let job = job.to_str().unwrap();
    let ended = on_devnet(&home, &["plan", job, "--for", "1s"]).await;
    ended.assert_code(0);
    for part in [
        "0 of 3 offers in the subnet `public` fit; nobody would be hired",
        "  3× above the cap of 0.0001 GLM an hour",
        "try: raise max_price_per_hour from 0.0001 to ",
    ] {
        assert!(ended.out.contains(part), "`{part}`: {}", ended.out);
    }
    let job = home.path("big.toml");
    home.write(
        "big.toml",
        format!("[payload]\nimage_tag = \"golem/alpine:latest\"\nmin_mem_gib = 100000\n{TASKS}"),
    );
    let ended = on_devnet(&home, &["plan", job.to_str().unwrap(), "--for", "1s"]).await;
    assert!(ended.out.contains("  3× less than 100000 GiB of memory"), "{}{}", ended.out, ended.err);
}

#[tokio::test]
async fn a_run_that_is_to_be_confirmed_asks_and_without_a_terminal_begins_nothing() {
    let home = Home::new();
    let job = home.job(TASKS);
    let refused = home.run(&job, &["--confirm"]).await;
    refused.assert_code(2);
    refused.assert_says(&["there is no terminal to ask at", "add --yes"]);
    let dear = home.run(&job, &["--confirm-above", "0.5"]).await;
    dear.assert_code(2);
    dear.assert_says(&["the run may cost 1 GLM, which is more than 0.5"]);
    assert!(!home.database().exists());
    let cheap = home.run(&job, &["--confirm-above", "1"]).await;
    cheap.assert_code(0);
    let confirmed = home.run(&job, &["--confirm", "--yes"]).await;
    confirmed.assert_code(0);
    confirmed.assert_says(&["would be hired, if they agree"]);
    assert_eq!(home.n_runs().await, 2);

    // At a terminal, the answer counts.
    for (answer, code, runs) in [("n", "130", 2), ("y", "0", 3)] {
        let program = env!("CARGO_BIN_EXE_golem-tasks");
        let run = format!("{program} run {} --devnet --devnet-seed 7 --confirm; echo code $?", job.display());
        let mut command = home.program("sh");
        command.args(["-c", &format!("echo {answer} | script -qec '{run}' /dev/null")]).env("TERM", "xterm");
        let ended = Running::start(command).end().await;
        assert!(ended.out.contains("Begin this run? [y/N]"), "{}", ended.out);
        assert!(ended.out.contains(&format!("code {code}")), "{}", ended.out);
        assert_eq!(home.n_runs().await, runs, "{}", ended.out);
    }
}

#[tokio::test]
async fn a_command_and_an_address_are_told_of_the_end_of_a_run() {
    let home = Home::new();
    let job = home.job(&format!(
        "{TASKS}[limits]\nworkers = 2\non_end = 'echo \"$GOLEM_RUN_ID $GOLEM_STATE $GOLEM_DONE $GOLEM_FAILED \
         $GOLEM_EXIT_CODE\" > ended; echo said at the end; exit 7'\n"
    ));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/hook?token=secret", listener.local_addr().unwrap());
    let mut listening = JoinSet::new();
    listening.spawn(async move {
        let mut heard = Vec::new();
        // The first time it has trouble.
        for answer in ["503 Service Unavailable", "204 No Content"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = String::new();
            while !request.ends_with("}\n") {
                let mut part = [0; 4096];
                let n = stream.read(&mut part).await.unwrap();
                assert!(n > 0, "{request}");
                request.push_str(&String::from_utf8_lossy(&part[..n]));
            }
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            heard.push(request);
        }
        heard
    });
    let ended = home.run(&job, &["--run-id", "told", "--notify", &address]).await;
    ended.assert_code(0);
    ended.assert_says(&["said at the end", "the command for the end of the run failed: exit status: 7"]);
    assert_eq!(ended.out.lines().count(), 6, "results and nothing else: {}", ended.out);
    assert_eq!(String::from_utf8(home.read("../ended")).unwrap(), "told all_done 6 0 0\n");
    let heard: Vec<String> = listening.join_next().await.unwrap().unwrap();
    assert!(heard[1].starts_with("POST /hook?token=secret "), "{}", heard[1]);
    let summary: Value = serde_json::from_str(heard[1].split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&summary["run"], &summary["tasks"]["done"]), (&"told".into(), &6.into()));
    // Nothing of it is kept with the run.
    let record = String::from_utf8_lossy(&std::fs::read(home.database()).unwrap()).into_owned();
    assert!(!record.contains("token=secret"));

    let unheard = home.run(&job, &["--notify", "ftp://example.org"]).await;
    unheard.assert_code(2);
    unheard.assert_says(&["expected an address such as https://example.org/hook"]);
}
