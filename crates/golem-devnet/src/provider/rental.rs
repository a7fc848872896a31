//! One agreement from its approval to its invoice: a task that owns its activity, its debit notes and its end.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};
use yagna_api::activity::{ActivityState, State, StatePair};
use yagna_api::market::{Agreement, Reason, Terminator};
use yagna_api::payment::{BillEventKind, DebitNoteEvent};
use yagna_api::properties::name;
use yagna_api::time::{after, between};
use yagna_api::{ActivityId, AgreementId, Glm, Timestamp};

use super::behaviour::InvoiceManner;
use super::billing::{BillingTerms, inflated, reported, until_next};
use super::ending::Ending;
use super::negotiation::expiration;
use super::notes::Notes;
use super::persist::persist;
use super::poll::Input;
use super::shared::Shared;
use crate::exe_unit::{ExeUnit, ExeUnitConfig};
use crate::news::{ActivityEnd, BillId, HappeningKind};
use crate::port::{ActivityEvent, ActivityEventKind, NewDebitNote, NewInvoice, PortResult};

/// The time until an invoice is due where no payment time-out was agreed.
const INVOICE_DUE: Duration = Duration::from_secs(24 * 3600);

/// The inputs that the agent passes on to an agreement.
#[derive(Debug)]
pub(crate) enum RentalInput {
    /// The requestor ended it, perhaps with a reason.
    Terminated(Option<Reason>),
    /// The requestor asks something of an activity.
    Activity(ActivityEvent),
    /// Something happened to a debit note, perhaps another agreement's.
    DebitNote(DebitNoteEvent),
}

enum Event {
    Input(Option<RentalInput>),
    UnitEnded,
    Alarm,
    Changed,
}

/// One agreement in force.
pub(crate) struct Rental {
    shared: Arc<Shared>,
    id: AgreementId,
    terms: BillingTerms,
    usage_vector: Vec<String>,
    expires: Timestamp,
    multi_activity: bool,
    began: Instant,
    notes: Notes,
    running: Option<Running>,
    finished: Vec<(ActivityId, Glm)>,
    idle_since: Instant,
}

/// An activity that runs.
struct Running {
    unit: Arc<ExeUnit>,
    next_note: Instant,
    bill: Bill,
}

/// The amounts that an activity was billed so far.
struct Bill {
    activity: ActivityId,
    amount: Glm,
    first_usage: Option<Vec<f64>>,
}

/// An activity that is over, but for its last debit note.
struct Stopped {
    usage: Vec<f64>,
    bill: Bill,
}

impl Rental {
    pub(crate) fn new(shared: Arc<Shared>, agreement: &Agreement) -> Self {
        let now = Instant::now();
        let config = &shared.config;
        let terms = BillingTerms::of(agreement, config);
        let demand = &agreement.demand.properties;
        Self {
            id: agreement.agreement_id.clone(),
            usage_vector: usage_vector(agreement),
            expires: expiration(demand).unwrap_or(Timestamp::MAX),
            multi_activity: demand.get(name::MULTI_ACTIVITY).and_then(serde_json::Value::as_bool)
                == Some(true),
            began: now,
            notes: Notes::new(terms.accept_timeout, terms.payment_timeout, now),
            terms,
            running: None,
            finished: Vec::new(),
            idle_since: now,
            shared,
        }
    }

