//! Keeps the money behind the run: prolongs the allocation, adds to it, sees when it is lost. `allocation.rs` makes it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use golem_core::run::Input;
use tokio::sync::oneshot;
use tokio::time::sleep;
use yagna_api::payment::{Allocation, AllocationChange, AmendAllocation, GetAllocation};
use yagna_api::{AllocationId, Glm};
use yagna_client::{ClientError, Disposition};

use super::{Engine, Outside};
use crate::budget::BudgetError;
use crate::jobs::Raise;
use crate::text::chain;

/// The interval at which the run checks that the daemon still has the allocation.
const LOOK: Duration = Duration::from_secs(60);

/// The number of checks between two times that its end is moved ahead: once an hour, often enough that a dozen failures
/// in a row do no harm.
const LOOKS: u32 = 60;

/// The allocation that is paid from, and how much it holds.
#[derive(Debug)]
pub(crate) struct Purse(Mutex<(AllocationId, Glm)>);

impl Purse {
    pub(crate) fn new(allocation: AllocationId, amount: Glm) -> Self {
        Self(Mutex::new((allocation, amount)))
    }

    /// The id that stands for an allocation where none is needed.
    pub(super) fn nothing() -> AllocationId {
        AllocationId::new("")
    }

    /// True if there is no allocation, for none is needed.
    pub(super) fn has_nothing(&self) -> bool {
        self.lock().0 == Self::nothing()
    }

    /// The allocation, as it is now.
    pub(crate) fn allocation(&self) -> AllocationId {
        self.lock().0.clone()
    }

    fn get(&self) -> (AllocationId, Glm) {
        self.lock().clone()
    }

    pub(super) fn set(&self, allocation: AllocationId, amount: Glm) {
        *self.lock() = (allocation, amount);
    }

    fn lock(&self) -> MutexGuard<'_, (AllocationId, Glm)> {
        // Nothing is done under the lock that could leave it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Takes a wish for more budget. One is granted at a time, in their order: each adds to what the last one left.
    pub(super) fn want_budget(&mut self, raise: Raise) {
        self.raises.push_back(raise);
        if self.raises.len() == 1 {
            self.next_raise();
        }
    }

    /// The wish that was under way has its answer.
    pub(super) fn raise_is_over(&mut self) {
        self.raises.pop_front();
        self.next_raise();
    }

    /// Asks for what is wanted next; what can't be asked for is answered at once.
    fn next_raise(&mut self) {
        while let Some(raise) = self.raises.front() {
            let amount = raise.amount;
            match self.core.raised_by(amount) {
                Ok(budget) if amount.is_zero() => self.answer_raise(Ok(budget)),
                Ok(_) => return self.decide(Input::RaiseBudget { amount }),
                Err(why) => self.answer_raise(Err(why.into())),
            }
        }
    }

    fn answer_raise(&mut self, answer: Result<Glm, BudgetError>) {
        if let Some(raise) = self.raises.pop_front() {
            raise.answer.send(answer).ok();
        }
    }

    /// Takes the caller that waits for the present request; the request keeps its place until it is over.
    pub(super) fn take_answer(&mut self) -> oneshot::Sender<Result<Glm, BudgetError>> {
        let (nobody, _) = oneshot::channel();
        match self.raises.front_mut() {
            Some(raise) => std::mem::replace(&mut raise.answer, nobody),
            None => nobody,
        }
    }
}

impl Outside {
    /// Moves the allocation's end ahead of the run, and looks whether the daemon still has it, for as long as the run
    /// lasts.
    pub(super) async fn keep_allocation(&self) {
        let mut looks = 0;
        loop {
            sleep(LOOK).await;
            if self.purse.has_nothing() {
                continue;
            }
            looks = (looks + 1) % LOOKS;
            let (allocation, _) = self.purse.get();
            let gone = if looks == 0 {
                self.prolong(&allocation).await
            } else {
                self.client.call(&GetAllocation(allocation.clone())).await.map(drop)
            };
            match gone {
                Err(error) if error.is_not_found() || error.is_gone() => {
                    self.tell(Input::AllocationLost { allocation }).await;
                }
                // There are many more attempts before it ends.
                Err(error) if looks == 0 => {
                    tracing::warn!(error = chain(&error), "the allocation couldn't be prolonged just now");
                }
                _ => {}
            }
        }
    }

    async fn prolong(&self, allocation: &AllocationId) -> Result<(), ClientError> {
        let expires = self.options.config.allocation_end(self.clock.now());
        let change = AllocationChange { timeout: Some(expires), ..AllocationChange::default() };
        self.client.call(&AmendAllocation { allocation: allocation.clone(), change }).await?;
        self.tell(Input::AllocationProlonged { allocation: allocation.clone(), expires }).await;
        Ok(())
    }

    /// Adds to the allocation, and answers whoever wanted it once the run knows.
    pub(super) async fn raise_budget(
        &self,
        by: Glm,
        budget: Glm,
        answer: oneshot::Sender<Result<Glm, BudgetError>>,
    ) {
        let raised = self.add_to_allocation(by).await;
        if let Err(BudgetError::AllocationLost) = raised {
            self.tell(Input::AllocationLost { allocation: self.purse.allocation() }).await;
        }
        let input = match &raised {
            Ok(()) => Input::BudgetRaised { budget },
            Err(error) => Input::BudgetNotRaised { budget, reason: chain(error) },
        };
        self.tell(input).await;
        answer.send(raised.map(|()| budget)).ok();
    }

    /// Sets more aside, as the windows of the budget allow. The core sees to it that nothing else changes the allocation
    /// meanwhile.
    pub(super) async fn grow_allocation(&self, by: Glm) {
        let input = match self.add_to_allocation(by).await {
            Ok(()) => {
                let (allocation, amount) = self.purse.get();
                Input::AllocationGrown { allocation, amount }
            }
            Err(error) => {
                if matches!(error, BudgetError::AllocationLost) {
                    self.tell(Input::AllocationLost { allocation: self.purse.allocation() }).await;
                }
                Input::AllocationNotGrown { problem: chain(&error) }
            }
        };
        self.tell(input).await;
    }

    async fn add_to_allocation(&self, by: Glm) -> Result<(), BudgetError> {
        let (allocation, amount) = self.purse.get();
        if by.is_zero() {
            return Ok(());
        }
        let total = amount.checked_add(by).ok_or(BudgetError::TooMuch)?;
        let change = AllocationChange { total_amount: Some(total), ..AllocationChange::default() };
        let amend = AmendAllocation { allocation: allocation.clone(), change };
        if let Err(error) = self.client.call(&amend).await {
            let unsure = error.disposition() == Disposition::Retry;
            // An answer that was lost may have been a yes.
            let done = unsure && self.holds(&allocation, total).await;
            if !done {
                return Err(BudgetError::refused(by, error));
            }
        }
        self.purse.set(allocation, total);
        Ok(())
    }

    async fn holds(&self, allocation: &AllocationId, total: Glm) -> bool {
        let known = self.client.call(&GetAllocation(allocation.clone())).await;
        known.is_ok_and(|allocation: Allocation| allocation.total_amount >= total)
    }

    /// True if a refusal means that the daemon no longer has the allocation.
    pub(super) async fn is_allocation_lost(&self, error: &ClientError, allocation: &AllocationId) -> bool {
        let refused = error.api().is_some_and(|api| matches!(api.status, 400 | 404 | 410));
        refused
            && self
                .client
                .call(&GetAllocation(allocation.clone()))
                .await
                .is_err_and(|error| error.is_not_found() || error.is_gone())
    }
}
