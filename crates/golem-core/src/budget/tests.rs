//! Budgets are read and written as they are meant; the ledger agrees with a plain list of what was promised.

use std::time::Duration;

use proptest::prelude::*;
use yagna_api::time::after;

use super::*;
use crate::event::RentalId;

fn glm(text: &str) -> Glm {
    text.parse().unwrap()
}

fn start() -> Timestamp {
    "2026-11-22T00:00:00.25Z".parse().unwrap()
}

fn at(seconds: u64) -> Timestamp {
    after(start(), Duration::from_secs(seconds))
}

#[test]
fn budgets_are_read_and_written() {
    for (text, written, words) in [
        ("10", "10", "10 GLM"),
        ("3/h", "3/h", "3 GLM an hour"),
        ("2.5/d", "2.5/d", "2.5 GLM a day"),
        ("3/h,10", "10,3/h", "10 GLM in all and 3 GLM an hour"),
        (" 20 / d , 3/ h ", "3/h,20/d", "3 GLM an hour and 20 GLM a day"),
    ] {
        let budget: Budget = text.parse().unwrap();
        assert_eq!((budget.to_string().as_str(), budget.in_words().as_str()), (written, words));
        assert_eq!(serde_json::from_value::<Budget>(serde_json::to_value(budget).unwrap()).unwrap(), budget);
    }
}

#[test]
fn what_is_no_budget_says_how_to_mend_it() {
    for (text, problem) in [
        ("", "an amount is missing: expected GLM for the whole run such as 10"),
        ("3/h,", "an amount is missing"),
        ("/h", "an amount is missing"),
        ("3/w", "`3/w` is not a valid budget: write `h` for any hour or `d` for any day"),
        ("3/", "`3/` is not a valid budget"),
        ("much", "`much` is not a valid amount of GLM"),
        ("-1", "must not be negative"),
        ("0/h", "nothing can be bought with a budget of 0 GLM"),
        ("3/h,4/h", "there are two amounts for an hour: leave one of them out"),
        ("3,4", "there are two amounts for the whole run"),
    ] {
        let error = text.parse::<Budget>().unwrap_err().to_string();
        assert!(error.starts_with(problem), "{text}: {error}");
    }
}

#[test]
fn the_least_that_any_limit_leaves_may_be_promised() {
    let budget: Budget = "10,3/h,5/d".parse().unwrap();
    assert_eq!(budget.at_first(), glm("3"));
    let mut ledger = Ledger::default();
    ledger.promised(at(0), glm("2"));
    assert_eq!(budget.left(glm("2"), &ledger, at(1)), glm("1"));
    assert_eq!(budget.left(glm("2"), &ledger, at(3601)), glm("3"), "the hour is over, the day isn't");
    ledger.promised(at(4000), glm("2.5"));
    assert_eq!(budget.left(glm("4.5"), &ledger, at(4000)), glm("0.5"));
    assert_eq!(budget.left(glm("4.5"), &ledger, at(8000)), glm("0.5"), "the day has as little left");
    assert_eq!(budget.left(glm("9.75"), &ledger, at(200_000)), glm("0.25"));
    assert_eq!(ledger.total(), glm("4.5"));
}

#[test]
fn a_bill_that_fails_gives_its_rentals_promise_back_and_leaves_that_of_others() {
    let (one, other) = (RentalId(1), RentalId(2));
    let mut ledger = Ledger::default();
    ledger.promise(at(0), one, glm("1"));
    ledger.promise(at(10), other, glm("5"));
    ledger.promise(at(20), one, glm("0.5"));
    ledger.take_back(one, glm("1.25"));
    assert_eq!(ledger.total(), glm("5.25"));
    assert_eq!(ledger.falls_to(Window::Hour, glm("5"), at(30)), at(3600) + Duration::from_millis(750));
    ledger.settle(other);
    ledger.take_back(other, glm("5"));
    assert_eq!(ledger.total(), glm("5.25"), "what was settled stays");
}

