//! The `settle` command: what earlier runs left at the daemon is ended, and bills that came late are settled. Nothing is
//! begun.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use golem_core::payload::Payload;
use golem_core::run::RunConfig;
use golem_core::state::RunState;
use golem_sdk::network::Network;
use golem_sdk::run::nothing_open;
use golem_sdk::text::chain;
use golem_sdk::{Run, SystemClock};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use yagna_api::{AppKey, Clock, Glm};
use yagna_client::{ApiUrls, Client, HttpTransport, Url};

use super::wanted::Wanted;
use super::{Stop, held, same, tell_payments, watch_and_listen};
use crate::description::RunDescription;
use crate::exit::{Exit, Failure};
use crate::job::Limits;
use crate::store::{Dsn, Holder, Lease, RunRecord, RunStore, RunSummary, Store, StoreError};
use crate::view::text::{one_amount, plural};
use crate::view::{Beginning, Facts, Output, Plain, Quiet, SummaryFold, View};

/// So many runs are settled at the same time.
const AT_ONCE: usize = 16;

/// The runs to settle, and the daemon.
#[derive(Clone)]
pub(crate) struct SettleOptions {
    /// The database of runs.
    pub(crate) dsn: Dsn,
    /// The run; all that have something open unless given.
    pub(crate) run_id: Option<String>,
    /// The daemon's address; each run's own unless given.
    pub(crate) url: Option<String>,
    /// The addresses of single APIs that differ from it.
    pub(crate) apis: ApiUrls,
    /// The key it is to accept; needed where something is open only.
    pub(crate) app_key: Option<AppKey>,
    /// The time to wait for bills.
    pub(crate) settle_timeout: Duration,
    /// One JSON object for each run, instead of a line.
    pub(crate) json: bool,
    /// Nothing on standard error while all goes well.
    pub(crate) quiet: bool,
}

/// The outcome of settling a run.
#[derive(Serialize)]
#[serde(tag = "type", rename = "settle")]
struct Settled<'a> {
    version: u32,
    run: &'a str,
    /// GLM accepted in all.
    cost: Glm,
    /// The amount that was accepted just now.
    accepted_now: Glm,
    /// Rentals whose final bill is still awaited, or can't be accepted yet.
    unsettled: u64,
    /// Tasks that have no end.
    unfinished: u64,
}

/// Settles what is open of one run or of all.
pub(crate) async fn settle(options: SettleOptions) -> Result<Exit, Failure> {
    let store = Store::open_existing(&options.dsn).await?;
    let done = settle_in(&store, options).await;
    store.close().await;
    done
}

async fn settle_in(store: &Store, options: SettleOptions) -> Result<Exit, Failure> {
    let named = options.run_id.is_some();
    let runs = match &options.run_id {
        Some(run_id) => vec![store.choose_run(Some(run_id)).await?],
        None => store.open_runs().await?,
    };
    let (mut out, mut say) = (Output::stdout(), Output::stderr());
    let (mut open, mut passed_over) = (0, 0);
    let (mut failed, mut refused) = (None, None);
    // Together: each may have to wait for its bills.
    let settling = runs.into_iter().map(|run_id| settle_run(store, run_id, &options, named));
    let mut settling = stream::iter(settling).buffer_unordered(AT_ONCE);
    while let Some(settled) = settling.next().await {
        match settled {
            Ok(Settling::Settled { open: still_open, told }) => {
                open += still_open;
                out.write(&told);
            }
            Ok(Settling::PassedOver { told }) => {
                say.write(&told);
                passed_over += 1;
            }
            Ok(Settling::Nothing { told }) => say.write(&told),
            // It may be on another daemon, or another key's: the others can be settled all the same.
            Err((run_id, failure)) if !named && failure.exit() != Exit::Cancelled => {
                say.write(&format!("run {run_id} can't be settled now:\n{}", crate::view::report(&failure)));
                failed = failed.or_else(|| Some(failure.exit()));
            }
            Err((_, failure)) => refused = refused.or(Some(failure)),
        }
    }
    drop(settling);
    if let Some(failure) = refused {
        return Err(failure);
    }
    if let Some(exit) = failed {
        return Ok(exit);
    }
    if !options.quiet {
        say.write(&match (open, passed_over) {
            (0, 0) => "everything is settled\n".to_owned(),
            (0, n) => format!("all finished runs are settled; {} still running\n", plural(n, "run")),
            (n, _) => format!(
                "{} not settled: the final bill hasn't come yet, or can't be accepted; try again later\n",
                plural(n, "rental")
            ),
        });
    }
    match out.lost() {
        Some(error) => Err(Failure::lost_output(error)),
        None if open > 0 => Ok(Exit::Unsettled),
        None => Ok(Exit::Done),
    }
}

