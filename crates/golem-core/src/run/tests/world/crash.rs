//! A process that dies and is started again: what it knows then is the fold of what it had written down, and what
//! the simulated daemon says.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use yagna_api::market::{Reason, Terminator};
use yagna_api::payment::{Decoration, Invoice};
use yagna_api::time::after;
use yagna_api::{AgreementId, AllocationId, Timestamp};

use super::World;
use crate::event::{Bill, Event, EventKind, JobEndReason, JobId};
use crate::run::{Found, FoundActivity, FoundAgreement, FoundRental, Input, JobSpec, Run, RunConfig, Step};
use crate::state::{Rental, RunState};

/// When a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run::tests) enum Crash {
    /// Before a step's events are durable: the step never was.
    BeforeTheCommit,
    /// After that, before anything that follows from them is sent.
    AfterTheCommit,
}

/// When the process is to die: by the number of steps since it last began.
#[derive(Debug, Default)]
pub(in crate::run::tests) struct Crashes {
    coming: VecDeque<(u64, Crash)>,
    steps: u64,
    happened: u64,
}

impl Crashes {
    pub(in crate::run::tests) fn after_steps(crashes: impl IntoIterator<Item = (u64, Crash)>) -> Self {
        Self { coming: crashes.into_iter().collect(), ..Self::default() }
    }

    pub(super) fn next(&mut self) -> Option<Crash> {
        self.steps += 1;
        let (steps, crash) = *self.coming.front()?;
        if self.steps < steps {
            return None;
        }
        self.coming.pop_front();
        self.steps = 0;
        self.happened += 1;
        Some(crash)
    }

    pub(super) fn n_happened(&self) -> u64 {
        self.happened
    }

    pub(in crate::run::tests) fn happened(&self) -> bool {
        self.happened > 0
    }
}

pub(in crate::run::tests) fn fold(events: &[Event]) -> RunState {
    let mut state = RunState::default();
    for event in events {
        state.apply(event);
    }
    state
}

impl World {
    pub(in crate::run::tests) fn run(&self) -> &Run {
        &self.run
    }

    /// Starts a run again that has ended.
    pub(in crate::run::tests) fn start_again(&mut self) {
        assert!(self.run.end().is_some());
        self.resume_again();
    }

    /// What was written down so far, folded.
    pub(in crate::run::tests) fn state(&self) -> RunState {
        fold(&self.events)
    }

    /// Starts a process that only brings the run to an end.
    pub(in crate::run::tests) fn settle(&mut self) {
        self.begin_again(Run::settle);
    }

    /// Every bill that the daemon had by then was decided about.
    pub(in crate::run::tests) fn assert_decided(&self, until: Timestamp) -> usize {
        let decided = |bill: &Bill| {
            self.events.iter().any(|event| match &event.kind {
                EventKind::BillAccepted { bill: of, .. } | EventKind::BillRefused { bill: of, .. } => {
                    of == bill
                }
                _ => false,
            })
        };
        let there = self.bills.iter().filter(|(told, _)| *told <= until);
        let bills = there.filter_map(|(_, input)| match input {
            Input::DebitNote { note, .. } => Some(Bill::DebitNote(note.debit_note_id.clone())),
            Input::Invoice { invoice, .. } => Some(Bill::Invoice(invoice.invoice_id.clone())),
            _ => None,
        });
        bills.inspect(|bill| assert!(decided(bill), "{bill:?} was there by {until}")).count()
    }

    /// Starts the process again after a while.
    pub(super) fn resume_again(&mut self) {
        self.begin_again(Run::resume);
    }

    fn begin_again(
        &mut self,
        begin: impl FnOnce(RunConfig, Decoration, &RunState, &Found, Timestamp) -> (Run, Step),
    ) {
        // Messages on their way to the dead process are lost; those that the daemon keeps come again.
        self.coming.clear();
        self.accepting.clear();
        let gap = self.chance.f64() * if self.chance.bool() { 5.0 } else { 900.0 };
        let until = after(self.now, Duration::from_secs_f64(gap));
        while self.now < until {
            self.now = after(self.now, Duration::from_secs(1));
            self.send_notes();
        }
        self.coming.clear();
        self.demand = None;
        // Jobs that a run left when it stopped aren't over.
        self.ended_jobs.retain(|_, end| end.why != JobEndReason::Stopped);
        // Where no money is left aside, the engine sees to that before the run goes on.
        if self.allocation.is_none() {
            self.allocation = Some(AllocationId::new(format!("allocation-{}", self.n_allocations)));
            self.n_allocations += 1;
        }
        let state = self.state();
        self.set_aside = state.accepted.checked_add(state.left(self.config.budget, self.now)).unwrap();
        let found = self.found(&state);
        let (run, step) = begin(self.config.clone(), self.decoration.clone(), &state, &found, self.now);
        self.run = run;
        for (job, plan) in &self.plans {
            let read = state.jobs.get(job).map_or(0, |job| job.read);
            self.to_load.insert(*job, plan.tasks.saturating_sub(usize::try_from(read).unwrap()));
        }
        self.end_strangers(&state);
        self.tell_the_rest(&state);
        self.carry_out(step);
        let never_begun = self.state().next_job == 0;
        if never_begun && self.run.live.stopping.is_none() {
            let plan = self.plans[&JobId::FIRST];
            self.give(Input::JobAdded {
                job: JobId::FIRST,
                spec: JobSpec { retries: plan.retries, deadline: None, grows: plan.tasks % 2 == 1 },
            });
        }
    }

