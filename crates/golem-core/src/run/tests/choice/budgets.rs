//! The effects of a budget on a run, one step after the other.

use yagna_api::AllocationId;
use yagna_api::time::between;

use super::*;
use crate::event::StopReason;
use crate::run::OnBudget;
use crate::state::InvoiceState;

fn grows(step: &Step) -> Option<Glm> {
    step.effects.iter().find_map(|effect| match effect {
        Effect::GrowAllocation { by } => Some(*by),
        _ => None,
    })
}

fn grown(amount: &str) -> Input {
    Input::AllocationGrown { allocation: AllocationId::new("allocation"), amount: amount.parse().unwrap() }
}

#[test]
fn nothing_is_signed_that_no_money_is_set_aside_for() {
    let mut desk = Desk::configured(|config| {
        one_worker(config);
        config.budget = "1/h".parse().unwrap();
    });
    desk.run.set_backing(Glm::ZERO);
    desk.draft(1, 0.1);
    let step = desk.wait(2);
    assert_eq!((signed(&step), grows(&step)), (vec![], "1".parse().ok()));
    let step = desk.wait(60);
    assert_eq!((signed(&step), grows(&step)), (vec![], None), "it is being asked for");
    let step = desk.give(Input::AllocationNotGrown { problem: "500".into() });
    assert_eq!((signed(&step), grows(&step)), (vec![], None));
    let step = desk.wait(6);
    assert_eq!((signed(&step), grows(&step)), (vec![], "1".parse().ok()), "again after a pause");
    assert_eq!(signed(&desk.give(grown("1"))), [node(1)]);
}

/// A rental that ended after 100 seconds for 0.00001 GLM each, and of which no bill has come.
fn unbilled() -> Desk {
    let (mut desk, _) = at_work(MidAgreementPayments::Never);
    desk.wait(100);
    desk.give(Input::AgreementTerminated {
        agreement: AgreementId::new("a"),
        by: yagna_api::market::Terminator::Provider,
        reason: None,
    });
    desk.give(Input::Closed { rental: RentalId(1), usage: None, failure: None, ended: true });
    desk
}

#[test]
fn a_bill_that_is_still_to_come_is_reserved_for_in_windows_for_an_hour_and_in_the_whole_for_ever() {
    let mut desk = unbilled();
    let exposure = |desk: &Desk, recent| desk.run.exposure(desk.now, secs(0), recent);
    let owed: Glm = "0.001".parse().unwrap();
    for (seconds, in_windows) in [(1, true), (3590, true), (20, false), (100_000, false)] {
        desk.now = after(desk.now, secs(seconds));
        assert!(exposure(&desk, false) >= owed, "{seconds} s later");
        assert_eq!(exposure(&desk, true) >= owed, in_windows, "{seconds} s later");
    }
}

#[test]
fn what_a_rental_that_ended_may_still_bill_leaves_no_room_for_another() {
    // The amount that it may bill, for its 100 seconds and the 30 by which clocks may differ, is nearly all.
    for (budget, on_budget) in [("0.0015", OnBudget::Stop), ("0.0015/h", OnBudget::Pause)] {
        let mut desk = unbilled();
        desk.run.config.budget = budget.parse().unwrap();
        desk.run.config.on_budget = on_budget;
        desk.run.config.stop_horizon = secs(30);
        let step = desk.wait(31);
        desk.publish(&step);
        desk.draft(2, 0.036);
        assert_eq!(signed(&desk.wait(2)), [], "{budget}");
        // Once the bill is known to be none, there is.
        desk.run.books.state.rentals.get_mut(&RentalId(1)).unwrap().invoice = InvoiceState::Refused;
        assert_eq!(signed(&desk.wait(1)), [node(2)], "{budget}");
    }
}

#[test]
fn a_bill_that_comes_too_late_for_its_window_waits_until_that_holds_it() {
    for on_budget in [OnBudget::Pause, OnBudget::Stop] {
        let mut desk = unbilled();
        desk.run.config.budget = "0.0015/h".parse().unwrap();
        desk.run.config.on_budget = on_budget;
        desk.run.config.idle_timeout = secs(100_000);
        desk.now = after(desk.now, secs(3700));
        // Another rental has used the hour up by then.
        desk.run.books.state.promised.promised(desk.now, "0.001".parse().unwrap());
        let step = desk.note(100, None);
        assert!(!is_accepted(&step));
        let told = step.events.iter().any(|event| matches!(event.kind, EventKind::Trouble { .. }));
        assert!(told && desk.run.live.bills.postponed.len() == 1, "{:?}", step.events);
        let stops = step
            .events
            .iter()
            .any(|event| matches!(event.kind, EventKind::Stopping { why: StopReason::BudgetReached }));
        assert_eq!(stops, on_budget == OnBudget::Stop);
        if !stops {
            assert!(!is_accepted(&desk.wait(3590)));
            assert!(is_accepted(&desk.wait(15)));
        }
    }
}