/// An hour of seconds, a minute that isn't over, and the rest of a day in minutes.
const MOST_ENTRIES: usize = 3600 + 60 + 23 * 60;

#[test]
fn a_ledger_of_a_day_in_which_each_second_was_billed_for_stays_small() {
    let mut ledger = Ledger::default();
    let mut most = 0;
    for second in 0..26 * 3600 {
        ledger.promise(at(second), RentalId(second % 7), glm("0.000123456789012345"));
        ledger.settle(RentalId(second % 7));
        most = most.max(ledger.minutes.len() + ledger.seconds.len());
    }
    assert!((4900..=MOST_ENTRIES).contains(&most), "{most} entries");
    let written = serde_json::to_string(&ledger).unwrap();
    assert!(written.len() < most * 40, "{} bytes of {most} entries", written.len());
    let now = at(26 * 3600 - 1);
    let of = |seconds: u32| glm("0.000123456789012345").to_decimal() * rust_decimal::Decimal::from(seconds);
    // That of the second that ends at the hour's begin is not yet over.
    assert_eq!(ledger.within(Window::Hour, now).to_decimal(), of(3601));
    let day = ledger.within(Window::Day, now).to_decimal();
    assert!(of(86_400) <= day && day <= of(86_400 + 60), "{day}");
    assert_eq!(ledger.total().to_decimal(), of(26 * 3600));
}

#[test]
fn a_day_holds_the_same_before_and_after_its_seconds_become_minutes() {
    for (then, now) in [(0, 86_430), (59, 86_459), (30, 86_400 + 31), (3600, 86_400 + 3605)] {
        let mut ledger = Ledger::default();
        ledger.promise(at(then), RentalId(1), glm("1"));
        let before = ledger.within(Window::Day, at(now));
        ledger.promise(at(now), RentalId(2), glm("0.25"));
        let after = ledger.within(Window::Day, at(now));
        assert_eq!(after.saturating_sub(before), glm("0.25"), "promised at {then} s, looked at {now} s");
        let free = ledger.falls_to(Window::Day, glm("0.25"), at(then + 10));
        assert_eq!(ledger.within(Window::Day, free), glm("0.25"), "{then}");
    }
}

#[test]
fn a_promise_is_taken_back_from_its_hour_from_its_minute_and_from_before() {
    let (old, other) = (RentalId(1), RentalId(2));
    for hours in [1, 3, 30] {
        let later = at(hours * 3600 + 10);
        let mut ledger = Ledger::default();
        ledger.promise(at(0), old, glm("1"));
        ledger.promise(at(0), other, glm("0.5"));
        ledger.promise(at(20), other, glm("0.25"));
        ledger.promise(later, other, glm("4"));
        let before = ledger.within(Window::Day, later);
        ledger.take_back(old, glm("0.75"));
        assert_eq!(ledger.total(), glm("5"), "{hours} h");
        let gone = if hours < 24 { glm("0.75") } else { Glm::ZERO };
        assert_eq!(before.saturating_sub(ledger.within(Window::Day, later)), gone, "{hours} h");
        ledger.take_back(other, glm("4.75"));
        assert_eq!(ledger.within(Window::Hour, later), Glm::ZERO, "{hours} h");
        assert_eq!(ledger.total(), glm("0.25"), "{hours} h");
    }
}

#[derive(Debug, Clone)]
enum Doing {
    Promise { wait: u64, rental: u64, amount: u32 },
    TakeBack { rental: u64, percent: u32 },
    Settle { rental: u64 },
}

fn doing() -> impl Strategy<Value = Doing> {
    let wait = prop_oneof![Just(0u64), 0..3u64, 0..4000u64, 0..90_000u64];
    prop_oneof![
        6 => (wait, 0..4u64, 0..1000u32).prop_map(|(wait, rental, amount)| Doing::Promise { wait, rental, amount }),
        1 => (0..4u64, 0..=100u32).prop_map(|(rental, percent)| Doing::TakeBack { rental, percent }),
        1 => (0..4u64).prop_map(|rental| Doing::Settle { rental }),
    ]
}

