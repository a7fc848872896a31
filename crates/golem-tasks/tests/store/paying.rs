//! What became of accepted money: recorded, added up, shown, and asked of a devnet.

use std::sync::Arc;
use std::time::Duration;

use golem::payments::PaymentState;
use golem_tasks::payments::{Noted, note_payments};
use golem_tasks::store::{PaymentTotals, RunStore};
use yagna_api::{AgreementId, Glm, Timestamp};

use crate::grounds::Ground;
use crate::scene::{Scene, at, glm};

fn state(agreement: &str, accepted: &str, scheduled: &str, paid: &str) -> PaymentState {
    PaymentState {
        agreement: AgreementId::new(agreement),
        billed: glm(accepted),
        accepted: glm(accepted),
        scheduled: glm(scheduled),
        paid: glm(paid),
        failed: (paid != accepted).then(|| "no gas".to_owned()),
    }
}

fn amounts(totals: Option<&PaymentTotals>) -> (Glm, Glm, Glm, u64) {
    let totals = totals.unwrap();
    (totals.accepted, totals.scheduled, totals.paid, totals.unknown)
}

async fn names(run: &RunStore) -> Vec<AgreementId> {
    run.open_payments().await.unwrap().agreements
}
