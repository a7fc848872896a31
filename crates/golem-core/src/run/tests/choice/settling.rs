//! The end of a run whose settle time-out is nothing: what is on its way is waited for all the same, and only that.

use yagna_api::payment::Invoice;
use yagna_api::{InvoiceId, NodeId};

use super::*;
use crate::event::{Bill, StopReason};

fn invoice(from: NodeId, agreement: &str, activity: &str, amount: &str, now: Timestamp) -> Input {
    let invoice = Invoice {
        invoice_id: InvoiceId::new(format!("i-{agreement}")),
        issuer_id: from,
        recipient_id: node(99),
        payee_addr: "0x2".into(),
        payer_addr: "0x1".into(),
        payment_platform: PLATFORM.into(),
        timestamp: now,
        agreement_id: AgreementId::new(agreement),
        activity_ids: vec![ActivityId::new(activity)],
        amount: amount.parse().unwrap(),
        payment_due_date: after(now, secs(86_400)),
        status: BillStatus::Received,
    };
    Input::Invoice { invoice: Box::new(invoice), told: Some(now) }
}

/// A run that has stopped, nothing of it left but an acceptance that was sent, and its bill.
fn accepting_at_the_end() -> (Desk, Bill) {
    let (mut desk, _) = at_work(MidAgreementPayments::Auto);
    desk.run.config.settle_timeout = secs(0);
    desk.run.config.stop_grace = secs(0);
    desk.wait(120);
    let step = desk.note(100, None);
    let bill = step.effects.iter().find_map(|effect| match effect {
        Effect::AcceptBill { bill, .. } => Some(bill.clone()),
        _ => None,
    });
    desk.give(Input::Stop { why: StopReason::Cancelled });
    desk.give(Input::Closed { rental: RentalId(1), usage: None, failure: None, ended: true });
    (desk, bill.expect("the note is right"))
}

#[test]
fn an_acceptance_that_is_on_its_way_is_waited_for() {
    let (mut desk, bill) = accepting_at_the_end();
    desk.wait(50);
    assert_eq!(desk.run.end(), None);
    let step = desk.give(Input::BillAccepted { bill });
    assert!(step.events.iter().any(|event| matches!(event.kind, EventKind::BillAccepted { .. })));
    let end = desk.run.end().expect("nothing else is waited for");
    assert_eq!((end.cost, end.unsettled), ("0.001".parse().unwrap(), 1));
}

#[test]
fn an_acceptance_that_fails_is_not_sent_again_once_nothing_more_is_waited_for() {
    let (mut desk, bill) = accepting_at_the_end();
    let step = desk.give(Input::BillFailed { bill, problem: "503".into(), passing: true });
    assert!(!is_accepted(&step));
    assert!(desk.run.end().is_some());
}

#[test]
fn an_acceptance_without_any_answer_holds_nobody_up_for_ever() {
    let (mut desk, _) = accepting_at_the_end();
    desk.wait(119);
    assert_eq!(desk.run.end(), None);
    desk.wait(2);
    assert!(desk.run.end().is_some());
}

#[test]
fn an_invoice_over_nothing_for_an_agreement_that_was_never_known_is_no_refusal() {
    let mut desk = Desk::configured(one_worker);
    for (amount, refusals) in [("0", 0), ("0.1", 1)] {
        let step = desk.give(invoice(node(7), "stranger", "act", amount, desk.now));
        let refused = |event: &&crate::event::Event| matches!(event.kind, EventKind::BillRefused { .. });
        assert_eq!(step.events.iter().filter(refused).count(), refusals, "{amount}");
        assert_eq!(step.events.is_empty(), refusals == 0, "{:?}", step.events);
    }
}

#[test]
fn an_invoice_over_nothing_for_an_agreement_of_ours_is_accepted() {
    let (mut desk, _) = at_work(MidAgreementPayments::Auto);
    let step = desk.give(invoice(node(1), "a", "act", "0", desk.now));
    assert!(is_accepted(&step), "{:?}", step.events);
}

#[test]
fn while_one_acceptance_is_on_its_way_another_that_fails_is_not_sent_again() {
    let (mut desk, _) = at_work(MidAgreementPayments::Auto);
    desk.run.config.settle_timeout = secs(0);
    desk.run.config.stop_grace = secs(0);
    let mut accept = |wait, seconds| {
        desk.wait(wait);
        let step = desk.note(seconds, None);
        step.effects.into_iter().find_map(|effect| match effect {
            Effect::AcceptBill { bill, .. } => Some(bill),
            _ => None,
        })
    };
    let first = accept(120, 100).unwrap();
    assert_eq!(accept(60, 160), None, "the daemon gets one of a rental at a time");
    desk.give(Input::Stop { why: StopReason::Cancelled });
    desk.give(Input::Closed { rental: RentalId(1), usage: None, failure: None, ended: true });
    let step = desk.give(Input::BillFailed { bill: first, problem: "503".into(), passing: true });
    let second = step.effects.iter().find_map(|effect| match effect {
        Effect::AcceptBill { bill, .. } => Some(bill.clone()),
        _ => None,
    });
    assert!(!is_accepted(&desk.wait(30)) && desk.run.end().is_none());
    desk.give(Input::BillAccepted { bill: second.expect("it is the second one's turn") });
    assert!(desk.run.end().is_some());
}

