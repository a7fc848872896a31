//! Providers that a run asked for by name or id and that aren't on the market: that is said, rather than waited for.

use std::time::Duration;

use golem_core::event::{Event, EventKind, Provider};
use golem_sdk::strategy::ProviderList;
use yagna_api::Timestamp;
use yagna_api::time::between;

/// The time that offers may take to come before somebody is missed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Those that are wanted, or not wanted, and weren't seen yet.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    missing: Vec<String>,
    /// The time at which offers were first asked for.
    asked: Option<Timestamp>,
}

impl Wanted {
    /// Looks for these.
    pub(super) fn new(providers: impl IntoIterator<Item = String>) -> Self {
        Self { missing: providers.into_iter().collect(), asked: None }
    }

    /// Takes note of who is there.
    pub(super) fn on(&mut self, events: &[Event]) {
        if self.missing.is_empty() {
            return;
        }
        for event in events {
            match &event.kind {
                EventKind::DemandPublished { .. } => self.asked = self.asked.or(Some(event.at)),
                EventKind::OfferReceived { provider, .. }
                | EventKind::OfferRefused { provider, .. }
                | EventKind::AgreementIntended { provider, .. } => self.saw(provider),
                _ => {}
            }
        }
    }

    /// The message that is due now, once.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<String> {
        let asked = self.asked.filter(|asked| between(*asked, now) >= PATIENCE)?;
        if self.missing.is_empty() {
            return None;
        }
        let missing = std::mem::take(&mut self.missing).join("`, `");
        let waited = between(asked, now).as_secs();
        Some(format!(
            "no offer of `{missing}` has come within {waited} s: not on this subnet and network, or asleep"
        ))
    }

    fn saw(&mut self, provider: &Provider) {
        self.missing.retain(|wanted| !ProviderList::from([wanted]).lists(&provider.id, &provider.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: u32, kind: EventKind) -> Event {
        Event { at: at(second), kind }
    }

    fn at(second: u32) -> Timestamp {
        format!("2026-11-21T12:00:{second:02}Z").parse().unwrap()
    }

    #[test]
    fn who_isnt_on_the_market_is_said_once_and_soon() {
        let id = format!("0x{:040x}", 0xabcd);
        let provider = Provider { id: id.parse().unwrap(), name: "ada".to_owned() };
        let mut wanted =
            Wanted::new(["ada".to_owned(), "0x0000".to_owned(), "bob".to_owned(), "0xff".to_owned()]);
        assert_eq!(wanted.due(at(30)), None, "nobody was asked yet");
        let demand = yagna_api::DemandId::new("d");
        wanted.on(&[event(1, EventKind::DemandPublished { demand, expires: at(59) })]);
        let refused = EventKind::OfferRefused {
            provider,
            reason: "too dear".to_owned(),
            group: String::new(),
            above: None,
        };
        wanted.on(&[event(2, refused)]);
        assert_eq!(wanted.due(at(5)), None);
        let said = wanted.due(at(6)).unwrap();
        assert!(said.starts_with("no offer of `bob`, `0xff` has come within 5 s"), "{said}");
        assert_eq!(wanted.due(at(20)), None);
    }
}
