//! The page, the report and the metrics, as a browser or a collector would ask for them.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::stage::{Ended, Home, PATIENCE, Running};

/// An answer of the server.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A server, by the address that it printed.
#[derive(Debug, Clone)]
struct Server {
    host: String,
    token: Option<String>,
}

impl Server {
    /// Reads `http://HOST/?token=..`.
    fn at(url: &str) -> Self {
        let rest = url.trim().strip_prefix("http://").unwrap();
        let (host, rest) = rest.split_once('/').unwrap();
        let token = rest.split_once("?token=").map(|(_, token)| token.to_owned());
        Self { host: host.to_owned(), token }
    }

    async fn begin(&self, request: &str, headers: &[&str], body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.host).await.unwrap();
        let mut lines = vec![format!("{request} HTTP/1.1")];
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            lines.push(format!("Host: {}", self.host));
        }
        lines.extend(headers.iter().map(|header| (*header).to_owned()));
        lines.push(format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(lines.join("\r\n").as_bytes()).await.unwrap();
        stream
    }

    async fn ask(&self, request: &str, headers: &[&str], body: &str) -> Answer {
        let headers: Vec<_> = headers.iter().copied().chain(["Connection: close"]).collect();
        let mut stream = self.begin(request, &headers, body).await;
        let mut bytes = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], "").await
    }
}

fn ask(home: &Home, question: &[&str]) -> Running {
    let mut command = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
    command.args(question);
    Running::start(command)
}

/// `golem-tasks web` in this home, once it has said where it is.
async fn web(home: &Home, flags: &[&str]) -> (Running, Server) {
    let mut running = ask(home, &[&["web", "--listen", "127.0.0.1:0"], flags].concat());
    running.says("Ctrl+C ends it").await;
    let server = Server::at(&running.printed());
    (running, server)
}

fn job(home: &Home, n: u32, command: &str) -> PathBuf {
    home.job(&format!(
        "[tasks]\nrange = {{ end = {n} }}\n[limits]\nretries = 0\n[[steps]]\nrun = \"\"\"{command}\"\"\"\n"
    ))
}

/// A run of six tasks of which one has failed.
async fn ended_run(home: &Home) {
    let command = "if [ {{ task }} = 4 ]; then echo '<b>no luck</b>' >&2; exit 3; fi; echo frame-{{ task }}";
    let ended = home.run(&job(home, 6, command), &["--run-id", "night", "--budget", "5,3/h"]).await;
    ended.assert_code(1);
}

/// The address in what a run says.
fn said(ended: &str, before: &str) -> Server {
    let at = ended.find(before).unwrap_or_else(|| panic!("`{before}` isn't in {ended}"));
    Server::at(ended[at + before.len()..].lines().next().unwrap())
}

async fn stopped(running: Running) -> Ended {
    running.interrupt();
    running.end().await
}