/// The outcome of one run, and the message about it.
enum Settling {
    /// So many of its rentals stay open.
    Settled { open: u64, told: String },
    /// Another process works on it.
    PassedOver { told: String },
    /// There is nothing to settle.
    Nothing { told: String },
}

/// Takes a run and settles it. An error comes with the run's id.
async fn settle_run(
    store: &Store,
    run_id: String,
    options: &SettleOptions,
    named: bool,
) -> Result<Settling, (String, Failure)> {
    let settled = async {
        let Some(record) = store.run_record(&run_id).await? else {
            return Ok(Settling::Nothing { told: String::new() });
        };
        if record.description()?.is_on_devnet() {
            let told = format!(
                "run {run_id} was on an emulated network that ended with its process: there is nothing to settle\n"
            );
            return Ok(Settling::Nothing { told: if named { told } else { String::new() } });
        }
        let lease = match store.take(&run_id, &Holder::here()).await {
            Ok(lease) => Arc::new(lease),
            Err(StoreError::Held { by, .. }) if !named => {
                let told = format!("run {run_id} is left to {}, which works on it\n", by.holder);
                return Ok(Settling::PassedOver { told });
            }
            Err(error) => return Err(error.into()),
        };
        let settled = settle_one(store, &record, &lease, options).await;
        held::release(lease).await;
        settled
    };
    settled.await.map_err(|failure| (run_id, failure))
}

async fn settle_one(
    store: &Store,
    record: &RunRecord,
    lease: &Arc<Lease>,
    options: &SettleOptions,
) -> Result<Settling, Failure> {
    let run_id = &record.run_id;
    let state = lease.run().state().await?;
    let before = store.run_summary(run_id).await?;
    let is_open = !nothing_open(&state);
    if is_open || !lease.run().open_payments().await?.agreements.is_empty() {
        match greeted(record, options).await {
            Ok(client) => {
                if is_open {
                    bring_to_an_end(&client, record, state, &before, lease, options).await?;
                }
                remove_network(store, run_id, &client).await?;
                tell_payments(&client, lease.run()).await;
            }
            Err(failure) if is_open => return Err(failure),
            // All is settled, and what has become of the money may be asked another time.
            Err(failure) => {
                tracing::warn!(error = chain(failure.error()), %run_id, "could not fetch the payment status");
            }
        }
    }
    let summary = store.run_summary(run_id).await?;
    let accepted_now = summary.cost.saturating_sub(before.cost);
    let unfinished = summary.tasks.unfinished();
    let told = if options.json {
        let (cost, unsettled) = (summary.cost, summary.unsettled);
        let told = Settled { version: 1, run: run_id, cost, accepted_now, unsettled, unfinished };
        crate::view::json_line(&told)
    } else {
        let mut text = format!("run {run_id}: {} GLM accepted", one_amount(summary.cost));
        if !accepted_now.is_zero() {
            text = format!("{text}, {} of it now", one_amount(accepted_now));
        }
        match summary.unsettled {
            0 => text.push_str(", everything is settled"),
            n => text = format!("{text}, {} not settled", plural(n, "rental")),
        }
        if let Some(payments) = &summary.payments {
            text = format!("{text}, {} GLM paid", one_amount(payments.paid));
        }
        if unfinished > 0 {
            text = format!("{text}; {} left to do", plural(unfinished, "task"));
        }
        text + "\n"
    };
    Ok(Settling::Settled { open: summary.unsettled, told })
}