    /// The daemon's answers about the rentals of a state.
    fn found(&mut self, state: &RunState) -> Found {
        let mut found = BTreeMap::new();
        for (id, _) in state.rentals.iter().filter(|(_, known)| known.agreement.is_some()) {
            let Some(signed) = self.signed.get_mut(id) else { continue };
            let ended = signed.ended.filter(|ended| *ended <= self.now);
            let agreement = match ended {
                None => FoundAgreement::Approved(signed.approved.clone()),
                Some(at) => {
                    signed.running = false;
                    for activity in &mut signed.activities {
                        activity.ended.get_or_insert(at);
                    }
                    FoundAgreement::Ended { at, by: Terminator::Provider, reason: Reason::new("over") }
                }
            };
            let signed = &self.signed[id];
            let mut activities = BTreeMap::new();
            for (place, activity) in signed.activities.iter().enumerate() {
                let usage = Some(self.due(signed, place).0);
                let over = activity.ended.is_some();
                let sound = !over && self.chance.u8(0..4) > 0;
                activities.insert(activity.id.clone(), FoundActivity { over, sound, usage });
            }
            found.insert(*id, FoundRental { agreement, activities });
        }
        Found(found)
    }

    /// The engine ends what the daemon has under the run's name and the run doesn't know.
    fn end_strangers(&mut self, state: &RunState) {
        let is_known = |kept: &Rental, agreement: &AgreementId| kept.agreement.as_ref() == Some(agreement);
        for (id, signed) in self.signed.iter_mut().filter(|(_, signed)| signed.running) {
            if !state.rentals.get(id).is_some_and(|known| is_known(known, &signed.agreement)) {
                assert!(signed.activities.is_empty(), "{id:?} runs and isn't known");
                signed.running = false;
                signed.ended = Some(self.now);
            }
        }
    }

    /// Bills that the daemon tells of after the run's cursors, and ends of agreements.
    fn tell_the_rest(&mut self, state: &RunState) {
        let bills: Vec<_> = self
            .bills
            .iter()
            .filter(|(told, input)| match input {
                Input::DebitNote { .. } => Some(*told) > state.debit_notes_after(),
                _ => Some(*told) > state.invoices_after(),
            })
            .cloned()
            .collect();
        for (told, input) in bills {
            self.next += 1;
            let at = self.now.max(told);
            self.coming.insert((at, self.next), input);
        }
        self.next += 1;
        self.coming.insert((self.now, self.next), Input::BillsTold);
        let ends: Vec<_> = self
            .signed
            .values()
            .filter_map(|signed| Some((signed.ended?, signed.agreement.clone())))
            .collect();
        for (ended, agreement) in ends {
            self.next += 1;
            let reason = Some(Reason::new("over"));
            let input = Input::AgreementTerminated { agreement, by: Terminator::Provider, reason };
            self.coming.insert((self.now.max(ended), self.next), input);
        }
    }

    /// A bill that is asked for by its id.
    pub(super) fn tell_again(&mut self, bill: &Bill) {
        let is_it = |input: &Input| match input {
            Input::DebitNote { note, .. } => Bill::DebitNote(note.debit_note_id.clone()) == *bill,
            Input::Invoice { invoice, .. } => Bill::Invoice(invoice.invoice_id.clone()) == *bill,
            _ => false,
        };
        let input = self.bills.iter().map(|(_, input)| input).find(|input| is_it(input)).cloned();
        let input = match input.expect("only bills that came are asked for") {
            Input::DebitNote { note, .. } => Input::DebitNote { note, told: None },
            Input::Invoice { invoice, .. } => Input::Invoice { invoice, told: None },
            other => other,
        };
        self.soon(input);
    }

    /// Each bill was accepted once; of every rental that may be billed, what is owed and came was accepted or refused.
    pub(in crate::run::tests) fn assert_paid_once(&self) {
        let mut accepted: BTreeMap<&Bill, u32> = BTreeMap::new();
        for event in &self.events {
            if let EventKind::BillAccepted { bill, .. } = &event.kind {
                *accepted.entry(bill).or_default() += 1;
            }
        }
        assert!(accepted.values().all(|times| *times == 1), "a bill was counted twice: {accepted:?}");
        let invoices = self.bills.iter().filter_map(|(_, input)| match input {
            Input::Invoice { invoice, .. } => Some(invoice),
            _ => None,
        });
        for invoice in invoices {
            let Invoice { invoice_id, agreement_id, .. } = &**invoice;
            let bill = Bill::Invoice(invoice_id.clone());
            let refused = self.events.iter().any(
                |event| matches!(&event.kind, EventKind::BillRefused { bill: refused, .. } if *refused == bill),
            );
            // A daemon that fails, or money that is lost again and again, may take longer than bills are waited for.
            let may_wait = self.faults.daemon > 0.0 || self.faults.loses_money > 0.0;
            assert!(
                accepted.contains_key(&bill) || refused || may_wait,
                "{agreement_id}: {bill:?} was neither accepted nor refused"
            );
        }
    }
}
