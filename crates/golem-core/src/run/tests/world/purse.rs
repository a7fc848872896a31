//! The world's money: what is set aside, lost and raised.

use std::time::Duration;

use yagna_api::payment::Decoration;
use yagna_api::properties::name;
use yagna_api::time::after;
use yagna_api::{AllocationId, Glm, Properties};

use super::World;
use crate::run::Input;

impl World {
    /// Somebody releases the allocation, and the run learns of it.
    pub(in crate::run::tests) fn lose_allocation(&mut self) {
        if let Some(allocation) = self.allocation.take() {
            self.give(Input::AllocationLost { allocation });
        }
    }

    /// GLM that the run may spend.
    pub(in crate::run::tests) fn budget(&self) -> Glm {
        self.run.budget()
    }

    pub(in crate::run::tests) fn raise_budget(&mut self, amount: Glm) {
        self.give(Input::RaiseBudget { amount });
    }

    pub(super) fn allocate(&mut self, amount: Glm) {
        let left = self.budget.saturating_sub(self.run.accepted());
        assert!(amount <= left, "{amount} GLM set aside where {left} is left");
        assert!(self.allocation.is_none(), "two allocations");
        if self.roll(self.faults.daemon) {
            return self.soon(Input::NotAllocated { problem: "500".into() });
        }
        let allocation = AllocationId::new(format!("allocation-{}", self.n_allocations));
        self.n_allocations += 1;
        self.allocation = Some(allocation.clone());
        let decoration = Box::new(Self::decoration());
        let expires = after(self.now, Duration::from_secs(3600));
        self.soon(Input::Allocated { allocation, amount, expires, decoration });
    }

    pub(super) fn decoration() -> Decoration {
        Decoration {
            properties: Properties::new().with(name::platform_address(Self::PLATFORM), "0x1"),
            constraints: vec![format!("({}=*)", name::platform_address(Self::PLATFORM))],
        }
    }
}
