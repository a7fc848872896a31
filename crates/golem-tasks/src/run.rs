//! The `run` command: a job becomes a run on a daemon, recorded, shown, and stopped by Ctrl+C.
//!
//! The devnet and a real daemon take the same way: `--devnet` only decides where the address and the key come from.

use std::sync::Arc;
use std::time::Duration;

use golem_core::caps::PriceCaps;
use golem_core::event::{RunEnd, StopReason};
use golem_core::payload::Payload;
use golem_core::run::RunConfig;
use golem_core::state::RunState;
use golem_core::strategy::{LeastExpensive, ProviderList, Strategy};
use golem_sdk::image::{ImageError, Registry};
use golem_sdk::payload::{PayloadError, PreparedPayload};
use golem_sdk::run::{Events, nothing_left, nothing_open};
use golem_sdk::text::chain;
use golem_sdk::{Run, SystemClock};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use yagna_api::{AppKey, AppSessionId, Clock};
use yagna_client::{ApiUrls, Client, HttpTransport, Url};

use crate::exit::{Exit, Failure};
use crate::job::Limits;
use crate::metrics::Requests;
use crate::options::{DaemonChoice, RunOptions, Site};
use crate::payments::note_payments;
use crate::signals::Stops;
use crate::store::{Holder, Lease, NewRun, RunRecord, RunStore, RunSummary, Store};
use crate::view::{Beginning, Facts, SummaryFold, Terminal, View, view};
use ending::{all_done, not_cut};
use notify::Notified;
use part::Part;
use remembered::{Remembered, Warned};
use wanted::Wanted;

#[cfg(feature = "devnet")]
mod devnet;
pub(crate) mod doctor;
mod ending;
mod halted;
mod held;
mod log;
pub(crate) mod market;
mod notify;
pub(crate) mod part;
pub(crate) mod plan;
pub(crate) mod ready;
mod remembered;
mod retry;
mod same;
mod served;
pub(crate) mod settle;
mod source;
mod wanted;

/// The time that the daemon is given to take back the address of an image.
const IMAGE_STOPS: Duration = Duration::from_secs(2);

/// The time that the daemon may take to report the state of payments, and the time where bills are missing.
const PAYMENTS_ASKED: Duration = Duration::from_secs(10);
const PAYMENTS_ASKED_LATE: Duration = Duration::from_secs(1);

/// The client of the daemon, with the address and the key.
pub(crate) struct Daemon {
    url: String,
    apis: Box<ApiUrls>,
    app_key: AppKey,
    #[cfg(feature = "devnet")]
    devnet: Option<golem_devnet::devnet::Devnet>,
}

impl Daemon {
    #[cfg_attr(
        not(feature = "devnet"),
        expect(clippy::unused_async, reason = "only a devnet takes its time")
    )]
    pub(crate) async fn open(site: &Site) -> Result<Self, Failure> {
        match &site.daemon {
            DaemonChoice::Yagna { url, apis, app_key } => Ok(Self {
                url: url.clone(),
                apis: apis.clone(),
                app_key: app_key.clone(),
                #[cfg(feature = "devnet")]
                devnet: None,
            }),
            DaemonChoice::Served { url, app_key, .. } => Ok(Self {
                url: url.clone(),
                apis: Box::default(),
                app_key: app_key.clone(),
                #[cfg(feature = "devnet")]
                devnet: None,
            }),
            #[cfg(feature = "devnet")]
            DaemonChoice::Devnet { providers, seed } => devnet::open(site, *providers, *seed).await,
            #[cfg(not(feature = "devnet"))]
            DaemonChoice::Devnet { .. } => {
                Err(Failure::new(Exit::Usage, "this golem-tasks was built without the devnet"))
            }
        }
    }

    /// The address and the key, for other processes.
    pub(crate) fn address(&self) -> (&str, &AppKey) {
        (&self.url, &self.app_key)
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let url: Url = self.url.parse().map_err(|error| Failure::new(Exit::Usage, error))?;
        let transport = HttpTransport::with_apis(&url, &self.apis, &self.app_key)
            .map_err(|error| Failure::new(Exit::Daemon, error))?;
        Ok(Client::new(Arc::new(transport)))
    }

    #[cfg_attr(
        not(feature = "devnet"),
        expect(clippy::unused_async, reason = "only a devnet takes its time")
    )]
    pub(crate) async fn close(self) {
        #[cfg(feature = "devnet")]
        if let Some(devnet) = self.devnet {
            devnet.stop().await;
        }
    }
}

