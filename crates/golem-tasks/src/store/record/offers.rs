//! Offers: the newest word on each provider that a run has seen, one row for each however often its offer comes.

use std::collections::BTreeMap;

use golem_core::event::{Event, EventKind, Provider};
use golem_core::raise::AboveCap;
use yagna_api::{Glm, NodeId, Timestamp};

use super::to_json;
use crate::store::database::{Transaction, Value};

/// What a commit says of offers, by provider.
#[derive(Debug, Default)]
pub(super) struct Pending<'e> {
    offers: BTreeMap<&'e NodeId, Offer<'e>>,
}

/// The newest word on one provider.
#[derive(Debug)]
struct Offer<'e> {
    name: &'e str,
    status: &'static str,
    reason: Option<&'e str>,
    above: Option<&'e AboveCap>,
    prices: Option<(Glm, Glm)>,
    agreed: Option<Timestamp>,
    seen: Timestamp,
}

impl<'e> Pending<'e> {
    /// Takes in what an event says of an offer, if it is about one.
    pub(super) fn add(&mut self, event: &'e Event) {
        match &event.kind {
            EventKind::OfferReceived { provider, per_hour, start } => {
                self.offer(provider, "asked", event.at).prices = Some((*per_hour, *start));
            }
            EventKind::OfferRefused { provider, reason, group, above } => {
                let offer = self.offer(provider, "unfit", event.at);
                offer.reason = Some(if group.is_empty() { reason } else { group });
                offer.above = above.as_ref();
            }
            EventKind::RefusedByProvider { provider, reason } => {
                let reason = reason.as_ref().map(|reason| reason.message.as_str());
                self.offer(provider, "refused", event.at).reason =
                    Some(reason.filter(|reason| !reason.is_empty()).unwrap_or("no reason given"));
            }
            EventKind::TermsAgreed { provider } => {
                self.offer(provider, "agreed", event.at).agreed.get_or_insert(event.at);
            }
            _ => {}
        }
    }

    /// The row of a provider, with a new status.
    fn offer(&mut self, provider: &'e Provider, status: &'static str, at: Timestamp) -> &mut Offer<'e> {
        let name = provider.name.as_str();
        let empty = Offer { name, status, reason: None, above: None, prices: None, agreed: None, seen: at };
        let offer = self.offers.entry(&provider.id).or_insert(empty);
        (offer.name, offer.status, offer.reason, offer.above, offer.seen) = (name, status, None, None, at);
        offer
    }

    /// Writes the rows.
    pub(super) async fn write(&self, transaction: &mut Transaction, run_no: i64) -> Result<(), sqlx::Error> {
        let rows = self.offers.iter().map(|(id, offer)| {
            Ok(vec![
                Value::int(run_no),
                Value::text(id.as_str()),
                Value::text(offer.name),
                Value::text(offer.status),
                Value::text(offer.reason),
                Value::json(offer.above.map(to_json).transpose()?),
                Value::Money(offer.prices.map(|(per_hour, _)| per_hour)),
                Value::Money(offer.prices.map(|(_, start)| start)),
                Value::time(offer.agreed),
                Value::time(offer.seen),
            ])
        });
        let rows = rows.collect::<Result<Vec<_>, sqlx::Error>>()?;
        transaction
            .bulk(
                "INSERT INTO offers (run_no, provider_id, provider_name, status, reason, above, per_hour, start_price, \
                 agreed_at, seen_at) SELECT column1, column2, column3, column4, column5, column6, column7, column8, \
                 column9, column10 FROM {rows} WHERE true ON CONFLICT (run_no, provider_id) DO UPDATE SET \
                 provider_name = excluded.provider_name, status = excluded.status, reason = excluded.reason, \
                 above = excluded.above, per_hour = coalesce(excluded.per_hour, offers.per_hour), \
                 start_price = coalesce(excluded.start_price, offers.start_price), \
                 agreed_at = coalesce(offers.agreed_at, excluded.agreed_at), seen_at = excluded.seen_at",
                &rows,
            )
            .await?;
        Ok(())
    }
}
