//! The program's own rules: its requests, its ends, its command line.

use std::net::{Ipv4Addr, TcpListener};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::server::{Gftp, Stage, command};

async fn output(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn what_needs_no_daemon_is_answered_without_one() {
    let mut gftp = Gftp::start(command(&["server"]));
    let version = gftp.get("version", json!({})).await;
    let (number, rest) = version.as_str().unwrap().split_once(' ').unwrap();
    let number: Vec<u32> = number.split('.').map(|part| part.parse().unwrap()).collect();
    assert!(number >= vec![0, 7, 3], "yapapi closes what it has published from 0.7.3 on");
    assert!(rest.starts_with("(golem-tasks "), "{rest}");
    for (method, params) in [
        ("publish", json!({"files": ["/etc/hostname"]})),
        ("receive", json!({"output_file": "/tmp/nothing"})),
        ("download", json!({"url": "gftp://0x1/a", "output_file": "/tmp/nothing"})),
    ] {
        let (code, message) = gftp.fail(method, params).await;
        assert!(code == -32000 && message.contains("YAGNA_APPKEY"), "{code} {message}");
    }
    assert_eq!(gftp.close("gftp://0x1/abc").await, "error");
    assert_eq!(gftp.get("shutdown", json!({})).await, "ok");
    assert_eq!(gftp.end().await, (Some(0), String::new()));
}

#[tokio::test]
async fn bad_requests_are_told_and_do_no_harm() {
    let stage = Stage::new(0).await;
    let mut gftp = stage.gftp();
    for (line, code, id) in [
        ("nonsense", -32700, Value::Null),
        ("{\"jsonrpc\":\"2.0\"", -32700, Value::Null),
        ("[]", -32600, Value::Null),
        (r#"{"jsonrpc":"1.0","id":5,"method":"version","params":{}}"#, -32600, json!(5)),
        (r#"{"jsonrpc":"2.0","id":"a","method":"nothing","params":{}}"#, -32600, json!("a")),
        (r#"{"jsonrpc":"2.0","id":6,"method":"publish","params":{"files":[]}}"#, -32600, json!(6)),
        (r#"{"jsonrpc":"2.0","id":6,"method":"close","params":{"urls":[]}}"#, -32600, json!(6)),
        (r#"{"jsonrpc":"2.0","id":7,"method":"close","params":{"urls":["x"]}}"#, -32600, json!(7)),
        (r#"{"jsonrpc":"2.0","id":8,"method":"close","params":{"urls":["gftp://0x1"]}}"#, -32000, json!(8)),
        (r#"{"jsonrpc":"2.0","id":9,"result":"ok"}"#, -32600, json!(9)),
    ] {
        gftp.send(&format!("{line}\n")).await;
        let answer = gftp.line().await.unwrap();
        assert_eq!(answer["error"]["code"], code, "{line}: {answer}");
        assert_eq!(answer["id"], id, "{line}: {answer}");
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    }
    for path in [stage.path("missing"), stage.folder.path().to_owned(), "/dev/null".into()] {
        let (code, message) = gftp.fail("publish", json!({"files": [path]})).await;
        assert!(code == -32000 && message.contains(path.to_str().unwrap()), "{code} {message}");
    }
    for path in [stage.folder.path().to_owned(), "/dev/null".into(), "/proc/nothing/file".into()] {
        let (code, message) = gftp.fail("receive", json!({"output_file": path})).await;
        assert!(code == -32000 && message.contains(path.to_str().unwrap()), "{code} {message}");
    }
    // All of them or none: the good one isn't served either.
    let good = stage.write("good", b"good");
    gftp.fail("publish", json!({"files": [good, stage.path("missing")]})).await;
    let url = gftp.publish(&good).await;
    assert_eq!((gftp.close(&url).await, gftp.close(&url).await), ("ok".into(), "error".into()));
    // Relative paths are those of the program's folder, and several files have an answer in their order.
    stage.write("more", b"more");
    let links = gftp.get("publish", json!({"files": ["good", "more", "./good"]})).await;
    let files: Vec<_> = links.as_array().unwrap().iter().map(|link| &link["file"]).collect();
    assert_eq!(files, ["good", "more", "./good"]);
    assert_eq!(links[0]["url"], links[2]["url"]);
    stage.devnet.stop().await;
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_their_order() {
    let stage = Stage::new(0).await;
    let mut gftp = stage.gftp();
    stage.write("large", &vec![7; 3_000_000]);
    gftp.send(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"publish\",\"params\":{\"files\":[\"large\"]}}\r\n\n\
         {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"version\",\"params\":{}}\n\
         {\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"version\"}",
    )
    .await;
    gftp.hang_up();
    for id in 1..=3 {
        let answer = gftp.line().await.unwrap();
        assert_eq!(answer["id"], id);
        assert!(answer.get("result").is_some(), "{answer}");
    }
    assert_eq!(gftp.line().await, None);
    assert_eq!(gftp.end().await.0, Some(0));
    stage.devnet.stop().await;
}

#[tokio::test]
async fn whoever_ends_it_nothing_stays_bound() {
    let stage = Stage::new(0).await;
    let path = stage.write("file", b"abc");
    let mut urls = Vec::new();
    for end in ["shutdown", "eof", "term", "two interrupts"] {
        let mut gftp = stage.gftp();
        urls.push(gftp.publish(&path).await);
        match end {
            "shutdown" => assert_eq!(gftp.get("shutdown", json!({})).await, "ok"),
            "eof" => gftp.hang_up(),
            "term" => gftp.signal(Signal::TERM),
            _ => {
                // The first one is the requestor's, which may have work to finish.
                gftp.signal(Signal::INT);
                assert_eq!(gftp.close("gftp://0x1/nothing").await, "error");
                gftp.interrupt_to_the_end().await;
            }
        }
        assert_eq!(gftp.end().await, (Some(0), String::new()), "{end}");
    }
    // Each found the content's own address free.
    assert!(urls.iter().all(|url| *url == urls[0]), "{urls:?}");
    stage.devnet.stop().await;
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_told_soon() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let mut server = command(&["server"]);
    server.env("YAGNA_APPKEY", "a-secret-key").env("YAGNA_API_URL", format!("http://{address}"));
    let mut gftp = Gftp::start(server);
    let (code, message) = gftp.fail("publish", json!({"files": ["/etc/passwd"]})).await;
    assert!(code == -32000 && message.contains(&address), "{code} {message}");
    assert!(!message.contains("a-secret-key"));
    gftp.hang_up();
    gftp.end().await;
}

#[tokio::test]
async fn a_wrong_key_is_told() {
    let stage = Stage::new(0).await;
    let mut server = stage.command(&["--app-key", "wrong-key", "server"]);
    server.env_remove("YAGNA_APPKEY");
    let mut gftp = Gftp::start(server);
    let (code, message) = gftp.fail("publish", json!({"files": [stage.write("file", b"abc")]})).await;
    assert!(code == -32000 && message.contains("Invalid application key"), "{code} {message}");
    assert!(!message.contains("wrong-key"));
    stage.devnet.stop().await;
}

#[tokio::test]
async fn the_command_line_is_as_golems() {
    let (code, out, _) = output(command(&["version"])).await;
    assert_eq!(code, Some(0));
    let version: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(version.as_object().unwrap().len(), 1, "only the result");
    let (_, out, _) = output(command(&["version", "-v"])).await;
    let message: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(message, json!({"jsonrpc": "2.0", "id": null, "result": version["result"]}));
    let (code, out, _) = output(command(&["--help"])).await;
    assert_eq!(code, Some(0));
    for word in ["publish", "receive", "close", "download", "upload", "server", "YAGNA_APPKEY"] {
        assert!(out.contains(word), "{word}");
    }
    let (code, out, err) = output(command(&["steal"])).await;
    assert!(code == Some(2) && out.is_empty() && err.contains("steal"), "{code:?} {out} {err}");
    let (code, out, _) = output(command(&["publish", "/etc/passwd"])).await;
    let error: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &error["error"]["code"]), (Some(1), &json!(-32000)));
}

#[tokio::test]
async fn one_file_can_be_published_without_a_server_until_it_is_interrupted() {
    let stage = Stage::new(0).await;
    stage.write("file", b"abc");
    let mut child = stage.command(&["publish", "file"]).spawn().unwrap();
    let mut text = String::new();
    let mut out = child.stdout.take().unwrap();
    while !text.ends_with('\n') {
        let mut part = [0; 1000];
        let n = out.read(&mut part).await.unwrap();
        assert!(n > 0, "it ended");
        text.push_str(std::str::from_utf8(&part[..n]).unwrap());
    }
    let answer: Value = serde_json::from_str(&text).unwrap();
    let url = answer["result"][0]["url"].as_str().unwrap().to_owned();
    // A second process finds the address taken, so the first one serves it.
    let mut gftp = stage.gftp();
    assert_ne!(gftp.publish(&stage.path("file")).await, url);
    let id = i32::try_from(child.id().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), Signal::INT).unwrap();
    assert!(child.wait().await.unwrap().success());
    let mut gftp = stage.gftp();
    assert_eq!(gftp.publish(&stage.path("file")).await, url);
    stage.devnet.stop().await;
}