/// The ways to stop a run from outside.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// True if Ctrl+C is ours to handle.
    pub(crate) on_ctrl_c: bool,
    /// Stops the run in an orderly way.
    pub(crate) token: CancellationToken,
}

/// Runs a job until it ends or is stopped.
///
/// The first Ctrl+C (or SIGTERM, or SIGHUP) stops it in an orderly way; the second leaves at once, with everything
/// that happened recorded.
pub async fn run(options: RunOptions, terminal: Terminal) -> Result<RunEnd, Failure> {
    let stop = Stop { on_ctrl_c: true, token: CancellationToken::new() };
    Ok(run_until(options, terminal, stop).await?.0)
}

/// Carries a run out that others may stop too. Returns how it ended, and what is recorded of it.
pub(crate) async fn run_until(
    options: RunOptions,
    terminal: Terminal,
    stop: Stop,
) -> Result<(RunEnd, RunSummary), Failure> {
    let store = Store::open(&options.dsn).await?;
    let ended = match served::Served::begin(&options, &store).await {
        Ok(served) => {
            let ended = Box::pin(run_in(&store, options, terminal, stop)).await;
            served.end().await;
            ended
        }
        Err(failure) => Err(failure),
    };
    store.close().await;
    ended
}

async fn run_in(
    store: &Store,
    options: RunOptions,
    terminal: Terminal,
    stop: Stop,
) -> Result<(RunEnd, RunSummary), Failure> {
    let mut lease = None;
    let job = Arc::clone(&options.job);
    let notified = Notified::of(&options, stop.on_ctrl_c);
    let ended = Box::pin(hold_and_run(store, options, terminal, stop, &mut lease)).await;
    let ended = ended.and_then(|ended| not_cut(&*job, ended));
    if let Some(lease) = lease {
        held::release(lease).await;
        let exit = match &ended {
            Ok((end, _)) => Exit::of(end),
            Err(failure) => failure.exit(),
        };
        // Whoever leaves a run at once doesn't wait for anything.
        if !(ended.is_err() && exit == Exit::Cancelled) {
            notified.tell(store, exit).await;
        }
    }
    ended
}

