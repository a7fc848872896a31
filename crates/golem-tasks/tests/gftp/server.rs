//! The program, started, and what it answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use golem_devnet::devnet::Devnet;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use yagna_api::AppKey;

/// No answer takes a tenth of this; it is for machines that are busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A devnet behind a port, and a folder for files.
pub(crate) struct Stage {
    pub(crate) devnet: Devnet,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
}

impl Stage {
    pub(crate) async fn new(providers: usize) -> Self {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (devnet, address) = serve(providers, anywhere).await;
        Self { devnet, address, folder: TempDir::new().unwrap() }
    }

    /// Ends the daemon, which forgets everything, and starts it again at the same place with the same keys.
    pub(crate) async fn restart(self, providers: usize) -> Self {
        let Self { devnet, address, folder } = self;
        let node = devnet.requestor().node.clone();
        devnet.stop().await;
        let (devnet, address) = serve(providers, address).await;
        assert_eq!(devnet.requestor().node, node, "the seed decides who it is");
        Self { devnet, address, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A command of the program that knows this devnet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command
            .env("YAGNA_API_URL", format!("http://{}", self.address))
            .env("YAGNA_APPKEY", self.devnet.requestor().key.expose())
            .current_dir(self.folder.path());
        command
    }

    pub(crate) fn gftp(&self) -> Gftp {
        Gftp::start(self.command(&["server"]))
    }
}

async fn serve(providers: usize, address: SocketAddr) -> (Devnet, SocketAddr) {
    let devnet =
        Devnet::builder().providers(providers).seed(7).app_key(AppKey::new("key")).start().await.unwrap();
    let address = devnet.listen(address).await.unwrap();
    (devnet, address)
}

/// A command of the program with nothing of this machine's environment that could change what it does.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gftp"));
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A running server.
pub(crate) struct Gftp {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    id: i64,
}

impl Gftp {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output, id: 0 }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.input.as_mut().expect("not closed yet").write_all(text.as_bytes()).await.unwrap();
    }

    /// The next line it prints, none at its end.
    pub(crate) async fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.output.read_line(&mut line)).await.expect("it answers").unwrap();
        (read > 0).then(|| serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line:?}")))
    }

    /// Asks for something and gives the whole answer.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.id += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params});
        self.send(&format!("{request}\n")).await;
        let answer = self.line().await.expect("it runs");
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(self.id)), "{answer}");
        answer
    }

    /// Asks for something that must be possible.
    pub(crate) async fn get(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.ask(method, params).await;
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].take()
    }

    /// Asks for something that must fail, and gives the code and the message.
    pub(crate) async fn fail(&mut self, method: &str, params: Value) -> (i64, String) {
        let answer = self.ask(method, params).await;
        let error = answer.get("error").unwrap_or_else(|| panic!("it is done: {answer}"));
        (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn publish(&mut self, path: &Path) -> String {
        let links = self.get("publish", json!({"files": [path]})).await;
        assert_eq!(links.as_array().unwrap().len(), 1);
        assert_eq!(links[0]["file"], json!(path));
        links[0]["url"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn receive(&mut self, path: &Path) -> String {
        let link = self.get("receive", json!({"output_file": path})).await;
        assert_eq!(link["file"], json!(path));
        link["url"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn close(&mut self, url: &str) -> String {
        let statuses = self.get("close", json!({"urls": [url]})).await;
        assert_eq!(statuses.as_array().unwrap().len(), 1);
        statuses[0].as_str().unwrap().to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it runs");
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }

    /// Interrupts it until it has ended: of two signals that come at once a process hears only one.
    pub(crate) async fn interrupt_to_the_end(&mut self) {
        while timeout(Duration::from_millis(200), self.child.wait()).await.is_err() {
            self.signal(Signal::INT);
        }
    }

    /// No more requests.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
    }

    /// Waits for its end; gives its exit code, and what it said on standard error.
    pub(crate) async fn end(mut self) -> (Option<i32>, String) {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
        assert!(!said.contains("panicked"), "{said}");
        (status.code(), said)
    }
}
