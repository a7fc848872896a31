//! The cost of decisions: a run with many rentals looks at each of them no more often, for a task, than one with few.
//! And how soon the first agreements are signed.

use super::*;
use crate::event::{Attempt, TaskOutput};

/// A run whose workers all work, with more tasks than they will do.
struct Crowd {
    desk: Desk,
    n: u8,
    /// The attempt that each worker has in hand.
    running: Vec<Attempt>,
}

impl Crowd {
    fn new(n: u8) -> Self {
        let mut desk = Desk::configured(|config| {
            config.workers = n.into();
            config.budget = "1000".parse().unwrap();
        });
        let data = (0..20_000).map(|n| json!(n)).collect();
        desk.give(Input::MoreTasks { job: JobId::FIRST, data });
        for n in 1..=n {
            desk.draft(n, 0.036);
        }
        let step = desk.wait(2);
        assert_eq!(signed(&step).len(), usize::from(n));
        let sign = |effect: &Effect| match effect {
            Effect::Sign { rental, .. } => Some(*rental),
            _ => None,
        };
        let rentals: Vec<_> = step.effects.iter().filter_map(sign).collect();
        for (rental, provider) in rentals.into_iter().zip(signed(&step)) {
            desk.hire(rental, &provider);
        }
        // Everything that is owed is done by now.
        let step = desk.wait(1);
        for rental in opened(&step) {
            let activity = ActivityId::new(format!("act{}", rental.0));
            desk.give(Input::ActivityCreated { rental, no: ActivityNo(1), activity });
        }
        desk.wait(1);
        let mut running = Vec::new();
        for rental in 1..=u64::from(n) {
            let ready = Input::WorkerReady { rental: RentalId(rental), no: ActivityNo(1), room: 1 };
            let mut step = desk.give(ready);
            if assigned(&step).is_none() {
                step = desk.wait(1);
            }
            running.push(assigned(&step).expect("there is work for everybody"));
        }
        Self { desk, n, running }
    }

    /// Every worker does a task a second, one after the other, and at once gets another.
    fn work(&mut self, seconds: u32) {
        for _ in 0..seconds {
            for place in 0..self.n {
                let rental = RentalId(u64::from(place) + 1);
                self.desk.now = after(self.desk.now, secs(1) / u32::from(self.n));
                let attempt = self.running[usize::from(place)];
                let (output, took) = (TaskOutput::default(), secs(1));
                self.desk.give(Input::AttemptDone { rental, attempt, output, took, more: Vec::new() });
                let step = self.desk.give(Input::WorkerReady { rental, no: ActivityNo(1), room: 1 });
                self.running[usize::from(place)] = assigned(&step).expect("the next task comes at once");
            }
            self.desk.give(Input::Tick);
        }
    }
}

impl Desk {
    fn hire(&mut self, rental: RentalId, provider: &NodeId) {
        let mut agreed = agreement(properties(99, 0.0), properties(1, 0.036), self.now);
        agreed.agreement_id = AgreementId::new(format!("a{}", rental.0));
        agreed.offer.provider_id = provider.clone();
        self.give(Input::AgreementCreated { rental, agreement: agreed.agreement_id.clone() });
        self.give(Input::Approved { rental, agreement: Box::new(agreed) });
    }
}

fn opened(step: &Step) -> Vec<RentalId> {
    let opening = |effect: &Effect| match effect {
        Effect::OpenActivity { rental, .. } => Some(*rental),
        _ => None,
    };
    step.effects.iter().filter_map(opening).collect()
}

fn assigned(step: &Step) -> Option<Attempt> {
    step.effects.iter().find_map(|effect| match effect {
        Effect::Assign { tasks, .. } => tasks.first().map(|task| task.attempt),
        _ => None,
    })
}

#[test]
fn a_task_costs_no_more_looks_at_rentals_where_there_are_many() {
    let looks = |n: u8| {
        let mut crowd = Crowd::new(n);
        let before = crowd.desk.run.live.pace.looks.get();
        crowd.work(5);
        (crowd.desk.run.live.pace.looks.get() - before) / (5 * u64::from(n))
    };
    let (few, some, many) = (looks(20), looks(60), looks(240));
    assert!(some <= few && many <= few, "{few}, {some} and {many} looks a task");
    assert!(looks(4) > 0, "looks are counted");
}

#[test]
fn a_run_with_many_rentals_says_when_it_wants_to_look_again() {
    let mut crowd = Crowd::new(100);
    crowd.desk.give(Input::Tick);
    assert_eq!(crowd.desk.run.next_tick(), None, "nothing has come since");
    let attempt = crowd.running[0];
    let (output, took) = (TaskOutput::default(), secs(1));
    let rental = RentalId(1);
    crowd.desk.give(Input::AttemptDone { rental, attempt, output, took, more: Vec::new() });
    let next = crowd.desk.run.next_tick().expect("something has come");
    assert_eq!(next, after(crowd.desk.now, Duration::from_millis(100)));
}

#[test]
fn agreements_are_signed_as_soon_as_enough_offers_are_there_and_no_more_come() {
    let mut desk = Desk::configured(|config| config.workers = 2);
    let begun = desk.now;
    desk.draft(1, 0.2);
    desk.now = after(desk.now, Duration::from_millis(50));
    desk.draft(2, 0.1);
    desk.now = after(desk.now, Duration::from_millis(100));
    assert!(signed(&desk.draft(3, 0.3)).is_empty(), "more may come");
    let next = desk.run.next_tick().expect("it wakes by itself");
    assert_eq!(next, after(begun, Duration::from_millis(350)));
    desk.now = next;
    assert_eq!(signed(&desk.give(Input::Tick)), [node(2), node(1)]);
}

#[test]
fn while_offers_keep_coming_they_are_collected_to_the_end_of_the_window() {
    let mut desk = Desk::configured(|config| config.workers = 2);
    let begun = desk.now;
    for n in 1..=9 {
        assert!(signed(&desk.draft(n, 0.1 + f64::from(10 - n) / 10.0)).is_empty(), "{n}");
        desk.now = after(desk.now, Duration::from_millis(110));
    }
    assert_eq!(desk.run.next_tick(), Some(after(begun, secs(1))));
    desk.now = after(begun, secs(1));
    assert_eq!(signed(&desk.give(Input::Tick)), [node(9), node(8)]);
}
