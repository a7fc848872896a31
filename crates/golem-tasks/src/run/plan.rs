//! The `plan` command: who would be hired for a job, and what that would take and cost. Nothing is agreed upon.

mod filters;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use golem_core::caps::Refusal;
use golem_core::demand::DemandSpec;
use golem_core::payload::Payload;
use golem_core::raise::Raise;
use golem_core::run::RunConfig;
use golem_core::strategy::{Candidate, Score};
use golem_core::terms::counter_terms;
use golem_sdk::SystemClock;
use golem_sdk::market::{Offer, OfferTerms, Scan};
use golem_sdk::payload::PreparedPayload;
use tokio::time::timeout;
use yagna_api::market::NewDemand;
use yagna_api::payment::Decoration;
use yagna_api::time::after;
use yagna_api::{Clock, Glm, NodeId, Timestamp};
use yagna_client::Client;

use super::remembered::Remembered;
use super::{Daemon, IMAGE_STOPS, config, market, payload, wanted};
use crate::description::RunDescription;
use crate::exit::{Exit, Failure};
use crate::options::RunOptions;
use crate::store::{RememberedProvider, Store, StoreError, TaskTime};
use crate::view::Output;
use crate::view::plan::{Estimate, Hired, Plan, TimeFrom};
use filters::Filters;

/// A plan as it was asked for.
pub(crate) struct PlanOptions {
    /// The run that is planned.
    pub(crate) run: RunOptions,
    /// The time that a task takes, where that was said.
    pub(crate) task_takes: Option<Duration>,
    /// The time to look at the market.
    pub(crate) lasting: Duration,
}

/// The things that the database knows.
#[derive(Default)]
struct Known {
    providers: HashMap<NodeId, RememberedProvider>,
    time: Option<TaskTime>,
}

/// An offer that fits, with the score by which it is chosen.
struct Fitting {
    score: Score,
    terms: OfferTerms,
    offer: Offer,
}

/// Plans a run and shows the plan.
pub(crate) async fn plan(options: PlanOptions, json: bool) -> Result<Exit, Failure> {
    let plan = look(&options).await?;
    let mut out = Output::stdout();
    out.write(&if json { plan.json() } else { plan.text(crate::cli::inspect::room()) });
    out.lost().map_or(Ok(Exit::Done), |error| Err(Failure::lost_output(error)))
}

/// Looks at the market, the job and the database, and plans.
pub(crate) async fn look(options: &PlanOptions) -> Result<Plan, Failure> {
    let run = &options.run;
    let total = wanted(run.job.open()?.total, run.limits.results);
    let now = SystemClock.now();
    let (remembered, known) = known(run, now).await?;
    let daemon = Daemon::open(&run.site()).await?;
    let looked = at_market(&daemon, options, &remembered).await;
    daemon.close().await;
    let (config, payload, all, fits) = looked?;
    let filters = Filters::of(&payload);
    let demand = demand(&config, now);
    let mut plan = Plan {
        job: title(&run.describe()?),
        subnet: run.subnet.clone(),
        tasks: total,
        workers: run.limits.workers,
        budget: run.limits.budget.in_words(),
        offers: 0,
        fitting: 0,
        refused: BTreeMap::new(),
        raise: None,
        hired: Vec::new(),
        others: Vec::new(),
        estimate: None,
    };
    let mut fitting: Vec<Fitting> = Vec::new();
    let mut above = Vec::new();
    for offer in all {
        plan.offers += 1;
        let seen = if fits.contains(offer.id().to_string().as_str()) {
            appraised(&config, &demand, &offer, now).map_err(|refusal| {
                above.extend(refusal.above_cap());
                refusal.group()
            })
        } else {
            Err(filters.refusal(offer.properties()))
        };
        match seen {
            Ok((terms, score)) => fitting.push(Fitting { score, terms, offer }),
            Err(reason) => *plan.refused.entry(reason).or_default() += 1,
        }
    }
    plan.fitting = fitting.len() as u64;
    fitting.sort_by(|a, b| {
        b.score.get().total_cmp(&a.score.get()).then_with(|| a.terms.name.cmp(&b.terms.name))
    });
    // A provider with several offers is one provider.
    let mut named = HashSet::new();
    fitting.retain(|fitting| named.insert(fitting.terms.provider.clone()));
    let work = total.unwrap_or(u64::MAX).min(run.limits.workers.into());
    let places = usize::try_from(work).unwrap_or(usize::MAX);
    plan.raise = Raise::for_missing(above, work.saturating_sub(fitting.len() as u64))
        .filter(|_| fitting.len() < places);
    let mut rows = fitting.iter().map(|fitting| Hired {
        offered: market::offered(&fitting.terms, &fitting.offer),
        remembered: known.providers.get(&fitting.terms.provider).cloned(),
    });
    plan.hired.extend(rows.by_ref().take(places));
    plan.others.extend(rows);
    let time = match (options.task_takes, &known.time) {
        (Some(time), _) => Some((time, TimeFrom::Flag)),
        (None, Some(known)) => {
            Some((known.middle, TimeFrom::Run { run_id: known.run_id.clone(), tasks: known.tasks }))
        }
        (None, None) => None,
    };
    plan.estimate = time.and_then(|(time, from)| Estimate::of(&plan, &run.limits, time, from));
    Ok(plan)
}

