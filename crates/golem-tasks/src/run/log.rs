//! The log of a run: its lifecycle at level info, and every decision at level debug, each as the event that records it.

use golem_core::event::{Event, EventKind};

/// An event's text is cut after so many bytes: task data and results may be large.
const MOST_BYTES: usize = 500;

/// Logs events that are durable.
pub(super) fn log(events: &[Event]) {
    for kind in events.iter().map(|event| &event.kind) {
        if is_lifecycle(kind) {
            tracing::info!("{}", Words(kind));
        } else {
            tracing::debug!("{}", Words(kind));
        }
    }
}

fn is_lifecycle(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::AllocationCreated { .. }
            | EventKind::AllocationReleased { .. }
            | EventKind::DemandPublished { .. }
            | EventKind::DemandEnded { .. }
            | EventKind::AgreementApproved { .. }
            | EventKind::AgreementFailed { .. }
            | EventKind::AgreementEnded { .. }
            | EventKind::ActivityReady { .. }
            | EventKind::ActivityEnded { .. }
            | EventKind::ProviderSetBack { .. }
            | EventKind::JobAdded { .. }
            | EventKind::JobEnded { .. }
            | EventKind::BudgetRaised { .. }
            | EventKind::Paused { .. }
            | EventKind::PauseEnded
            | EventKind::RunResumed { .. }
            | EventKind::Stopping { .. }
            | EventKind::RunEnded { .. }
    )
}

/// The fields of an event as JSON, cut where they are long.
struct Words<'e>(&'e EventKind);

impl std::fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = serde_json::to_string(self.0).map_err(|_| std::fmt::Error)?;
        if text.len() > MOST_BYTES {
            text.truncate(text.floor_char_boundary(MOST_BYTES));
            text.push('…');
        }
        f.write_str(&text)
    }
}
