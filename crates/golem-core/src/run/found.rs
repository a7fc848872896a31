//! The daemon's view of the rentals of a run that is resumed.

use std::collections::BTreeMap;

use yagna_api::market::{Agreement, Reason, Terminator};
use yagna_api::{ActivityId, Timestamp};

use crate::event::{RentalId, SentScript};
use crate::tasks::AssignedTask;

/// The daemon's view of a run's rentals. One that isn't here is gone.
#[derive(Debug, Clone, Default)]
pub struct Found(pub BTreeMap<RentalId, FoundRental>);

/// The daemon's view of a rental.
#[derive(Debug, Clone)]
pub struct FoundRental {
    /// Its agreement.
    pub agreement: FoundAgreement,
    /// Its activities that aren't known to be over, those that the state doesn't know included. Also the last activity of
    /// the state, where it was given up and its end was never confirmed.
    pub activities: BTreeMap<ActivityId, FoundActivity>,
}

/// The daemon's view of an agreement.
#[derive(Debug, Clone)]
pub enum FoundAgreement {
    /// It is in force.
    Approved(Box<Agreement>),
    /// It was in force, and one side has ended it.
    Ended {
        /// The time of the end.
        at: Timestamp,
        /// The party that ended it.
        by: Terminator,
        /// The reason.
        reason: Reason,
    },
    /// It never came into force, or the daemon no longer has it.
    None,
}

/// The daemon's view of an activity.
#[derive(Debug, Clone, Default)]
pub struct FoundActivity {
    /// True if its provider says that it has ended.
    pub over: bool,
    /// True if work in it can go on: its provider answers, and nothing runs in it that wasn't recorded.
    pub sound: bool,
    /// The usage of the activity, as far as it is known.
    pub usage: Option<Vec<f64>>,
}

/// The work that a worker had done in its activity before its process died.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The scripts that set it up.
    pub setup: Vec<SentScript>,
    /// The tasks in its hands.
    pub tasks: Vec<AssignedTask>,
    /// The scripts that it had sent for them.
    pub scripts: Vec<SentScript>,
}
