//! Bringing the services of a file up in their order, keeping them up, and ending them in order.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, select_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use golem_core::event::{RunEnd, StopReason};
use golem_sdk::network::Network;
use golem_sdk::run::greet;
use golem_sdk::service::{EndReason, InstanceState, Names, Place, Service, ServiceParts};
use golem_sdk::text::chain;
use golem_sdk::{ProviderList, SystemClock};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use yagna_api::{Clock, Glm};
use yagna_client::Client;

use super::access::AccessFile;
use super::doors::{self, Doors};
use super::environment;
use super::file::{ServiceEntry, Stack};
use super::job::ServiceJob;
use super::look::Teller;
use crate::exit::{Exit, Failure};
use crate::job::Limits;
use crate::options::{DaemonChoice, RunOptions, Site, Style};
use crate::run::{Daemon, Stop, run_until};
use crate::signals::Stops;
use crate::store::{Dsn, NewService, RunStatus, RunSummary, ServiceRow, Store, TaskStatus};
use crate::view::Terminal;
use crate::view::text::{one_amount, plural};
use crate::work::Typed;

/// The time between two looks for somebody who asks for the end.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// Failures of one place that a run bears: the service's own policy decides earlier.
const RETRIES: u32 = 1_000_000;

/// The services to bring up, and where.
pub(crate) struct UpOptions {
    pub(crate) stack: Stack,
    pub(crate) dsn: Dsn,
    pub(crate) site: Site,
    pub(crate) settle_timeout: Duration,
    pub(crate) json: bool,
}

/// A service that is being kept up.
struct Held {
    entry: ServiceEntry,
    service: Service,
    run_id: String,
    limits: Limits,
    doors: Doors,
}

/// A service in an earlier process.
struct Earlier {
    row: ServiceRow,
    /// True if its run goes on.
    goes_on: bool,
}

#[derive(Debug, thiserror::Error)]
enum UpError {
    #[error("the services `{stack}` are up already: {by} keeps them up")]
    Held { stack: String, by: String },
    #[error("the service `{service}` has ended: {why}")]
    Ended { service: String, why: String },
    #[error("the services can't be brought up: {0}")]
    Network(String),
}

/// Brings services up and keeps them up, until they have ended or are asked to.
pub(crate) async fn up(options: UpOptions, terminal: Terminal) -> Result<Exit, Failure> {
    let store = Store::open(&options.dsn).await?;
    let done = Box::pin(up_in(&store, options, terminal)).await;
    store.close().await;
    done
}

async fn up_in(store: &Store, options: UpOptions, terminal: Terminal) -> Result<Exit, Failure> {
    let stack = &options.stack;
    let earlier = earlier(store, stack, &options.site).await?;
    let daemon = Daemon::open(&options.site).await?;
    let ended = hold(store, &options, terminal, earlier, &daemon).await;
    daemon.close().await;
    ended
}

/// The services of this name, as an earlier process left them.
async fn earlier(store: &Store, stack: &Stack, site: &Site) -> Result<BTreeMap<String, Earlier>, Failure> {
    let mut earlier = BTreeMap::new();
    for row in store.services(Some(&stack.name)).await? {
        let Some(record) = store.run_record(&row.run_id).await? else { continue };
        let status = store.run_status(&row.run_id).await?;
        if let Some(held) = status.holder() {
            let error = UpError::Held { stack: stack.name.clone(), by: held.holder.to_string() };
            return Err(Failure::new(Exit::Held, error)
                .advise(format!("`golem-tasks down {}` brings them down", stack.name)));
        }
        // An emulated network ended with its process, and everything on it.
        let was_emulated = record.description()?.is_on_devnet();
        let is_emulated = matches!(site.daemon, DaemonChoice::Devnet { .. });
        let goes_on = matches!(status, RunStatus::Interrupted(_)) && !was_emulated && !is_emulated;
        earlier.insert(row.service.clone(), Earlier { row, goes_on });
    }
    Ok(earlier)
}

