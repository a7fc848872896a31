//! A daemon that fails for a while, loses answers or starts again: nothing is lost, nothing is paid twice.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use golem_core::event::{Event, EventKind, StopReason};
use golem_devnet::clock::DevnetClock;
use golem_devnet::node::Fault;
use golem_sdk::{MemoryJournal, RunError};
use tokio::time::Instant;
use yagna_api::{Clock as _, Request, Timestamp};
use yagna_client::{
    Client, InProcessTransport, Response, RetryPolicy, SocketAnswer, StreamAnswer, Transport, TransportError,
};

use crate::stage::{Live, Stage, client, honest, options, secs};

fn is_done(kind: &EventKind) -> bool {
    matches!(kind, EventKind::TaskDone { .. })
}

async fn start() -> Live {
    Stage::new(["ada", "bob"].map(honest)).tasks(40).start().await
}

async fn assert_survives(live: Live) {
    let played = live.end().await;
    assert_eq!(played.end().why, StopReason::AllDone);
    played.assert_all_done(40).await;
    assert_eq!(played.end().unsettled, 0);
}

#[tokio::test(start_paused = true)]
async fn errors_for_a_minute_before_the_demand_is_published() {
    let live = start().await;
    live.devnet.faults().for_a_while(secs(60), "POST /market-api/v1/demands", Fault::Status(500));
    live.until_seen(
        1,
        |kind| matches!(kind, EventKind::Trouble { doing, .. } if doing == "publish the demand"),
    )
    .await;
    assert_survives(live).await;
}

#[tokio::test(start_paused = true)]
async fn errors_while_the_money_is_set_aside() {
    let live = start().await;
    live.devnet.faults().next(3, "POST /payment-api/v1/allocations", Fault::Status(500));
    assert_survives(live).await;
}

#[tokio::test(start_paused = true)]
async fn errors_in_the_middle_of_the_work() {
    for fault in [Fault::Status(500), Fault::Status(503), Fault::Drop] {
        let live = start().await;
        live.until_seen(6, is_done).await;
        live.devnet.faults().for_a_while(secs(20), "", fault);
        assert_survives(live).await;
    }
}

#[tokio::test(start_paused = true)]
async fn errors_for_minutes_in_the_middle_of_the_work() {
    let live = start().await;
    live.until_seen(6, is_done).await;
    live.devnet.faults().for_a_while(secs(150), "", Fault::Status(500));
    let played = live.end().await;
    played.assert_all_done(40).await;
    let told =
        |kind: &EventKind| matches!(kind, EventKind::Trouble { doing, .. } if doing.starts_with("follow"));
    let n_told = played.count(told);
    assert!(n_told > 0 && n_told <= 10, "the same trouble was told {n_told} times");
}

#[tokio::test(start_paused = true)]
async fn errors_while_bills_are_accepted() {
    let live = start().await;
    live.until_seen(30, is_done).await;
    live.devnet.faults().for_a_while(secs(120), "/accept", Fault::Status(500));
    let troubled =
        |kind: &EventKind| matches!(kind, EventKind::Trouble { doing, .. } if doing == "accept a bill");
    live.until_seen(1, troubled).await;
    assert_survives(live).await;
}

