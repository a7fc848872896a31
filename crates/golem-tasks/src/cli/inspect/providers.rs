//! The `providers` command: what is known of them, and which ones are blocked.

use golem_core::event::Provider;
use golem_sdk::SystemClock;
use yagna_api::{Clock, Timestamp};

use super::args::{BlockFlags, Place, ProvidersAction, ProvidersFlags, UnblockFlags};
use super::{Environment, choose, nothing_yet, told, watch, within, within_to_write};
use crate::exit::{Exit, Failure};
use crate::store::Store;
use crate::view::kept::{self, Providers};
use crate::view::text::one_line;

/// `providers`: what each provider did, in a run or in all of them; `block` and `unblock`.
pub(in crate::cli) async fn providers(
    flags: &ProvidersFlags,
    environment: Environment<'_>,
) -> Result<Exit, Failure> {
    match &flags.action {
        Some(ProvidersAction::Block(flags)) => block(flags, environment).await,
        Some(ProvidersAction::Unblock(flags)) => unblock(flags, environment).await,
        None => {
            let listed =
                within(&flags.place, environment, async |store| list(store, flags, environment).await).await;
            match flags.run_id() {
                // There is no such run.
                Some(_) => listed,
                None => {
                    listed.or_else(|failure| nothing_yet(failure, flags.json, || kept::remembered_json(&[])))
                }
            }
        }
    }
}

async fn list(store: &Store, flags: &ProvidersFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    let Some(run_id) = flags.run_id() else {
        let rows = store.remembered_providers(now()).await?;
        let text = if flags.json {
            kept::remembered_json(&rows)
        } else {
            kept::remembered_text(&rows, watch::room())
        };
        return told(&text);
    };
    let run_id = choose(store, Some(run_id), &flags.place, environment).await?;
    let rows = store.providers(&run_id).await?;
    let providers = Providers { run_id, rows };
    told(&if flags.json { providers.json() } else { providers.text(watch::room()) })
}

/// Blocks all of them, or none where one isn't known.
async fn block(flags: &BlockFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    within_new(&flags.place, environment, async |store| {
        let mut providers = Vec::with_capacity(flags.providers.len());
        for named in &flags.providers {
            providers.push(store.find_provider(named).await?);
        }
        let reason = flags.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
        store.block_providers(&providers, reason, now()).await?;
        told(&each(&providers, "is blocked: no run of this database signs with it any more"))
    })
    .await
}

async fn unblock(flags: &UnblockFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    within_to_write(&flags.place, environment, async |store| {
        let mut providers = Vec::with_capacity(flags.providers.len());
        for named in &flags.providers {
            providers.push(store.find_blocked(named).await?);
        }
        store.unblock_providers(&providers).await?;
        told(&each(&providers, "is no longer blocked"))
    })
    .await
}

fn each(providers: &[Provider], what: &str) -> String {
    let line = |provider: &Provider| match provider.name.as_str() {
        "" => format!("{} {what}\n", provider.id),
        name => format!("{} ({}) {what}\n", one_line(name), provider.id),
    };
    providers.iter().map(line).collect()
}

/// Does something with the database that is meant, which is made where there is none: a provider may be blocked before
/// the first run.
async fn within_new<T>(
    place: &Place,
    environment: Environment<'_>,
    work: impl AsyncFnOnce(&Store) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let store = Store::open(&place.dsn(environment)?).await?;
    let done = work(&store).await;
    store.close().await;
    done
}

fn now() -> Timestamp {
    SystemClock.now()
}
