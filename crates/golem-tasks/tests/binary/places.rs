//! Where runs are kept, how they are named, and how they are deleted.

use std::net::TcpListener;

use serde_json::Value;

use crate::stage::{Ended, Home, Running, processes, wait_until};

const JOB: &str = "[tasks]\nlines = \"lines.txt\"\n[[steps]]\nrun = \"echo '{\\\"word\\\": \\\"{{ task }}\\\"}'; \
                   if [ {{ task }} = bad ]; then exit 3; fi\"\n[limits]\nretries = 0\n";

/// Asks a question without a database being named anywhere.
async fn ask(home: &Home, question: &[&str]) -> Ended {
    let mut command = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
    command.env_remove("GOLEM_TASKS_DSN").args(question);
    Running::start(command).end().await
}

fn job(home: &Home) -> String {
    home.write("lines.txt", "one\ntwo\nbad\n");
    home.job(JOB).display().to_string()
}

#[tokio::test]
async fn runs_on_a_devnet_have_a_database_of_their_own() {
    let home = Home::new();
    let job = job(&home);
    let run = ["run", &job, "--devnet", "--devnet-seed", "7", "--run-id", "frames-0001"];
    let ended = ask(&home, &run).await;
    ended.assert_code(1);
    ended.assert_says(&["devnet.db", "task 2 (bad) failed for good", "  task 2 (bad), attempt 1, on "]);
    assert!(!home.database().exists(), "other runs aren't touched");

    for question in
        [&["results", "frames"][..], &["show", "frames-0001"], &["errors", "--run-id", "frames-0001"]]
    {
        let lost = ask(&home, question).await;
        lost.assert_code(2);
        lost.assert_says(&["try: add --devnet: ", "devnet.db"]);
        assert_eq!(lost.out, "");
        let found = ask(&home, &[question, &["--devnet"]].concat()).await;
        found.assert_code(0);
        assert!(!found.out.is_empty(), "{question:?}");
    }
    let nothing = ask(&home, &["runs"]).await;
    nothing.assert_code(0);
    nothing.assert_says(&["there are no runs yet in ", "try: add --devnet: "]);
    // What is named by hand counts for both.
    let dsn = format!("sqlite:{}", home.path("all.db").display());
    ask(&home, &[&run[..], &["--dsn", &dsn]].concat()).await.assert_code(1);
    assert!(ask(&home, &["runs", "--dsn", &dsn]).await.out.contains("frames-0001"));

    let removed = ask(&home, &["runs", "prune", "--older-than", "1d", "--devnet"]).await;
    assert_eq!((removed.code, removed.out.as_str()), (Some(0), "no run was removed\n"));
    let removed =
        ask(&home, &["runs", "prune", "--older-than", "0s", "--failed", "--devnet", "--json"]).await;
    removed.assert_code(0);
    let told: Value = serde_json::from_str(&removed.out).unwrap();
    assert_eq!(
        (&told["type"], &told["runs"], &told["kept"]),
        (&"removed".into(), &serde_json::json!(["frames-0001"]), &serde_json::json!([]))
    );
    let none = ask(&home, &["runs", "--devnet", "--json"]).await;
    assert_eq!((none.code, none.out.as_str()), (Some(0), "{\"type\":\"runs\",\"version\":1,\"runs\":[]}\n"));
}

#[tokio::test]
async fn results_become_columns_and_errors_are_grouped_by_step_and_exit_code() {
    let home = Home::new();
    home.write("lines.txt", "one\ntwo\nbad 1\nbad 2\nbad 3\n");
    let job = home.job(&JOB.replace("{{ task }} = bad", "'{{ task }}' != one -a '{{ task }}' != two"));
    home.run(&job, &["--run-id", "words"]).await.assert_code(1);
    let csv = ask_here(&home, &["results", "words", "--columns", "task,word,data"]).await;
    csv.assert_code(0);
    assert_eq!(csv.out, "task,word,data\n0,one,one\n1,two,two\n");
    csv.assert_says(&["2 results written; 3 failed left out: --all writes every task"]);
    let wrong =
        ask_here(&home, &["results", "--columns", "wrod", "-o", home.path("out.csv").to_str().unwrap()])
            .await;
    wrong.assert_code(2);
    wrong.assert_says(&["no task has the field `wrod`", "the fields are word"]);
    assert!(!home.path("out.csv").exists());
    let errors = ask_here(&home, &["errors", "words"]).await;
    errors.assert_code(0);
    assert!(errors.out.contains("3× command failed: step 1 exited with code 3\n"), "{}", errors.out);
    assert!(errors.out.contains("(bad "), "{}", errors.out);
}

async fn ask_here(home: &Home, question: &[&str]) -> Ended {
    let mut command = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
    command.args(question);
    Running::start(command).end().await
}

