//! Runs that go well.

use std::collections::HashSet;
use std::path::Path;

use golem_tasks::store::TaskStatus;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::time::timeout;
use yagna_api::Glm;

use crate::stage::{Home, PATIENCE};

const HELLO_WORLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/hello_world/job.toml");

#[tokio::test]
async fn the_log_tells_the_lifecycle_then_decisions_then_requests() {
    let home = Home::new();
    let job = home.job("[tasks]\nrange = { end = 2 }\n[[steps]]\nrun = \"echo {{ task }}\"\n");
    let all = ["agreement_approved", "task_started", "POST /market-api/v1/demands"];
    for (flags, told) in [("--quiet", 0), ("-v", 1), ("-vv", 2), ("-vvv", 3)] {
        let ended = home.run(&job, &[flags]).await;
        ended.assert_code(0);
        let found: Vec<_> = all.iter().filter(|what| ended.err.contains(**what)).collect();
        assert_eq!(found.len(), told, "{flags}: {found:?}\n{}", ended.err);
    }
    let file = home.path("run.log");
    home.run(&job, &["--log-file", file.to_str().unwrap()]).await.assert_code(0);
    let kept = String::from_utf8(home.read("run.log")).unwrap();
    assert!(all[..2].iter().all(|what| kept.contains(what)) && !kept.contains(all[2]), "{kept}");
}

#[tokio::test]
async fn hello_world_is_run_shown_paid_and_kept() {
    let home = Home::new();
    let ended = home.run(Path::new(HELLO_WORLD), &[]).await;
    ended.assert_code(0);
    let expected: Vec<_> = (0..24).map(|task| (task, (task * 7).to_string())).collect();
    let printed: Vec<_> = ended.results().into_iter().map(|(task, text)| (task, text.to_owned())).collect();
    assert_eq!(printed, expected);

    ended.assert_says(&["\n24 of 24 tasks done in ", "runs.db"]);
    // Below the headings a row for each provider, then the total: name, tasks, failed attempts, time and unit, GLM.
    let mut rows = ended.err.lines().skip_while(|line| !line.starts_with("provider "));
    assert!(rows.next().unwrap().ends_with(" GLM"));
    let row = |line: &str| {
        let cells: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let glm: Glm = cells.last().unwrap().parse().unwrap();
        (cells[0].clone(), cells[1].parse::<u64>().unwrap(), glm)
    };
    let rows: Vec<_> = rows.take_while(|line| !line.is_empty()).map(row).collect();
    let (total, providers) = rows.split_last().unwrap();
    assert_eq!(providers.len(), 3, "{rows:?}");
    assert_eq!(providers.iter().map(|row| row.1).sum::<u64>(), 24);
    assert_eq!((total.0.as_str(), total.1), ("total", 24));
    assert!(total.2 > Glm::ZERO && providers.iter().all(|row| row.2 > Glm::ZERO), "{rows:?}");

    let kept = home.kept().await;
    assert_eq!((kept.summary.tasks.done, kept.summary.tasks.total()), (24, 24));
    for (number, task) in kept.tasks.iter().enumerate() {
        assert_eq!(
            (task.status, task.stdout.as_text().unwrap()),
            (TaskStatus::Done, expected[number].1.as_str())
        );
    }
    // The table is rounded.
    let rounding: Glm = "0.0000001".parse().unwrap();
    let difference = kept.summary.cost.max(total.2).saturating_sub(kept.summary.cost.min(total.2));
    assert!(difference < rounding, "{} is kept, {} is shown", kept.summary.cost, total.2);
    kept.assert_settled();
}

#[tokio::test]
async fn machines_read_one_json_object_a_line() {
    let home = Home::new();
    let ended = home.run(Path::new(HELLO_WORLD), &["--json", "--run-id", "for-machines"]).await;
    ended.assert_code(0);
    let lines: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"run"), Some(&"summary")));
    let (run, summary) = (&lines[0], &lines[lines.len() - 1]);
    for line in [run, summary] {
        assert_eq!((&line["version"], &line["run"]), (&1.into(), &"for-machines".into()));
    }
    assert_eq!(run["tasks"], 24);

    let results = &lines[1..lines.len() - 1];
    let mut tasks = HashSet::new();
    for result in results {
        assert_eq!((&result["type"], &result["status"]), (&"result".into(), &"done".into()));
        let task = result["task"].as_u64().unwrap();
        assert_eq!(result["stdout"], (task * 7).to_string());
        assert!(tasks.insert(task), "task {task} has two results");
    }
    assert_eq!(tasks, (0..24).collect());

    assert_eq!((&summary["why"], &summary["tasks"]["done"]), (&"all_done".into(), &24.into()));
    assert_eq!(summary["providers"].as_array().unwrap().len(), 3);
    let cost: Glm = summary["cost"].as_str().unwrap().parse().unwrap();
    assert_eq!(cost, home.kept().await.summary.cost);
}

#[tokio::test]
async fn a_quiet_run_that_goes_well_says_its_results_only() {
    let home = Home::new();
    let job = home.job("[tasks]\nvalues = [\"a\", \"b\"]\n[[steps]]\nrun = \"echo {{ task }}\"\n");
    let ended = home.run(&job, &["--quiet"]).await;
    ended.assert_code(0);
    assert_eq!(ended.results(), [(0, "a"), (1, "b")]);
    assert_eq!(ended.err, "");
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let home = Home::new();
    let job = home.job("[tasks]\nrange = { end = 40 }\n[[steps]]\nrun = \"echo {{ task }}; sleep 0.05\"\n");
    let mut child = home.command(&job, ["--devnet", "--devnet-seed", "7"]).spawn().unwrap();
    // As `| head -1` does it.
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    timeout(PATIENCE, out.read_line(&mut first)).await.unwrap().unwrap();
    assert!(first.contains('\t'), "{first}");
    drop(out);
    let mut err = String::new();
    timeout(PATIENCE, child.stderr.take().unwrap().read_to_string(&mut err)).await.unwrap().unwrap();
    let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0), "{err}");
    assert!(!err.contains("panicked") && !err.contains("pipe"), "{err}");
    assert!(err.contains("40 of 40 tasks done"), "{err}");
    assert_eq!(home.kept().await.summary.tasks.done, 40);
}

#[tokio::test]
async fn thousands_of_tiny_tasks_need_little_memory() {
    let home = Home::new();
    let job = home.job("[tasks]\nrange = { end = 2000 }\n[[steps]]\nrun = [\"true\"]\n");
    let mut running = home.start(&job, &[]);
    running.says("all tasks are finished").await;
    // Agreements are still being ended, so it is there to be looked at.
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 100_000, "{peak} kB at the most");
    let ended = running.end().await;
    ended.assert_code(0);
    assert_eq!(ended.results().len(), 2000);
    assert_eq!(home.kept().await.summary.tasks.done, 2000);
}
