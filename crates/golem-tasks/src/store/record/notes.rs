//! Notes: what happened and has no row of its own in another table, kept to explain a run afterwards.

use golem_core::event::{Event, EventKind, Provider};
use sqlx::SqliteConnection;

use super::super::bulk::bulk;
use super::{json, micros};

/// An event worth remembering.
pub(super) struct Note<'e> {
    event: &'e Event,
    kind: &'static str,
    provider: Option<&'e Provider>,
    text: &'e str,
}

impl<'e> Note<'e> {
    /// The note to take of an event, if one is to be taken.
    pub(super) fn of(event: &'e Event) -> Option<Self> {
        let (kind, provider, text) = match &event.kind {
            EventKind::Trouble { problem, .. } => ("trouble", None, problem.as_str()),
            EventKind::OfferRefused { provider, reason } => {
                ("offer_refused", Some(provider), reason.as_str())
            }
            EventKind::RefusedByProvider { provider, reason } => {
                let text = reason.as_ref().map_or("", |reason| reason.message.as_str());
                ("refused_by_provider", Some(provider), text)
            }
            EventKind::ProviderSetBack { provider, reason, .. } => {
                ("provider_set_back", Some(provider), reason.as_str())
            }
            EventKind::AllocationLost { allocation } => ("allocation_lost", None, allocation.as_str()),
            EventKind::BudgetIntended { .. } => ("budget_intended", None, ""),
            EventKind::BudgetRaised { .. } => ("budget_raised", None, ""),
            EventKind::BudgetNotRaised { reason, .. } => ("budget_not_raised", None, reason.as_str()),
            EventKind::Stopping { .. } => ("stopping", None, ""),
            _ => return None,
        };
        Some(Self { event, kind, provider, text })
    }
}

pub(super) async fn write(
    connection: &mut SqliteConnection,
    run_no: i64,
    notes: &[Note<'_>],
) -> Result<(), sqlx::Error> {
    let rows = notes
        .iter()
        .map(|note| Ok((note, json(&note.event.kind)?)))
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    bulk(
        connection,
        "INSERT INTO note (run_no, at, kind, provider_id, provider_name, text, body) ",
        &rows,
        |(note, body), columns| {
            columns.push_bind(run_no);
            columns.push_bind(micros(note.event.at));
            columns.push_bind(note.kind);
            columns.push_bind(note.provider.map(|provider| provider.id.as_str()));
            columns.push_bind(note.provider.map(|provider| provider.name.as_str()));
            columns.push_bind(note.text);
            columns.push_bind(body);
        },
        "",
    )
    .await?;
    Ok(())
}