/// Leaves the lease that it took, whatever becomes of the run.
async fn hold_and_run(
    store: &Store,
    mut options: RunOptions,
    terminal: Terminal,
    stop: Stop,
    holding: &mut Option<Arc<Lease>>,
) -> Result<(RunEnd, RunSummary), Failure> {
    options.job.note_run(&options.run_id);
    let looked = part::look(&options.only, &*options.job)?;
    let opened = options.job.open()?;
    let (total, is_exact) = (opened.total, opened.again.is_some());
    let mut described = options.describe()?;
    let clock = SystemClock;
    let mut facts = Facts {
        run_id: options.run_id.clone(),
        started: clock.now(),
        total: wanted(total, options.limits.results),
        budget: Some(options.limits.budget.in_words()),
        place: store.place().to_owned(),
        retry: options.retry_command.clone(),
        prints_itself: options.job.prints_itself(),
        beginning: Beginning::New,
    };
    described.expected_tasks = facts.total;
    let record = store.run_record(&options.run_id).await?;
    let before = record.as_ref().map(RunRecord::description).transpose()?;
    let mut state = RunState::default();
    let mut retried = Vec::new();
    let part;
    let mut ready = if let Some(before) = &before {
        same::check(&options.run_id, before, &described, &options)?;
        let lease = holding.insert(Arc::new(store.take(&options.run_id, &Holder::here()).await?));
        if let DaemonChoice::Devnet { seed: Some(seed), .. } = &mut options.daemon {
            // The names on a devnet depend on its seed, and no two lives of a run may use the same names.
            *seed = seed.wrapping_add(lease.number());
        }
        state = lease.run().state().await?;
        options.job.begin_input(&options.dsn.input_folder()?, &options.run_id, false)?;
        lease.run().added_tasks(|data| options.job.note_added(data)).await?;
        lease.run().done_tasks(|index, data| options.job.note_done(index, data)).await?;
        let summary = store.run_summary(&options.run_id).await?;
        facts.beginning = Beginning::Again(SummaryFold::resumed(&summary, &state, facts.started).into());
        let mut ready = source::compared(&options, opened, lease.run(), &state).await?;
        part = part::find(&options.only, looked, Some(lease.run()), &state).await?;
        retried = retry::failed(&options, lease.run(), &state, part.as_ref()).await?;
        if let Some(end) = nothing_left(&state)
            && retried.is_empty()
            && (state.has_enough || !ready.reading.has_more())
        {
            source::note(lease.run(), &state, &ready, clock.now()).await?;
            facts.beginning = Beginning::Over;
            let mut view = view(options.style, facts, &terminal);
            if let Some(note) = retry::note(&options, &state, retried.len()) {
                view.note(clock.now(), &note);
            }
            view.finish(&summary);
            return all_done(end, summary, total.filter(|_| is_exact));
        }
        if let Some(part) = part.as_ref().filter(|part| part.is_done() && nothing_open(&state)) {
            let mut view = view(options.style, facts, &terminal);
            return tell_part(view.as_mut(), part, lease.run(), &state, summary, total).await;
        }
        halted::check(&options, &state, retried.len())?;
        ready
    } else {
        retry::check_new(&options, store)?;
        part = part::find(&options.only, looked, None, &state).await?;
        source::fresh(opened)
    };
    options.job.look_through(&options.dsn.files(), record.is_none())?;
    ready::check_files(&options, options.limits.workers)?;
    ready::check_folders(&options, ready.reading.peek()).await?;
    let daemon = Daemon::open(&options.site()).await?;
    let mut client = daemon.client()?;
    if let Some((_, requests)) = &options.metrics {
        client = client.with_observer(Arc::<Requests>::clone(requests));
    }
    // Before anything else is asked or recorded: without a daemon nothing else matters.
    let identity = golem_sdk::run::greet(&client).await?;
    described.daemon.identity = Some(identity.to_string());
    if let Some(before) = &before {
        same::check_identity(&options.run_id, before, identity)?;
    }
    let PreparedPayload { payload, serving } = payload(&options, &client).await?;
    let session = match &record {
        Some(record) => record.app_session.clone(),
        None => AppSessionId::new(format!("golem-tasks-{}", options.run_id)),
    };
    let lease = if let Some(lease) = holding {
        lease.describe(&described.to_json()).await?;
        Arc::clone(lease)
    } else {
        let run_id = options.run_id.clone();
        let (created, app_session) = (facts.started, session.clone());
        store.create_run(&NewRun { run_id, created, app_session, job: described.to_json() }).await?;
        let lease = store.take(&options.run_id, &Holder::here()).await?;
        let lease = Arc::clone(holding.insert(Arc::new(lease)));
        options.job.begin_input(&options.dsn.input_folder()?, &options.run_id, true)?;
        lease
    };
    let started = clock.now();
    let remembered = Remembered::load(store, started).await?;
    let mut view = view(options.style, facts, &terminal);
    if let Some(note) = retry::note(&options, &state, retried.len()) {
        view.note(clock.now(), &note);
    }
    if let Some(note) = part.as_ref().and_then(Part::note) {
        view.note(clock.now(), &note);
    }
    let mut config = config(&options, payload, &remembered);
    config.only = part.as_ref().map(|part| Arc::clone(&part.selection));
    let run = Run::new(
        client.clone(),
        Arc::new(clock),
        Arc::<RunStore>::new(lease.run().clone()),
        options.job.worker(&options.limits),
        Box::new(std::iter::empty()),
        golem_sdk::RunOptions::new(config, &options.driver, &options.network, session),
    );
    let leave = CancellationToken::new();
    let run = run.reading(ready.reading).resumed(state).retrying(retried);
    let mut following = JoinSet::new();
    let Remembered { blocked, elsewhere, .. } = remembered;
    following.spawn(remembered::follow(store.clone(), options.run_id.clone(), started, blocked, elsewhere));
    let Limits { providers, exclude_providers, .. } = &options.limits;
    let wanted = Wanted::new(providers.iter().chain(exclude_providers).cloned());
    let ended = watch_and_listen(run, Arc::clone(&lease), view.as_mut(), stop, &leave, wanted).await;
    following.shutdown().await;
    if !leave.is_cancelled() {
        // Where bills are missing the daemon may be gone, and the user waits for the end.
        let is_settled = ended.as_ref().is_ok_and(|end| end.unsettled == 0);
        let most = if is_settled { PAYMENTS_ASKED } else { PAYMENTS_ASKED_LATE };
        tell_payments_within(&client, lease.run(), most).await;
    }
    let close = async {
        if let Some(image) = serving {
            timeout(IMAGE_STOPS, image.stop()).await.ok();
        }
        daemon.close().await;
    };
    tokio::select! {
        biased;
        // The rest of a devnet ends at once when it is dropped.
        () = leave.cancelled() => {}
        () = close => {}
    }
    let summary = store.run_summary(&options.run_id).await?;
    let mut ended = ended;
    if let (Some(part), Ok(end)) = (&part, &mut ended) {
        let outcome = part.outcome(lease.run()).await?;
        view.note(clock.now(), &outcome.words(total));
        if end.why == StopReason::PartDone {
            // Failures of the other tasks don't count here.
            end.failed = outcome.failed;
        }
    }
    view.finish(&summary);
    match (ended?, ready.broken.get()) {
        (RunEnd { why: StopReason::Broken, .. }, Some(message)) => {
            Err(Failure::new(Exit::BrokeOff, format!("the tasks can't be read: {message}"))
                .advise("mend the source of the tasks; what is done is kept"))
        }
        (RunEnd { why: StopReason::OwnTrouble, .. }, _) => {
            Err(Failure::new(Exit::BrokeOff, "a problem of this machine was not solved in time").advise(
                format!(
                    "what is done is kept; mend it, and the same command with --run-id {} goes on",
                    options.run_id
                ),
            ))
        }
        (ended, _) => match view.lost() {
            Some(error) => {
                let kept = format!("the run came to its end, and its results are kept in {}", store.place());
                Err(Failure::lost_output(error).advise(kept))
            }
            None => all_done(ended, summary, total.filter(|_| is_exact)),
        },
    }
}

