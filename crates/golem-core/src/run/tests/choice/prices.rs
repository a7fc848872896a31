//! `max_price`: an activity is ended for what its own results cost, all that it was paid for counted in.

use yagna_api::properties::name;

use super::*;
use crate::event::{AttemptFailure, FailureKind, TaskOutput};

/// One or more rentals at work, each with a provider of its own.
struct Shop {
    desk: Desk,
    /// Those that were ended for what their results cost.
    ended: Vec<u64>,
}

const PER_HOUR: f64 = 0.36;
const PER_SECOND: &str = "0.0001";

impl Shop {
    fn new(max_price: &str, workers: u32) -> Self {
        let mut desk = Desk::configured(|config| {
            config.workers = workers;
            config.budget = "10".parse().unwrap();
            config.max_price = Some(max_price.parse().unwrap());
            config.price_grace = secs(300);
            config.expiration = secs(7200);
        });
        let data = (0..1000).map(|n| json!(n)).collect();
        desk.give(Input::MoreTasks { job: JobId::FIRST, data });
        Self { desk, ended: Vec::new() }
    }

    fn give(&mut self, input: Input) {
        let step = self.desk.give(input);
        self.ended.extend(step.effects.iter().filter_map(|effect| match effect {
            Effect::Close { rental, reason, .. } if reason.message.starts_with("a result costs") => {
                Some(rental.0)
            }
            _ => None,
        }));
    }

    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.desk.now = after(self.desk.now, secs(1));
            self.give(Input::Tick);
        }
    }

    /// An activity is asked for with a provider of this number, two seconds from now.
    fn begin(&mut self, n: u8, start: f64) {
        let offer =
            properties(n, PER_HOUR).with(name::PRICING_COEFFICIENTS, json!([PER_HOUR / 3600.0, 0, start]));
        self.desk.proposal(n, ProposalState::Draft, offer.clone(), None);
        self.wait(2);
        let rental = RentalId(n.into());
        let mut agreed = agreement(properties(99, 0.0), offer, self.desk.now);
        agreed.agreement_id = AgreementId::new(format!("a{n}"));
        agreed.offer.provider_id = node(n);
        self.give(Input::AgreementCreated { rental, agreement: agreed.agreement_id.clone() });
        self.give(Input::Approved { rental, agreement: Box::new(agreed) });
        let activity = ActivityId::new(format!("act{n}"));
        self.give(Input::ActivityCreated { rental, no: ActivityNo(1), activity });
        assert_eq!(self.desk.run.live.rentals[&rental].activities.len(), 1, "{n}");
    }

    fn ready(&mut self, n: u8) {
        self.give(Input::WorkerReady { rental: RentalId(n.into()), no: ActivityNo(1), room: 1 });
    }

    /// The task in a worker's hands comes to its end, after so long.
    fn deliver(&mut self, n: u8, seconds: u64, well: bool) {
        self.wait(seconds);
        let rental = RentalId(n.into());
        let Some(attempt) = self.desk.run.live.rentals[&rental].running.keys().next().copied() else {
            assert!(self.ended.contains(&rental.0), "a worker has a task");
            return;
        };
        self.give(if well {
            let (output, more) = (TaskOutput::default(), Vec::new());
            Input::AttemptDone { rental, attempt, output, took: secs(seconds), more }
        } else {
            let failure = AttemptFailure::new(FailureKind::CommandFailed, "no");
            Input::AttemptFailed { rental, attempt, failure, retry: true }
        });
        self.ready(n);
    }
}

#[test]
fn the_start_price_is_part_of_what_results_cost() {
    let cases = [(0.0, vec![]), (0.02, vec![1])].into_iter();
    for ((start, ended), reported) in cases.flat_map(|case| [(case.clone(), false), (case, true)]) {
        // Ten seconds for a result: 0.001 GLM, and that of the start shared by some thirty.
        let mut shop = Shop::new("0.0015", 1);
        shop.begin(1, start);
        shop.ready(1);
        if reported {
            shop.give(Input::Usage { rental: RentalId(1), no: ActivityNo(1), usage: vec![0.0, 0.0] });
        }
        for _ in 0..35 {
            shop.deliver(1, 10, true);
        }
        assert_eq!(shop.ended, ended, "{start} {reported}");
    }
}

#[test]
fn attempts_that_failed_are_part_of_what_results_cost_and_no_results() {
    for (well, ended) in [(true, vec![]), (false, vec![1])] {
        let mut shop = Shop::new("0.0015", 1);
        shop.begin(1, 0.0);
        shop.ready(1);
        for _ in 0..18 {
            shop.deliver(1, 10, true);
            shop.deliver(1, 10, well);
        }
        assert_eq!(shop.ended, ended, "{well}");
    }
}

#[test]
fn an_activity_is_judged_by_its_own_results_and_not_by_those_of_the_run() {
    // Both together are far below the price: the first delivers enough for ten like the second.
    let mut shop = Shop::new("0.005", 2);
    shop.begin(1, 0.0);
    shop.begin(2, 0.0);
    for n in [1, 2] {
        shop.ready(n);
    }
    for n in 0..80 {
        shop.deliver(1, 4, true);
        if n % 20 == 19 {
            // It is busy all the time, with little to show for it.
            shop.deliver(2, 0, true);
        }
    }
    assert_eq!(shop.ended, [2]);
    assert!(shop.desk.run.live.rentals[&RentalId(1)].is_live());
}

#[test]
fn the_grace_is_each_activitys_own() {
    let mut shop = Shop::new("0.005", 2);
    shop.begin(1, 0.0);
    shop.ready(1);
    shop.wait(200);
    shop.begin(2, 0.0);
    shop.ready(2);
    shop.wait(95);
    assert_eq!(shop.ended, [0; 0], "297 s after the first was asked for");
    shop.wait(5);
    assert_eq!(shop.ended, [1], "the second has its own time");
    shop.wait(195);
    assert_eq!(shop.ended, [1]);
    shop.wait(8);
    assert_eq!(shop.ended, [1, 2]);
}

#[test]
fn an_activity_that_goes_on_preparing_itself_delivers_nothing_too() {
    let mut shop = Shop::new("0.005", 1);
    shop.begin(1, 0.0);
    shop.wait(302);
    assert_eq!(shop.ended, [1]);
}

#[test]
fn an_activity_without_a_result_is_let_alone_while_one_may_still_be_worth_it() {
    let mut shop = Shop::new("0.05", 1);
    shop.begin(1, 0.0);
    shop.ready(1);
    shop.wait(495);
    assert_eq!(shop.ended, [0; 0], "{PER_SECOND} GLM for each of 495 seconds");
    shop.wait(10);
    assert_eq!(shop.ended, [1]);
}

#[test]
fn who_reports_no_more_of_its_use_is_held_against_the_clock() {
    let mut shop = Shop::new("0.005", 1);
    shop.begin(1, 0.0);
    shop.ready(1);
    shop.wait(5);
    shop.give(Input::Usage { rental: RentalId(1), no: ActivityNo(1), usage: vec![5.0, 5.0] });
    shop.wait(300);
    assert_eq!(shop.ended, [1]);
}
