//! The rental that an event is about.

use super::{EventKind, RentalId};

impl EventKind {
    /// The rental that an event of an agreement, an activity or a bill is about. Events of tasks are about their tasks.
    pub fn rental(&self) -> Option<RentalId> {
        match self {
            Self::AgreementIntended { rental, .. }
            | Self::AgreementCreated { rental, .. }
            | Self::AgreementApproved { rental, .. }
            | Self::AgreementFailed { rental, .. }
            | Self::AgreementEnded { rental, .. }
            | Self::ActivityIntended { rental, .. }
            | Self::ActivityCreated { rental, .. }
            | Self::ActivityReady { rental }
            | Self::ActivityEnded { rental, .. }
            | Self::BatchSent { rental, .. }
            | Self::BillAccepting { rental, .. }
            | Self::BillAccepted { rental, .. } => Some(*rental),
            Self::BillReceived { rental, .. } | Self::BillRefused { rental, .. } => *rental,
            _ => None,
        }
    }
}
