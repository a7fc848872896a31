//! Budgets for any hour, over hours: none is ever passed, by the network's own books, and the work goes on.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use golem_core::event::{EventKind, StopReason};
use golem_core::run::OnBudget;
use golem_devnet::devnet::Devnet;
use golem_devnet::node::Books;
use golem_devnet::provider::Prices;
use tokio::time::{Instant, sleep};
use yagna_api::Glm;
use yagna_api::payment::BillStatus;
use yagna_api::time::between;

use crate::recovery::lives::{Death, Lives};
use crate::stage::{Stage, at_any_price, honest, secs};

const HOUR: Duration = Duration::from_secs(3600);
/// How often the books are looked into.
const LOOK: Duration = Duration::from_secs(10);

fn glm(text: &str) -> Glm {
    text.parse().unwrap()
}

/// A provider for 3.6 GLM an hour, and more tasks than six hours of it could do.
fn stage(budget: &str, on_budget: OnBudget) -> Stage {
    let dear = honest("ada").priced(Prices::per_hour("0", "0", "3.6").unwrap());
    Stage::new([dear]).tasks(20_000).configured(|config| {
        config.workers = 1;
        config.budget = budget.parse().unwrap();
        config.on_budget = on_budget;
        config.strategy = at_any_price();
    })
}

/// GLM that was accepted in all: of each agreement the invoice, or else the highest debit notes.
fn accepted(books: &Books) -> Glm {
    let is_accepted = |status| matches!(status, BillStatus::Accepted | BillStatus::Settled);
    let mut notes: BTreeMap<_, Glm> = BTreeMap::new();
    for row in books.debit_notes.iter().filter(|row| is_accepted(row.status)) {
        let highest = notes.entry((&row.agreement, &row.activity)).or_default();
        *highest = (*highest).max(row.amount);
    }
    let mut rentals: BTreeMap<_, Glm> = BTreeMap::new();
    for ((agreement, _), amount) in notes {
        let sum = rentals.entry(agreement).or_default();
        *sum = sum.checked_add(amount).unwrap();
    }
    for row in books.invoices.iter().filter(|row| is_accepted(row.status)) {
        let highest = rentals.entry(&row.agreement).or_default();
        *highest = (*highest).max(row.amount);
    }
    rentals.values().copied().sum()
}

/// Looks into the books again and again, for ever: no hour holds more than this, nor is more set aside than it allows.
async fn keeps_to(devnet: &Devnet, hourly: Glm) {
    let mut looks: VecDeque<(Instant, Glm)> = VecDeque::new();
    loop {
        let (now, books) = (Instant::now(), devnet.books());
        let total = accepted(&books);
        while looks.get(1).is_some_and(|(at, _)| *at + HOUR <= now) {
            looks.pop_front();
        }
        let before =
            looks.front().map_or(Glm::ZERO, |(at, total)| if *at + HOUR <= now { *total } else { Glm::ZERO });
        let within = total.checked_sub(before).unwrap();
        assert!(within <= hourly, "{within} GLM accepted within an hour");
        for allocation in books.allocations.iter().filter(|row| !row.released) {
            let most = total.checked_add(hourly).unwrap();
            assert!(allocation.total <= most, "{} GLM set aside, {total} accepted", allocation.total);
        }
        looks.push_back((now, total));
        sleep(LOOK).await;
    }
}

/// Lets it go on while the books are looked into.
async fn watched<T>(lives: &Lives, hourly: &str, goes_on: impl Future<Output = T>) -> T {
    tokio::select! {
        ended = goes_on => ended,
        () = keeps_to(&lives.devnet, glm(hourly)) => unreachable!("it looks for ever"),
    }
}

fn done_in_hour(lives: &Lives, hour: u64) -> usize {
    let events = lives.kept.events();
    let begun = events[0].at;
    let of_hour = events.iter().filter(|event| between(begun, event.at).as_secs() / HOUR.as_secs() == hour);
    of_hour.filter(|event| matches!(event.kind, EventKind::TaskDone { .. })).count()
}