#[tokio::test]
async fn the_page_shows_runs_tasks_and_charts_and_changes_nothing() {
    let home = Home::new();
    ended_run(&home).await;
    let (running, server) = web(&home, &[]).await;
    let page = server.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.head.contains("default-src 'none'") && page.head.contains("nosniff"), "{}", page.head);
    assert!(
        page.body.contains("page.js") && !page.body.contains("http://") && !page.body.contains("https://")
    );
    for file in ["/page.js", "/page.css", "/icon.svg"] {
        assert_eq!(server.get(file).await.status, 200, "{file}");
    }
    let runs = server.get("/api/runs").await.json();
    assert_eq!((&runs["runs"][0]["run"], &runs["runs"][0]["tasks"]["done"]), (&"night".into(), &5.into()));
    let run = server.get("/api/runs/night").await.json();
    assert_eq!((&run["more"]["expected_tasks"], &run["more"]["budget"]), (&6.into(), &"5,3/h".into()));
    assert_eq!(run["overview"]["tasks"]["failed"], 1);
    let charts = server.get("/api/runs/night/charts").await.json();
    let pace: u64 =
        charts["timeline"]["pace"].as_array().unwrap().iter().map(|cell| cell[0].as_u64().unwrap()).sum();
    assert_eq!((pace, &charts["times"]["done"]), (5, &5.into()));
    assert_eq!(charts["spending"]["windows"][0]["limit"], "3");
    let tasks = server.get("/api/runs/night/tasks?count=3&at=2").await.json();
    assert_eq!((&tasks["total"], tasks["tasks"].as_array().unwrap().len()), (&6.into(), 3));
    let found = server.get("/api/runs/night/tasks?count=9&text=FRAME-3").await.json();
    assert_eq!((&found["total"], &found["tasks"][0]["output"]), (&1.into(), &"frame-3".into()));
    let failed = server.get("/api/runs/night/tasks/4").await.json();
    assert_eq!(failed["attempts"][0]["stderr"]["text"], "<b>no luck</b>\n");
    assert_eq!(server.get("/api/runs/night/errors").await.json()["groups"][0]["count"], 1);
    assert!(
        !server.get("/api/runs/night/providers").await.json()["run"]["providers"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    for (path, status) in [
        ("/api/runs/nobody", 404),
        ("/api/runs/night/tasks/99", 404),
        ("/nothing", 404),
        ("/api/runs/night/tasks/x", 400),
    ] {
        assert_eq!(server.get(path).await.status, status, "{path}");
    }
    let refused = server.ask("POST /api/runs/night/cancel", &[], "").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("--allow-control"), "{}", refused.body);
    let stranger = server.ask("GET /api/runs", &["Host: evil.example"], "").await;
    assert_eq!((stranger.status, stranger.body.contains("night")), (403, false));
    stopped(running).await.assert_code(0);
}

