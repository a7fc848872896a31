//! What became of accepted money: recorded, added up, shown, and asked of a daemon.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use golem_sdk::payments::PaymentState;
use golem_tasks::payments::{NotePaymentsError, Noted, note_payments};
use golem_tasks::store::{PaymentTotals, RunStore};
use yagna_api::time::after;
use yagna_api::{AgreementId, Clock, Glm, Request, Timestamp};
use yagna_client::{Client, Response, RetryPolicy, SocketAnswer, StreamAnswer, Transport, TransportError};

use crate::grounds::Ground;
use crate::scene::{Scene, glm, start};

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
    let totals = totals.expect("the daemon was asked");
    (totals.accepted, totals.scheduled, totals.paid, totals.unknown)
}

async fn open(run: &RunStore) -> Vec<String> {
    let open = run.open_payments().await.unwrap();
    assert!(open.since <= start());
    open.agreements.iter().map(ToString::to_string).collect()
}

fn seen(seconds: u64) -> Timestamp {
    after(start(), Duration::from_secs(seconds))
}

/// Three rentals of two providers: two of the first have their invoices accepted, the other's is awaited.
fn rentals() -> Scene {
    let mut scene = Scene::new();
    scene.opening().rental(1, 1).rental(2, 1).rental(3, 2);
    scene.rental_ends(1, Some("0.5")).rental_ends(2, Some("0.3")).rental_ends(3, None);
    scene
}

pub(crate) async fn what_became_of_the_money_is_recorded_and_added_up(ground: Ground) {
    let run = ground.run().await;
    run.apply(&rentals().events).await.unwrap();
    let store = run.store();
    let summary = store.run_summary(run.run_id()).await.unwrap();
    assert_eq!((summary.payments, summary.cost), (None, glm("0.8")), "nobody has asked");
    assert_eq!(open(&run).await, ["agreement-1", "agreement-2", "agreement-3"]);

    let first = [state("agreement-1", "0.5", "0.2", "0.1"), state("somebody-elses", "9", "9", "9")];
    run.record_payments(&first, seen(10)).await.unwrap();
    let summary = store.run_summary(run.run_id()).await.unwrap();
    assert_eq!(amounts(summary.payments.as_ref()), (glm("0.5"), glm("0.2"), glm("0.1"), 1));
    assert_eq!(summary.unsettled, 1, "that a bill is awaited is another thing");

    run.record_payments(&[state("agreement-2", "0.3", "0.3", "0.3")], seen(20)).await.unwrap();
    let summary = store.run_summary(run.run_id()).await.unwrap();
    let totals = summary.payments.clone().unwrap();
    assert_eq!(amounts(Some(&totals)), (glm("0.8"), glm("0.5"), glm("0.4"), 0));
    assert_eq!((totals.under_way(), totals.waiting()), (glm("0.1"), glm("0.3")));
    assert_eq!(totals.as_of.as_microsecond(), seen(10).as_microsecond(), "the oldest answer counts");
    assert_eq!(totals.failures, BTreeSet::from(["no gas".to_owned()]));
    let providers = store.providers(run.run_id()).await.unwrap();
    let own: Vec<_> = providers.iter().filter_map(|row| row.did.payments.clone()).collect();
    assert_eq!(own, [totals], "of the other one nobody has asked");
    assert_eq!(open(&run).await, ["agreement-1", "agreement-3"], "what is paid isn't asked for again");

    // What was learnt earlier doesn't replace what was learnt later.
    run.record_payments(&[state("agreement-1", "0.5", "0.5", "0.5")], seen(40)).await.unwrap();
    run.record_payments(&[state("agreement-1", "0.5", "0.2", "0.1")], seen(30)).await.unwrap();
    let summary = store.run_summary(run.run_id()).await.unwrap();
    assert_eq!(amounts(summary.payments.as_ref()), (glm("0.8"), glm("0.8"), glm("0.8"), 0));
    assert_eq!(open(&run).await, ["agreement-3"]);
}