#[tokio::test]
async fn a_second_process_on_a_run_is_told_how_to_stop_the_first_one() {
    let home = Home::new();
    let mark = format!("4100.{:07}", std::process::id());
    let job =
        home.job(&format!("[tasks]\nrange = {{ end = 9 }}\n[[steps]]\nrun = \"echo begun; sleep {mark}\"\n"));
    let mut running = home.start(&job, &["--run-id", "long"]);
    running.says("is ready to work").await;
    wait_until("a task runs", || !processes(&mark).is_empty()).await;
    let watching = {
        let mut command = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
        command.args(["summary", "lo", "--watch", "--json"]);
        Running::start(command)
    };
    let second = home.run(&job, &["--run-id", "long"]).await;
    second.assert_code(9);
    second.assert_says(&["run `long` ", "`golem-tasks cancel long`"]);
    for question in [&["runs", "rm", "long"][..], &["runs", "rm", "--force", "lo"]] {
        let refused = ask_here(&home, question).await;
        refused.assert_code(9);
        refused.assert_says(&["`golem-tasks cancel long`"]);
    }
    let pruned = ask_here(&home, &["runs", "prune", "--older-than", "0s"]).await;
    assert_eq!((pruned.code, pruned.out.as_str()), (Some(0), "no run was removed\n"));
    pruned.assert_says(&["kept long: a process works on it"]);

    ask_here(&home, &["cancel", "lon"]).await.assert_code(0);
    running.end().await.assert_code(130);
    // Watching ends with the run.
    let watched = watching.end().await;
    watched.assert_code(0);
    let last: Value = serde_json::from_str(watched.out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["run"], &last["state"]), (&"long".into(), &"ended".into()));
    let removed = ask_here(&home, &["runs", "rm", "long"]).await;
    assert_eq!((removed.code, removed.out.as_str()), (Some(0), "removed long\n"));
    assert_eq!(home.n_runs().await, 0);
}

#[tokio::test]
async fn a_misspelt_network_is_refused_before_anything_is_recorded() {
    let home = Home::new();
    let job = job(&home);
    for (flags, meant) in [
        (["--network", "polygn"], "did you mean `polygon`?"),
        (["--network", "hodi"], "did you mean `hoodi`?"),
        (["--driver", "erc2"], "did you mean `erc20`?"),
    ] {
        let refused = ask(&home, &[&["run", &job, "--app-key", "k"][..], &flags].concat()).await;
        refused.assert_code(2);
        refused.assert_says(&[meant]);
    }
    assert!(!home.database().exists());
}

#[tokio::test]
async fn what_answers_at_the_address_and_is_no_daemon_is_named_without_its_page() {
    let home = Home::new();
    let job = job(&home);
    let page =
        "<!DOCTYPE html>\n<html><head><title>Welcome to nginx!</title></head><body>hello</body></html>";
    for (answer, because) in [
        (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len()), "Welcome to nginx!"),
        (format!("HTTP/1.1 401 No\r\nContent-Length: {}\r\n\r\n{page}", page.len()), "401"),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(), "404"),
        ("SSH-2.0-OpenSSH_9.6\r\n".to_owned(), ""),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let serving = std::thread::spawn(move || {
            use std::io::{Read, Write};
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let refused = ask(&home, &["run", &job, "--app-key", "k", "--api-url", &address]).await;
        serving.join().unwrap();
        refused.assert_code(5);
        refused.assert_says(&[&format!("what answers at {address} is not a yagna daemon"), because]);
        assert!(
            !refused.err.contains("<html>") && refused.err.matches("because:").count() <= 1,
            "{}",
            refused.err
        );
    }
    let nobody = ask(&home, &["run", &job, "--app-key", "k", "--api-url", "http://127.0.0.1:1"]).await;
    nobody.assert_code(5);
    assert_eq!(nobody.err.matches("because:").count(), 1, "{}", nobody.err);
    nobody.assert_says(&["because: Connection refused"]);
}

#[tokio::test]
async fn providers_are_chosen_and_left_out_by_name_and_who_is_missing_is_said() {
    let home = Home::new();
    let job = home.job("[tasks]\nrange = { end = 3 }\n[[steps]]\nrun = \"sleep 8; echo {{ task }}\"\n");
    home.run(&job, &["--run-id", "first", "--workers", "3", "--results", "1"]).await.assert_code(0);
    let known = ask_here(&home, &["providers", "first", "--json"]).await;
    let known: Value = serde_json::from_str(&known.out).unwrap();
    let names: Vec<_> =
        known["providers"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    let only = [
        "--run-id",
        "second",
        "--workers",
        "3",
        "--json",
        "--provider",
        names[0],
        "--provider",
        "nosuch-provider",
    ];
    let ended = home.run(&job, &only).await;
    ended.assert_code(0);
    ended.assert_says(&["no offer of `nosuch-provider` has come within "]);
    let summary: Value = serde_json::from_str(ended.out.lines().last().unwrap()).unwrap();
    let worked: Vec<_> = summary["providers"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
    assert_eq!(worked, [names[0]]);
    assert_eq!(summary["offers_refused"]["it isn't on the list of providers to work with"], 2, "{summary}");
    let ended = home
        .run(&job, &["--run-id", "third", "--workers", "3", "--json", "--exclude-provider", names[0]])
        .await;
    ended.assert_code(0);
    let summary: Value = serde_json::from_str(ended.out.lines().last().unwrap()).unwrap();
    assert!(summary["providers"].as_array().unwrap().iter().all(|row| row["name"] != names[0]), "{summary}");
}