proptest! {
    #[test]
    fn any_budget_is_read_back_as_it_was_written(
        total in prop::option::of(1u32..100_000),
        hour in prop::option::of(1u32..100_000),
        day in 1u32..100_000,
    ) {
        let glm = |micro: u32| Glm::from_decimal(rust_decimal::Decimal::new(micro.into(), 6)).unwrap();
        let budget = Budget { total: total.map(glm), hour: hour.map(glm), day: Some(glm(day)) };
        prop_assert_eq!(budget.to_string().parse::<Budget>(), Ok(budget));
    }

    /// It never shows less than a list that forgets nothing, and at most what a second before an hour, or a minute before a
    /// day, was promised.
    #[test]
    fn a_window_is_the_sum_of_what_was_promised_in_it(doings in prop::collection::vec(doing(), 0..80), look in 0..90_000u64) {
        let glm = |amount: u32| Glm::from_decimal(rust_decimal::Decimal::from(amount)).unwrap();
        let (mut ledger, mut now) = (Ledger::default(), 0);
        let mut list: Vec<(u64, u64, u32, bool)> = Vec::new();
        for doing in doings {
            match doing {
                Doing::Promise { wait, rental, amount } => {
                    now += wait;
                    let before = Window::ALL.map(|window| ledger.within(window, at(now)));
                    ledger.promise(at(now), RentalId(rental), glm(amount));
                    for (window, before) in Window::ALL.into_iter().zip(before) {
                        let grown = ledger.within(window, at(now)).saturating_sub(before);
                        prop_assert_eq!(grown, glm(amount), "{:?}: a promise adds itself and nothing else", window);
                    }
                    list.push((now, rental, amount, true));
                }
                Doing::TakeBack { rental, percent } => {
                    let of_rental = |entry: &&mut (u64, u64, u32, bool)| entry.1 == rental && entry.3;
                    let unsure: u32 = list.iter_mut().filter(of_rental).map(|entry| entry.2).sum();
                    let mut left = unsure * percent / 100;
                    ledger.take_back(RentalId(rental), glm(left));
                    for entry in list.iter_mut().rev().filter(of_rental) {
                        let taken = entry.2.min(left);
                        entry.2 -= taken;
                        left -= taken;
                    }
                }
                Doing::Settle { rental } => {
                    ledger.settle(RentalId(rental));
                    list.iter_mut().filter(|entry| entry.1 == rental).for_each(|entry| entry.3 = false);
                }
            }
            prop_assert!(ledger.minutes.len() + ledger.seconds.len() <= MOST_ENTRIES);
            let read = serde_json::from_value::<Ledger>(serde_json::to_value(&ledger).unwrap()).unwrap();
            prop_assert_eq!(&read, &ledger);
        }
        let total: u32 = list.iter().map(|entry| entry.2).sum();
        prop_assert_eq!(ledger.total(), glm(total));
        let now = now + look;
        for window in Window::ALL {
            let since = |seconds: u64| -> u32 {
                list.iter().filter(|entry| entry.0 + window.length().as_secs() + seconds > now).map(|entry| entry.2).sum()
            };
            let within = ledger.within(window, at(now));
            let more = match window {
                Window::Hour => 1,
                Window::Day => 60,
            };
            prop_assert!(glm(since(0)) <= within && within <= glm(since(more)));
            for most in [0, total / 3, total] {
                let then = ledger.falls_to(window, glm(most), at(now));
                prop_assert!(ledger.within(window, then) <= glm(most));
                let sooner = then - Duration::from_millis(1);
                prop_assert!(then == at(now) || ledger.within(window, sooner) > glm(most));
            }
        }
    }
}
