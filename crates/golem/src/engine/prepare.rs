//! What must be there before the first decision: who we are, the money, and how demands speak of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use golem_core::event::{Event, EventKind};
use golem_core::run::Run as Core;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use yagna_api::identity::GetMe;
use yagna_api::payment::{Allocation, CreateAllocation, GetDecorations, NewAllocation};
use yagna_api::time::after;
use yagna_client::ClientError;

use super::jobs::Outlets;
use super::outbox::Outbox;
use super::{Engine, INPUT_QUEUE, Outside, release};
use crate::run::{Run, RunError};

impl Engine {
    /// How long the money stays set aside after the last moment that an agreement can reach.
    pub(super) const ALLOCATION_MARGIN: Duration = Duration::from_secs(24 * 3600);

    pub(crate) async fn prepare(run: Run) -> Result<Self, RunError> {
        let Run { client, clock, journal, first, door, handle, options, readers, stop } = run;
        // From here on only handles that were given away keep a standing run from ending.
        drop(handle);
        let me = client.call(&GetMe).await.map_err(|source| RunError::at_greeting(&client, source))?;

        let amount = options.config.budget;
        let platform = options.platform();
        let expires = after(clock.now(), options.config.expiration + Self::ALLOCATION_MARGIN);
        let intended =
            EventKind::AllocationIntended { amount, platform: platform.clone(), expires: Some(expires) };
        let intended = Event { at: clock.now(), kind: intended };
        journal.commit(std::slice::from_ref(&intended)).await?;
        let new = CreateAllocation(NewAllocation {
            total_amount: amount,
            payment_platform: Some(platform.into()),
            address: None,
            timeout: Some(expires),
            make_deposit: false,
            deposit: None,
            extend_timeout: None,
        });
        let allocation = create(&client, &new).await.map_err(|source| RunError::Allocation {
            amount,
            driver: options.driver.clone(),
            network: options.network.clone(),
            source,
        })?;
        let allocation = allocation.allocation_id;
        let created = EventKind::AllocationCreated { allocation: allocation.clone(), amount, expires };
        let created = Event { at: clock.now(), kind: created };
        let decoration = async {
            journal.commit(std::slice::from_ref(&created)).await?;
            Ok::<_, RunError>(client.call(&GetDecorations(vec![allocation.clone()])).await?)
        };
        let decoration = match decoration.await {
            Ok(decoration) => decoration,
            Err(error) => {
                release(&client, &allocation).await;
                return Err(error);
            }
        };

        let (sender, inputs) = mpsc::channel(INPUT_QUEUE);
        let core = Core::new(options.config.clone(), decoration, clock.now());
        let outside = Outside {
            client,
            clock,
            node: me.identity,
            allocation,
            options: Arc::new(options),
            inputs: sender,
        };
        let mut engine = Self {
            core,
            outside,
            inputs,
            effects: JoinSet::new(),
            followers: JoinSet::new(),
            outbox: Outbox::new(journal),
            signing: HashMap::new(),
            deals: HashMap::new(),
            jobs: HashMap::new(),
            outlets: Outlets::default(),
            first,
            door,
            readers,
            stop,
        };
        engine.show(&Arc::new(vec![intended, created]));
        Ok(engine)
    }
}

/// Creates an allocation, again while the daemon itself says that it failed: then nothing was created.
async fn create(client: &yagna_client::Client, new: &CreateAllocation) -> Result<Allocation, ClientError> {
    let mut pause = Duration::from_millis(250);
    for _ in 0..6 {
        match client.call(new).await {
            Err(error) if error.api().is_some_and(yagna_api::ApiError::is_passing) => {
                tracing::debug!(%error, "creating the allocation again");
                sleep(pause).await;
                pause *= 2;
            }
            answer => return answer,
        }
    }
    client.call(new).await
}
