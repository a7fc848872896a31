//! The output of commands arrives byte by byte.

use std::process::Output;

use serde_json::Value;

use crate::stage::Home;

/// Task 0 prints text, task 1 text and a byte that is none, task 2 zero bytes, task 3 fails with bytes.
const JOB: &str = r#"
[tasks]
range = { end = 4 }
[[steps]]
run = """
case {{ task }} in
0) printf 'caf\\303\\251';;
1) printf 'caf\\303\\251\\377'; printf '\\376' >&2;;
2) printf 'a\\000b\\200';;
3) printf 'no\\377' >&2; exit 3;;
esac
"""
[limits]
retries = 0
workers = 1
"#;

async fn output(home: &Home, flags: &[&str]) -> Output {
    let mut command = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
    command.args(flags).output().await.unwrap()
}

fn objects(output: &Output) -> Vec<Value> {
    let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut results: Vec<_> = lines.filter(|line| line["type"] == "result").collect();
    results.sort_by_key(|line| line["task"].as_u64());
    results
}

/// Are all of these lines of the output?
fn assert_lines(output: &Output, all: [&[u8]; 3]) {
    let printed: Vec<_> = output.stdout.split(|byte| *byte == b'\n').collect();
    for line in all {
        assert!(printed.contains(&line), "{} isn't in {}", line.escape_ascii(), output.stdout.escape_ascii());
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_arrive_as_they_were_printed() {
    let home = Home::new();
    let job = home.job(JOB);
    let ran = home.command(&job, ["--devnet", "--devnet-seed", "7"]).output().await.unwrap();
    assert_eq!(ran.status.code(), Some(1), "{}", String::from_utf8_lossy(&ran.stderr));
    let (text, bytes, zeros) = (&b"caf\xc3\xa9"[..], &b"caf\xc3\xa9\xff"[..], &b"a\0b\x80"[..]);
    assert_lines(&ran, [b"0\tcaf\xc3\xa9", b"1\tcaf\xc3\xa9\xff", b"2\ta\0b\x80"]);
    let kept = home.kept().await;
    for (task, printed) in [text, bytes, zeros].into_iter().enumerate() {
        assert_eq!(kept.tasks[task].stdout.as_bytes(), printed);
    }
    assert_eq!(kept.tasks[3].stderr.as_bytes(), b"no\xff");

    let csv = output(&home, &["results", "--format", "csv"]).await;
    let cells = |line: &[u8]| line.split(|byte| *byte == b',').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let rows: Vec<_> = csv.stdout.split(|byte| *byte == b'\n').map(cells).collect();
    for printed in [text, bytes, zeros] {
        let found = rows.iter().any(|row| row.iter().any(|cell| cell == printed));
        assert!(found, "{} isn't in {}", printed.escape_ascii(), csv.stdout.escape_ascii());
    }
}

#[tokio::test]
async fn json_has_text_where_it_is_text_and_base64_where_it_is_not() {
    let home = Home::new();
    let job = home.job(JOB);
    let ran = home.command(&job, ["--devnet", "--devnet-seed", "7", "--json"]).output().await.unwrap();
    assert_eq!(ran.status.code(), Some(1), "{}", String::from_utf8_lossy(&ran.stderr));
    let kept = output(&home, &["results", "--all"]).await;
    for lines in [objects(&ran), objects(&kept)] {
        let fields = |task: usize| {
            let line = &lines[task];
            ["stdout", "stdout_base64", "stderr", "stderr_base64"]
                .map(|name| line.get(name).and_then(Value::as_str))
        };
        assert_eq!(fields(0), [Some("café"), None, Some(""), None]);
        assert_eq!(fields(1), [None, Some("Y2Fmw6n/"), None, Some("/g==")]);
        assert_eq!(fields(2), [None, Some("YQBigA=="), Some(""), None]);
        assert_eq!(fields(3), [None, None, None, Some("bm//")]);
    }
    let errors = output(&home, &["errors", "--json", "--all"]).await;
    assert!(String::from_utf8_lossy(&errors.stdout).contains(r#""stderr_base64":"bm//""#), "{errors:?}");
}