async fn hold(
    store: &Store,
    options: &UpOptions,
    terminal: Terminal,
    earlier: BTreeMap<String, Earlier>,
    daemon: &Daemon,
) -> Result<Exit, Failure> {
    let stack = &options.stack;
    let client = daemon.client()?;
    greet(&client).await?;
    let (url, key) = daemon.address();
    let mut site = options.site.clone();
    let mut access = None;
    if let DaemonChoice::Devnet { providers, .. } = site.daemon {
        access = Some(AccessFile::write(&options.dsn, &stack.name, url, key)?);
        site.daemon = DaemonChoice::Served { url: url.to_owned(), app_key: key.clone(), providers };
    }
    let network = network(&client, stack, &earlier).await?;
    let names = Names::default();
    let avoid = ProviderList::default();
    let mut held = Vec::new();
    for entry in &stack.services {
        match prepare(store, options, entry, earlier.get(&entry.spec.name), network.as_ref(), &names).await {
            Ok(one) => held.push(one),
            Err(failure) => {
                // Nothing was begun; what an earlier process left goes on.
                if let Some(network) = network.filter(|_| earlier.values().all(|earlier| !earlier.goes_on)) {
                    doors::remove(&network).await;
                }
                return Err(failure);
            }
        }
    }
    let keeping = Keeping { store, options, site: &site, avoid: &avoid, terminal };
    let ended = keeping.keep_up(&held).await;
    drop(access);
    // Where this process leaves at once, what it leaves is still in the network.
    if let Some(network) = network.filter(|_| held.iter().all(|one| one.service.is_at_rest())) {
        doors::remove(&network).await;
    }
    ended
}

/// The network of the services: the one that they had, where the daemon still has it, or a new one.
async fn network(
    client: &Client,
    stack: &Stack,
    earlier: &BTreeMap<String, Earlier>,
) -> Result<Option<Network>, Failure> {
    let Some(wanted) = stack.network else { return Ok(None) };
    let failed = |error: golem_sdk::network::NetworkError| {
        let is_usage = matches!(
            error,
            golem_sdk::network::NetworkError::Overlaps { .. } | golem_sdk::network::NetworkError::NoRange
        );
        let exit = if is_usage { Exit::Usage } else { Exit::Daemon };
        Failure::new(exit, UpError::Network(chain(&error)))
    };
    let known =
        earlier.values().filter(|earlier| earlier.goes_on).find_map(|earlier| earlier.row.network.clone());
    if let Some(id) = known
        && let Some(found) = Network::find(client, &id).await.map_err(failed)?
    {
        return Ok(Some(found));
    }
    let range = wanted.range.map(|range| range.to_string());
    Network::create(client, range.as_deref()).await.map(Some).map_err(failed)
}

/// Makes a service of its description, and records that it is being brought up.
async fn prepare(
    store: &Store,
    options: &UpOptions,
    entry: &ServiceEntry,
    earlier: Option<&Earlier>,
    network: Option<&Network>,
    names: &Names,
) -> Result<Held, Failure> {
    let stack = &options.stack;
    let spec = entry.spec.clone();
    let now = SystemClock.now();
    let goes_on = earlier.is_some_and(|earlier| earlier.goes_on);
    let run_id = match earlier {
        Some(earlier) if goes_on => earlier.row.run_id.clone(),
        _ => new_run_id(store, &stack.name, &spec.name).await?,
    };
    let new = NewService {
        run_id: &run_id,
        stack: &stack.name,
        service: &spec.name,
        wanted: spec.instances,
        network: network.map(Network::id),
        body: json!({
            "env": spec.env,
            "command": spec.command,
            "http": entry.http.map(|http| json!({ "local": http.local, "port": http.port })),
        }),
    };
    store.begin_service(&new, now).await?;
    let (variables, services) = (entry.variables.clone(), stack.services.clone());
    let services: Vec<_> = services.into_iter().map(|service| service.spec.name).collect();
    let (known, name) = (names.clone(), spec.name.clone());
    let mut parts = ServiceParts::default();
    parts.network = network.cloned();
    parts.names = names.clone();
    parts.book = Arc::new(store.stored_instances(&run_id));
    parts.environment = Arc::new(move |place, address| {
        let mut all = environment::values(&variables, &known, &services);
        all.insert("GOLEM_SERVICE".to_owned(), name.clone());
        all.insert("GOLEM_INSTANCE".to_owned(), place.number.to_string());
        if let Some(address) = address {
            all.insert("GOLEM_IP".to_owned(), address.to_string());
        }
        all
    });
    let service = Service::new(spec.clone(), parts, Arc::new(SystemClock))
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let open = if goes_on { open_places(store, &run_id).await? } else { Vec::new() };
    for place in &open {
        service.expect(*place);
    }
    for number in 1..=spec.instances {
        if !open.iter().any(|place| place.number == number) {
            // A run has each of its tasks once: what comes up again in it has another turn.
            let turn = if goes_on { u64::try_from(now.as_millisecond()).unwrap_or(1) } else { 0 };
            service.want(Place { number, turn });
        }
    }
    let whole: u32 = stack.services.iter().map(|entry| entry.spec.instances).sum();
    let mut limits = stack.limits.clone().retries(RETRIES).workers(spec.instances.saturating_mul(2));
    limits.budget = limits.budget.share(spec.instances, whole);
    limits.task_timeout = limits.expiration;
    limits.providers.clone_from(&entry.payload.providers);
    limits.exclude_providers.clone_from(&entry.payload.exclude_providers);
    let doors = Doors::open(entry, &service, network).await?;
    Ok(Held { entry: entry.clone(), service, run_id, limits, doors })
}