/// A daemon whose ledger has one amount for what is accepted, scheduled and paid of each agreement.
#[derive(Debug)]
struct Daemon(Mutex<Result<[&'static str; 3], u16>>);

impl Transport for Daemon {
    fn address(&self) -> &'static str {
        "nowhere"
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        let path = request.path.split('?').next().unwrap_or("").to_owned();
        let (status, body) = match *self.0.lock().unwrap() {
            Err(status) => (status, String::from("{}")),
            Ok(_) if path.ends_with("/payments/status") => (200, String::from("[]")),
            Ok(_) if path.ends_with("/agreement-3") => (200, String::from("null")),
            Ok([accepted, scheduled, paid]) => {
                let id = path.rsplit('/').next().unwrap();
                let peer = format!("0x{:040x}", 1);
                let body = serde_json::json!({
                    "id": id, "peerId": peer, "paymentPlatform": "erc20-hoodi-tglm", "totalAmountDue": accepted,
                    "totalAmountAccepted": accepted, "totalAmountScheduled": scheduled, "totalAmountPaid": paid,
                    "createdTs": "2026-11-21T12:00:00",
                });
                (200, body.to_string())
            }
        };
        Box::pin(std::future::ready(Ok(Response {
            status,
            headers: http::HeaderMap::new(),
            body: body.into(),
        })))
    }

    fn open_stream(&self, _: Request) -> BoxFuture<'_, Result<StreamAnswer, TransportError>> {
        unreachable!("nothing is streamed")
    }

    fn open_socket(
        &self,
        _: &str,
        _: Option<&'static str>,
    ) -> BoxFuture<'_, Result<SocketAnswer, TransportError>> {
        unreachable!("no socket is opened")
    }
}

#[derive(Debug)]
struct Hour(Timestamp);

impl Clock for Hour {
    fn now(&self) -> Timestamp {
        self.0
    }
}

pub(crate) async fn the_daemon_is_asked_and_its_answers_are_kept(ground: Ground) {
    let run = ground.run().await;
    let daemon = Arc::new(Daemon(Mutex::new(Ok(["0.3", "0", "0"]))));
    let client = Client::new(daemon.clone() as Arc<dyn Transport>)
        .with_retry(RetryPolicy { total: Duration::ZERO, ..RetryPolicy::default() });
    let nothing = note_payments(&client, &run, &Hour(seen(1))).await.unwrap();
    assert_eq!(nothing, Noted { asked: 0, known: 0 }, "there are no rentals");
    run.apply(&rentals().events).await.unwrap();
    for (at, told) in [(10, ["0.5", "0", "0"]), (20, ["0.5", "0.5", "0"]), (30, ["0.5", "0.5", "0.5"])] {
        *daemon.0.lock().unwrap() = Ok(told);
        let noted = note_payments(&client, &run, &Hour(seen(at))).await.unwrap();
        assert_eq!(noted, Noted { asked: 3, known: 2 }, "no bill of the third has come");
        let summary = run.store().run_summary(run.run_id()).await.unwrap();
        let twice = told.map(|amount| [glm(amount), glm(amount)].into_iter().sum::<Glm>());
        assert_eq!(amounts(summary.payments.as_ref()), (twice[0], twice[1], twice[2], 0));
    }
    *daemon.0.lock().unwrap() = Err(500);
    let error = note_payments(&client, &run, &Hour(seen(40))).await.unwrap_err();
    assert!(matches!(&error, NotePaymentsError::Asking { .. }), "{error:?}");
    let summary = run.store().run_summary(run.run_id()).await.unwrap();
    assert_eq!(summary.payments.unwrap().paid, glm("1"), "what was known stays known");
}

/// The same words on every database.
pub(crate) async fn the_program_tells_accepted_scheduled_and_paid_apart(ground: Ground) {
    let run = ground.run().await;
    run.apply(&rentals().events).await.unwrap();
    let states = [state("agreement-1", "0.5", "0.2", "0.1"), state("agreement-2", "0.3", "0.3", "0.3")];
    run.record_payments(&states, seen(10)).await.unwrap();
    let mut text = String::new();
    let id = run.run_id();
    for question in [
        &["summary"][..],
        &["summary", "--json"],
        &["providers", "--run-id", id],
        &["providers", "--run-id", id, "--json"],
    ] {
        let answer = crate::asking::answer(&ground, question).await;
        text.extend(["$ golem-tasks ", &question.join(" "), "\n", &answer, "\n"]);
    }
    insta::assert_snapshot!("asked_payments", text);
}
