//! The money of a run: set aside once, found again where the run is taken up.

use std::time::Duration;

use golem_core::event::{Event, EventKind};
use golem_core::past::{AllocationIntent, Past};
use tokio::time::sleep;
use yagna_api::payment::{
    Allocation, AllocationChange, AmendAllocation, CreateAllocation, ListAllocations, NewAllocation,
};
use yagna_api::time::after;
use yagna_api::{AllocationId, ApiError, Clock, Glm, Timestamp};
use yagna_client::{Client, ClientError};

use super::{Engine, release};
use crate::journal::Journal;
use crate::run::{RunError, RunOptions};
use crate::text::chain;

/// The moment that an allocation is to end at is moved by up to so many milliseconds, differently for each session.
const SPREAD: u64 = 1000;

/// What setting money aside needs.
pub(super) struct Money<'a> {
    pub(super) client: &'a Client,
    pub(super) clock: &'a dyn Clock,
    pub(super) journal: &'a dyn Journal,
    pub(super) options: &'a RunOptions,
}

/// Money that is there, and what has been written down of it.
pub(super) struct SetAside {
    pub(super) allocation: AllocationId,
    pub(super) events: Vec<Event>,
}

impl Money<'_> {
    /// Sets money aside. Its intent is durable before.
    pub(super) async fn set_aside(&self, amount: Glm) -> Result<SetAside, RunError> {
        let (platform, expires) = (self.options.platform(), self.expires());
        let intended =
            EventKind::AllocationIntended { amount, platform: platform.clone(), expires: Some(expires) };
        let intended = self.write(intended).await?;
        let new = CreateAllocation(NewAllocation {
            total_amount: amount,
            payment_platform: Some(platform.into()),
            address: None,
            timeout: Some(expires),
            make_deposit: false,
            deposit: None,
            extend_timeout: None,
        });
        let created = create(self.client, &new).await.map_err(|source| RunError::Allocation {
            amount,
            driver: self.options.driver.clone(),
            network: self.options.network.clone(),
            source,
        })?;
        let allocation = created.allocation_id;
        let kind = EventKind::AllocationCreated { allocation: allocation.clone(), amount, expires };
        match self.write(kind).await {
            Ok(created) => Ok(SetAside { allocation, events: vec![intended, created] }),
            Err(error) => {
                release(self.client, &allocation).await;
                Err(error)
            }
        }
    }

    /// Finds the money of an earlier life, made or only intended; where there is none left, sets aside what may still
    /// be spent.
    pub(super) async fn found(&self, past: &Past) -> Result<SetAside, RunError> {
        let left = self.options.config.budget.saturating_sub(past.accepted);
        // An allocation must be of something.
        let left = left.max(Glm::LEAST);
        let listed = self.client.call(&ListAllocations::default()).await?.items;
        let mut ours: Vec<_> = listed.into_iter().filter(|allocation| is_ours(allocation, past)).collect();
        ours.sort_by_key(|allocation| allocation.remaining_amount);
        let mut events = Vec::new();
        for allocation in past.allocations.keys() {
            if !ours.iter().any(|ours| ours.allocation_id == *allocation) {
                // Its time was over.
                events.push(
                    self.write(EventKind::AllocationReleased { allocation: allocation.clone() }).await?,
                );
            }
        }
        let Some(best) = ours.pop() else {
            let SetAside { allocation, events: more } = self.set_aside(left).await?;
            events.extend(more);
            return Ok(SetAside { allocation, events });
        };
        for other in ours {
            let allocation = other.allocation_id;
            if release(self.client, &allocation).await {
                events.push(self.write(EventKind::AllocationReleased { allocation }).await?);
            }
        }
        let allocation = best.allocation_id.clone();
        if !past.allocations.contains_key(&allocation) {
            let (amount, expires) = (best.total_amount, best.timeout.unwrap_or_else(|| self.expires()));
            let kind = EventKind::AllocationCreated { allocation: allocation.clone(), amount, expires };
            // Before it is changed: by its amount and its end it would be found once more.
            events.push(self.write(kind).await?);
        }
        self.amend(&best, left).await;
        Ok(SetAside { allocation, events })
    }

    /// What was set aside is to cover what may still be spent, and to last as long as it may take.
    async fn amend(&self, allocation: &Allocation, left: Glm) {
        let total = allocation.spent_amount.checked_add(left).unwrap_or(allocation.total_amount);
        let change = AllocationChange {
            total_amount: (total != allocation.total_amount).then_some(total),
            timeout: Some(self.expires()),
            deposit: None,
        };
        let amend = AmendAllocation { allocation: allocation.allocation_id.clone(), change };
        if let Err(error) = self.client.call(&amend).await {
            // It serves as it is, as far as it goes.
            tracing::warn!(error = chain(&error), "the allocation couldn't be amended");
        }
    }

    async fn write(&self, kind: EventKind) -> Result<Event, RunError> {
        let event = Event { at: self.clock.now(), kind };
        self.journal.commit(std::slice::from_ref(&event)).await?;
        Ok(event)
    }

    /// When an allocation made now is released by itself. Runs that begin at the same moment differ by their sessions.
    fn expires(&self) -> Timestamp {
        let session = self.options.session.as_str().bytes();
        let spread = session.fold(0, |hash: u64, byte| (hash * 31 + u64::from(byte)) % SPREAD);
        let lasts =
            self.options.config.expiration + Engine::ALLOCATION_MARGIN + Duration::from_millis(spread);
        after(self.clock.now(), lasts)
    }
}

/// Was it made, or intended, by an earlier life of the run?
fn is_ours(allocation: &Allocation, past: &Past) -> bool {
    let is_meant = |intent: &AllocationIntent| {
        // Daemons may keep no more than milliseconds.
        let millis = |at: Option<Timestamp>| at.map(Timestamp::as_millisecond);
        intent.expires.is_some()
            && millis(intent.expires) == millis(allocation.timeout)
            && intent.amount == allocation.total_amount
            && intent.platform.eq_ignore_ascii_case(&allocation.payment_platform)
    };
    past.allocations.contains_key(&allocation.allocation_id) || past.allocation_intents.iter().any(is_meant)
}

/// Creates an allocation, again while the daemon itself says that it failed: then nothing was created.
async fn create(client: &Client, new: &CreateAllocation) -> Result<Allocation, ClientError> {
    let mut pause = Duration::from_millis(250);
    for _ in 0..6 {
        match client.call(new).await {
            Err(error) if error.api().is_some_and(ApiError::is_passing) => {
                tracing::debug!(%error, "creating the allocation again");
                sleep(pause).await;
                pause *= 2;
            }
            answer => return answer,
        }
    }
    client.call(new).await
}
