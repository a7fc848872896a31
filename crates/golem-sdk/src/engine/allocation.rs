//! The money of a run: set aside once, found again where the run is resumed, set aside anew where it is lost.
//! `money.rs` keeps it meanwhile.

use std::time::Duration;

use golem_core::event::{Event, EventKind};
use golem_core::run::Input;
use golem_core::state::{AllocationIntent, RunState};
use tokio::time::sleep;
use yagna_api::payment::{
    Allocation, AllocationChange, AmendAllocation, CreateAllocation, Decoration, GetDecorations,
    ListAllocations, NewAllocation,
};
use yagna_api::time::after;
use yagna_api::{AllocationId, ApiError, Clock, Glm, Timestamp};
use yagna_client::{Client, ClientError};

use super::money::Purse;
use super::{Outside, RELEASING, release};
use crate::journal::Journal;
use crate::run::{RunError, RunOptions};
use crate::text::chain;

/// The moment that an allocation is to end at is moved by up to so many milliseconds, differently for each session.
const SPREAD: u64 = 1000;

/// The things that are needed to reserve money.
pub(super) struct Money<'a> {
    pub(super) client: &'a Client,
    pub(super) clock: &'a dyn Clock,
    pub(super) journal: &'a dyn Journal,
    pub(super) options: &'a RunOptions,
}

/// Money that is there, and what has been written down of it.
pub(super) struct SetAside {
    pub(super) allocation: AllocationId,
    /// The amount that it holds, the spent part included.
    pub(super) amount: Glm,
    /// The part of it that isn't spent.
    pub(super) left: Glm,
    pub(super) events: Vec<Event>,
}

impl Money<'_> {
    /// Sets money aside. Its intent is durable before.
    pub(super) async fn set_aside(&self, amount: Glm) -> Result<SetAside, RunError> {
        let (platform, expires) = (self.options.platform(), self.expires());
        let intended = EventKind::AllocationIntended { amount, platform: platform.clone(), expires };
        let intended = self.write(intended).await?;
        let created = create(self.client, &new(amount, platform, expires)).await.map_err(|source| {
            RunError::Allocation {
                amount,
                driver: self.options.driver.clone(),
                network: self.options.network.clone(),
                source,
            }
        })?;
        let allocation = created.allocation_id;
        let kind = EventKind::AllocationCreated { allocation: allocation.clone(), amount, expires };
        match self.write(kind).await {
            Ok(created) => Ok(SetAside { allocation, amount, left: amount, events: vec![intended, created] }),
            Err(error) => {
                release(self.client, &allocation, RELEASING).await;
                Err(error)
            }
        }
    }

    /// Finds the money of an earlier life, made or only intended; where there is none left, sets aside what may still
    /// be spent, unless it is no longer needed.
    pub(super) async fn found(&self, state: &RunState, is_needed: bool) -> Result<SetAside, RunError> {
        let left = state.left(self.options.config.budget, self.clock.now());
        // An allocation must be of something.
        let left = left.max(Glm::LEAST);
        let listed = self.client.call(&ListAllocations::default()).await?.items;
        let mut ours: Vec<_> = listed.into_iter().filter(|allocation| is_ours(allocation, state)).collect();
        ours.sort_by_key(|allocation| allocation.remaining_amount);
        let mut events = Vec::new();
        for allocation in state.allocations.keys() {
            if !ours.iter().any(|ours| ours.allocation_id == *allocation) {
                // Its time was over.
                events.push(
                    self.write(EventKind::AllocationReleased { allocation: allocation.clone() }).await?,
                );
            }
        }
        let Some(best) = ours.pop() else {
            if !is_needed {
                return Ok(SetAside {
                    allocation: Purse::nothing(),
                    amount: Glm::ZERO,
                    left: Glm::ZERO,
                    events,
                });
            }
            let mut anew = self.set_aside(left).await?;
            events.append(&mut anew.events);
            return Ok(SetAside { events, ..anew });
        };
        for other in ours {
            let allocation = other.allocation_id;
            if release(self.client, &allocation, RELEASING).await {
                events.push(self.write(EventKind::AllocationReleased { allocation }).await?);
            }
        }
        let allocation = best.allocation_id.clone();
        if !state.allocations.contains_key(&allocation) {
            let (amount, expires) = (best.total_amount, best.timeout.unwrap_or_else(|| self.expires()));
            let kind = EventKind::AllocationCreated { allocation: allocation.clone(), amount, expires };
            // Before it is changed: by its amount and its end it would be found once more.
            events.push(self.write(kind).await?);
        }
        if !is_needed {
            // It is given back at once.
            let (amount, left) = (best.total_amount, best.total_amount.saturating_sub(best.spent_amount));
            return Ok(SetAside { allocation, amount, left, events });
        }
        let amount = self.amend(&best, left).await;
        let left = amount.saturating_sub(best.spent_amount);
        Ok(SetAside { allocation, amount, left, events })
    }

    /// Changes a reservation so that it covers what may still be spent, for as long as that may take. How much it holds
    /// then.
    async fn amend(&self, allocation: &Allocation, left: Glm) -> Glm {
        let total = allocation.spent_amount.checked_add(left).unwrap_or(allocation.total_amount);
        let change = AllocationChange {
            total_amount: (total != allocation.total_amount).then_some(total),
            timeout: Some(self.expires()),
            deposit: None,
        };
        let amend = AmendAllocation { allocation: allocation.allocation_id.clone(), change };
        match self.client.call(&amend).await {
            Ok(amended) => amended.total_amount,
            Err(error) => {
                // It serves as it is, as far as it goes.
                tracing::warn!(error = chain(&error), "the allocation couldn't be amended");
                allocation.total_amount
            }
        }
    }

    async fn write(&self, kind: EventKind) -> Result<Event, RunError> {
        let event = Event { at: self.clock.now(), kind };
        self.journal.commit(std::slice::from_ref(&event)).await?;
        Ok(event)
    }

    /// The time at which an allocation made now is released by itself. Runs that begin at the same moment differ by
    /// their sessions.
    fn expires(&self) -> Timestamp {
        let session = self.options.session.as_str().bytes();
        let spread = session.fold(0, |hash: u64, byte| (hash * 31 + u64::from(byte)) % SPREAD);
        after(self.options.config.allocation_end(self.clock.now()), Duration::from_millis(spread))
    }
}

