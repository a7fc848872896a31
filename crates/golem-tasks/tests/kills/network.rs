//! The network of a test: a devnet in a process of its own, and its books whenever they are wanted.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use yagna_api::AppKey;
use yagna_api::identity::GetMe;
use yagna_client::{Client, HttpTransport, Url};

use crate::books::Books;

/// No answer of a devnet takes a tenth of this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Honest ones enough for all, and those who vanish, come late, cheat and leave.
///
/// What the cheat asks for is beyond anything that is paid on trust.
const PROVIDERS: &str = r#"
providers = 12
prices = { start = "0.001", cpu_hour = "0.06", env_hour = "0.06" }
[[provider]]
name = "mortal"
count = 3
behaviour = { dies_after_commands = 7, comes_back_after = "3s" }
[[provider]]
name = "fleeting"
count = 2
behaviour = { dies_after = "6s", comes_back_after = "2s" }
[[provider]]
name = "shy"
behaviour = { approves = "never" }
[[provider]]
name = "slow"
behaviour = { approves = "after 1s", invoices = "after 1s" }
[[provider]]
name = "greedy"
behaviour = { overbills = 1000.0 }
[[provider]]
name = "twice"
behaviour = { invoices = "twice" }
[[provider]]
name = "noter"
count = 2
behaviour = { debit_notes_every = "1s" }
[[provider]]
name = "moody"
behaviour = { terminates_after = "3s" }
"#;

/// A devnet at work.
pub(crate) struct Network {
    child: Child,
    url: String,
    keys: Vec<String>,
    file: PathBuf,
    /// Who asks for the books, one at a time.
    asking: Mutex<()>,
}

impl Network {
    /// Starts one with so many requestors. What it says is kept in the folder.
    pub(crate) async fn start(folder: &Path, requestors: usize, seed: u64) -> Self {
        let config = folder.join("network.toml");
        std::fs::write(&config, PROVIDERS).unwrap();
        let (env, file) = (folder.join("network.env"), folder.join("books.json"));
        let keys: Vec<_> = (0..requestors).map(|n| format!("key-{n}")).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_golem-tasks"));
        command
            .arg("devnet")
            .arg("--config")
            .arg(&config)
            .arg("--env-file")
            .arg(&env)
            .arg("--books")
            .arg(&file);
        command.args(["--listen", "127.0.0.1:0", "--delays", "none", "--commands"]);
        command.args(["--seed", &(seed & 0xffff_ffff).to_string()]);
        for key in &keys {
            command.args(["--app-key", key]);
        }
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(File::create(folder.join("network.log")).unwrap())
            .stderr(File::create(folder.join("network.err")).unwrap())
            .kill_on_drop(true);
        let child = command.spawn().unwrap();
        appears(&env).await;
        let text = std::fs::read_to_string(&env).unwrap();
        let url =
            text.lines().find_map(|line| line.strip_prefix("export YAGNA_API_URL=")).unwrap().to_owned();
        Self { child, url, keys, file, asking: Mutex::default() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn key(&self, requestor: usize) -> &str {
        &self.keys[requestor]
    }

    /// One that asks in a requestor's name.
    pub(crate) fn client(&self, requestor: usize) -> Client {
        let url: Url = self.url.parse().unwrap();
        Client::new(std::sync::Arc::new(HttpTransport::new(&url, &AppKey::new(self.key(requestor))).unwrap()))
    }

    /// A requestor's identity.
    pub(crate) async fn identity(&self, requestor: usize) -> String {
        self.client(requestor).call(&GetMe).await.unwrap().identity.to_string()
    }

    /// Its books as they are now, and the text they were read from.
    pub(crate) async fn books(&self) -> (Books, String) {
        let _alone = self.asking.lock().await;
        drop(std::fs::remove_file(&self.file));
        self.signal(Signal::USR1);
        appears(&self.file).await;
        let text = std::fs::read_to_string(&self.file).unwrap();
        (serde_json::from_str(&text).unwrap(), text)
    }

    /// Ends it, and reads the books that it leaves.
    pub(crate) async fn stop(mut self) -> Books {
        self.signal(Signal::INT);
        let status = timeout(PATIENCE, self.child.wait()).await.expect("the devnet ends").unwrap();
        assert!(status.success(), "the devnet ended with {status}");
        serde_json::from_slice(&std::fs::read(&self.file).unwrap()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("the devnet runs");
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

/// Waits for a file, which is written whole or not at all.
async fn appears(file: &Path) {
    let waiting = async {
        while !file.exists() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "{} doesn't appear", file.display());
}