#[tokio::test]
async fn a_run_is_followed_while_it_goes_on_by_whoever_looks_and_not_disturbed() {
    let home = Home::new();
    let job = job(&home, 8, "if [ {{ task }} != 0 ]; then sleep 4000; fi; echo done-{{ task }}");
    let flags = ["--run-id", "live", "--web=127.0.0.1:0", "--metrics=127.0.0.1:0"];
    let mut running = home.start(&job, &flags);
    running.says("the metrics of this run: ").await;
    let page = said(&running.said(), "the page of this run: ");
    assert_eq!(page.get("/api/site").await.json()["run"], "live");
    running.says("demand published").await;
    // One that goes away in the middle costs nothing.
    drop(page.begin("GET /api/runs/live/events", &[], "").await);
    let mut news = page.begin("GET /api/runs/live/events", &[], "").await;
    let metrics = said(&running.said(), "the metrics of this run: ");
    let mut told = String::new();
    hears(&mut news, &mut told, "\"tasks\":{\"done\":1").await;
    let scraping = async {
        loop {
            let text = metrics.get("/metrics").await;
            if text.body.contains("golem_tasks_tasks{run=\"live\",state=") {
                return text;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let scraped = timeout(PATIENCE, scraping).await.expect("there are metrics while the run goes on");
    assert!(scraped.head.contains("application/openmetrics-text"), "{}", scraped.head);
    assert!(scraped.body.ends_with("# EOF\n"));
    assert!(scraped.body.contains("golem_tasks_request_seconds_count{endpoint="), "{}", scraped.body);
    for label in ["task=", "provider="] {
        assert!(!scraped.body.contains(label), "{label}");
    }
    running.interrupt();
    // Whoever follows a run to its end sees that, before its page is closed.
    hears(&mut news, &mut told, "\"state\":\"ended\"").await;
    let ended = running.end().await;
    ended.assert_code(130);
    assert!(told.contains("event: run") && told.contains("\"run\":\"live\""), "{told}");
    assert_eq!(ended.results(), [(0, "done-0")]);
}

/// Reads news until this is among them.
async fn hears(news: &mut TcpStream, told: &mut String, what: &str) {
    let mut bytes = vec![0; 1 << 16];
    let reading = async {
        while !told.contains(what) {
            let n = news.read(&mut bytes).await.unwrap();
            assert!(n > 0, "the news end without `{what}`: {told}");
            told.push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
    };
    assert!(timeout(PATIENCE, reading).await.is_ok(), "`{what}` isn't among the news: {told}");
}

#[tokio::test]
async fn who_may_control_runs_needs_the_token_and_the_pages_own_secret() {
    let home = Home::new();
    let job = job(&home, 40, "echo begun; sleep 2");
    let mut run = home.start(&job, &["--run-id", "long"]);
    run.prints(1).await;
    let (running, server) = web(&home, &["--allow-control"]).await;
    let token = server.token.clone().expect("the address has a token");
    let outside = server.get("/").await;
    assert_eq!((outside.status, outside.body.contains("token")), (401, true));
    let welcome = server.get(&format!("/?token={token}")).await;
    assert_eq!(welcome.status, 303);
    let cookie = welcome.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    let site = server.ask("GET /api/site", &[&cookie], "").await.json();
    assert_eq!(site["control"], true);
    let change = format!("x-golem-tasks-change: {}", site["change"].as_str().unwrap());
    let json = "Content-Type: application/json";
    let cancel = "POST /api/runs/long/cancel";
    let stranger = "Origin: http://evil.example";
    assert_eq!(server.ask(cancel, &[&cookie], "").await.status, 403);
    assert_eq!(server.ask(cancel, &[&cookie, &change, stranger], "").await.status, 403);

    let provider = {
        let rows = server.ask("GET /api/runs/long/providers", &[&cookie], "").await.json();
        rows["run"]["providers"][0]["id"].as_str().unwrap().to_owned()
    };
    let which = format!("{{\"provider\":\"{provider}\",\"reason\":\"a test\"}}");
    assert_eq!(server.ask("POST /api/providers/block", &[&cookie, &change, json], &which).await.status, 200);
    let blocked = server.ask("GET /api/runs/long/providers", &[&cookie], "").await.json();
    assert_eq!(blocked["blocked"][0], provider.as_str());
    assert_eq!(
        server.ask("POST /api/providers/unblock", &[&cookie, &change, json], &which).await.status,
        200
    );

    let asked = server.ask(cancel, &[&format!("Authorization: Bearer {token}")], "").await;
    assert_eq!((asked.status, &asked.json()["asked"]), (200, &true.into()));
    run.end().await.assert_code(130);
    stopped(running).await.assert_code(0);
}

#[tokio::test]
async fn what_hinders_the_page_is_told() {
    let home = Home::new();
    let nothing = ask(&home, &["web"]).end().await;
    nothing.assert_code(2);
    ended_run(&home).await;
    let (running, server) = web(&home, &[]).await;
    let taken = ask(&home, &["web", "--listen", &server.host]).end().await;
    taken.assert_code(2);
    let port = server.host.split(':').nth(1).unwrap();
    taken.assert_says(&["can't listen at", &format!("another program uses port {port}"), "--listen"]);
    let job = home.path("job.toml");
    let flag = format!("--web={}", server.host);
    let run = home.run(&job, &["--run-id", "other", &flag]).await;
    run.assert_code(2);
    run.assert_says(&["can't listen at", "--web=ADDRESS"]);
    assert_eq!(home.n_runs().await, 1, "nothing was begun");
    let odd = ask(&home, &["web", "--listen", "here"]).end().await;
    odd.assert_code(2);
    odd.assert_says(&["expected an address and a port"]);
    stopped(running).await.assert_code(0);
}

#[tokio::test]
async fn a_report_is_one_file_with_everything_inside() {
    let home = Home::new();
    ended_run(&home).await;
    let mut command = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
    command.args(["report", "-o"]).arg(home.path("night.html"));
    let written = Running::start(command).end().await;
    written.assert_code(0);
    written.assert_says(&["the report of run night is in"]);
    let page = String::from_utf8(home.read("night.html")).unwrap();
    assert!(!page.contains("src=\"") && !page.contains("<link"), "it asks for nothing");
    assert!(!page.contains("<b>no luck"), "no text of a task becomes HTML");
    let (_, data) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["run"]["overview"]["tasks"]["done"], 5);
    assert_eq!(data["errors"]["groups"][0]["newest"]["stderr"], "<b>no luck</b>\n");
    assert_eq!(data["run"]["more"]["job"]["limits"]["retries"], 0);
    let piped = ask(&home, &["report", "night", "-o", "-"]).end().await;
    piped.assert_code(0);
    assert!(piped.out.starts_with("<!doctype html>"));
    ask(&home, &["report", "nobody"]).end().await.assert_code(2);
}