impl Outside {
    /// Makes a new allocation in place of one that is lost. Its intent is durable before.
    pub(super) async fn allocate(&self, amount: Glm, expires: Timestamp) {
        let input = match self.try_allocate(amount, expires).await {
            Ok((allocation, amount, decoration)) => {
                self.purse.set(allocation.clone(), amount);
                Input::Allocated { allocation, amount, expires, decoration: Box::new(decoration) }
            }
            Err(error) => Input::NotAllocated { problem: chain(&error) },
        };
        self.tell(input).await;
    }

    async fn try_allocate(
        &self,
        amount: Glm,
        expires: Timestamp,
    ) -> Result<(AllocationId, Glm, Decoration), ClientError> {
        let platform = self.options.platform();
        let listed = self.client.call(&ListAllocations::default()).await?.items;
        // An answer to an earlier attempt may have been lost.
        let made = listed.into_iter().find(|allocation| is_of(allocation, &platform, expires));
        let Allocation { allocation_id: allocation, total_amount, .. } = match made {
            Some(made) => made,
            None => self.client.call(&new(amount, platform, expires)).await?,
        };
        match self.client.call(&GetDecorations(vec![allocation.clone()])).await {
            Ok(decoration) => Ok((allocation, total_amount, decoration)),
            Err(error) => {
                release(&self.client, &allocation, RELEASING).await;
                Err(error)
            }
        }
    }
}

fn new(amount: Glm, platform: String, expires: Timestamp) -> CreateAllocation {
    CreateAllocation(NewAllocation {
        total_amount: amount,
        payment_platform: Some(platform.into()),
        address: None,
        timeout: Some(expires),
        make_deposit: false,
        deposit: None,
        extend_timeout: None,
    })
}

/// True if it was made, or intended, by an earlier life of the run.
fn is_ours(allocation: &Allocation, state: &RunState) -> bool {
    let is_meant = |intent: &AllocationIntent| {
        // Where one was made after several attempts, less may have been left by then.
        allocation.total_amount <= intent.amount && is_of(allocation, &intent.platform, intent.expires)
    };
    state.allocations.contains_key(&allocation.allocation_id) || state.allocation_intents.iter().any(is_meant)
}

/// True if it is on this platform and ends at exactly this time.
fn is_of(allocation: &Allocation, platform: &str, expires: Timestamp) -> bool {
    // Daemons may keep no more than milliseconds.
    allocation.timeout.is_some_and(|timeout| timeout.as_millisecond() == expires.as_millisecond())
        && platform.eq_ignore_ascii_case(&allocation.payment_platform)
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
