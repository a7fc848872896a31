//! What the database knows of providers when a run begins, and who is blocked by hand while it goes on.

use std::time::Duration;

use golem::core::standing::Records;
use golem::strategy::ProviderList;
use tokio::time::{MissedTickBehavior, interval};
use yagna_api::Timestamp;

use crate::store::{Store, StoreError};

/// The time between two looks for providers that somebody blocks or unblocks.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a run begins with.
#[derive(Debug)]
pub(super) struct Remembered {
    /// How providers did in earlier runs.
    pub(super) known: Records,
    /// Who gets no agreement; as it is in the database while somebody [follows](follow) it.
    pub(super) blocked: ProviderList,
}

impl Remembered {
    /// Reads what is there at this moment.
    pub(super) async fn load(store: &Store, now: Timestamp) -> Result<Self, StoreError> {
        let known = store.known_providers(now).await?;
        let blocked = ProviderList::new();
        look(store, &blocked).await?;
        Ok(Self { known, blocked })
    }
}

/// Keeps the list as it is in the database, until it is dropped.
pub(super) async fn follow(store: Store, blocked: ProviderList) {
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        if let Err(error) = look(&store, &blocked).await {
            tracing::warn!(%error, "can't look for blocked providers; trying again");
        }
    }
}

async fn look(store: &Store, blocked: &ProviderList) -> Result<(), StoreError> {
    let blocks = store.blocked_providers().await?;
    blocked.set_by_hand(blocks.into_iter().map(|block| (block.provider.id, block.reason)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use golem_core::event::Provider;
    use tokio::task::JoinSet;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::store::Dsn;

    #[tokio::test]
    async fn who_is_blocked_while_a_run_goes_on_is_heard_of() {
        let store = Store::open(&Dsn::Memory).await.unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let provider =
            |n: u8| Provider { id: format!("0x{n:040x}").parse().unwrap(), name: "ada".to_owned() };
        store.block_providers(&[provider(1)], None, now).await.unwrap();
        let Remembered { known, blocked } = Remembered::load(&store, now).await.unwrap();
        assert_eq!(known.known_deals(), 0);
        assert!(blocked.has(provider(1).id) && !blocked.has("ada"), "a block is of an id");
        let mut following = JoinSet::new();
        following.spawn(follow(store.clone(), blocked.clone()));
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
}
