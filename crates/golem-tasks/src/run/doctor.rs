//! The `doctor` command: everything that a run needs is looked at, and what is wrong is told with its remedy. Nothing is
//! bought.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use golem_sdk::SystemClock;
use golem_sdk::market::Scan;
use golem_sdk::run::{RunError, greet, platform};
use golem_sdk::text::chain;
use serde::Serialize;
use serde_json::{Value, json};
use yagna_api::net::GetNetStatus;
use yagna_api::payment::{CreateAllocation, GetStatus, NewAllocation, ReleaseAllocation};
use yagna_api::time::after;
use yagna_api::version::GetVersion;
use yagna_api::{Clock as _, Glm};
use yagna_client::Client;
use yagna_client::proxy::named_for;

use super::{Daemon, ready};
use crate::exit::{Exit, Failure};
use crate::options::{DaemonChoice, Site};
use crate::store::{Dsn, Store, StoreError};
use crate::view::text::plural;
use crate::view::{Output, json_line};

/// The oldest daemon that is known to work, and the oldest that has the test network of today.
const OLDEST: (u64, u64, u64) = (0, 15, 0);
const TESTED: (u64, u64, u64) = (0, 17, 4);

/// The time to look at the market.
const LOOK: Duration = Duration::from_secs(5);

/// The time after which money that was set aside to see whether it can be is free again by itself.
const SET_ASIDE: Duration = Duration::from_secs(60);

/// A difference between clocks that makes bills and agreements late.
const SKEW: Duration = Duration::from_secs(10);

/// Bytes that a database and its results should find on the disk.
const ROOM: u64 = 200 << 20;

/// The things to check.
pub(crate) struct DoctorOptions {
    pub(crate) site: Site,
    pub(crate) has_key: bool,
    pub(crate) budget: Glm,
    pub(crate) dsn: Dsn,
    pub(crate) json: bool,
}

/// The state of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// A run begins, and may suffer.
    Warning,
    /// A run can't begin.
    Error,
    /// It can't be looked at, because of an error before it.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    says: String,
    #[serde(rename = "try", skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, says: impl Into<String>) -> Self {
        Self { name, state: State::Ok, says: says.into(), remedy: None }
    }

    fn warning(name: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: State::Warning, says: says.into(), remedy: Some(remedy.into()) }
    }

    fn error(name: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: State::Error, says: says.into(), remedy: Some(remedy.into()) }
    }

    fn skipped(name: &'static str) -> Self {
        Self {
            name,
            state: State::Skipped,
            says: "not looked at, because of the error above".into(),
            remedy: None,
        }
    }

    /// The error of a failure, with its advice.
    fn failed(name: &'static str, failure: &Failure) -> Self {
        let remedy = failure.advice().map(|advice| advice.split_whitespace().collect::<Vec<_>>().join(" "));
        Self { name, state: State::Error, says: chain(failure.error()), remedy }
    }
}

/// The checks so far; each is printed as soon as it is made.
struct Findings {
    checks: Vec<Check>,
    json: bool,
    out: Output,
}

impl Findings {
    fn add(&mut self, check: Check) {
        if !self.json {
            let state = match check.state {
                State::Ok => "ok     ",
                State::Warning => "warning",
                State::Error => "error  ",
                State::Skipped => "-      ",
            };
            let mut text = format!("{state}  {:<9}  {}\n", check.name, check.says);
            if let Some(remedy) = &check.remedy {
                let _ = writeln!(text, "{:20}try: {remedy}", "");
            }
            self.out.write(&text);
        }
        self.checks.push(check);
    }

