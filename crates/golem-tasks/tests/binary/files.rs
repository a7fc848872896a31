//! Files that go to the providers and come back.

use serde_json::Value;

use crate::stage::Home;

const SIZE: usize = 5_000_000;

#[tokio::test]
async fn files_go_there_and_come_back_byte_by_byte() {
    let home = Home::new();
    let mut large = vec![0; SIZE];
    fastrand::Rng::with_seed(7).fill(&mut large);
    home.write("large.bin", &large);
    home.write("empty.bin", "");
    let job = home.job(
        r#"
[tasks]
values = ["empty", "large"]

[[steps]]
upload = { from = "{{ task }}.bin", to = "/golem/work/in.bin" }
[[steps]]
upload_json = { data = { name = "{{ task }}", index = "{{ index }}", list = [1, { x = "é" }] }, to = "/golem/work/doc.json" }
[[steps]]
upload_text = { text = "the {{ task }} one, 'quoted' and \"twice\"", to = "/golem/work/text.txt" }
[[steps]]
run = "wc -c < in.bin; cat text.txt; mv in.bin out.bin"
[[steps]]
download = { from = "/golem/work/out.bin", to = "back/{{ task }}.bin" }
[[steps]]
download_json = { from = "/golem/work/doc.json", to = "back/{{ task }}.json" }
"#,
    );
    let ended = home.run(&job, &["--json"]).await;
    ended.assert_code(0);
    assert_eq!(home.read("back/empty.bin"), b"");
    let back = home.read("back/large.bin");
    assert!(back == large, "{} of {SIZE} bytes came back, or others", back.len());

    let results = ended.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut results: Vec<_> = results.filter(|line| line["type"] == "result").collect();
    results.sort_by_key(|line| line["task"].as_u64());
    assert_eq!(results.len(), 2);
    for (index, (result, (name, size))) in results.iter().zip([("empty", 0), ("large", SIZE)]).enumerate() {
        let document = serde_json::json!({ "name": name, "index": index, "list": [1, { "x": "é" }] });
        assert_eq!(result["result"], document);
        assert_eq!(result["stdout"], format!("{size}\nthe {name} one, 'quoted' and \"twice\""));
        let kept: Value = serde_json::from_slice(&home.read(&format!("back/{name}.json"))).unwrap();
        assert_eq!(kept, document);
    }
    home.kept().await.assert_settled();
}