#[tokio::test(start_paused = true)]
async fn an_hourly_budget_is_kept_in_any_of_six_hours_and_the_work_goes_on_in_each() {
    let lives = Lives::of(stage("0.5/h", OnBudget::Pause)).await;
    let end = watched(&lives, "0.5", lives.live_and_stop_after(6 * HOUR)).await;
    assert_eq!(end.why, StopReason::Cancelled, "{end:?}");
    for hour in 0..6 {
        let done = done_in_hour(&lives, hour);
        assert!(done >= 20, "{done} tasks were done in hour {hour}");
    }
    assert!(end.cost > glm("1.5") && end.cost <= glm("3"), "{end:?}");
    let (pauses, ends) = (
        lives.count(|kind| matches!(kind, EventKind::Paused { .. })),
        lives.count(|kind| matches!(kind, EventKind::PauseEnded)),
    );
    assert!(pauses >= 5 && pauses - ends <= 1, "{pauses} pauses, {ends} of them ended");
    assert!(lives.count(|kind| matches!(kind, EventKind::AllocationAmended { .. })) > 0);
    lives.played(end).assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn an_hourly_budget_that_is_reached_stops_the_run() {
    let lives = Lives::of(stage("0.5/h", OnBudget::Stop)).await;
    let end = watched(&lives, "0.5", lives.live(None)).await.unwrap().unwrap();
    assert_eq!((end.why, end.unsettled), (StopReason::BudgetReached, 0), "{end:?}");
    assert!(end.done > 20 && end.unfinished > 0 && end.cost <= glm("0.5"), "{end:?}");
    assert_eq!(lives.count(|kind| matches!(kind, EventKind::Paused { .. })), 0);
    lives.played(end).assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_limits_the_hourly_one_pauses_the_run_and_the_whole_one_ends_it() {
    let lives = Lives::of(stage("1.2,0.5/h", OnBudget::Pause)).await;
    let end = watched(&lives, "0.5", lives.live(None)).await.unwrap().unwrap();
    assert_eq!(end.why, StopReason::BudgetReached, "{end:?}");
    assert!(end.cost > glm("0.7") && end.cost <= glm("1.2"), "{end:?}");
    assert!(lives.count(|kind| matches!(kind, EventKind::PauseEnded)) > 0);
    let played = lives.played(end);
    assert!(played.took > HOUR, "{:?}", played.took);
    played.assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn an_hourly_budget_holds_over_lives_that_end_at_random() {
    let lives = Lives::of(stage("0.5/h", OnBudget::Pause)).await;
    let mut chance = fastrand::Rng::with_seed(5);
    let dying = async {
        for _ in 0..8 {
            assert!(lives.live(Some(Death::After(secs(chance.u64(60..3000))))).await.is_none());
            sleep(secs(chance.u64(1..60))).await;
        }
        lives.live_and_stop_after(2 * HOUR).await
    };
    let end = watched(&lives, "0.5", dying).await;
    assert_eq!(end.why, StopReason::Cancelled, "{end:?}");
    assert!(end.cost > glm("1"), "{end:?}");
    assert_eq!(lives.count(|kind| matches!(kind, EventKind::RunResumed { .. })), 8);
    lives.played(end).assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_lasts_as_long_as_what_is_really_used_and_what_it_ended_is_not_bought_again() {
    // One of eight threads works: what might be used is eight times as much as what is, and a start costs something too.
    let mut idle = honest("ada").priced(Prices::per_hour("0.05", "3.6", "0.036").unwrap());
    idle.hardware.threads = 8;
    let run = Stage::new([idle]).tasks(20_000).configured(|config| {
        config.workers = 1;
        config.budget = "4".parse().unwrap();
        config.strategy = at_any_price();
    });
    let played = run.play().await;
    let end = played.end();
    assert_eq!(end.why, StopReason::BudgetReached, "{end:?}");
    assert_eq!(played.count(|kind| matches!(kind, EventKind::AgreementIntended { .. })), 1, "{end:?}");
    // Two and a half minutes at full use are 1.2 GLM: so much must be left to stop in time.
    assert!(end.cost > glm("2.6") && end.cost < glm("4"), "{end:?}");
    played.assert_sound().await;
}