/// The last words of a run whose part was done before.
async fn tell_part(
    view: &mut dyn View,
    part: &Part,
    run: &RunStore,
    state: &RunState,
    summary: RunSummary,
    total: Option<u64>,
) -> Result<(RunEnd, RunSummary), Failure> {
    let now = SystemClock.now();
    let outcome = part.outcome(run).await?;
    for note in part.note().into_iter().chain([outcome.words(total)]) {
        view.note(now, &note);
    }
    view.finish(&summary);
    let end = RunEnd {
        why: StopReason::PartDone,
        done: state.done,
        failed: outcome.failed,
        unfinished: summary.tasks.unfinished(),
        cost: state.accepted,
        unsettled: summary.unsettled,
    };
    Ok((end, summary))
}

/// Asks once what has become of the money. Payments go on for hours after a run, so whatever comes of it is fine.
async fn tell_payments(client: &Client, run: &RunStore) {
    tell_payments_within(client, run, PAYMENTS_ASKED).await;
}

async fn tell_payments_within(client: &Client, run: &RunStore, most: Duration) {
    match timeout(most, note_payments(client, run, &SystemClock)).await {
        Ok(Ok(noted)) => tracing::debug!(?noted, "the payments have been read"),
        Ok(Err(error)) => tracing::warn!(error = chain(&error), "could not read the status of payments"),
        Err(_) => tracing::warn!("the daemon takes too long to report the status of payments"),
    }
}

/// Lets a run go on while its lease is renewed, and whoever may stop it is heard.
async fn watch_and_listen(
    run: Run,
    lease: Arc<Lease>,
    view: &mut dyn View,
    stop: Stop,
    leave: &CancellationToken,
    wanted: Wanted,
) -> Result<RunEnd, Failure> {
    let stopper = run.stopper();
    let mut listening = JoinSet::new();
    if stop.on_ctrl_c {
        listening.spawn(listen(stopper.clone(), leave.clone()));
    }
    let mut holding = JoinSet::new();
    holding.spawn(held::hold(lease, stopper.clone()));
    listening.spawn(async move {
        stop.token.cancelled().await;
        stopper.cancel();
    });
    let ended = watch(run, view, leave, wanted).await;
    // It has the lease, which is to be given up.
    holding.shutdown().await;
    ended
}

/// The number of tasks that will finish, if it is known.
fn wanted(total: Option<u64>, results: Option<u64>) -> Option<u64> {
    match (total, results) {
        (Some(total), Some(results)) => Some(total.min(results)),
        (total, results) => total.or(results),
    }
}

/// Hears Ctrl+C and its like whatever else is busy, a stalled terminal too: the first one stops the run, the second
/// one leaves it.
async fn listen(stop: CancellationToken, leave: CancellationToken) {
    let mut stops = match Stops::listen() {
        Ok(stops) => stops,
        Err(error) => {
            tracing::warn!(%error, "Ctrl+C can't be heard: it will end the program at once");
            return;
        }
    };
    for token in [stop, leave] {
        stops.next().await;
        token.cancel();
    }
}