#[test]
fn a_bill_is_accepted_no_sooner_than_there_is_money_for_it() {
    let (mut desk, _) = at_work(MidAgreementPayments::Never);
    desk.run.set_backing("0.0005".parse().unwrap());
    desk.run.config.budget = "1/h".parse().unwrap();
    desk.now = after(desk.now, secs(100));
    let step = desk.note(100, None);
    assert!(!is_accepted(&step));
    assert_eq!(grows(&step), "0.9995".parse().ok());
    assert!(is_accepted(&desk.give(grown("1"))));
}

#[test]
fn a_second_debit_note_adds_only_what_is_new_and_one_that_fails_is_taken_back() {
    let (mut desk, _) = at_work(MidAgreementPayments::Never);
    let increases = |step: &Step| {
        let of = step.events.iter().find_map(|event| match &event.kind {
            EventKind::BillAccepting { increase, bill, .. } => Some((*increase, bill.clone())),
            _ => None,
        });
        of.expect("the note is right")
    };
    let mut total = Glm::ZERO;
    for (seconds, increase) in [(100, "0.001"), (220, "0.0012"), (300, "0.0008")] {
        desk.now = after(desk.now, secs(120));
        let (told, bill) = increases(&desk.note(seconds, None));
        assert_eq!(told, increase.parse().unwrap());
        let before = total;
        total = total.checked_add(told).unwrap();
        assert_eq!((desk.run.books.state.promised.total(), desk.run.promised()), (total, total));
        if seconds == 300 {
            desk.give(Input::BillFailed { bill, problem: "400".into(), passing: false });
            assert_eq!((desk.run.books.state.promised.total(), desk.run.promised()), (before, before));
        } else {
            desk.give(Input::BillAccepted { bill });
        }
    }
}

/// A run whose hour is used up when its first offer comes.
fn used_up(budget: &str) -> Desk {
    let mut desk = Desk::configured(|config| {
        one_worker(config);
        config.budget = budget.parse().unwrap();
        config.on_budget = OnBudget::Pause;
        config.stop_horizon = secs(30);
        config.idle_timeout = secs(1_000_000);
    });
    use_up(&mut desk);
    desk
}

fn use_up(desk: &mut Desk) -> Step {
    desk.run.books.state.promised.promised(desk.now, "0.0015".parse().unwrap());
    desk.draft(1, 0.036);
    desk.wait(2)
}

fn paused_until(step: &Step) -> Option<Timestamp> {
    step.events.iter().find_map(|event| match event.kind {
        EventKind::Paused { until, .. } => Some(until),
        _ => None,
    })
}

fn is_stopped(step: &Step) -> bool {
    let stops = |kind: &EventKind| matches!(kind, EventKind::Stopping { why: StopReason::BudgetReached });
    step.events.iter().any(|event| stops(&event.kind))
}

#[test]
fn after_five_pauses_in_vain_the_run_stops() {
    let mut desk = used_up("0.0015/h");
    for _ in 1..5 {
        assert!(desk.run.live.money.paused.is_some());
        let step = desk.wait(3700);
        assert!(desk.run.live.money.paused.is_none(), "the hour is free");
        desk.publish(&step);
        assert!(paused_until(&use_up(&mut desk)).is_some());
    }
    let step = desk.wait(3700);
    desk.publish(&step);
    let step = use_up(&mut desk);
    assert!(is_stopped(&step) && paused_until(&step).is_none(), "{:?}", step.events);
}

#[test]
fn what_is_used_up_in_all_is_not_paused_for_and_ends_a_pause() {
    let mut desk = used_up("0.01,0.0015/h");
    assert!(desk.run.live.money.paused.is_some());
    // Late bills came.
    desk.run.books.state.accepted = "0.01".parse().unwrap();
    assert!(is_stopped(&desk.wait(1)));

    let mut desk = Desk::configured(|config| {
        one_worker(config);
        config.budget = "0.01,1/h".parse().unwrap();
        config.on_budget = OnBudget::Pause;
    });
    desk.run.books.state.accepted = "0.01".parse().unwrap();
    desk.draft(1, 0.036);
    let step = desk.wait(2);
    assert!(is_stopped(&step) && paused_until(&step).is_none(), "{:?}", step.events);
}

