//! The `market` command: who offers what, and for how much. Nothing is agreed upon.

use std::time::Duration;

use golem_core::offer::Gpu;
use golem_sdk::market::{Offer, OfferTerms, Scan, ScanError};
use yagna_api::Glm;
use yagna_api::properties::name;

use super::Daemon;
use crate::cli::inspect::{Manner, Seen, watch};
use crate::exit::{Exit, Failure};
use crate::options::Site;
use crate::signals::Stops;
use crate::view::Output;
use crate::view::kept::Room;
use crate::view::market::{Market, Offered};

/// The offers to look for, and the daemon to ask.
pub(crate) struct MarketOptions {
    pub(crate) site: Site,
    pub(crate) lasting: Duration,
    pub(crate) runtime: Option<String>,
    pub(crate) min_threads: Option<u32>,
    pub(crate) min_mem_gib: Option<f64>,
    pub(crate) min_storage_gib: Option<f64>,
    pub(crate) json: bool,
    /// True if it is shown again and again.
    pub(crate) watch: bool,
}

/// Looks at the market and shows it.
pub(crate) async fn market(options: MarketOptions) -> Result<Exit, Failure> {
    let daemon = Daemon::open(&options.site).await?;
    if options.watch {
        let manner = if options.json { Manner::Json } else { Manner::Text };
        let look = async |room: Room| {
            let market = look(&daemon, &options).await?;
            let text =
                if options.json { market.json() } else { format!("{}{}", market.text(room), market.note()) };
            Ok::<_, Failure>(Seen { text, is_last: false })
        };
        let watched = watch(manner, look).await;
        daemon.close().await;
        return watched;
    }
    let seen = look(&daemon, &options).await;
    daemon.close().await;
    let market = seen?;
    let mut out = Output::stdout();
    out.write(&if options.json { market.json() } else { market.text(crate::cli::inspect::room()) });
    if !options.json {
        Output::stderr().write(&market.note());
    }
    out.lost().map_or(Ok(Exit::Done), |error| Err(Failure::lost_output(error)))
}

async fn look(daemon: &Daemon, options: &MarketOptions) -> Result<Market, Failure> {
    let mut scan = Scan::new().subnet(&options.site.subnet).lasting(options.lasting);
    if let Some(runtime) = &options.runtime {
        scan = scan.constraint(format!("({}={runtime})", name::RUNTIME_NAME));
    }
    if let Some(threads) = options.min_threads {
        scan = scan.constraint(format!("({}>={threads})", name::CPU_THREADS));
    }
    for (property, least) in
        [(name::MEMORY_GIB, options.min_mem_gib), (name::STORAGE_GIB, options.min_storage_gib)]
    {
        if let Some(gib) = least {
            scan = scan.constraint(format!("({property}>={gib})"));
        }
    }
    let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
    let mut offers = scan.start(&daemon.client()?).await.map_err(failure)?;
    let mut market = Market { subnet: options.site.subnet.clone(), offers: Vec::new(), unreadable: 0 };
    loop {
        let next = tokio::select! {
            biased;
            // What was seen so far is shown.
            () = stops.next() => break,
            next = offers.try_next() => next.map_err(failure)?,
        };
        match next {
            None => break,
            Some(offer) => match offer.terms() {
                Ok(terms) => market.offers.push(offered(&terms, &offer)),
                // Whatever a stranger offers, it spoils only its own offer.
                Err(problem) => {
                    tracing::debug!(provider = %offer.provider(), %problem, "an offer can't be read");
                    market.unreadable += 1;
                }
            },
        }
    }
    market.offers.sort_by(|a, b| (a.per_hour, a.start, &a.name).cmp(&(b.per_hour, b.start, &b.name)));
    Ok(market)
}

pub(super) fn failure(error: ScanError) -> Failure {
    match error {
        ScanError::Daemon(error) => error.into(),
        error @ (ScanError::Payload(_) | ScanError::Constraint { .. }) => Failure::new(Exit::Usage, error),
        error => Failure::new(Exit::Daemon, error),
    }
}

pub(super) fn offered(terms: &OfferTerms, offer: &Offer) -> Offered {
    let properties = offer.properties();
    let text = |property: &str| properties.text(property).map(str::to_owned);
    Offered {
        name: terms.name.clone(),
        provider: offer.provider().clone(),
        offer: offer.id().to_string(),
        published: offer.published(),
        per_hour: per_hour(terms),
        start: terms.pricing.start_price(),
        threads: terms.threads,
        mem_gib: properties.number(name::MEMORY_GIB),
        storage_gib: properties.number(name::STORAGE_GIB),
        runtime: text(name::RUNTIME_NAME),
        runtime_version: text(name::RUNTIME_VERSION),
        gpu: Gpu::read(properties),
    }
}

fn per_hour(terms: &OfferTerms) -> Glm {
    terms.pricing.per_hour(terms.threads)
}
