//! The random settings of the simulated market: the rates of faults, and the jobs.

use std::sync::Arc;

use proptest::prelude::*;

use crate::caps::{PriceCaps, Refusal};
use crate::run::{OnBudget, RunConfig};
use crate::strategy::{self, Candidate, LeastExpensive, ProviderList, Score, Strategy as _, from_fn};

/// How often each thing goes wrong, from 0 (never) to 1 (always).
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    pub(super) dear: f64,
    pub(super) absent: f64,
    pub(super) malformed: f64,
    pub(super) refuses: f64,
    /// Drafts that give less time than was asked for.
    pub(super) haggles: f64,
    pub(super) never_approves: f64,
    /// So many providers, the cheapest, never approve.
    pub(super) silent: u8,
    /// Approvals that take up to a minute.
    pub(super) dawdles: f64,
    pub(super) never_opens: f64,
    /// All but the first activity never open.
    pub(super) opens_once: bool,
    pub(super) vanishes: f64,
    /// Whoever vanishes in a task never sends a bill.
    pub(super) dies: bool,
    pub(super) fails: f64,
    /// Of each failed task: that its worker ends with it.
    pub(super) errs: f64,
    /// Of each activity that never opens: that this is our own fault.
    pub(super) invalid: f64,
    pub(super) terminates: f64,
    pub(super) overbills: f64,
    /// Debit notes that are to be paid on the way, which isn't agreed.
    pub(super) rushes: f64,
    /// Every last debit note and every invoice asks for a little more than is owed, and the invoice comes first.
    pub(super) pads_the_end: bool,
    pub(super) never_invoices: f64,
    pub(super) daemon: f64,
    /// Of each bill: that the allocation is gone when it is to be accepted.
    pub(super) loses_money: f64,
    pub(super) repeats: f64,
    /// Agreements that take a single activity.
    pub(super) single: f64,
    /// Activities that can't be ended while their agreement goes on.
    pub(super) clings: f64,
    pub(super) poisoned: Option<u64>,
    /// The result of this task ends the run.
    pub(super) ends_with: Option<u64>,
    /// Each task takes ten minutes longer.
    pub(super) slow: bool,
}

impl Faults {
    pub(super) fn none() -> Self {
        Self::default()
    }

    pub(super) fn any() -> impl Strategy<Value = Self> {
        let chance = || prop_oneof![3 => Just(0.0), 2 => 0.0..0.5, 1 => 0.5..1.0];
        prop::collection::vec(chance(), 21).prop_map(|p| Self {
            dear: p[0],
            absent: p[1],
            malformed: p[2],
            refuses: p[3],
            never_approves: p[4],
            vanishes: p[5] * 0.3,
            fails: p[6],
            terminates: p[7] * 0.3,
            overbills: p[8],
            never_invoices: p[9],
            daemon: p[10] * 0.5,
            repeats: p[11],
            never_opens: p[12] * 0.5,
            single: p[13],
            clings: p[14] * 0.5,
            haggles: p[15],
            rushes: p[16] * 0.3,
            loses_money: p[17] * 0.5,
            dawdles: p[18],
            errs: p[19],
            invalid: p[20],
            poisoned: None,
            ends_with: None,
            slow: false,
            opens_once: false,
            silent: 0,
            dies: false,
            pads_the_end: false,
        })
    }
}

/// How much the run may spend, and what it does once it has.
#[derive(Debug, Clone)]
pub(super) struct Spending {
    budget: String,
    pauses: bool,
}

impl Spending {
    const AMPLE: &str = "1";

    pub(super) fn any() -> impl Strategy<Value = Self> {
        let amount = || (5u32..200).prop_map(|milli| f64::from(milli) / 1000.0);
        let budget = prop_oneof![
            3 => Just(Self::AMPLE.to_owned()),
            3 => amount().prop_map(|hour| format!("{hour}/h")),
            2 => (amount(), amount()).prop_map(|(total, hour)| format!("{total},{hour}/h")),
            1 => (amount(), amount()).prop_map(|(hour, day)| format!("{hour}/h,{day}/d")),
        ];
        (budget, any::<bool>()).prop_map(|(budget, pauses)| Self { budget, pauses })
    }

    pub(super) fn is_ample(&self) -> bool {
        self.budget == Self::AMPLE
    }

    pub(super) fn set(&self, config: &mut RunConfig) {
        config.budget = self.budget.parse().unwrap();
        config.on_budget = if self.pauses { OnBudget::Pause } else { OnBudget::Stop };
    }
}

/// Which offers the run likes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Taste {
    Usual,
    Incautious,
    /// The dearest first, some not at all.
    Contrary,
    /// Another opinion every few seconds.
    Fickle,
    /// Whoever has done nothing yet.
    Strangers,
    Nobody,
}

impl Taste {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            4 => Just(Self::Usual),
            1 => Just(Self::Incautious),
            2 => Just(Self::Contrary),
            4 => Just(Self::Fickle),
            2 => Just(Self::Strangers),
            1 => Just(Self::Nobody),
        ]
    }

    pub(super) fn strategy(self) -> Arc<dyn strategy::Strategy> {
        let capped = LeastExpensive::new(PriceCaps::none().per_hour_at_most("2".parse().unwrap()));
        match self {
            Self::Usual => Arc::new(capped.cautious()),
            Self::Incautious => Arc::new(capped),
            Self::Contrary => {
                Arc::new(capped.rescaled(|_, score| -score).except(["provider-2", "provider-4"]).cautious())
            }
            Self::Fickle => Arc::new(from_fn(fickle)),
            Self::Strangers => {
                Arc::new(capped.refuse_if("it has done enough", |candidate| candidate.record.tasks_done > 2))
            }
            Self::Nobody => Arc::new(capped.only(ProviderList::new())),
        }
    }
}

fn fickle(candidate: &Candidate<'_>) -> Result<Score, Refusal> {
    let moment =
        u64::from(candidate.id().as_str().as_bytes()[41]) + candidate.now.as_second().unsigned_abs() / 7;
    match moment.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60 {
        0..4 => Err(Refusal::because("not now")),
        4 => Score::new(f64::NAN),
        opinion => Score::new(f64::from(u8::try_from(opinion).unwrap()) - 8.0),
    }
}

/// A job to be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Plan {
    /// When it is added, in seconds.
    pub(super) at: u32,
    pub(super) tasks: usize,
    /// Further tasks that come of its results, at most.
    pub(super) spawns: usize,
    pub(super) retries: Option<u32>,
    /// Seconds after it was added.
    pub(super) deadline: Option<u32>,
    /// Seconds after it was added.
    pub(super) cancelled: Option<u32>,
}

impl Plan {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        let seconds = || prop::option::weighted(0.3, 0u32..400);
        (0u32..200, 0usize..40, 0usize..10, prop::option::of(0u32..4), seconds(), seconds()).prop_map(
            |(at, tasks, spawns, retries, deadline, cancelled)| Self {
                at,
                tasks,
                spawns,
                retries,
                deadline,
                cancelled,
            },
        )
    }
}
