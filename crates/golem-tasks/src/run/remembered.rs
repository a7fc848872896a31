//! The providers that the database knows when a run begins, and what comes while it goes on: who is blocked by hand, and who
//! failed other runs.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use golem_core::caps::Refusal;
use golem_core::standing::Records;
use golem_core::strategy::{Candidate, Score};
use golem_sdk::strategy::{ProviderList, Strategy};
use tokio::time::{MissedTickBehavior, interval};
use yagna_api::{NodeId, Timestamp};

use crate::store::{Store, StoreError};

/// The time between two looks for providers that somebody blocks or unblocks, or that fail other runs.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Each failure with another run lowers a provider's score by this factor, as one with this run does.
const FAILED: f64 = 0.5;

/// The knowledge that a run begins with.
#[derive(Debug)]
pub(super) struct Remembered {
    /// The work of providers in earlier runs.
    pub(super) known: Records,
    /// The providers that get no agreement; as it is in the database while somebody [follows](follow) it.
    pub(super) blocked: ProviderList,
    /// The providers that failed other runs since this one began.
    pub(super) elsewhere: Elsewhere,
}

/// The number of times that each provider has failed other runs of the database since this run began. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub(super) struct Elsewhere(Arc<RwLock<HashMap<NodeId, u32>>>);

/// A strategy that puts providers back which fail other runs, until they do well in this one.
#[derive(Debug, Clone)]
pub(super) struct Warned<S> {
    strategy: S,
    elsewhere: Elsewhere,
}

impl Elsewhere {
    fn set(&self, failures: HashMap<NodeId, u32>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (provider, times) in &failures {
            if known.get(provider) != Some(times) {
                tracing::info!(%provider, times, "a provider has failed another run of this database");
            }
        }
        *known = failures;
    }

    fn of(&self, provider: &NodeId) -> u32 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(provider).copied().unwrap_or_default()
    }
}

impl<S> Warned<S> {
    /// The strategy with an ear for other runs.
    pub(super) fn new(strategy: S, elsewhere: &Elsewhere) -> Self {
        Self { strategy, elsewhere: elsewhere.clone() }
    }
}

impl<S: Strategy> Strategy for Warned<S> {
    fn appraise(&self, candidate: &Candidate<'_>) -> Result<Score, Refusal> {
        let score = self.strategy.appraise(candidate)?;
        let record = candidate.record;
        // The run's own observations count more than those of others.
        let does_well = record.tasks_done > 0 && record.failures_in_a_row == 0;
        match self.elsewhere.of(candidate.id()) {
            times if times > 0 && !does_well => score.lowered(FAILED.powf(f64::from(times))),
            _ => Ok(score),
        }
    }
}

impl Remembered {
    /// Nothing at all, where there is no database yet.
    pub(super) fn nothing() -> Self {
        Self { known: Records::default(), blocked: ProviderList::new(), elsewhere: Elsewhere::default() }
    }

    /// Reads what is there at this moment.
    pub(super) async fn load(store: &Store, now: Timestamp) -> Result<Self, StoreError> {
        let known = store.known_providers(now).await?;
        let blocked = ProviderList::new();
        look_for_blocks(store, &blocked).await?;
        Ok(Self { known, blocked, elsewhere: Elsewhere::default() })
    }
}

/// Keeps the lists as they are in the database for this run, which began then, until it is dropped.
pub(super) async fn follow(
    store: Store,
    run_id: String,
    since: Timestamp,
    blocked: ProviderList,
    elsewhere: Elsewhere,
) {
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        if let Err(error) = look_for_blocks(&store, &blocked).await {
            tracing::warn!(%error, "can't look for blocked providers; trying again");
        }
        match store.set_back_by_others(&run_id, since).await {
            Ok(failures) => elsewhere.set(failures),
            Err(error) => {
                tracing::warn!(%error, "can't look for providers that fail other runs; trying again");
            }
        }
    }
}