#[test]
fn a_pause_that_lasts_longer_than_was_thought_is_told_anew() {
    let mut desk = used_up("0.0015/h");
    desk.wait(1800);
    desk.run.books.state.promised.promised(desk.now, "0.0015".parse().unwrap());
    let step = desk.wait(1810);
    let until = paused_until(&step).expect("it is told until when");
    assert!(until > after(desk.now, secs(1700)), "{until}");
    let told = step.events.iter().find_map(|event| match &event.kind {
        EventKind::Waiting { explanation } => explanation.paused_until,
        _ => None,
    });
    assert_eq!(told, Some(until));
}

#[test]
fn a_bill_that_the_whole_does_not_hold_is_left_open_and_ends_the_run() {
    let (mut desk, _) = at_work(MidAgreementPayments::Never);
    // Something else took a part of the reserved amount.
    desk.run.config.budget = "0.0005".parse().unwrap();
    desk.now = after(desk.now, secs(100));
    let step = desk.note(100, None);
    assert!(!is_accepted(&step) && is_stopped(&step), "{:?}", step.events);
    let open = |kind: &EventKind| matches!(kind, EventKind::BillRefused { open: true, .. });
    assert!(step.events.iter().any(|event| open(&event.kind)), "{:?}", step.events);
}

/// A desk at work in an activity whose CPU time costs a hundred times as much as its time, on 0.4 GLM: 396 s at full use.
fn with_dear_cpu() -> Desk {
    let (mut desk, _) = at_work(MidAgreementPayments::Never);
    desk.run.config.budget = "0.4".parse().unwrap();
    let pricing = &mut desk.run.books.state.rentals.get_mut(&RentalId(1)).unwrap().terms.pricing;
    pricing.rates[1].1 = "0.001".parse().unwrap();
    desk
}

fn asks_for_usage(step: &Step) -> bool {
    step.effects.iter().any(|effect| matches!(effect, Effect::ReadUsage { .. }))
}

fn closes(step: &Step) -> bool {
    step.effects.iter().any(|effect| matches!(effect, Effect::Close { .. }))
}

#[test]
fn what_was_really_used_decides_how_long_a_budget_lasts() {
    for (busy, least, most) in
        [(None, 240, 260), (Some(1.0), 240, 260), (Some(0.5), 400, 700), (Some(0.01), 6000, 20_000)]
    {
        let mut desk = with_dear_cpu();
        let begun = desk.now;
        let (mut asked, mut lasted) = (0, 0);
        while lasted < 20_000 {
            let step = desk.wait(1);
            lasted += 1;
            if closes(&step) {
                break;
            }
            if asks_for_usage(&step) {
                asked += 1;
                if let Some(busy) = busy {
                    let age = between(begun, desk.now).as_secs_f64();
                    desk.give(Input::Usage {
                        rental: RentalId(1),
                        no: ActivityNo(1),
                        usage: vec![age, age * busy],
                    });
                }
            }
        }
        assert!((least..most).contains(&lasted), "{busy:?} busy: it lasted {lasted} s");
        assert!(asked > 0 && asked <= lasted / 10, "{busy:?} busy: asked {asked} times in {lasted} s");
    }
}

#[test]
fn usage_is_asked_for_only_where_the_budget_is_near_and_the_clock_does_not_tell() {
    let mut desk = with_dear_cpu();
    assert!(
        (0..180).all(|_| !asks_for_usage(&desk.wait(1))),
        "there is enough for longer than it takes to stop"
    );
    let (mut desk, _) = at_work(MidAgreementPayments::Never);
    desk.run.config.budget = "0.004".parse().unwrap();
    let asked = (0..300).any(|_| asks_for_usage(&desk.wait(1)));
    assert!(!asked, "only its time is charged for");
}

#[test]
fn what_was_ended_for_want_of_money_is_not_bought_again_for_some_seconds_of_work() {
    for raised in [false, true] {
        let mut desk = with_dear_cpu();
        while !closes(&desk.wait(1)) {}
        desk.give(Input::Closed {
            rental: RentalId(1),
            usage: Some(vec![250.0, 1.0]),
            failure: None,
            ended: true,
        });
        desk.run.books.state.rentals.get_mut(&RentalId(1)).unwrap().invoice = InvoiceState::Refused;
        desk.run.config.budget = "0.0024".parse().unwrap();
        if raised {
            desk.give(Input::BudgetRaised { budget: "0.0024".parse().unwrap() });
        }
        // It takes 0.0016 GLM to sign with this one and to stop in time.
        let mut bought = signed(&desk.draft(2, 0.036));
        bought.extend((0..5).flat_map(|_| signed(&desk.wait(1))));
        assert_eq!(bought, if raised { vec![node(2)] } else { vec![] });
    }
}