#[test]
fn a_bill_that_an_earlier_life_left_undecided_is_waited_for_until_it_is_known_to_be_unreadable() {
    let (mut desk, _) = at_work(MidAgreementPayments::Auto);
    desk.run.config.settle_timeout = secs(0);
    desk.run.config.stop_grace = secs(0);
    let bill = Bill::Invoice(InvoiceId::new("i"));
    desk.run.live.rentals.get_mut(&RentalId(1)).unwrap().asked_again.insert(bill.clone());
    desk.give(Input::Stop { why: StopReason::Cancelled });
    desk.give(Input::Closed { rental: RentalId(1), usage: None, failure: None, ended: true });
    desk.wait(30);
    assert_eq!(desk.run.end(), None);
    desk.give(Input::BillUnreadable { bill });
    assert!(desk.run.end().is_some());
}

#[test]
fn a_debit_note_tells_of_an_activity_that_was_never_heard_of_and_its_invoice_is_awaited() {
    let (mut desk, _) = at_work(MidAgreementPayments::Auto);
    desk.run.live.bills.all_told = false;
    desk.run.config.stop_grace = secs(0);
    desk.wait(120);
    desk.run.books.state.rentals.get_mut(&RentalId(1)).unwrap().activities[0].id = None;
    desk.give(Input::Stop { why: StopReason::Cancelled });
    desk.give(Input::Closed { rental: RentalId(1), usage: None, failure: None, ended: true });
    assert!(!desk.run.rental(RentalId(1)).unwrap().awaits_invoice(), "nothing ran, as far as is known");
    assert!(is_accepted(&desk.settled_note(100, None)));
    assert!(desk.run.rental(RentalId(1)).unwrap().awaits_invoice());
    desk.give(Input::BillsTold);
    assert_eq!(desk.run.end(), None);
}

/// Everything that was told as trouble, in one text.
fn troubles(events: &[crate::event::Event]) -> Vec<String> {
    let told = events.iter().filter_map(|event| match &event.kind {
        EventKind::Trouble { doing, problem } => Some(format!("{doing}: {problem}")),
        _ => None,
    });
    told.collect()
}

#[test]
fn with_a_daemon_that_is_gone_the_end_is_bounded_and_claims_nothing() {
    let (mut desk, _) = at_work(MidAgreementPayments::Auto);
    desk.run.config.settle_timeout = secs(10);
    desk.run.config.stop_grace = secs(0);
    let gone = || Input::Trouble { doing: "follow the agreements".into(), problem: "no daemon".into() };
    desk.give(gone());
    desk.give(Input::Stop { why: StopReason::Cancelled });
    let mut events = Vec::new();
    let mut waited = 0;
    while desk.run.end().is_none() {
        events.extend(desk.give(gone()).events);
        events.extend(desk.wait(1).events);
        waited += 1;
        assert!(waited <= 20, "the end isn't bounded");
    }
    let told = troubles(&events);
    assert!(told.iter().any(|line| line.contains("no daemon; that is waited for")), "{told:?}");
    assert!(told.iter().any(|line| line.contains("agreement a: it may still be in force")), "{told:?}");
    let claimed = |event: &crate::event::Event| matches!(event.kind, EventKind::AgreementEnded { .. });
    assert!(!events.iter().any(claimed), "its end is claimed");
    assert_eq!(desk.run.end().map(|end| end.unsettled), Some(1), "its bill may still come");
}

#[test]
fn an_agreement_that_nobody_could_end_is_told_of_as_ended_once_it_is() {
    let (mut desk, _) = at_work(MidAgreementPayments::Auto);
    desk.run.config.stop_grace = secs(0);
    desk.give(Input::Stop { why: StopReason::Cancelled });
    let ended =
        |step: &Step| step.events.iter().any(|event| matches!(event.kind, EventKind::AgreementEnded { .. }));
    let failure = Some("no answer".to_owned());
    let rental = RentalId(1);
    assert!(!ended(&desk.give(Input::Closed { rental, usage: None, failure, ended: false })));
    assert!(ended(&desk.give(Input::EndedLate { rental })));
    assert!(!ended(&desk.give(Input::EndedLate { rental })), "twice");
}

#[test]
fn a_daemon_that_is_back_is_told_of_once() {
    let (mut desk, _) = at_work(MidAgreementPayments::Auto);
    let back = |step: Step| {
        step.events.iter().filter(|event| matches!(event.kind, EventKind::Recovered { .. })).count()
    };
    assert_eq!(back(desk.give(Input::Recovered)), 0, "it was never gone");
    for doing in ["follow the agreements", "follow the market"] {
        desk.give(Input::Trouble { doing: doing.into(), problem: "no daemon".into() });
    }
    assert_eq!(back(desk.give(Input::Recovered)), 1);
    assert_eq!(back(desk.give(Input::Recovered)), 0);
}

#[test]
fn an_agreement_that_expires_by_a_wrong_clock_is_held_against_nobody() {
    for is_off in [false, true] {
        let (mut desk, _) = at_work(MidAgreementPayments::Auto);
        if is_off {
            desk.give(Input::ClockOff { ahead: true, by: secs(300) });
        }
        let step = desk.give(Input::AgreementTerminated {
            agreement: AgreementId::new("a"),
            by: yagna_api::market::Terminator::Provider,
            reason: Some(yagna_api::market::Reason::new("Agreement Expired")),
        });
        let blamed = step.events.iter().any(|event| matches!(event.kind, EventKind::ProviderSetBack { .. }));
        assert_eq!(blamed, !is_off);
    }
}
