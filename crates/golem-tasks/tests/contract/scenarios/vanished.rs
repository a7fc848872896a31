//! Providers that lose their power: what their daemon, which goes on, tells a requestor of their activities over time.

use std::time::Duration;

use golem_devnet::provider::ProviderConfig;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use yagna_api::market::{Approval, TerminateAgreement};
use yagna_api::{ActivityId, AgreementId, DemandId};

use crate::hand::{Hand, Reply};
use crate::rental::{Terms, agree, create, decision, destroy, draft, exec, leave, propose, ready, shell};
use crate::stage::{Scene, Stage};

const BASE: &str = "/activity-api/v1/activity";
/// Twice as long as the monitor's longest patience, and some more for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// It dies in the middle of a command. Who waits for results waits in vain, who comes later is refused; the state is
/// what it was, until the exe-unit's silence has lasted too long.
pub(super) async fn a_dead_providers_activity_falls_silent(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let activity = ready(hand, &agreement).await;
    let batch = exec(hand, &activity, vec![shell("sleep 60")]).await;
    until(hand, &activity, &json!(["Ready", "Ready"])).await;
    let results = format!("{BASE}/{activity}/exec/{batch}");
    let (last, begun) = (format!("{results}?timeout=3&commandIndex=0"), Instant::now());
    let cut = async {
        sleep(Duration::from_millis(500)).await;
        stage.provider("solo").kill();
        hand.get(&format!("{BASE}/{activity}/state")).await
    };
    let (waited_for, state) = tokio::join!(hand.get(&last), cut);
    assert!(begun.elapsed() >= Duration::from_millis(3900), "a second more than was asked for");
    stage.look("results that were waited for", &waited_for);
    stage.look("state at its death", &state);
    stage.look("results after it", &hand.get(&last).await);
    stage.look("state at last", &until(hand, &activity, &json!(["Unresponsive", "Ready"])).await);
    stage.look("destroy", &hand.delete(&format!("{BASE}/{activity}?timeout=1")).await);
    stage.look("state after that", &hand.get(&format!("{BASE}/{activity}/state")).await);
    stage.look("activities", &hand.get(&format!("{BASE}?agreementId={agreement}")).await);
    leave(hand, &demand, &agreement).await;
    stage.look("state after the agreement", &hand.get(&format!("{BASE}/{activity}/state")).await);
    stage.close().await;
}

/// An idle activity is looked after as well.
pub(super) async fn an_idle_activity_falls_silent(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let activity = create(hand, &agreement).await;
    stage.provider("solo").kill();
    stage.look("state", &until(hand, &activity, &json!(["Unresponsive", null])).await);
    leave(hand, &demand, &agreement).await;
    stage.close().await;
}

/// The agent comes back with no memory of what was: the old activity is lost, new rentals are made.
pub(super) async fn a_provider_that_comes_back_knows_nothing(scene: Scene) {
    let (stage, demand, agreement) = hire(scene).await;
    let hand = &stage.hand;
    let provider = stage.provider("solo");
    let activity = ready(hand, &agreement).await;
    provider.kill();
    until(hand, &activity, &json!(["Unresponsive", null])).await;
    provider.restart();
    provider.published().await;
    stage.look("exec", &hand.post(&format!("{BASE}/{activity}/exec"), &json!({"text": "[]"})).await);
    stage.look("destroy", &hand.delete(&format!("{BASE}/{activity}?timeout=1")).await);
    stage.look("create", &hand.post(&format!("{BASE}?timeout=1"), &json!(agreement)).await);
    stage.look("state", &hand.get(&format!("{BASE}/{activity}/state")).await);
    // Its new offer is one for the old demand, too.
    let draft = draft(hand, &demand, &Terms::usual(&stage)).await;
    let second = propose(hand, &draft.proposal_id).await;
    assert_eq!(decision(hand, &second).await, Approval::Approved);
    let activity = create(hand, &second).await;
    stage.look("a new one", &hand.get(&format!("{BASE}/{activity}/state")).await);
    destroy(hand, &activity).await;
    leave(hand, &demand, &agreement).await;
    hand.call(&TerminateAgreement { agreement: second, reason: None }).await;
    stage.close().await;
}

/// One provider, and an agreement with it.
async fn hire(scene: Scene) -> (Stage, DemandId, AgreementId) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let (demand, agreement) = agree(&stage.hand, &Terms::usual(&stage)).await;
    (stage, demand, agreement)
}

/// Waits for an activity's state.
async fn until(hand: &Hand, activity: &ActivityId, wanted: &Value) -> Reply {
    let begun = Instant::now();
    loop {
        let reply = hand.get(&format!("{BASE}/{activity}/state")).await;
        if reply.json()["state"] == *wanted {
            return reply;
        }
        assert!(begun.elapsed() < PATIENCE, "not {wanted} within {PATIENCE:?}: {reply:?}");
        sleep(Duration::from_millis(200)).await;
    }
}