    fn skip(&mut self, names: &[&'static str]) {
        for name in names {
            self.add(Check::skipped(name));
        }
    }

    fn has(&self, state: State) -> bool {
        self.checks.iter().any(|check| check.state == state)
    }
}

/// Looks at everything.
pub(crate) async fn doctor(options: DoctorOptions) -> Result<Exit, Failure> {
    let mut found = Findings { checks: Vec::new(), json: options.json, out: Output::stdout() };
    let daemon = Daemon::open(&options.site).await?;
    look_at_daemon(&mut found, &options, &daemon.client()?).await;
    daemon.close().await;
    look_at_machine(&mut found, &options).await;

    let exit = if found.has(State::Error) { Exit::Daemon } else { Exit::Done };
    if options.json {
        let document =
            json!({"type": "doctor", "version": crate::view::JSON_VERSION, "checks": found.checks});
        found.out.write(&json_line(&document));
    } else {
        let errors = found.checks.iter().filter(|check| check.state == State::Error).count() as u64;
        found.out.write(&match (errors, found.has(State::Warning)) {
            (0, false) => "\nA run can begin.\n".to_owned(),
            (0, true) => "\nA run can begin; see the warnings.\n".to_owned(),
            (n, _) => format!("\nNo run can begin: {} to mend.\n", plural(n, "error")),
        });
    }
    found.out.lost().map_or(Ok(exit), |error| Err(Failure::lost_output(error)))
}

async fn look_at_daemon(found: &mut Findings, options: &DoctorOptions, client: &Client) {
    if let DaemonChoice::Yagna { url, .. } = &options.site.daemon
        && let Some(proxy) = url.parse().ok().and_then(|url| named_for(&url, |name| std::env::var(name).ok()))
    {
        let says = format!(
            "{} names {}, and the daemon is asked directly all the same",
            proxy.variable, proxy.address
        );
        found.add(Check::warning(
            "proxy",
            says,
            "reach the daemon without a proxy, or run golem-tasks beside it",
        ));
    }
    found.add(version(client).await);
    if found.has(State::Error) {
        return found.skip(&["key", "clock", "network", "money", "payments", "market"]);
    }
    let key = if options.has_key {
        match greet(client).await {
            Ok(identity) => Check::ok("key", format!("it is one of identity {identity}")),
            Err(error) => Check::failed("key", &error.into()),
        }
    } else {
        let remedy = "`export YAGNA_APPKEY=$(yagna app-key create golem-tasks)`";
        Check::error("key", "YAGNA_APPKEY isn't set", remedy)
    };
    found.add(key);
    if found.has(State::Error) {
        return found.skip(&["clock", "network", "money", "payments", "market"]);
    }
    found.add(clock(client));
    found.add(network(client).await);
    found.add(money(client, options).await);
    found.add(payments(client, &options.site).await);
    found.add(market(client, &options.site).await);
}

async fn version(client: &Client) -> Check {
    const NAME: &str = "daemon";
    match client.call_once(&GetVersion).await {
        Err(error) => Check::failed(NAME, &RunError::at_greeting(client, error).into()),
        Ok(version) => {
            let found = version.current.version;
            let says = format!("yagna {found} at {}", client.address());
            let update = "install a newer yagna: https://docs.golem.network/docs/creators/tools/yagna";
            match numbers(&found) {
                Some(number) if number < OLDEST => {
                    Check::error(NAME, format!("{says}, which is too old"), update)
                }
                Some(number) if number < TESTED => {
                    Check::warning(NAME, format!("{says}, which doesn't know the network `hoodi`"), update)
                }
                _ => Check::ok(NAME, says),
            }
        }
    }
}

/// The first three numbers of a version.
fn numbers(version: &str) -> Option<(u64, u64, u64)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn clock(client: &Client) -> Check {
    const NAME: &str = "clock";
    let Some((daemons, asked)) = client.daemon_time() else {
        return Check::ok(NAME, "the daemon doesn't tell its time");
    };
    let ours = SystemClock.now();
    let theirs = after(daemons, asked.elapsed());
    let apart = ours.duration_since(theirs).unsigned_abs();
    // The daemon tells whole seconds.
    if apart > SKEW {
        let says = format!("this machine's clock and the daemon's are {} s apart", apart.as_secs());
        return Check::warning(NAME, says, "set both clocks by NTP: `timedatectl set-ntp true`");
    }
    Check::ok(NAME, "it agrees with the daemon's")
}

async fn network(client: &Client) -> Check {
    const NAME: &str = "network";
    match client.call_once(&GetNetStatus).await {
        Ok(status) if status.sessions == 0 => Check::warning(
            NAME,
            "the daemon has no connection to the Golem Network",
            "wait a minute; then look at its log, and let UDP out through the firewall",
        ),
        Ok(status) => Check::ok(
            NAME,
            match status.public_ip {
                Some(address) => {
                    format!("{}; others reach it at {address}", plural(status.sessions, "connection"))
                }
                None => format!("{}; others reach it through relays", plural(status.sessions, "connection")),
            },
        ),
        // Older daemons don't tell.
        Err(error) if error.is_not_found() => Check::ok(NAME, "the daemon doesn't tell its connections"),
        Err(error) => Check::warning(NAME, chain(&error), "look at the daemon's log"),
    }
}

/// Sets the budget aside and gives it back.
async fn money(client: &Client, options: &DoctorOptions) -> Check {
    const NAME: &str = "money";
    let Site { driver, network, .. } = &options.site;
    let new = NewAllocation {
        total_amount: options.budget,
        payment_platform: Some(Value::from(platform(driver, network))),
        address: None,
        timeout: Some(after(SystemClock.now(), SET_ASIDE)),
        make_deposit: false,
        deposit: None,
        extend_timeout: None,
    };
    match client.call_once(&CreateAllocation(new)).await {
        Ok(allocation) => {
            if let Err(error) = client.call_once(&ReleaseAllocation(allocation.allocation_id)).await {
                tracing::debug!(%error, "an allocation ends by itself");
            }
            Check::ok(NAME, format!("{} GLM can be set aside on {network}", options.budget))
        }
        Err(source) => {
            let (driver, network) = (driver.clone(), network.clone());
            let error = RunError::Allocation { amount: options.budget, driver, network, source };
            Check::failed(NAME, &error.into())
        }
    }
}

async fn payments(client: &Client, site: &Site) -> Check {
    const NAME: &str = "payments";
    let status = GetStatus { driver: Some(site.driver.clone()), network: Some(site.network.clone()) };
    match client.call_once(&status).await {
        Ok(problems) if problems.is_empty() => Check::ok(NAME, "nothing hinders them"),
        Ok(problems) => {
            let told: Vec<_> = problems.iter().map(Value::to_string).collect();
            let says = format!("{}: {}", plural(problems.len() as u64, "problem"), told.join("; "));
            let remedy =
                format!("`yagna payment status --driver {} --network {}`", site.driver, site.network);
            Check::warning(NAME, says, remedy)
        }
        Err(error) if error.is_not_found() => Check::ok(NAME, "the daemon doesn't tell what hinders them"),
        Err(error) => Check::warning(NAME, chain(&error), "look at the daemon's log"),
    }
}

async fn market(client: &Client, site: &Site) -> Check {
    const NAME: &str = "market";
    let seen = async {
        let mut offers = Scan::new().subnet(&site.subnet).lasting(LOOK).start(client).await?;
        let mut n = 0_u64;
        while offers.try_next().await?.is_some() {
            n += 1;
        }
        Ok::<_, golem_sdk::market::ScanError>(n)
    };
    match seen.await {
        Ok(0) => Check::warning(
            NAME,
            format!("no offers are known in the subnet `{}`", site.subnet),
            "a daemon that was just started hears of offers within minutes; `--subnet` names another part of the market",
        ),
        Ok(n) => Check::ok(NAME, format!("{} in the subnet `{}`", plural(n, "offer"), site.subnet)),
        Err(error) => Check::warning(NAME, chain(&error), "look at the daemon's log"),
    }
}

async fn look_at_machine(found: &mut Findings, options: &DoctorOptions) {
    let (database, open) = database(&options.dsn).await;
    found.add(database);
    if let Some(open) = open {
        found.add(match open {
            0 => Check::ok("leftovers", "no earlier run has anything open"),
            n => Check::warning(
                "leftovers",
                format!("{} may still have agreements or bills at the daemon", plural(n, "earlier run")),
                "`golem-tasks settle` ends and settles them",
            ),
        });
    }
    if let Some(folder) = options.dsn.files().first().and_then(|file| existing(file)) {
        found.add(disk(&folder));
    }
    let workers = golem_sdk::defaults::WORKERS;
    found.add(match ready::check_limit(&options.site.daemon, workers) {
        Ok(()) => Check::ok("files", format!("there are enough open files for {workers} workers")),
        Err(failure) => Check::failed("files", &failure),
    });
}

/// The database, and the number of runs in it that have something open.
async fn database(dsn: &Dsn) -> (Check, Option<u64>) {
    const NAME: &str = "database";
    match Store::open_existing(dsn).await {
        Ok(store) => {
            let open = store.open_runs().await;
            let place = store.place().to_owned();
            store.close().await;
            match open {
                Ok(open) => (Check::ok(NAME, place), Some(open.len() as u64)),
                Err(error) => (Check::failed(NAME, &error.into()), None),
            }
        }
        Err(StoreError::NothingYet { place }) => {
            (Check::ok(NAME, format!("{place} will be made by the first run")), None)
        }
        Err(error) => (Check::failed(NAME, &error.into()), None),
    }
}

/// The nearest folder above a file that exists.
fn existing(file: &Path) -> Option<PathBuf> {
    file.ancestors().skip(1).find(|folder| folder.is_dir()).map(Path::to_owned)
}

#[cfg(unix)]
fn disk(folder: &Path) -> Check {
    const NAME: &str = "disk";
    match rustix::fs::statvfs(folder) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let says = format!("{} MiB are free in {}", free >> 20, folder.display());
            match free {
                free if free < ROOM => {
                    Check::warning(NAME, says, "make room, or name another place with --dsn")
                }
                _ => Check::ok(NAME, says),
            }
        }
        Err(error) => Check::warning(NAME, error.to_string(), format!("look at {}", folder.display())),
    }
}

