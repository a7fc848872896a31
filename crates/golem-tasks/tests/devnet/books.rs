//! What the books of a devnet say to those who ask for them.

use rustix::process::Signal;
use serde_json::Value;

use crate::served::Served;
use crate::stage::{Home, PATIENCE, processes, signal, wait_until};

const JOB: &str = "[tasks]\nrange = { end = 6 }\n[[steps]]\nrun = \"echo $(( {{ task }} * 7 ))\"\n";

fn read(home: &Home) -> Value {
    serde_json::from_slice(&home.read("books.json")).unwrap()
}

fn rows<'b>(books: &'b Value, of: &str) -> &'b Vec<Value> {
    books[of].as_array().unwrap()
}

#[tokio::test]
async fn the_books_tell_whoever_asks_what_was_run_billed_and_paid() {
    let home = Home::new();
    let file = home.path("books.json");
    let mut devnet = Served::start(&["--providers", "2", "--books", file.to_str().unwrap()]);
    devnet.run(&home, &home.job(JOB), &[]).await.assert_code(0);
    assert!(!file.exists(), "nobody has asked yet");
    signal(devnet.id(), Signal::USR1);
    wait_until("the books are there", || file.exists()).await;
    let books = read(&home);
    assert_eq!((&books["type"], &books["version"], &books["times"]), (&"books".into(), &1.into(), &1.into()));
    assert_eq!((rows(&books, "providers").len(), &books["missed"]), (2, &0.into()));
    let agreements = rows(&books, "agreements");
    assert!(!agreements.is_empty());
    for agreement in agreements {
        assert_eq!(
            (&agreement["state"], &agreement["ended_by"]),
            (&"Terminated".into(), &"Requestor".into())
        );
        assert!(agreement["approved"].is_string() && agreement["ended"].is_string(), "{agreement}");
    }
    assert_eq!(rows(&books, "activities").len(), agreements.len());
    assert!(rows(&books, "activities").iter().all(|activity| activity["alive"] == false), "{books}");
    let echo = |command: &&Value| command["command"].to_string().contains("echo");
    let echoes: Vec<_> = rows(&books, "commands").iter().filter(echo).collect();
    assert_eq!(echoes.len(), 6, "{books}");
    assert!(echoes.iter().all(|command| command["exit_code"] == 0 && command["ended"].is_string()));
    assert_eq!(rows(&books, "invoices").len(), agreements.len());
    assert!(rows(&books, "invoices").iter().all(|invoice| invoice["status"] == "ACCEPTED"), "{books}");
    assert!(rows(&books, "allocations").iter().all(|allocation| allocation["released"] == true), "{books}");
    let (out, _) = devnet.stop().await;
    assert!(!out.contains(" ran `"), "lines for commands weren't asked for:\n{out}");
    assert_eq!(read(&home)["times"], 2, "they are written at the end too");
}

#[tokio::test]
async fn the_books_at_the_end_tell_what_was_still_running() {
    let home = Home::new();
    let file = home.path("books.json");
    let mark = format!("3000.4{:07}", std::process::id());
    let mut devnet = Served::start(&["--providers", "1", "--books", file.to_str().unwrap()]);
    let job = home.job(&format!("[tasks]\nrange = {{ end = 2 }}\n[[steps]]\nrun = \"sleep {mark}\"\n"));
    let mut command = home.command(&job, ["--quiet"]);
    command.envs(devnet.environment().await).stdout(std::process::Stdio::null());
    let mut run = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    wait_until("a task runs", || !processes(&mark).is_empty()).await;
    devnet.stop().await;
    let books = read(&home);
    let left = |of: &str, is: fn(&Value) -> bool| rows(&books, of).iter().filter(|row| is(row)).count();
    assert_eq!(left("agreements", |row| row["state"] == "Approved"), 1, "{books}");
    assert_eq!(left("activities", |row| row["alive"] == true), 1, "{books}");
    assert_eq!(left("commands", |row| row["ended"].is_null()), 1, "{books}");
    assert_eq!(left("allocations", |row| row["released"] == false), 1, "{books}");
    run.start_kill().unwrap();
    tokio::time::timeout(PATIENCE, run.wait()).await.unwrap().unwrap();
}

#[tokio::test]
async fn books_that_cant_be_written_are_told_before_anything_happens() {
    let devnet = Served::start(&["--providers", "1", "--books", "/nowhere/books.json"]);
    let (code, _, err) = devnet.end().await;
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("can't write the books to `/nowhere/books.json`"), "{err}");
}