/// Lets the run go on in a task of its own, so that a slow terminal can't hold it up, and shows it here.
async fn watch(
    mut run: Run,
    view: &mut dyn View,
    leave: &CancellationToken,
    mut wanted: Wanted,
) -> Result<RunEnd, Failure> {
    let mut events: Events = run.events();
    let mut running = JoinSet::new();
    running.spawn(run.run());
    let second = Duration::from_secs(1);
    let mut tick = interval_at(Instant::now() + second, second);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = leave.cancelled() => {
                running.shutdown().await;
                let left = "left at once: agreements run on until their providers end them";
                return Err(Failure::new(Exit::Cancelled, left)
                    .advise("the same command goes on with the run; `golem-tasks settle` only ends it and settles its bills"));
            }
            happened = events.next() => match happened {
                Some(happened) => {
                    log::log(&happened);
                    wanted.on(&happened);
                    view.on(&happened);
                }
                None => break,
            },
            _ = tick.tick() => {
                let now = SystemClock.now();
                view.tick(now);
                if let Some(missing) = wanted.due(now) {
                    view.note(now, &missing);
                }
            }
        }
    }
    let missed = events.missed();
    if missed > 0 {
        tracing::warn!(missed, "the display couldn't keep up: the run's record has everything");
    }
    match running.join_next().await {
        Some(Ok(ended)) => ended.map_err(Failure::from),
        Some(Err(error)) => Err(Failure::new(Exit::Bug, error)),
        None => Err(Failure::new(Exit::Bug, "the run vanished")),
    }
}

/// The job's payload, with its image found or served.
async fn payload(options: &RunOptions, client: &Client) -> Result<PreparedPayload, Failure> {
    let spec = options.job.payload()?;
    // The devnet's providers run programs of this machine: there is nothing to fetch, and nobody to ask.
    let spec = match options.daemon {
        DaemonChoice::Devnet { .. } | DaemonChoice::Served { .. } => spec.registry(Registry::devnet()),
        DaemonChoice::Yagna { .. } => spec,
    };
    spec.prepare(client).await.map_err(|error| match &error {
        PayloadError::NotServed(_) => Failure::new(Exit::Daemon, error),
        PayloadError::Image(ImageError::Tag(_) | ImageError::Hash(_)) => Failure::new(Exit::Usage, error),
        PayloadError::Image(image) => {
            let known = !matches!(image, ImageError::NotFound { .. });
            Failure::new(if known { Exit::Daemon } else { Exit::Usage }, error)
                .advise("name the image by `image_url` and `image_hash` to do without the registry")
        }
        _ => Failure::new(Exit::Usage, error),
    })
}

/// The cheapest first of those that may be worked with.
fn strategy(options: &RunOptions, caps: PriceCaps, remembered: &Remembered) -> Arc<dyn Strategy> {
    let limits = &options.limits;
    let excluded: ProviderList = limits.exclude_providers.iter().collect();
    let strategy = Warned::new(LeastExpensive::new(caps).cautious(), &remembered.elsewhere);
    let strategy = strategy.except(&remembered.blocked).except(excluded).except(&options.avoid);
    if limits.providers.is_empty() {
        return Arc::new(strategy);
    }
    Arc::new(strategy.only(limits.providers.iter().collect::<ProviderList>()))
}

fn config(options: &RunOptions, payload: Payload, remembered: &Remembered) -> RunConfig {
    let limits = &options.limits;
    let platform = golem_sdk::run::platform(&options.driver, &options.network);
    let mut caps = PriceCaps::none();
    (caps.start, caps.per_hour) = (limits.max_start_price, limits.max_price_per_hour);
    let mut config = RunConfig::new(payload, platform);
    config.subnet = Some(options.subnet.clone());
    config.node_name = Some("golem-tasks".to_owned());
    config.strategy = strategy(options, caps, remembered);
    config.known = remembered.known.clone();
    config.max_price = limits.max_price;
    config.price_grace = limits.price_grace;
    config.workers = limits.workers;
    config.retries = limits.retries;
    config.budget = limits.budget;
    config.on_budget = limits.on_budget;
    config.expiration = limits.expiration;
    config.idle_timeout = limits.idle_timeout;
    config.results = limits.results;
    config.halt = limits.halt;
    config.settle_timeout = options.settle_timeout;
    config.fresh_retries = true;
    config
}