#[cfg(not(unix))]
fn disk(folder: &Path) -> Check {
    Check::ok("disk", folder.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "devnet")]
    #[tokio::test]
    async fn money_that_cannot_be_set_aside_is_an_error_with_a_remedy() {
        let devnet = golem_devnet::devnet::Devnet::builder().start().await.unwrap();
        let transport =
            yagna_client::InProcessTransport::new(devnet.router(), &devnet.requestor().key).unwrap();
        let client = Client::new(std::sync::Arc::new(transport));
        let mut options = DoctorOptions {
            site: Site {
                daemon: DaemonChoice::Devnet { providers: 1, seed: None },
                subnet: "public".into(),
                driver: "erc20".into(),
                network: "hoodi".into(),
            },
            has_key: true,
            budget: Glm::ONE,
            dsn: Dsn::Memory,
            json: false,
        };
        let set_aside = money(&client, &options).await;
        assert_eq!(
            (set_aside.state, set_aside.says.as_str()),
            (State::Ok, "1 GLM can be set aside on hoodi")
        );
        let left = devnet.books().allocations.iter().filter(|allocation| !allocation.released).count();
        assert_eq!(left, 0, "it is given back at once");
        options.site.driver = "gold".into();
        let refused = money(&client, &options).await;
        assert_eq!(refused.state, State::Error, "{refused:?}");
        assert!(refused.remedy.is_some_and(|remedy| remedy.contains("yagna payment")));
        devnet.stop().await;
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(numbers("0.17.6"), Some((0, 17, 6)));
        assert_eq!(numbers("0.17.10-rc3"), Some((0, 17, 10)));
        assert!(numbers("0.9.12").unwrap() < OLDEST && numbers("0.17.6").unwrap() >= TESTED);
        assert_eq!(numbers("main"), None);
    }
}
