//! Two real daemons on loopback, one for those who sell and one for those who buy, and identities in plenty.
//!
//! The sellers' bus router is the network's hub, so that the buyers' daemon can be killed and started again.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use yagna_api::AppKey;

/// How long a daemon may take to answer after its start, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether a daemon has ended.
const LOOK: Duration = Duration::from_millis(10);
/// How long a daemon may take to end.
const ENDING: Duration = Duration::from_secs(5);
/// How many identities the shared daemons have. Each one is made by a slow key derivation.
const SELLERS: usize = 40;
const BUYERS: usize = 30;
/// How many those of a rig have that plays one scenario alone.
const FEW: usize = 4;
/// What rigs differ by in their ports. A hub's port may have four digits only.
const PORTS_APART: u16 = 100;

/// Two daemons. What they leave behind goes with their folder.
#[derive(Debug)]
pub(crate) struct Rig {
    sellers: Daemon,
    buyers: Daemon,
    _folder: TempDir,
}

/// One daemon.
pub(crate) struct Daemon {
    program: PathBuf,
    folder: PathBuf,
    hub: u16,
    gsb: u16,
    api: u16,
    relay: u16,
    log: PathBuf,
    child: Mutex<Option<Child>>,
    keys: Mutex<VecDeque<String>>,
}

/// An app key of an identity that nobody else uses meanwhile.
#[derive(Debug)]
pub(crate) struct Lease {
    rig: Arc<Rig>,
    side: Side,
    pub(crate) key: AppKey,
}

/// Whose daemon it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Sellers,
    Buyers,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let daemon = self.rig.daemon(self.side);
        // The one that rested longest is taken next.
        daemon.keys.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.key.expose().to_owned());
    }
}

impl Rig {
    /// Starts both; `place` tells rigs apart that run at the same time. The first one has many identities.
    ///
    /// # Panics
    /// When they don't come up: with the end of what they logged.
    pub(crate) async fn start(program: PathBuf, place: u16) -> Self {
        let folder = TempDir::with_prefix("golem-rig-").expect("a temporary folder");
        let port = 7400 + place * PORTS_APART;
        let sellers = Daemon::new(&program, folder.path().join("sellers"), port, port);
        let buyers = Daemon::new(&program, folder.path().join("buyers"), port, port + 10);
        let (n_sellers, n_buyers) = if place == 0 { (SELLERS, BUYERS) } else { (FEW, FEW) };
        // The hub first: the other one looks for it.
        sellers.start().await;
        buyers.start().await;
        let ((), ()) = tokio::join!(sellers.add_identities(n_sellers), buyers.add_identities(n_buyers));
        // A daemon reads the list of its identities at its start, and routes to no others.
        sellers.kill(Signal::INT);
        buyers.kill(Signal::INT);
        sellers.start().await;
        buyers.start().await;
        buyers.listen_to_offers().await;
        Self { sellers, buyers, _folder: folder }
    }

    /// One of both.
    pub(crate) fn daemon(&self, side: Side) -> &Daemon {
        match side {
            Side::Sellers => &self.sellers,
            Side::Buyers => &self.buyers,
        }
    }