    /// Lives until the agreement has ended and its invoice is sent.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<RentalInput>, agent: mpsc::Sender<Input>) {
        info!(agreement = %self.id, provider = %self.shared.config.name, "an agreement is in force");
        let mut changes = self.shared.manners.changes();
        let ending = loop {
            let event = tokio::select! {
                biased;
                input = inbox.recv() => Event::Input(input),
                () = unit_end(self.running.as_ref()) => Event::UnitEnded,
                () = sleep_until(self.next_alarm()) => Event::Alarm,
                _ = changes.changed() => Event::Changed,
            };
            // A frozen provider hears it later.
            self.shared.manners.here().await;
            let ending = match event {
                Event::Input(Some(input)) => self.on_input(input).await,
                Event::Input(None) => return,
                Event::UnitEnded => self.on_unit_end().await,
                Event::Alarm => self.on_alarm().await,
                Event::Changed => self.on_change(),
            };
            if let Some(ending) = ending {
                break ending;
            }
        };
        self.close(ending, &agent).await;
    }

    async fn on_input(&mut self, input: RentalInput) -> Option<Ending> {
        match input {
            RentalInput::Terminated(reason) => Some(Ending::ByRequestor(reason)),
            RentalInput::Activity(event) => match event.kind {
                ActivityEventKind::Create => {
                    self.create(event.activity).await;
                    None
                }
                ActivityEventKind::Destroy => self.destroy(&event.activity).await,
            },
            RentalInput::DebitNote(event) => self.on_debit_note(event),
        }
    }

    fn on_debit_note(&mut self, event: DebitNoteEvent) -> Option<Ending> {
        let note = event.debit_note_id;
        match event.kind {
            BillEventKind::Accepted => self.notes.accepted(&note),
            BillEventKind::Settled => self.notes.paid(&note),
            BillEventKind::Rejected { rejection } if self.notes.knows(&note) => {
                let why = rejection
                    .map_or_else(String::new, |rejection| format!("{:?}", rejection.rejection_reason));
                return Some(Ending::DebitNoteRejected(why));
            }
            _ => {}
        }
        None
    }

    async fn create(&mut self, activity: ActivityId) {
        if self.running.is_some() {
            let message = "Can't create 2 simultaneous Activities.";
            return self.refuse(&activity, "Only single Activity allowed", message).await;
        }
        let shared = &self.shared;
        let bandwidth = self.shared.manners.behaviour().bandwidth;
        let usage_vector = self.usage_vector.clone();
        let config = ExeUnitConfig { usage_vector, bandwidth, ..ExeUnitConfig::default() };
        let (port, clock) = (Arc::clone(&shared.port), Arc::clone(&shared.clock));
        match ExeUnit::start(activity.clone(), port, clock, &shared.runtime, config).await {
            Ok(unit) => {
                let unit = Arc::new(unit);
                shared.keep_unit(Arc::clone(&unit));
                shared.news.tell(|| HappeningKind::ActivityCreated {
                    agreement: self.id.clone(),
                    activity: activity.clone(),
                });
                let next_note = Instant::now() + self.until_next_note();
                let bill = Bill { activity, amount: Glm::ZERO, first_usage: None };
                self.running = Some(Running { unit, next_note, bill });
            }
            Err(error) => {
                warn!(%activity, error = &error as &dyn std::error::Error, "no exe-unit");
                self.refuse(&activity, "initialization error", &error.to_string()).await;
            }
        }
    }

    async fn refuse(&self, activity: &ActivityId, reason: &str, message: &str) {
        let state = ActivityState {
            state: StatePair(State::Terminated, None),
            reason: Some(reason.into()),
            error_message: Some(message.into()),
        };
        if let Err(error) = self.shared.port.set_activity_state(activity, state).await {
            warn!(%activity, %error, "the refusal of an activity can't be reported");
        }
        self.shared.news.tell(|| HappeningKind::ActivityRefused {
            agreement: self.id.clone(),
            activity: activity.clone(),
            reason: message.to_owned(),
        });
    }

    async fn destroy(&mut self, activity: &ActivityId) -> Option<Ending> {
        if self.running.as_ref().is_none_or(|running| running.unit.activity() != activity) {
            self.say_again(activity).await;
            return None;
        }
        let stopped = self.stop_activity(None, ActivityEnd::Destroyed).await?;
        self.settle(stopped).await;
        (!self.multi_activity).then_some(Ending::SingleActivity)
    }

    /// An activity is to be destroyed that has ended before: its daemon can't have heard of that.
    async fn say_again(&self, activity: &ActivityId) {
        debug!(%activity, "the activity has ended before");
        let terminated =
            ActivityState { state: StatePair(State::Terminated, None), reason: None, error_message: None };
        if let Err(error) = self.shared.port.set_activity_state(activity, terminated).await {
            debug!(%activity, %error, "the daemon took no state");
        }
    }

    /// The exe-unit ended without being asked: its machine died.
    async fn on_unit_end(&mut self) -> Option<Ending> {
        info!(agreement = %self.id, "the exe-unit has died");
        let stopped = self.stop_activity(None, ActivityEnd::Died).await?;
        self.settle(stopped).await;
        (!self.multi_activity).then_some(Ending::SingleActivity)
    }

    async fn stop_activity(&mut self, reason: Option<String>, how: ActivityEnd) -> Option<Stopped> {
        let running = self.running.take()?;
        // Its end is the exe-unit's own affair and not billed.
        let usage = running.unit.usage();
        self.shared.stop_unit(&running.bill.activity, reason).await;
        let activity = running.bill.activity.clone();
        let commands = self.shared.runtime.forget(&activity);
        self.shared.news.tell(|| HappeningKind::ActivityEnded {
            agreement: self.id.clone(),
            activity,
            how,
            commands,
        });
        self.idle_since = Instant::now();
        Some(Stopped { usage, bill: running.bill })
    }

    /// Sends the last debit note of an activity that is over, however long it takes.
    async fn settle(&mut self, stopped: Stopped) {
        let Stopped { usage, mut bill } = stopped;
        let usage = self.charge(&mut bill, &usage);
        let note = NewDebitNote {
            activity: bill.activity.clone(),
            total_amount_due: bill.amount,
            usage,
            payment_due_date: None,
        };
        let shared = Arc::clone(&self.shared);
        let due = self.notes.due(true, Instant::now());
        let issued = persist("issue the last debit note", || {
            let due = due.map(|due| after(shared.clock.now(), due));
            shared.port.issue_debit_note(NewDebitNote { payment_due_date: due, ..note.clone() })
        })
        .await;
        if let Ok(issued) = issued {
            let id = issued.debit_note_id;
            shared.bills.sending(&self.id, BillId::DebitNote(id.clone(), bill.activity.clone()), bill.amount);
            self.notes.sending(id.clone(), due, Instant::now());
            if persist("send the last debit note", || shared.port.send_debit_note(&id)).await.is_ok() {
                shared.bills.sent(id.as_str(), &shared.news);
                self.notes.sent(due.is_some(), Instant::now());
            } else {
                // The agreement's own deadlines decide what follows from that.
                drop(self.notes.not_sent(Some(&id), Instant::now()));
            }
        }
        self.finished.push((bill.activity, bill.amount));
    }

    /// Another behaviour may mean another interval of debit notes; all other alarms are computed anew anyway.
    fn on_change(&mut self) -> Option<Ending> {
        let next = Instant::now() + self.until_next_note();
        if let Some(running) = &mut self.running {
            running.next_note = next;
        }
        None
    }

    async fn on_alarm(&mut self) -> Option<Ending> {
        let now = Instant::now();
        if self.shared.clock.now() >= self.expires {
            return Some(Ending::Expired(self.expires));
        }
        if let Some((time, reason)) = self.shared.manners.behaviour().terminates
            && self.began + time <= now
        {
            return Some(Ending::Whim(reason));
        }
        if let Some(overdue) = self.notes.overdue(now) {
            return Some(overdue);
        }
        match self.running.as_ref().map(|running| running.next_note) {
            None => {
                let idle = self.shared.config.limits.idle;
                (self.idle_since + idle <= now).then_some(Ending::NoActivity(idle))
            }
            Some(next) if next <= now => self.send_note().await,
            Some(_) => None,
        }
    }

    async fn send_note(&mut self) -> Option<Ending> {
        let next = Instant::now() + self.until_next_note();
        let mut running = self.running.take()?;
        running.next_note = next;
        let usage = running.unit.usage();
        let usage = self.charge(&mut running.bill, &usage);
        let (activity, total_amount_due) = (running.bill.activity.clone(), running.bill.amount);
        self.running = Some(running);
        let port = Arc::clone(&self.shared.port);
        let due = self.notes.due(false, Instant::now());
        let payment_due_date = due.map(|due| after(self.shared.clock.now(), due));
        let (bills, news) = (&self.shared.bills, &self.shared.news);
        let billed = activity.clone();
        let note = NewDebitNote { activity, total_amount_due, usage, payment_due_date };
        let note = match port.issue_debit_note(note).await {
            Ok(note) => note.debit_note_id,
            Err(error) => {
                warn!(agreement = %self.id, %error, "no debit note");
                return self.notes.not_sent(None, Instant::now());
            }
        };
        // Before it goes out: its acceptance may come before the sending returns.
        bills.sending(&self.id, BillId::DebitNote(note.clone(), billed), total_amount_due);
        self.notes.sending(note.clone(), due, Instant::now());
        match port.send_debit_note(&note).await {
            Ok(()) => {
                bills.sent(note.as_str(), news);
                self.notes.sent(due.is_some(), Instant::now());
                None
            }
            Err(error) => {
                warn!(agreement = %self.id, %error, "a debit note can't be sent");
                self.notes.not_sent(Some(&note), Instant::now())
            }
        }
    }

    /// Bills this usage, and says which usage to show for it.
    fn charge(&self, bill: &mut Bill, usage: &[f64]) -> Vec<f64> {
        let behaviour = self.shared.manners.behaviour();
        let usage = reported(usage);
        let owed = inflated(self.terms.cost(&usage), behaviour.bill_factor);
        // A bill doesn't fall: the daemon would refuse the invoice.
        bill.amount = bill.amount.max(owed);
        let first = bill.first_usage.get_or_insert_with(|| usage.clone()).clone();
        if behaviour.frozen_usage { first } else { usage }
    }

    async fn close(mut self, ending: Ending, agent: &mpsc::Sender<Input>) {
        let reason = ending.reason();
        info!(agreement = %self.id, ?ending, "an agreement has ended");
        let words = reason.as_ref().map(|reason| reason.message.clone());
        let words = words.or_else(|| Some("Agreement terminated".into()));
        let stopped = self.stop_activity(words, ActivityEnd::AgreementOver).await;
        let (by, said) = match ending {
            Ending::ByRequestor(reason) => (Terminator::Requestor, reason),
            _ => (Terminator::Provider, reason.clone()),
        };
        if let Some(reason) = reason {
            let shared = Arc::clone(&self.shared);
            let id = &self.id;
            let ended: PortResult<()> = persist("terminate an agreement", || {
                shared.port.terminate_agreement(id, Some(reason.clone()))
            })
            .await;
            if let Err(error) = ended {
                debug!(agreement = %self.id, %error, "the agreement had ended before");
            }
        }
        let agreement = self.id.clone();
        self.shared.news.tell(|| HappeningKind::AgreementEnded { agreement, by, reason: said });
        // The agent listens as long as this task lives.
        drop(agent.send(Input::Freed(self.id.clone())).await);
        if let Some(stopped) = stopped {
            self.settle(stopped).await;
        }
        self.invoice().await;
    }

    async fn invoice(&self) {
        match self.shared.manners.behaviour().invoicing {
            InvoiceManner::Never => {}
            InvoiceManner::Once => self.send_invoice().await,
            InvoiceManner::Twice => {
                self.send_invoice().await;
                self.send_invoice().await;
            }
            InvoiceManner::After(time) => {
                sleep(time).await;
                self.send_invoice().await;
            }
        }
    }

    async fn send_invoice(&self) {
        let port = &self.shared.port;
        let due = self.terms.payment_timeout.unwrap_or(INVOICE_DUE);
        let amount = self.finished.iter().map(|(_, amount)| *amount).sum();
        let issued = persist("issue an invoice", || {
            port.issue_invoice(NewInvoice {
                agreement: self.id.clone(),
                activities: self.finished.iter().map(|(activity, _)| activity.clone()).collect(),
                amount,
                payment_due_date: after(self.shared.clock.now(), due),
            })
        })
        .await;
        if let Ok(invoice) = issued {
            let id = invoice.invoice_id;
            self.shared.bills.sending(&self.id, BillId::Invoice(id.clone()), amount);
            if persist("send an invoice", || port.send_invoice(&id)).await.is_ok() {
                self.shared.bills.sent(id.as_str(), &self.shared.news);
                info!(agreement = %self.id, invoice = %id, %amount, "the invoice is sent");
            }
        }
    }

    fn next_alarm(&self) -> Instant {
        let now = Instant::now();
        let expires = now + between(self.shared.clock.now(), self.expires).min(Duration::from_secs(3600));
        let work = match &self.running {
            Some(running) => running.next_note,
            None => self.idle_since + self.shared.config.limits.idle,
        };
        let whim = self.shared.manners.behaviour().terminates.map(|(time, _)| self.began + time);
        [Some(work), whim, self.notes.deadline()].into_iter().flatten().fold(expires, Instant::min)
    }

    fn until_next_note(&self) -> Duration {
        match self.shared.manners.behaviour().debit_notes_every {
            Some(interval) => interval.max(Duration::from_millis(1)),
            None => until_next(self.terms.since, self.terms.interval, self.shared.clock.now()),
        }
    }
}

/// The agreement's usage counters, or those of every devnet provider.
fn usage_vector(agreement: &Agreement) -> Vec<String> {
    let agreed = agreement.offer.properties.get(name::USAGE_VECTOR).and_then(|list| {
        list.as_array()?.iter().map(|counter| counter.as_str().map(String::from)).collect::<Option<Vec<_>>>()
    });
    agreed.unwrap_or_else(|| super::config::USAGE_VECTOR.map(String::from).into())
}

async fn unit_end(running: Option<&Running>) {
    match running {
        Some(running) => drop(running.unit.ended().await),
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
