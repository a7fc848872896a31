//! The reports of an agreement's task to its daemon.

use serde_json::json;

use super::*;
use crate::exe_unit::testing::{FakePort, TestClock};
use crate::news::{NewsDesk, Reporter};
use crate::port::Port as _;
use crate::provider::config::ProviderConfig;
use crate::provider::manners::Manners;
use crate::provider::saboteur::Saboteur;
use crate::runtime::ScriptedRuntime;

fn agreement() -> Agreement {
    let node = "0x1111111111111111111111111111111111111111";
    serde_json::from_value(json!({
        "agreementId": "a",
        "demand": {
            "properties": {"golem.srv.caps.multi-activity": true}, "constraints": "()", "demandId": "d",
            "requestorId": node, "timestamp": "2026-01-01T00:00:00Z",
        },
        "offer": {
            "properties": {}, "constraints": "()", "offerId": "o", "providerId": node,
            "timestamp": "2026-01-01T00:00:00Z",
        },
        "validTo": "2026-01-02T00:00:00Z",
        "state": "Approved",
        "timestamp": "2026-01-01T00:00:00Z",
    }))
    .unwrap()
}

fn rental(port: &Arc<FakePort>) -> Rental {
    let config = Arc::new(ProviderConfig::new("p"));
    let clock: Arc<TestClock> = Arc::default();
    let manners = Manners::new(config.behaviour.clone());
    let news = Reporter::new(NewsDesk::new(), clock.clone(), &config.name, port.node());
    let runtime = Saboteur::new(Arc::new(ScriptedRuntime::new()), manners.clone(), news.clone());
    let shared = Shared::new(config, port.clone(), clock, manners, runtime, news);
    Rental::new(Arc::new(shared), &agreement())
}

fn destroy(activity: &str) -> RentalInput {
    RentalInput::Activity(ActivityEvent {
        event_date: Timestamp::UNIX_EPOCH,
        activity: ActivityId::new(activity),
        agreement: AgreementId::new("a"),
        kind: ActivityEventKind::Destroy,
    })
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_activity_is_told_again_to_a_daemon_that_missed_it() {
    let port = Arc::new(FakePort::default());
    let mut rental = rental(&port);
    rental.create(ActivityId::new("x")).await;
    assert_eq!(rental.on_input(destroy("x")).await, None);
    let states = || port.states.lock().unwrap().iter().map(|state| state.state).collect::<Vec<_>>();
    let before = states();
    let terminated = StatePair(State::Terminated, None);
    assert_eq!(before.last(), Some(&terminated));
    assert_eq!(rental.on_input(destroy("x")).await, None);
    assert_eq!(states(), [&before[..], &[terminated]].concat());
}