/// What the database knows; nothing where there is none yet.
async fn known(run: &RunOptions, now: Timestamp) -> Result<(Remembered, Known), Failure> {
    let store = match Store::open_to_read(&run.dsn).await {
        Ok(store) => store,
        Err(StoreError::NothingYet { .. }) => return Ok((Remembered::nothing(), Known::default())),
        Err(error) => return Err(error.into()),
    };
    let description = run.describe()?;
    let read = async {
        let remembered = Remembered::load(&store, now).await?;
        let providers = store.remembered_providers(now).await?;
        let providers = providers.into_iter().map(|one| (one.provider.id.clone(), one)).collect();
        let is_alike = |before: &RunDescription| before.has_job_of(&description);
        let time = store.task_time(is_alike).await?;
        Ok::<_, StoreError>((remembered, Known { providers, time }))
    };
    let read = read.await;
    store.close().await;
    Ok(read?)
}

/// All offers of the subnet, and the ids of those that match the payload.
type Seen = (RunConfig, Payload, Vec<Offer>, HashSet<String>);

async fn at_market(daemon: &Daemon, options: &PlanOptions, remembered: &Remembered) -> Result<Seen, Failure> {
    let run = &options.run;
    let client = daemon.client()?;
    let PreparedPayload { payload, serving } = payload(run, &client).await?;
    if let Some(image) = serving {
        // It was only to be known whether it can be served.
        timeout(IMAGE_STOPS, image.stop()).await.ok();
    }
    let scan = || Scan::new().subnet(&run.subnet).lasting(options.lasting);
    let (all, fits) = tokio::try_join!(offers(scan(), &client), offers(scan().payload(&payload), &client))?;
    let fits = fits.iter().map(|offer| offer.id().to_string()).collect();
    Ok((config(run, payload.clone(), remembered), payload, all, fits))
}

async fn offers(scan: Scan, client: &Client) -> Result<Vec<Offer>, Failure> {
    let mut offers = scan.start(client).await.map_err(market::failure)?;
    let mut all = Vec::new();
    while let Some(offer) = offers.try_next().await.map_err(market::failure)? {
        all.push(offer);
    }
    Ok(all)
}

/// The demand that the run would publish, as far as offers are held against it.
fn demand(config: &RunConfig, now: Timestamp) -> NewDemand {
    DemandSpec {
        payload: &config.payload,
        subnet: config.subnet.as_deref(),
        node_name: None,
        expires: after(now, config.expiration),
        decoration: &Decoration::default(),
        accept_timeout: config.accept_timeout,
    }
    .build()
}

/// Reads an offer, and asks the run's strategy for its score.
fn appraised(
    config: &RunConfig,
    demand: &NewDemand,
    offer: &Offer,
    now: Timestamp,
) -> Result<(OfferTerms, Score), Refusal> {
    let terms = offer.terms()?;
    counter_terms(demand, &terms, &config.terms, now)?;
    let score =
        config.strategy.appraise(&Candidate::new(&terms, config.known.at(&terms.provider, now), now))?;
    Ok((terms, score))
}

/// The name of a job for a title.
fn title(description: &RunDescription) -> String {
    let job = description.job_file().map(str::to_owned);
    job.or_else(|| Some(description.job.get("job")?.as_str()?.to_owned()))
        .unwrap_or_else(|| "the job".to_owned())
}

impl Plan {
    /// GLM that the run is expected to cost: the estimate, or else all of its budget.
    pub(crate) fn expected(&self, budget: Option<Glm>) -> Option<Glm> {
        let estimate = self.estimate.as_ref().map(|estimate| estimate.cost);
        match (estimate, budget) {
            (Some(estimate), Some(budget)) => Some(estimate.min(budget)),
            (estimate, budget) => estimate.or(budget),
        }
    }
}
