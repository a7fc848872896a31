//! A part of a run: by numbers, by ranges, by the tasks themselves.

use crate::again::Network;
use crate::stage::{Home, Running};

/// Ten tasks that take a moment each.
const TEN: &str = "[tasks]\nrange = { end = 10 }\n[[steps]]\nrun = \"sleep 0.2; echo {{ task }}\"\n";

#[tokio::test]
async fn a_part_of_a_run_is_done_and_the_same_command_without_it_does_the_rest() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = home.job(TEN);
    let run = ["run", path.to_str().unwrap(), "--run-id", "part"];
    let first = network.ask(&home, &[&run[..], &["--only", "1,4,6-7"]].concat()).await;
    first.assert_code(0);
    first.assert_says(&[
        "4 of 10 tasks were asked for (--only): 4 done",
        "4 of 10 tasks done",
        "without --only",
    ]);
    assert_eq!(first.results(), [(1, "1"), (4, "4"), (6, "6"), (7, "7")]);
    network.assert_at_rest().await;
    home.kept().await.assert_settled();

    // All of it is done: no daemon is asked.
    let mut command = network.command(&home, &[&run[..], &["--only", "6,1"]].concat());
    command.env("YAGNA_API_URL", "http://127.0.0.1:1");
    let over = Running::start(command).end().await;
    over.assert_code(0);
    over.assert_says(&[
        "asked for and done before: tasks 1, 6",
        "2 of 10 tasks were asked for (--only): 2 done",
    ]);
    assert_eq!(over.out, "");

    let more = network.ask(&home, &[&run[..], &["--only", "4", "--only", "9"]].concat()).await;
    more.assert_code(0);
    more.assert_says(&["asked for and done before: task 4", "5 of 10 tasks done"]);
    assert_eq!(more.results(), [(9, "9")]);

    let rest = network.ask(&home, &run).await;
    rest.assert_code(0);
    rest.assert_says(&["10 of 10 tasks done"]);
    let numbers: Vec<_> = rest.results().iter().map(|(task, _)| *task).collect();
    assert_eq!(numbers, [0, 2, 3, 5, 8]);
    let kept = home.kept().await;
    assert!(kept.tasks.iter().all(|task| task.attempts == 1), "{:?}", kept.tasks);
    kept.assert_settled();
    network.assert_at_rest().await;
}

#[tokio::test]
async fn a_part_is_named_by_the_tasks_themselves_and_an_unknown_one_is_an_error() {
    let home = Home::new();
    home.write("shots", (0..600).fold(String::new(), |all, n| format!("{all}shot {n}.blend\n")));
    let path = home.job("[tasks]\nlines = \"shots\"\n[[steps]]\nrun = \"echo {{ task | shell }}\"\n");
    for (tasks, said) in [
        ("3,600", "there is no task 600: the job has 600 tasks, with the numbers 0 to 599"),
        ("590-700", "there is no task 600"),
        ("shot 3.blend,shot 600.blend", "there is no task `shot 600.blend`"),
        ("9-3", "the range ends before it begins"),
    ] {
        let wrong = home.run(&path, &["--only", tasks]).await;
        wrong.assert_code(2);
        wrong.assert_says(&[said]);
    }
    assert!(!home.database().exists() || home.n_runs().await == 0, "nothing was begun");
    let ended = home.run(&path, &["--run-id", "shots", "--only", "shot 500.blend,7"]).await;
    ended.assert_code(0);
    assert_eq!(ended.results(), [(7, "shot 7.blend"), (500, "shot 500.blend")]);
    // Of a run that is there a task may be one that it has, or one that it hasn't read yet.
    let again = home.run(&path, &["--run-id", "shots", "--only", "shot 7.blend,shot 8.blend,599"]).await;
    again.assert_code(0);
    again.assert_says(&[
        "asked for and done before: task 7",
        "3 of 600 tasks were asked for (--only): 3 done",
    ]);
    assert_eq!(again.results(), [(8, "shot 8.blend"), (599, "shot 599.blend")]);
    let unknown = home.run(&path, &["--run-id", "shots", "--only", "shot x.blend"]).await;
    unknown.assert_code(2);
    unknown.assert_says(&["there is no task `shot x.blend`"]);
}

#[tokio::test]
async fn a_task_that_failed_is_tried_again_where_it_is_asked_for_and_only_its_own_failure_counts() {
    let home = Home::new();
    home.write("mended", "no");
    let path = home.job(
        "[tasks]\nrange = { end = 5 }\n[[steps]]\nupload = { from = \"mended\", to = \"/golem/work/mended\" }\n[[steps]]\n\
         run = \"{{ 'grep -q yes /golem/work/mended' if task > 2 else 'true' }} && echo {{ task }}\"\n[limits]\nretries = 0\n",
    );
    let failed = home.run(&path, &["--run-id", "r", "--only", "0,3,4"]).await;
    failed.assert_code(1);
    failed.assert_says(&["3 of 5 tasks were asked for (--only): 1 done, 2 failed"]);
    // The failures of others are none of these.
    home.run(&path, &["--run-id", "r", "--only", "1"]).await.assert_code(0);
    home.write("mended", "yes");
    let mended = home.run(&path, &["--run-id", "r", "--only", "3"]).await;
    mended.assert_code(0);
    assert_eq!(mended.results(), [(3, "3")]);
    let rest = home.run(&path, &["--run-id", "r"]).await;
    rest.assert_code(1);
    rest.assert_says(&["4 of 5 tasks done, 1 failed"]);
    let all = home.run(&path, &["--run-id", "r", "--retry-failed"]).await;
    all.assert_code(0);
    assert_eq!(all.results(), [(4, "4")]);
}

#[tokio::test]
async fn a_part_that_is_killed_goes_on_with_the_same_command() {
    let (home, network) = (Home::new(), Network::new().await);
    let path = home.job(TEN);
    let run = ["run", path.to_str().unwrap(), "--run-id", "killed", "--only", "2-8"];
    let mut first = network.start(&home, &run);
    first.prints(2).await;
    first.kill();
    first.end().await;
    let again = network.ask(&home, &run).await;
    again.assert_code(0);
    again.assert_says(&["7 of 10 tasks were asked for (--only): 7 done"]);
    let kept = home.kept().await;
    // No more is read than it takes: the last of its tasks is number 8.
    assert_eq!((kept.summary.tasks.done, kept.tasks.len()), (7, 9));
    network.assert_at_rest().await;
}
