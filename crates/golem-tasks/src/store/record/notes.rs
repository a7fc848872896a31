//! Notes: what happened and has no row of its own in another table, kept to explain a run afterwards.

use golem_core::event::{Event, EventKind, Provider};
use yagna_api::Timestamp;

use super::to_json;
use crate::store::database::{Transaction, Value};

/// An event worth remembering.
pub(super) struct Note<'e> {
    event: &'e Event,
    provider: Option<&'e Provider>,
    until: Option<Timestamp>,
    text: &'e str,
}

impl<'e> Note<'e> {
    /// The note to take of an event, if one is to be taken.
    pub(super) fn of(event: &'e Event) -> Option<Self> {
        let (provider, until, text) = match &event.kind {
            EventKind::Trouble { problem, .. } => (None, None, problem.as_str()),
            EventKind::OfferRefused { provider, reason, .. } => (Some(provider), None, reason.as_str()),
            EventKind::RefusedByProvider { provider, reason } => {
                let text = reason.as_ref().map_or("", |reason| reason.message.as_str());
                (Some(provider), None, text)
            }
            EventKind::ProviderSetBack { provider, until, reason } => {
                (Some(provider), Some(*until), reason.as_str())
            }
            EventKind::Paused { until, .. } => (None, Some(*until), ""),
            EventKind::PauseEnded => (None, None, ""),
            EventKind::Recovered { what } => (None, None, what.as_str()),
            EventKind::AllocationLost { allocation } => (None, None, allocation.as_str()),
            EventKind::BudgetIntended { .. }
            | EventKind::BudgetRaised { .. }
            | EventKind::RunResumed { .. } => (None, None, ""),
            EventKind::BudgetNotRaised { reason, .. } => (None, None, reason.as_str()),
            _ => return None,
        };
        Some(Self { event, provider, until, text })
    }
}

pub(super) async fn write(
    transaction: &mut Transaction,
    run_no: i64,
    notes: &[Note<'_>],
) -> Result<(), sqlx::Error> {
    let rows = notes
        .iter()
        .map(|note| {
            Ok(vec![
                Value::int(run_no),
                Value::time(note.event.at),
                Value::text(note.event.kind.name()),
                Value::text(note.provider.map(|provider| provider.id.as_str())),
                Value::text(note.provider.map(|provider| provider.name.as_str())),
                Value::time(note.until),
                Value::text(note.text),
                Value::json(to_json(&note.event.kind)?),
            ])
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    transaction
        .bulk(
            "INSERT INTO notes (run_no, at, kind, provider_id, provider_name, until_at, text, body) \
             SELECT column1, column2, column3, column4, column5, column6, column7, column8 FROM {rows}",
            &rows,
        )
        .await?;
    Ok(())
}