    /// Lends an identity.
    pub(crate) async fn lend(self: &Arc<Self>, side: Side) -> Lease {
        loop {
            let key = self.daemon(side).keys.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            if let Some(key) = key {
                return Lease { rig: Arc::clone(self), side, key: AppKey::new(key) };
            }
            // Other scenarios will give theirs back; each scenario has its deadline.
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends both.
    pub(crate) fn stop(&self) {
        self.buyers.kill(Signal::INT);
        self.sellers.kill(Signal::INT);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Daemon {
    fn new(program: &Path, folder: PathBuf, hub: u16, gsb: u16) -> Self {
        std::fs::create_dir_all(&folder).expect("a folder within a temporary one");
        Self {
            program: program.to_owned(),
            log: folder.join("log"),
            folder,
            hub,
            gsb,
            api: gsb + 1,
            relay: gsb + 2,
            child: Mutex::default(),
            keys: Mutex::default(),
        }
    }

    /// Where its REST API is.
    pub(crate) fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    /// Where its bus is.
    pub(crate) fn bus_url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.gsb)
    }

    /// Ends it with a signal, and waits for its end.
    pub(crate) fn kill(&self, signal: Signal) {
        let Some(mut child) = self.child.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let pid = Pid::from_raw(child.id().cast_signed()).expect("a child has a pid");
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
        let mut looks = 0;
        while matches!(child.try_wait(), Ok(None)) {
            looks += 1;
            if LOOK * looks > ENDING {
                drop(child.kill());
            }
            // This is no place to await: rigs are also dropped.
            std::thread::park_timeout(LOOK);
        }
    }

    /// Starts it, and waits until it answers.
    pub(crate) async fn start(&self) {
        let log = File::options().create(true).append(true).open(&self.log).expect("a log within its folder");
        let child = Command::new(&self.program)
            .args(["service", "run"])
            .env_clear()
            .envs(self.environment())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of a file"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{} can't be started: {error}", self.program.display()));
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let begin = Instant::now();
        let url = format!("{}/me", self.api_url());
        while !self.request(reqwest::Method::GET, &url, None).await.is_ok_and(|answer| answer.0 == 200) {
            assert!(
                begin.elapsed() < PATIENCE,
                "{self:?} doesn't answer within {PATIENCE:?}\n{}",
                self.log_end()
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The end of what it logged.
    pub(crate) fn log_end(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn environment(&self) -> Vec<(String, String)> {
        let mut all = vec![
            ("PATH".into(), std::env::var("PATH").unwrap_or_default()),
            ("HOME".into(), self.folder.display().to_string()),
            ("YAGNA_DATADIR".into(), self.folder.join("data").display().to_string()),
            ("GSB_URL".into(), self.bus_url()),
            ("YAGNA_API_URL".into(), self.api_url()),
            ("YAGNA_AUTOCONF_APPKEY".into(), self.first_key()),
            // Every daemon of the rig takes the sellers' bus for the network.
            ("YA_NET_TYPE".into(), "central".into()),
            ("CENTRAL_NET_HOST".into(), format!("127.0.0.1:{}", self.hub)),
            ("YA_NET_BIND_URL".into(), format!("udp://127.0.0.1:{}", 11_000 + self.gsb % 1000)),
            ("YA_NET_RELAY_HOST".into(), format!("127.0.0.1:{}", self.relay)),
            ("YAGNA_METRICS_URL".into(), "http://127.0.0.1:9".into()),
            ("YAGNA_DEV_SKIP_ALLOCATION_VALIDATION".into(), "1".into()),
            ("OFFER_BROADCAST_DELAY".into(), "200ms".into()),
        ];
        for consent in ["STATS", "INTERNAL", "EXTERNAL"] {
            all.push((format!("YA_CONSENT_{consent}"), "deny".into()));
        }
        for network in
            ["MAINNET", "SEPOLIA", "RINKEBY", "GOERLI", "HOLESKY", "HOODI", "POLYGON", "MUMBAI", "AMOY"]
        {
            all.push((format!("{network}_GETH_ADDR"), "http://127.0.0.1:8545".into()));
        }
        all
    }

    fn first_key(&self) -> String {
        format!("first-{}", self.gsb)
    }

    async fn add_identities(&self, count: usize) {
        for number in 0..count {
            let made =
                self.call_bus("identity/CreateGenerated", json!({"alias": null, "fromKeystore": null})).await;
            let name = format!("key-{number}");
            let key = json!({
                "name": name, "role": "manager", "identity": made["nodeId"], "allowOrigins": [],
            });
            let key = self.call_bus("appkey/Create", key).await;
            let key = key.as_str().unwrap_or_else(|| panic!("no app key: {key}")).to_owned();
            self.keys.lock().unwrap_or_else(PoisonError::into_inner).push_back(key);
        }
    }

    /// A daemon hears of offers only once it has had a demand.
    async fn listen_to_offers(&self) {
        let url = format!("{}/market-api/v1/demands", self.api_url());
        let body = json!({"properties": {}, "constraints": "(golem.never=1)"});
        let answer = self.request(reqwest::Method::POST, &url, Some(body)).await;
        assert!(answer.as_ref().is_ok_and(|answer| answer.0 == 201), "no demand: {answer:?}");
    }

    async fn call_bus(&self, address: &str, message: Value) -> Value {
        let url = format!("{}/_gsb/local/{address}", self.api_url());
        let (status, text) =
            self.request(reqwest::Method::POST, &url, Some(message)).await.expect("the daemon answers");
        let mut answer: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{address} answered {status}: {text}"));
        assert!(answer["Ok"] != Value::Null, "{address} answered {status}: {text}");
        answer["Ok"].take()
    }

    async fn request(
        &self,
        method: reqwest::Method,
        url: &str,
        body: Option<Value>,
    ) -> Result<(u16, String), reqwest::Error> {
        drop(rustls::crypto::ring::default_provider().install_default());
        // Reading the machine's certificate authorities would take most of the time that a call takes.
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        let client = client.timeout(Duration::from_secs(10)).build()?;
        let mut request = client.request(method, url).bearer_auth(self.first_key());
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon").field("api", &self.api_url()).field("log", &self.log).finish_non_exhaustive()
    }
}