#[cfg(unix)]
#[tokio::test]
async fn programs_that_are_uploaded_can_be_executed_and_a_mode_may_be_named() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = Home::new();
    for (name, mode) in [("tool", 0o700), ("data", 0o644), ("locked", 0o755)] {
        home.write(name, "#!/bin/sh\necho \"$0 does $1\"\n");
        std::fs::set_permissions(home.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let job = home.job(
        r##"
[tasks]
values = [1]
[[setup]]
upload = { from = "tool", to = "/golem/work/set up" }
[[setup]]
upload_text = { text = "#!/bin/sh\necho text", to = "/golem/work/text", mode = "0755" }
[[steps]]
upload = { from = "tool", to = "/golem/work/tool" }
timeout = "1m"
[[steps]]
upload = { from = "data", to = "/golem/work/data" }
[[steps]]
upload = { from = "locked", to = "/golem/work/locked", mode = "400" }
[[steps]]
run = "./tool {{ task }}; './set up' 2; ./text; stat -c %a data locked text"
[[steps]]
run = "echo before the end >&2; ./data"
[limits]
retries = 0
"##,
    );
    let mut check = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
    let checked = check.arg("check").arg(&job).output().await.unwrap();
    let told = String::from_utf8(checked.stdout).unwrap();
    for line in [
        "set up, executable as the local file\n",
        "bytes to /golem/work/text, mode 755\n",
        "to /golem/work/tool, executable as the local file  (at most 1m)\n",
        "to /golem/work/data\n",
        "to /golem/work/locked, mode 400\n",
    ] {
        assert!(told.contains(line), "{line} isn't in {told}");
    }
    let ended = home.run(&job, &[]).await;
    ended.assert_code(1);
    // Steps have the numbers that the job file gives them.
    ended.assert_says(&[
        "step 5 (`echo before the end >&2; ./data`) exited with code 126: ",
        "before the end",
    ]);
    let text = std::fs::read_to_string(&job).unwrap().replace("; ./data", "");
    std::fs::write(&job, text).unwrap();
    let ended = home.run(&job, &["--json"]).await;
    ended.assert_code(0);
    let mut results = ended.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let result = results.rfind(|line| line["type"] == "result").unwrap();
    let printed = "./tool does 1\n./set up does 2\ntext\n644\n400\n755\n";
    assert_eq!(result["stdout"], printed, "the local bit that isn't set isn't set there either");
}

#[tokio::test]
async fn set_up_is_done_once_on_each_provider() {
    let home = Home::new();
    home.write("shared.txt", "shared");
    // Who does a task sees in seen.txt how often its provider was set up, and in done.txt what it did before.
    let job = home.job(
        r#"
[tasks]
range = { end = 12 }
[[setup]]
upload = { from = "shared.txt", to = "/golem/work/shared.txt" }
[[setup]]
run = "cat shared.txt >> seen.txt; echo >> seen.txt; rm shared.txt"
[[steps]]
run = "sleep 0.1; echo x >> done.txt; echo $(cat seen.txt) $(wc -l < done.txt)"
"#,
    );
    let ended = home.run(&job, &[]).await;
    ended.assert_code(0);
    let results = ended.results();
    assert_eq!(results.len(), 12);
    assert!(results.iter().all(|(_, text)| text.starts_with("shared ") && text.split(' ').count() == 2));
    let first = results.iter().filter(|(_, text)| *text == "shared 1").count();
    let providers = home.kept().await.summary.providers;
    assert_eq!(first, providers.iter().filter(|provider| provider.tasks_done > 0).count());
    assert!(results.iter().any(|(_, text)| *text == "shared 2"), "no provider did two tasks: {results:?}");
}

#[tokio::test]
async fn a_download_of_nothing_fails_its_task_and_no_other() {
    let home = Home::new();
    let job = home.job(
        r#"
[tasks]
values = ["there", "missing"]
[[steps]]
run = "rm -f out.txt; [ {{ task }} = missing ] || echo {{ task }} > out.txt"
[[steps]]
download = { from = "/golem/work/out.txt", to = "{{ task }}.txt" }
[limits]
retries = 1
workers = 1
"#,
    );
    let ended = home.run(&job, &[]).await;
    ended.assert_code(1);
    ended.assert_says(&["1 of 2 tasks done, 1 failed", "step 2 (download of `/golem/work/out.txt`): "]);
    assert_eq!(home.read("there.txt"), b"there\n");
    assert!(!home.path("missing.txt").exists(), "half a file is left of a download that failed");
    home.kept().await.assert_settled();
}

#[tokio::test]
async fn a_missing_download_leaves_the_results_that_are_there() {
    let home = Home::new();
    std::fs::create_dir(home.path("out")).unwrap();
    let names = ["first.txt", "second.txt", "third.json"];
    let names: Vec<_> = ["second", "third"]
        .iter()
        .flat_map(|task| names.iter().map(move |name| format!("out/{task}-{name}")))
        .collect();
    for name in &names {
        home.write(name, "a good result");
    }
    // The first file is whole, in a script of its own; the second or the third isn't there.
    let job = home.job(
        r#"
[tasks]
values = ["second", "third"]
[[steps]]
run = "rm -f *.txt *.json; echo new > first.txt; [ {{ task }} = second ] || echo new > second.txt"
[[steps]]
download = { from = "/golem/work/first.txt", to = "out/{{ task }}-first.txt" }
timeout = "30s"
[[steps]]
download = { from = "/golem/work/second.txt", to = "out/{{ task }}-second.txt" }
[[steps]]
download_json = { from = "/golem/work/third.json", to = "out/{{ task }}-third.json" }
[limits]
retries = 0
"#,
    );
    let ended = home.run(&job, &[]).await;
    ended.assert_code(1);
    ended.assert_says(&[
        "0 of 2 tasks done, 2 failed",
        "(download of `/golem/work/second.txt`): the file is missing",
        "(download of `/golem/work/third.json`): the file is missing",
    ]);
    for name in &names {
        assert_eq!(home.read(name), b"a good result", "{name}");
    }
    assert_eq!(std::fs::read_dir(home.path("out")).unwrap().count(), names.len(), "a partial file is left");
}

#[tokio::test]
async fn a_folder_that_cant_be_written_is_found_before_anything_is_bought() {
    let home = Home::new();
    home.write("out", "this is no folder");
    let job = home.job(
        r#"
[tasks]
range = { end = 3 }
[[steps]]
run = "echo {{ task }} > o"
[[steps]]
download = { from = "/golem/work/o", to = "out/{{ task }}" }
"#,
    );
    let ended = home.run(&job, &[]).await;
    ended.assert_code(7);
    ended.assert_says(&["out can't be written", "nothing was bought"]);
    assert_eq!(home.n_runs().await, 0);
}