async fn look_for_blocks(store: &Store, blocked: &ProviderList) -> Result<(), StoreError> {
    let blocks = store.blocked_providers().await?;
    blocked.set_by_hand(blocks.into_iter().map(|block| (block.provider.id, block.reason)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use golem_core::event::{Event, EventKind, Provider};
    use golem_core::offer::OfferTerms;
    use tokio::task::JoinSet;
    use tokio::time::{sleep, timeout};

    use yagna_api::AppSessionId;

    use super::*;
    use crate::store::{Dsn, NewRun};

    #[tokio::test]
    async fn who_is_blocked_while_a_run_goes_on_is_heard_of() {
        let store = Store::open(&Dsn::Memory).await.unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let provider =
            |n: u8| Provider { id: format!("0x{n:040x}").parse().unwrap(), name: "ada".to_owned() };
        store.block_providers(&[provider(1)], None, now).await.unwrap();
        let Remembered { known, blocked, elsewhere } = Remembered::load(&store, now).await.unwrap();
        assert_eq!(known.known_rentals(), 0);
        assert!(blocked.has(provider(1).id) && !blocked.has("ada"), "a block is of an id");
        let mut following = JoinSet::new();
        following.spawn(follow(store.clone(), "mine".to_owned(), now, blocked.clone(), elsewhere));
        store.block_providers(&[provider(2)], None, now).await.unwrap();
        store.unblock_providers(&[provider(1)]).await.unwrap();
        let heard = async {
            while blocked.has(provider(1).id) || !blocked.has(provider(2).id) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(Duration::from_secs(60), heard).await.is_ok(), "{blocked:?}");
        following.shutdown().await;
        store.close().await;
    }

    fn offer() -> OfferTerms {
        let properties = serde_json::from_value(serde_json::json!({
            "golem.inf.cpu.threads": 1,
            "golem.com.pricing.model": "linear",
            "golem.com.pricing.model.linear.coeffs": [0.1, 0.1, 0.0],
            "golem.com.usage.vector": ["golem.usage.duration_sec", "golem.usage.cpu_sec"],
            "golem.com.scheme": "payu",
            "golem.com.payment.platform.erc20-hoodi-tglm.address": "0xabcdef0123456789abcdef0123456789abcdef01"
        }));
        let provider = "0xabcdef0123456789abcdef0123456789abcdef01".parse().unwrap();
        OfferTerms::read(&provider, &properties.unwrap()).unwrap()
    }

    /// Scores one offer at 8.
    #[derive(Debug)]
    struct Eight;

    impl Strategy for Eight {
        fn appraise(&self, _: &Candidate<'_>) -> Result<Score, Refusal> {
            Score::new(8.0)
        }
    }

    #[tokio::test]
    async fn who_fails_another_run_is_put_back_until_it_does_well_in_this_one() {
        let store = Store::open(&Dsn::Memory).await.unwrap();
        let begun = Timestamp::UNIX_EPOCH;
        let offer = offer();
        let elsewhere = Elsewhere::default();
        let strategy = Warned::new(Eight, &elsewhere);
        let mut records = Records::default();
        let score = |records: &Records| {
            let candidate = Candidate::new(&offer, records.of(&offer.provider), begun);
            strategy.appraise(&candidate).unwrap().get()
        };
        assert!((score(&records) - 8.0).abs() < 1e-9);
        let mut following = JoinSet::new();
        following.spawn(follow(
            store.clone(),
            "mine".to_owned(),
            begun,
            ProviderList::new(),
            elsewhere.clone(),
        ));
        for run_id in ["other", "mine"] {
            let new = NewRun {
                run_id: run_id.to_owned(),
                created: begun,
                app_session: AppSessionId::new(run_id),
                job: serde_json::json!({}),
            };
            let run = store.create_run(&new).await.unwrap();
            let provider = Provider { id: offer.provider.clone(), name: "ada".to_owned() };
            let kind = EventKind::ProviderSetBack { provider, until: begun, reason: "lost".to_owned() };
            run.apply(&[Event { at: begun, kind: kind.clone() }, Event { at: begun, kind }]).await.unwrap();
        }
        let heard = async {
            while elsewhere.of(&offer.provider) != 2 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(Duration::from_secs(60), heard).await.is_ok(), "{elsewhere:?}");
        assert!((score(&records) - 2.0).abs() < 1e-9, "it is a last choice, and still one");
        records.task_done(&offer.provider);
        assert!((score(&records) - 8.0).abs() < 1e-9);
        records.failed(&offer.provider);
        assert!((score(&records) - 2.0).abs() < 1e-9);
        following.shutdown().await;
        store.close().await;
    }
}
