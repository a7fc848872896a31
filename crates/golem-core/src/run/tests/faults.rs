//! What is rolled for the simulated market: how much goes wrong, and which jobs there are.

use proptest::prelude::*;

/// How often each thing goes wrong, from 0 (never) to 1 (always).
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    pub(super) dear: f64,
    pub(super) absent: f64,
    pub(super) malformed: f64,
    pub(super) refuses: f64,
    pub(super) never_approves: f64,
    pub(super) never_opens: f64,
    pub(super) vanishes: f64,
    pub(super) fails: f64,
    pub(super) terminates: f64,
    pub(super) overbills: f64,
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
}

impl Faults {
    pub(super) fn none() -> Self {
        Self::default()
    }

    pub(super) fn any() -> impl Strategy<Value = Self> {
        let chance = || prop_oneof![3 => Just(0.0), 2 => 0.0..0.5, 1 => 0.5..1.0];
        prop::collection::vec(chance(), 16).prop_map(|p| Self {
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
            loses_money: p[15] * 0.5,
            poisoned: None,
            pads_the_end: false,
        })
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
