//! Money in this process: the part that is not in the run's state.

use std::time::Duration;

use yagna_api::{AllocationId, Glm, Timestamp};

/// The run's money in this process. It may be lost in a crash.
#[derive(Debug)]
pub(in crate::run) struct Money {
    pub(in crate::run) backing: Backing,
    /// The allocation that was made in place of a lost one: news of those before it may come late, and twice.
    pub(in crate::run) anew: Option<AllocationId>,
    /// GLM that may have been promised in all before the allocation is used up.
    pub(in crate::run) backed: Glm,
    pub(in crate::run) growth: Growth,
    /// GLM by which the allocation grows with the budget that is being raised.
    pub(in crate::run) raising: Option<Glm>,
    /// A wish for more budget that waits until the allocation has grown.
    pub(in crate::run) raise_waits: Option<Glm>,
    pub(in crate::run) paused: Option<Pause>,
    pub(in crate::run) vain: Vain,
    /// True if the budget forbade an agreement at the last look.
    pub(in crate::run) budget_blocks: bool,
    /// True if an agreement was ended for want of money, and none was raised since.
    pub(in crate::run) ended_for_money: bool,
    /// GLM that the agreement would have needed that the budget last forbade.
    pub(in crate::run) needed: Option<Glm>,
}

/// The state of the allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) enum Backing {
    /// The daemon has it.
    There,
    /// The daemon no longer has it. A new one is asked for then, unless that is being done.
    Lost {
        /// The end of the new one, as its intent says: it is recognised by that.
        expires: Timestamp,
        /// The number of times that a new one couldn't be made.
        failures: u32,
        /// The next step towards the new one.
        next: Next,
    },
}

/// The next step towards a new allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) enum Next {
    /// The daemon is asked for it at this moment.
    Ask(Timestamp),
    /// The daemon has been asked, when so much GLM was accepted in all. A bill that is accepted from then on may still have
    /// been paid from the old allocation, but the new one was measured to hold it.
    Answer { accepted: Glm },
}

impl Money {
    /// Nothing is known but that so much is set aside.
    pub(in crate::run) fn new(backed: Glm) -> Self {
        Self {
            backing: Backing::There,
            anew: None,
            backed,
            growth: Growth::default(),
            raising: None,
            raise_waits: None,
            paused: None,
            vain: Vain::default(),
            budget_blocks: false,
            ended_for_money: false,
            needed: None,
        }
    }

    /// True if anything may be begun or signed that is to be paid.
    pub(in crate::run) fn can_pay(&self) -> bool {
        self.backing == Backing::There
    }
}

/// A pause.
#[derive(Debug, Clone, Copy)]
pub(in crate::run) struct Pause {
    /// The end of the pause, as far as is known.
    pub(in crate::run) until: Timestamp,
    /// GLM that the windows are to free before.
    pub(in crate::run) missing: Glm,
    /// GLM that an agreement needed.
    pub(in crate::run) needed: Glm,
    /// The time for which nothing had run before.
    pub(in crate::run) waited: Duration,
}

/// Pauses after which no task more had its end, one after the other.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::run) struct Vain {
    pub(in crate::run) pauses: u32,
    pub(in crate::run) ended: u64,
}

/// The growth of the allocation with the windows of the budget.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::run) struct Growth {
    /// GLM by which it is being made larger at this moment.
    pub(in crate::run) under_way: Option<Glm>,
    /// The number of failures since it last went well.
    pub(in crate::run) failures: u32,
    /// Not before then.
    pub(in crate::run) again: Option<Timestamp>,
    /// GLM that something would have needed which only that forbade.
    pub(in crate::run) needed: Option<Glm>,
}