#[tokio::test(start_paused = true)]
async fn bills_that_cant_be_read_for_now_are_read_later_by_an_impatient_client_too() {
    let stage = Stage::new([honest("ada")]);
    let devnet = stage.devnet.start().await.unwrap();
    let journal = std::sync::Arc::new(MemoryJournal::new());
    let run = golem_sdk::Run::new(
        client(&devnet).with_retry(RetryPolicy::NEVER),
        std::sync::Arc::new(devnet.clock()),
        std::sync::Arc::clone(&journal) as _,
        stage.worker,
        Box::new((0..4).map(|n| Ok(serde_json::json!(n)))),
        options(stage.config, stage.timing, "run-1"),
    );
    devnet.faults().for_a_while(secs(60), "GET /payment-api/v1/invoices/", Fault::Status(500));
    let end = run.run().await.unwrap();
    assert_eq!((end.why, end.done, end.unsettled), (StopReason::AllDone, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn answers_lost_while_bills_are_accepted_pay_them_once() {
    let live = start().await;
    live.devnet.faults().next(3, "/accept", Fault::LoseAnswer);
    assert_survives(live).await;
}

#[tokio::test(start_paused = true)]
async fn a_bill_that_cant_be_accepted_at_all_is_left_and_named() {
    let live = start().await;
    live.devnet.faults().always("/accept", Fault::Status(400));
    let played = live.end().await;
    played.assert_all_done(40).await;
    assert_eq!(played.end().unsettled, 2);
    assert_eq!(played.count(|kind| matches!(kind, EventKind::BillMissing { .. })), 2);
    assert!(played.count(|kind| matches!(kind, EventKind::BillRefused { .. })) >= 2);
}

#[tokio::test(start_paused = true)]
async fn errors_while_rentals_are_ended() {
    let live = start().await;
    live.until_seen(38, is_done).await;
    live.devnet.faults().for_a_while(secs(75), "", Fault::Status(500));
    assert_survives(live).await;
}

#[tokio::test(start_paused = true)]
async fn an_agreement_approved_while_the_daemon_fails_is_used_or_ended() {
    for lasting in [5, 40, 100] {
        let live = start().await;
        live.until_seen(1, |kind| matches!(kind, EventKind::AgreementCreated { .. })).await;
        live.devnet.faults().for_a_while(secs(lasting), "/market-api/v1/agreements/", Fault::Status(500));
        assert_survives(live).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_each_kind_of_request_is_survived() {
    for text in [
        "POST /market-api/v1/demands/",
        "POST /market-api/v1/agreements",
        "/confirm",
        "/wait",
        "POST /activity-api/v1/activity/",
        "/results",
        "DELETE /activity-api",
        "/terminate",
        "debitNotes/",
        "invoices/",
    ] {
        let live = start().await;
        live.devnet.faults().next(1, text, Fault::LoseAnswer);
        let played = live.end().await;
        assert_eq!((played.end().why, played.end().done), (StopReason::AllDone, 40), "{text}");
        played.assert_all_done(40).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_activity_whose_id_got_lost_is_ended_and_paid() {
    let live = start().await;
    live.devnet.faults().next(1, "POST /activity-api/v1/activity?", Fault::LoseAnswer);
    let played = live.end().await;
    played.assert_all_done(40).await;
    let refused = played.count(|kind| matches!(kind, EventKind::BillRefused { .. }));
    assert_eq!(refused, 0, "what was asked for is owed, though its id never came: {:#?}", played.events);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_starts_again_forgets_the_demand_and_gets_a_new_one() {
    let live = start().await;
    live.until_seen(3, is_done).await;
    live.devnet.faults().restart(secs(10));
    // With one provider gone, another agreement is needed: only a new demand brings it.
    live.provider("ada").kill();
    live.until_seen(2, |kind| matches!(kind, EventKind::DemandPublished { .. })).await;
    live.end().await.assert_all_done(40).await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_starts_again_while_rentals_are_made() {
    for after in [0, 1, 2, 3] {
        let live = start().await;
        let is_far = |events: &[Event]| {
            events.iter().any(|event| match &event.kind {
                EventKind::DemandPublished { .. } => after == 0,
                EventKind::OfferReceived { .. } => after == 1,
                EventKind::AgreementIntended { .. } => after == 2,
                EventKind::ActivityIntended { .. } => after == 3,
                _ => false,
            })
        };
        live.until(is_far).await;
        live.devnet.faults().restart(secs(3));
        assert_survives(live).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_never_answers_again_lets_the_run_end_in_bounded_time() {
    let live = start().await;
    live.until_seen(3, is_done).await;
    live.devnet.faults().always("", Fault::Drop);
    live.stopper.cancel();
    let played = live.end().await;
    assert_eq!(played.end().why, StopReason::Cancelled);
    assert!(played.end().unfinished > 0);
    assert!(played.took < Duration::from_secs(600), "{:?}", played.took);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_fails_to_prepare_the_run_keeps_no_money() {
    let stage = Stage::new([honest("ada")]);
    let kept = std::sync::Arc::new(MemoryJournal::new());
    let live = stage.start_with(std::sync::Arc::clone(&kept) as _, kept).await;
    live.devnet.faults().always("demandDecorations", Fault::Status(400));
    let (result, played) = live.result().await;
    assert!(matches!(result, Err(RunError::Daemon(_))), "{result:?}");
    played.assert_sound().await;
    assert_eq!(played.devnet.books().allocations.len(), 1);
}

/// A way to a daemon whose clock is wrong by so many seconds, told as HTTP tells it.
#[derive(Debug)]
struct Dated {
    inner: InProcessTransport,
    clock: DevnetClock,
    by: i64,
}

impl Transport for Dated {
    fn address(&self) -> &str {
        self.inner.address()
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let mut answer = self.inner.send(request).await?;
            let told = Timestamp::from_second(self.clock.now().as_second() + self.by).unwrap();
            let date = told.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            answer.headers.insert("date", date.parse().unwrap());
            Ok(answer)
        })
    }

    fn open_stream(&self, request: Request) -> BoxFuture<'_, Result<StreamAnswer, TransportError>> {
        self.inner.open_stream(request)
    }

    fn open_socket(
        &self,
        path: &str,
        subprotocol: Option<&'static str>,
    ) -> BoxFuture<'_, Result<SocketAnswer, TransportError>> {
        self.inner.open_socket(path, subprotocol)
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_more_than_a_minute_off_the_daemons_is_named_once() {
    for (by, side) in [(90, Some("behind")), (-7200, Some("ahead of")), (50, None), (-50, None), (0, None)] {
        let stage = Stage::new([honest("ada")]).tasks(200);
        let devnet = stage.devnet.start().await.unwrap();
        let inner = InProcessTransport::new(devnet.router(), &devnet.requestor().key).unwrap();
        let client = Client::new(Arc::new(Dated { inner, clock: devnet.clock(), by }));
        let journal = Arc::new(MemoryJournal::new());
        let run = golem_sdk::Run::new(
            client,
            Arc::new(devnet.clock()),
            Arc::clone(&journal) as _,
            stage.worker,
            Box::new((0..200).map(|n| Ok(serde_json::json!(n)))),
            options(stage.config, stage.timing, "run-1"),
        );
        let begun = Instant::now();
        let end = run.run().await.unwrap();
        assert_eq!((end.why, end.done), (StopReason::AllDone, 200));
        assert!(
            begun.elapsed() > secs(60),
            "it ended before the clocks were compared: {:?}",
            begun.elapsed()
        );
        let told: Vec<_> = journal
            .events()
            .into_iter()
            .filter_map(|event| match event.kind {
                EventKind::Trouble { doing, problem } if doing == "tell the time" => Some(problem),
                _ => None,
            })
            .collect();
        assert_eq!(told.len(), usize::from(side.is_some()), "{by}: {told:?}");
        if let Some(side) = side {
            assert!(told[0].contains(&format!("{side} the daemon's")), "{by}: {told:?}");
        }
    }
}
