//! Requests whose sender goes away while the daemon carries them out: it leaves off there and then.
//!
//! What the provider's daemon has done by then stays done, and the requestor's doesn't know: it says so of the agreement for
//! good, whatever it is asked.

use std::time::Duration;

use golem_devnet::provider::{ApprovalManner, Behaviour, Limits, ProviderConfig};
use serde_json::{Value, json};
use tokio::time::timeout;
use yagna_api::market::{
    AgreementState, BASE, CancelAgreement, ConfirmAgreement, CreateAgreement, GetAgreement,
    TerminateAgreement, Unsubscribe,
};
use yagna_api::{AgreementId, DemandId, Endpoint, Timestamp};

use crate::hand::{Hand, Reply, in_time, now};
use crate::rental::{Terms, agree, draft, publish};
use crate::stage::{Scene, Stage};

/// Each time the request is cut off so much later.
const STEP: Duration = Duration::from_millis(2);
/// So often: sooner or later it is on its way back.
const CUTS: usize = 40;
/// What the daemon answers when it is asked again for what it left off.
const LEFT_OFF: u16 = 500;

pub(super) async fn a_confirmation_is_cut_off(scene: Scene) {
    let stage = scene.far_apart().open([mute()]).await;
    let hand = &stage.hand;
    let mut cuts = Cuts::new(&stage);
    loop {
        let (demand, id) = proposed(&stage).await;
        cuts.cut(&ConfirmAgreement { agreement: id.clone(), session: None }).await;
        let path = format!("{BASE}/agreements/{id}");
        let again = hand.post_nothing(&format!("{path}/confirm")).await;
        if again.status == LEFT_OFF {
            assert_eq!(state(hand, &id).await, AgreementState::Proposal);
            stage.look("confirm again", &again);
            stage.look("wait", &hand.post_nothing(&format!("{path}/wait?timeout=0")).await);
            stage.look("terminate", &hand.post(&format!("{path}/terminate"), &Value::Null).await);
            stage.look("cancel", &hand.post(&format!("{path}/cancel"), &Value::Null).await);
            stage.note(&format!("it is {:?}", state(hand, &id).await));
            stage.look("cancel again", &hand.post(&format!("{path}/cancel"), &Value::Null).await);
            hand.call(&Unsubscribe(demand)).await;
            break;
        }
        hand.post(&format!("{path}/cancel"), &Value::Null).await;
        hand.call(&Unsubscribe(demand)).await;
    }
    stage.close().await;
}

pub(super) async fn a_cancellation_is_cut_off(scene: Scene) {
    let stage = scene.far_apart().open([mute()]).await;
    let hand = &stage.hand;
    let mut cuts = Cuts::new(&stage);
    loop {
        let (demand, id) = proposed(&stage).await;
        hand.call(&ConfirmAgreement { agreement: id.clone(), session: None }).await;
        cuts.cut(&CancelAgreement { agreement: id.clone(), reason: None }).await;
        let path = format!("{BASE}/agreements/{id}");
        let again = hand.post(&format!("{path}/cancel"), &Value::Null).await;
        hand.call(&Unsubscribe(demand)).await;
        if again.status == LEFT_OFF {
            stage.look("cancel again", &again);
            stage.note(&format!("it is {:?}", state(hand, &id).await));
            stage.look("wait", &hand.post_nothing(&format!("{path}/wait?timeout=0")).await);
            stage.look("terminate", &hand.post(&format!("{path}/terminate"), &Value::Null).await);
            stage.look("cancel once more", &hand.post(&format!("{path}/cancel"), &Value::Null).await);
            break;
        }
    }
    stage.close().await;
}

pub(super) async fn an_end_is_cut_off(scene: Scene) {
    let limits = Limits { agreements: CUTS, ..Limits::default() };
    let stage = scene.far_apart().open([ProviderConfig { limits, ..ProviderConfig::new("solo") }]).await;
    let hand = &stage.hand;
    let (mut cuts, begun) = (Cuts::new(&stage), now());
    loop {
        let (demand, id) = agree(hand, &Terms::usual(&stage)).await;
        cuts.cut(&TerminateAgreement { agreement: id.clone(), reason: None }).await;
        let path = format!("{BASE}/agreements/{id}");
        let terminate = format!("{path}/terminate");
        let again = hand.post(&terminate, &Value::Null).await;
        hand.call(&Unsubscribe(demand)).await;
        if again.status == LEFT_OFF {
            stage.look("terminate again", &again);
            stage.note(&format!("it is {:?}", state(hand, &id).await));
            stage.look("why it ended", &hand.get(&format!("{terminate}/reason")).await);
            stage.look("wait", &hand.post_nothing(&format!("{path}/wait?timeout=0")).await);
            stage.look("cancel", &hand.post(&format!("{path}/cancel"), &Value::Null).await);
            let activity = json!({ "agreementId": id });
            stage.look("an activity", &hand.post("/activity-api/v1/activity?timeout=5", &activity).await);
            stage.look("events", &events(hand, begun, &id).await);
            stage.look("terminate once more", &hand.post(&terminate, &Value::Null).await);
            break;
        }
    }
    stage.close().await;
}

/// Cuts requests off, each a little later than the one before.
struct Cuts<'a> {
    hand: &'a Hand,
    done: usize,
}

impl<'a> Cuts<'a> {
    fn new(stage: &'a Stage) -> Self {
        Self { hand: &stage.hand, done: 0 }
    }

    async fn cut<E: Endpoint>(&mut self, request: &E) {
        assert!(self.done < CUTS, "no request was left off half done");
        let answered =
            timeout(STEP * u32::try_from(self.done).unwrap_or(u32::MAX), self.hand.try_call(request)).await;
        if let Ok(Err(error)) = answered {
            panic!("it was refused: {error:?}");
        }
        self.done += 1;
    }
}

async fn proposed(stage: &Stage) -> (DemandId, AgreementId) {
    let (hand, terms) = (&stage.hand, Terms::usual(stage));
    let demand = publish(hand, &terms).await;
    let draft = draft(hand, &demand, &terms).await;
    let valid_to = in_time(Duration::from_secs(3600));
    (demand, hand.call(&CreateAgreement { proposal_id: draft.proposal_id, valid_to }).await)
}

async fn state(hand: &Hand, id: &AgreementId) -> AgreementState {
    hand.call(&GetAgreement(id.clone())).await.state
}

/// The events of one agreement.
async fn events(hand: &Hand, begun: Timestamp, id: &AgreementId) -> Reply {
    let path = format!("{BASE}/agreementEvents?timeout=0&maxEvents=100&afterTimestamp={begun}");
    hand.get(&path).await.keep(|event| event["agreementId"] == id.as_str())
}

fn mute() -> ProviderConfig {
    let behaviour = Behaviour { approval: ApprovalManner::Never, ..Behaviour::default() };
    let limits = Limits { agreements: CUTS, ..Limits::default() };
    ProviderConfig { limits, ..ProviderConfig::new("mute") }.behaving(behaviour)
}