/// The places of a run that have no end yet.
async fn open_places(store: &Store, run_id: &str) -> Result<Vec<Place>, Failure> {
    let mut open = Vec::new();
    let mut tasks = std::pin::pin!(store.tasks(run_id));
    while let Some(task) = tasks.try_next().await? {
        if matches!(task.status, TaskStatus::Waiting | TaskStatus::Running)
            && let Ok(place) = serde_json::from_value(task.data)
        {
            open.push(place);
        }
    }
    Ok(open)
}

/// The first name of its kind that no run has.
async fn new_run_id(store: &Store, stack: &str, service: &str) -> Result<String, Failure> {
    let first = format!("{stack}.{service}");
    let mut run_id = first.clone();
    let mut n = 1;
    while store.run_record(&run_id).await?.is_some() {
        n += 1;
        run_id = format!("{first}.{n}");
    }
    Ok(run_id)
}

/// The things that it takes to keep services up.
struct Keeping<'u> {
    store: &'u Store,
    options: &'u UpOptions,
    site: &'u Site,
    avoid: &'u ProviderList,
    terminal: Terminal,
}

/// The end of a service; of one that was never started nothing but its name.
type Ended = (String, Result<Option<(RunEnd, RunSummary)>, Failure>);

impl Keeping<'_> {
    /// Starts each service once those that it needs are ready, and waits for the end of all.
    async fn keep_up(&self, held: &[Held]) -> Result<Exit, Failure> {
        let mut teller = Teller::new(self.options.json);
        teller.begins(&self.options.stack.name, self.store.place());
        for line in held.iter().flat_map(|one| one.doors.told(&one.entry.spec.name)) {
            teller.say(&line);
        }
        let mut changes: Vec<_> = held.iter().map(|one| one.service.changes()).collect();
        let token = CancellationToken::new();
        let mut running: FuturesUnordered<LocalBoxFuture<'static, Ended>> =
            held.iter().map(|one| self.start(one, held, token.clone()).boxed_local()).collect();
        let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
        let mut next_look = Instant::now() + LOOK_EVERY;
        let (mut failed, mut cancelled) = (None, false);
        let mut summaries = Vec::new();
        loop {
            teller.tell(held.iter().flat_map(|one| one.service.instances()));
            self.avoid_members(held);
            tokio::select! {
                () = stops.next() => {
                    if std::mem::replace(&mut cancelled, true) {
                        running.clear();
                        let left = "left at once: the services run on until their providers end them";
                        return Err(Failure::new(Exit::Cancelled, left)
                            .advise("the same command goes on with them; `golem-tasks down` ends them"));
                    }
                    teller.say("stopping the services; Ctrl+C again leaves at once");
                    stop_all(held);
                }
                () = any_change(&mut changes) => {}
                () = sleep(next_look.saturating_duration_since(Instant::now())) => {
                    next_look = Instant::now() + LOOK_EVERY;
                    if self.is_asked_down(held).await {
                        stop_all(held);
                    }
                }
                ended = running.next() => {
                    let Some((service, ended)) = ended else { break };
                    match ended {
                        Ok(None) => {}
                        Ok(Some((end, summary))) => {
                            if !matches!(end.why, StopReason::AllDone | StopReason::Cancelled) && failed.is_none() {
                                let why = end.why.words().to_owned();
                                failed = Some(Failure::new(Exit::of(&end), UpError::Ended { service, why }));
                                stop_all(held);
                            }
                            summaries.push(summary);
                        }
                        Err(failure) => {
                            failed = failed.or(Some(failure));
                            stop_all(held);
                        }
                    }
                }
            }
        }
        teller.tell(held.iter().flat_map(|one| one.service.instances()));
        let cost: Glm = summaries.iter().map(|summary| summary.cost).sum();
        let unsettled: u64 = summaries.iter().map(|summary| summary.unsettled).sum();
        let settled = match unsettled {
            0 => String::new(),
            n => format!("; {} not settled yet: `golem-tasks settle` does that later", plural(n, "rental")),
        };
        teller.say(&format!(
            "{} is down; it cost {} GLM{settled}",
            self.options.stack.name,
            one_amount(cost)
        ));
        match failed {
            Some(failure) => Err(failure),
            None if cancelled => Ok(Exit::Cancelled),
            None => Ok(outcome(held)),
        }
    }

    /// Runs a service once those that it needs are ready.
    fn start(
        &self,
        one: &Held,
        held: &[Held],
        token: CancellationToken,
    ) -> impl Future<Output = Ended> + use<> {
        let name = one.entry.spec.name.clone();
        let needs: Vec<_> = held
            .iter()
            .filter(|other| one.entry.needs.contains(&other.entry.spec.name))
            .map(|other| other.service.clone())
            .collect();
        let service = one.service.clone();
        let job = ServiceJob::new(
            one.service.clone(),
            one.entry.payload.spec(),
            one.limits.clone(),
            &self.options.stack.name,
        );
        let options = RunOptions {
            job: Arc::new(Typed::new(job)),
            limits: one.limits.clone(),
            run_id: one.run_id.clone(),
            changed_job: true,
            only: Vec::new(),
            retry_failed: false,
            retry_command: None,
            command: None,
            dsn: self.options.dsn.clone(),
            daemon: self.site.daemon.clone(),
            subnet: self.site.subnet.clone(),
            driver: self.site.driver.clone(),
            network: self.site.network.clone(),
            settle_timeout: self.options.settle_timeout,
            style: if self.options.json { Style::Silent } else { Style::Trouble },
            avoid: self.avoid.clone(),
            web: None,
            metrics: None,
        };
        let terminal = self.terminal.clone();
        async move {
            for needed in &needs {
                if let Err(error) = needed.wait_ready(needed.spec().instances).await {
                    if service.is_over() {
                        return (name, Ok(None));
                    }
                    let failure = Failure::new(Exit::TasksFailed, error).advise(format!(
                        "`golem-tasks logs {}` may say more while it is up",
                        needed.spec().name
                    ));
                    return (name, Err(failure));
                }
            }
            let stop = Stop { on_ctrl_c: false, token };
            let ended = Box::pin(run_until(options, terminal, stop)).await;
            (name, ended.map(Some))
        }
    }

    /// A provider can have one machine in a network: whoever has one isn't asked for another.
    fn avoid_members(&self, held: &[Held]) {
        if self.options.stack.network.is_none() {
            return;
        }
        let instances = held.iter().flat_map(|one| one.service.instances());
        let with_machine =
            instances.filter(|info| info.state.has_machine() || info.state == InstanceState::Starting);
        let members: HashSet<String> =
            with_machine.filter_map(|info| Some(info.provider?.id.to_string())).collect();
        for listed in self.avoid.entries() {
            if !members.contains(&listed) {
                self.avoid.remove(&listed);
            }
        }
        for member in members {
            self.avoid.add(member);
        }
    }

    async fn is_asked_down(&self, held: &[Held]) -> bool {
        for one in held {
            match self.store.is_asked_down(&one.run_id).await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => tracing::warn!(error = chain(&error), "can't look for requests; trying again"),
            }
        }
        false
    }
}

/// Waits until an instance of any service has changed.
async fn any_change(changes: &mut [watch::Receiver<u64>]) {
    let changed = changes.iter_mut().map(|changes| Box::pin(changes.changed()));
    // A service lives as long as this does.
    select_all(changed).await.0.ok();
}

fn stop_all(held: &[Held]) {
    for one in held {
        one.service.begin_stop();
    }
}

/// The exit code where nothing else went wrong: whether all instances ended well.
fn outcome(held: &[Held]) -> Exit {
    let is_fine = |reason: &EndReason| reason.is_fine();
    let ends = held.iter().flat_map(|one| one.service.instances()).filter_map(|info| info.last_end);
    if ends.into_iter().all(|reason| is_fine(&reason)) { Exit::Done } else { Exit::TasksFailed }
}