/// Removes the network of the service that a run kept up, unless another service of its stack is still kept up.
async fn remove_network(store: &Store, run_id: &str, client: &Client) -> Result<(), Failure> {
    let services = store.services(None).await?;
    let Some((stack, id)) = services
        .iter()
        .find(|row| row.run_id == *run_id)
        .and_then(|row| Some((row.stack.clone(), row.network.clone()?)))
    else {
        return Ok(());
    };
    for other in services.iter().filter(|row| row.stack == stack && row.run_id != *run_id) {
        if store.run_status(&other.run_id).await.is_ok_and(|status| status.holder().is_some()) {
            return Ok(());
        }
    }
    let removed = match Network::find(client, &id).await {
        Ok(Some(network)) => network.remove().await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = removed {
        tracing::warn!(error = chain(&error), %run_id, "the network of a service was not removed");
    }
    Ok(())
}

/// The run's daemon, if it answers and is the run's.
async fn greeted(record: &RunRecord, options: &SettleOptions) -> Result<Client, Failure> {
    let client = client(record, options)?;
    let identity = golem_sdk::run::greet(&client).await?;
    same::check_identity(&record.run_id, &record.description()?, identity)?;
    Ok(client)
}

async fn bring_to_an_end(
    client: &Client,
    record: &RunRecord,
    state: RunState,
    before: &RunSummary,
    lease: &Arc<Lease>,
    options: &SettleOptions,
) -> Result<(), Failure> {
    let clock = SystemClock;
    let started = clock.now();
    let facts = Facts {
        run_id: record.run_id.clone(),
        started,
        total: None,
        budget: None,
        place: lease.run().store().place().to_owned(),
        retry: None,
        prints_itself: false,
        beginning: Beginning::Again(SummaryFold::resumed(before, &state, started).only_settling().into()),
    };
    let mut view: Box<dyn View> = if options.quiet {
        Box::new(Quiet::new(facts, Output::none(), Output::none()))
    } else {
        Box::new(Plain::new(facts, Output::none(), Output::stderr()))
    };
    let RunDescription { driver, network, limits, .. } = record.description()?;
    let config = config(&limits, &driver, &network, options.settle_timeout);
    let run_options = golem_sdk::RunOptions::new(config, driver, network, record.app_session.clone());
    let journal = Arc::<RunStore>::new(lease.run().clone());
    let run = Run::settling(client.clone(), Arc::new(clock), journal, state, run_options);
    let stop = Stop { on_ctrl_c: true, token: CancellationToken::new() };
    let leave = CancellationToken::new();
    watch_and_listen(run, Arc::clone(lease), view.as_mut(), stop, &leave, Wanted::default()).await?;
    Ok(())
}

fn client(record: &RunRecord, options: &SettleOptions) -> Result<Client, Failure> {
    let app_key = crate::options::app_key(options.app_key.clone())?;
    let own = record.description()?.daemon.url;
    let url = options.url.as_deref().or(own.as_deref()).unwrap_or(golem_sdk::connect::API_URL);
    let url: Url = url.parse().map_err(|error| Failure::new(Exit::Usage, error))?;
    let transport = HttpTransport::with_apis(&url, &options.apis, &app_key)
        .map_err(|error| Failure::new(Exit::Daemon, error))?;
    Ok(Client::new(Arc::new(transport)))
}

/// Nothing is bought: of what a run keeps to, only its money counts.
fn config(limits: &Limits, driver: &str, network: &str, settle_timeout: Duration) -> RunConfig {
    let mut config = RunConfig::new(Payload::runtime("none"), golem_sdk::run::platform(driver, network));
    config.budget = limits.budget;
    config.settle_timeout = settle_timeout;
    config
}
