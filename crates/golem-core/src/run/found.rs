//! What the daemon says of the rentals of a run that is resumed.

use std::collections::BTreeMap;

use yagna_api::market::{Agreement, Reason, Terminator};
use yagna_api::{ActivityId, Timestamp};

use crate::event::{RentalId, SentScript};
use crate::tasks::AssignedTask;

/// What the daemon says of the rentals of a past. One that isn't here is gone.
#[derive(Debug, Clone, Default)]
pub struct Found(pub BTreeMap<RentalId, FoundRental>);

/// What the daemon says of a rental.
#[derive(Debug, Clone)]
pub struct FoundRental {
    /// Its agreement.
    pub agreement: FoundAgreement,
    /// Its activities that aren't known to be over, those that the past doesn't know included. Also the last activity of
    /// the past, where it was given up and its end was never confirmed.
    pub activities: BTreeMap<ActivityId, FoundActivity>,
}

/// What the daemon says of an agreement.
#[derive(Debug, Clone)]
pub enum FoundAgreement {
    /// It is in force.
    Approved(Box<Agreement>),
    /// It was in force, and one side has ended it.
    Ended {
        /// When.
        at: Timestamp,
        /// Who.
        by: Terminator,
        /// Why.
        reason: Reason,
    },
    /// It never came into force, or the daemon no longer has it.
    None,
}

/// What the daemon says of an activity.
#[derive(Debug, Clone, Default)]
pub struct FoundActivity {
    /// Does its provider say that it has ended?
    pub over: bool,
    /// Can it be gone on with? Its provider answers, and nothing runs in it that wasn't recorded.
    pub sound: bool,
    /// What it has used, as far as that is known.
    pub usage: Option<Vec<f64>>,
}

/// What an earlier life of a worker left in its activity.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The scripts that set it up.
    pub setup: Vec<SentScript>,
    /// The tasks in its hands.
    pub tasks: Vec<AssignedTask>,
    /// The scripts that it had sent for them.
    pub scripts: Vec<SentScript>,
}
