//! Carries out a run's decisions: effects go to the daemon, what comes back goes in as inputs.
//!
//! One loop owns the decisions. Each effect is a task in one supervised set, bounded in time, whose outcome comes
//! back over one bounded channel. Events are committed to the journal in groups; an effect that spends waits in
//! the outbox until the events of its step are durable.

mod allocation;
mod bills;
mod close;
mod daylight;
mod follow;
mod jobs;
mod money;
mod outbox;
mod prepare;
pub(crate) mod recover;
mod rentals;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use golem_core::event::{Event, EventKind, JobId, RentalId, RunEnd, StopReason};
use golem_core::run::{Effect, Input, Run as Core, Step};
use golem_core::tasks::AssignedTask;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use yagna_api::payment::ReleaseAllocation;
use yagna_api::time::between;
use yagna_api::{ActivityId, AllocationId, Clock, NodeId, Timestamp};
use yagna_client::{Client, Disposition};

use self::daylight::Pulse;
use self::follow::{BillsFrom, Followed};
use self::jobs::{JobHands, Outlets};
use self::money::Purse;
use self::outbox::Outbox;
use self::rentals::Opening;
use crate::context::Witness;
use crate::jobs::{Door, Raise};
use crate::run::{OneJob, Reader, RunError, RunOptions};

/// Inputs that may wait for the loop: enough for every worker to report at once.
const INPUT_QUEUE: usize = 1024;
/// Inputs taken together before their effects are sent.
const INPUTS_AT_ONCE: usize = 256;

/// The time that a finished run waits for requests whose answers nobody needs any more.
const LAST_MOMENT: Duration = Duration::from_secs(10);

/// The time for which the release of money is retried, and the pause between two attempts.
const RELEASING: Duration = Duration::from_secs(90);
/// The time for releasing money, and for the rest, where agreements couldn't be ended: the daemon is gone, and the user waits.
const LAST_TRIES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(1));
const RELEASE_PAUSE: Duration = Duration::from_secs(2);

/// The time for which a run that broke goes on ending its agreements.
const ABANDONING: Duration = Duration::from_secs(60);

/// The things that every effect needs, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    client: Client,
    clock: Arc<dyn Clock>,
    node: NodeId,
    purse: Arc<Purse>,
    options: Arc<RunOptions>,
    inputs: mpsc::Sender<Input>,
    followed: Arc<Followed>,
    /// The witness that may want to know of scripts.
    witness: Option<Arc<dyn Witness>>,
}

impl Outside {
    /// Hands an input to the loop. When the loop is gone, so is everybody who would care.
    async fn tell(&self, input: Input) {
        self.inputs.send(input).await.ok();
    }
}

/// A rental's hold on its activity and the worker in it.
struct Hold {
    /// Ends the worker wherever it is.
    cancel: CancellationToken,
    /// Hands tasks to the worker; without it there are no more.
    assign: mpsc::Sender<Vec<AssignedTask>>,
    /// Brings the activity that is being created.
    created: oneshot::Receiver<ActivityId>,
    /// Ends when the worker has.
    ended: oneshot::Receiver<()>,
    /// True if the activity is known to be gone.
    lost: Arc<AtomicBool>,
}

pub(crate) struct Engine {
    core: Core,
    outside: Outside,
    inputs: mpsc::Receiver<Input>,
    effects: JoinSet<()>,
    followers: JoinSet<()>,
    outbox: Outbox,
    /// Takes an agreement back that isn't decided about yet.
    signing: HashMap<RentalId, CancellationToken>,
    rentals: HashMap<RentalId, Hold>,
    jobs: HashMap<JobId, JobHands>,
    outlets: Outlets,
    /// Wishes for more budget; the first is under way.
    raises: VecDeque<Raise>,
    first: Option<OneJob>,
    door: Door,
    readers: Vec<Reader>,
    stop: CancellationToken,
    /// Since when bills are read on.
    bills_from: BillsFrom,
    pulse: Pulse,
}

impl Engine {
    /// Goes on to the run's end. Whatever the end is, what was begun is ended and the money given back.
    pub(crate) async fn run(mut self) -> Result<RunEnd, RunError> {
        let ended = match self.go_on().await {
            Ok(()) => self.write_rest().await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => self.finish().await,
            Err(error) => {
                self.abandon().await;
                Err(error)
            }
        }
    }

    async fn go_on(&mut self) -> Result<(), RunError> {
        let mut tick = interval(self.outside.options.timing.tick);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut stopped, mut closed, mut left_alone) = (false, false, false);
        // The time before the first decision was no gap.
        self.pulse = Pulse::new(self.outside.options.timing.tick);
        self.follow_daemon();
        if let Some(OneJob { worker, tasks }) = self.first.take() {
            self.begin_own_job(worker, tasks);
        }
        while self.core.end().is_none() {
            let next_tick = self.core.next_tick().map(|at| between(self.outside.clock.now(), at));
            let due = self.outbox.due();
            tokio::select! {
                biased;
                committed = self.outbox.committed(), if self.outbox.is_committing() => {
                    let (events, effects) = committed?;
                    self.show(&events);
                    for effect in effects {
                        self.carry_out(effect);
                    }
                    self.outbox.commit_in_time();
                    self.load_postponed();
                    self.outbox.commit_in_time();
                }
                // Before the inputs: of those there may always be one more.
                () = self.stop.cancelled(), if !stopped => {
                    stopped = true;
                    self.decide(Input::Stop { why: StopReason::Cancelled });
                    self.outbox.commit_in_time();
                }
                () = self.door.closed.cancelled(), if !closed => {
                    closed = true;
                    self.decide(Input::Stop { why: StopReason::Closed });
                    self.outbox.commit_in_time();
                }
                () = self.door.wake.notified() => {
                    self.look_after_readers();
                    self.outbox.commit_in_time();
                }
                Some(input) = self.inputs.recv() => {
                    self.decide(input);
                    for _ in 1..INPUTS_AT_ONCE {
                        match self.inputs.try_recv() {
                            Ok(input) => self.decide(input),
                            Err(_) => break,
                        }
                    }
                    // There may always be one more input, and none of them may keep a command waiting.
                    if let Ok(command) = self.door.commands.try_recv() {
                        self.obey(command);
                    }
                    self.outbox.commit_in_time();
                }
                command = self.door.commands.recv(), if !left_alone => {
                    if let Some(command) = command {
                        self.obey(command);
                    } else {
                        left_alone = true;
                        self.decide(Input::NoMoreJobs);
                    }
                    self.outbox.commit_in_time();
                }
                Some(ended) = self.effects.join_next() => sound(ended)?,
                Some(ended) = self.followers.join_next() => sound(ended)?,
                () = sleep(next_tick.unwrap_or_default()), if next_tick.is_some() => {
                    self.decide(Input::Tick);
                    self.outbox.commit_in_time();
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.outbox.commit_in_time();
                }
                _ = tick.tick() => {
                    self.decide(Input::Tick);
                    self.outbox.commit_in_time();
                }
            }
        }
        Ok(())
    }

    /// Takes an input, sends what may be sent at once and puts the rest behind the events it rests on.
    fn decide(&mut self, input: Input) {
        let now = self.outside.clock.now();
        if let Some(lasted) = self.pulse.beat(now) {
            self.decide_now(now, Input::Gap { lasted });
        }
        self.decide_now(now, input);
    }

    fn decide_now(&mut self, now: Timestamp, input: Input) {
        let raise_is_over = matches!(input, Input::BudgetRaised { .. } | Input::BudgetNotRaised { .. });
        let Step { events, effects } = self.core.on(now, input);
        for event in &events {
            match event.kind {
                // Its source and its worker are wanted no more; those at work have their own hold of it.
                EventKind::JobEnded { job, .. } => {
                    self.jobs.remove(&job);
                }
                EventKind::AgreementApproved { rental, .. } | EventKind::AgreementFailed { rental, .. } => {
                    self.signing.remove(&rental);
                }
                _ => {}
            }
        }
        let (gated, free): (Vec<_>, Vec<_>) = effects.into_iter().partition(Effect::needs_intent);
        self.outbox.push(events, gated);
        for effect in free {
            self.carry_out(effect);
        }
        if raise_is_over {
            self.raise_is_over();
        }
    }

    fn show(&mut self, events: &Arc<Vec<Event>>) {
        if events.is_empty() {
            return;
        }
        for event in events.iter() {
            self.outlets.pass_on(event);
        }
        let n = events.len() as u64;
        self.readers.retain(|reader| match reader.sender.try_send(Arc::clone(events)) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                reader.missed.fetch_add(n, Ordering::Relaxed);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }

    fn carry_out(&mut self, effect: Effect) {
        let outside = self.outside.clone();
        match effect {
            Effect::LoadTasks { job, most } => self.load(job, most),
            Effect::ProbeOwn { fault } => {
                self.spawn(async move {
                    let still = crate::fault::probe(fault).await;
                    outside.tell(Input::OwnProbed { still }).await;
                });
            }
            Effect::LookAround { agreements, debit_notes_after, invoices_after } => {
                self.spawn(async move {
                    outside.look_around(agreements, debit_notes_after, invoices_after).await;
                });
            }
            Effect::RaiseBudget { by, budget } => {
                let answer = self.take_answer();
                self.spawn(async move { outside.raise_budget(by, budget, answer).await });
            }
            Effect::GrowAllocation { by } => {
                self.spawn(async move { outside.grow_allocation(by).await });
            }
            Effect::Allocate { amount, expires } => {
                self.spawn(async move { outside.allocate(amount, expires).await });
            }
            Effect::Publish { demand, expires } => {
                // It follows the demand until the daemon no longer has it.
                self.followers.spawn(async move { outside.publish(*demand, expires).await });
            }
            Effect::Withdraw { demand } => {
                self.spawn(async move { outside.withdraw(demand).await });
            }
            Effect::Counter { demand, proposal, terms } => {
                self.spawn(async move { outside.counter(demand, proposal, *terms).await });
            }
            Effect::RefuseProposal { demand, proposal, reason } => {
                self.spawn(async move { outside.refuse(demand, proposal, reason).await });
            }
            Effect::Sign { rental, proposal } => {
                let cancel = CancellationToken::new();
                self.signing.insert(rental, cancel.clone());
                self.spawn(async move { outside.sign(rental, proposal, cancel).await });
            }
            Effect::TakeBack { rental } => {
                // If it was decided just now, there is nothing else that this could end.
                if let Some(cancel) = self.signing.remove(&rental) {
                    cancel.cancel();
                }
            }
            Effect::OpenActivity { rental, no, job, agreement, provider } => {
                let Some(worker) = self.jobs.get(&job).map(|hands| Arc::clone(&hands.worker)) else {
                    // The job ended while the intent was being stored; the activity's end is on its way.
                    return;
                };
                self.open(rental, move |creating, cancel, lost| Opening {
                    rental,
                    no,
                    job,
                    agreement,
                    provider,
                    worker,
                    creating,
                    cancel,
                    lost,
                    left: None,
                });
            }
            Effect::ResumeActivity { rental, no, job, agreement, provider, activity, replay } => {
                let Some(worker) = self.jobs.get(&job).map(|hands| Arc::clone(&hands.worker)) else {
                    return;
                };
                let left = Some((activity, replay));
                self.open(rental, move |creating, cancel, lost| Opening {
                    rental,
                    no,
                    job,
                    agreement,
                    provider,
                    worker,
                    creating,
                    cancel,
                    lost,
                    left,
                });
            }
            Effect::Assign { rental, tasks } => {
                // The worker is waiting: it asked, and nothing else is on its way. If it is gone, its end comes in
                // as an input and takes the tasks back.
                if let Some(hold) = self.rentals.get(&rental) {
                    hold.assign.try_send(tasks).ok();
                }
            }
            Effect::CloseActivity { rental, no, activity, gently } => {
                let hold = self.rentals.remove(&rental);
                self.spawn(async move {
                    let left = outside.end_worker(hold, activity, gently).await;
                    outside.close_activity(rental, no, left).await;
                });
            }
            Effect::Close { rental, agreement, activity, reason } => {
                let hold = self.rentals.remove(&rental);
                // At once: the worker must not begin anything more.
                if let Some(hold) = &hold {
                    hold.cancel.cancel();
                }
                self.spawn(async move {
                    let left = outside.end_worker(hold, activity, false).await;
                    outside.close(rental, agreement, left, reason).await;
                });
            }
            Effect::AcceptBill { bill, amount } => {
                self.spawn(async move { outside.accept(bill, amount).await });
            }
            Effect::ReadUsage { rental, no, activity } => {
                self.spawn(async move { outside.read_usage(rental, no, activity).await });
            }
            Effect::FetchBill { bill } => {
                self.spawn(async move { outside.fetch_bill(bill).await });
            }
            Effect::RejectInvoice { invoice, rejection } => {
                self.spawn(async move { outside.reject(invoice, rejection).await });
            }
        }
    }

    /// Lets a worker work in an activity, and keeps a hold of it.
    fn open(
        &mut self,
        rental: RentalId,
        opening: impl FnOnce(oneshot::Sender<ActivityId>, CancellationToken, Arc<AtomicBool>) -> Opening,
    ) {
        // One pack at a time is on its way: the worker asks before it is given more.
        let (assign, assigned) = mpsc::channel(1);
        let (creating, created) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let cancel = CancellationToken::new();
        let lost = Arc::new(AtomicBool::new(false));
        let hold = Hold { cancel: cancel.clone(), assign, created, ended, lost: Arc::clone(&lost) };
        self.rentals.insert(rental, hold);
        let (outside, opening) = (self.outside.clone(), opening(creating, cancel, lost));
        self.spawn(async move {
            outside.open(opening, assigned).await;
            drop(ending);
        });
    }

    /// Everything that is spawned is in one of two sets, this one for what ends by itself, and ends with them.
    fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.effects.spawn(work);
    }

    async fn write_rest(&mut self) -> Result<(), RunError> {
        while self.outbox.is_committing() || self.outbox.commit_next() {
            let (events, effects) = self.outbox.committed().await?;
            self.show(&events);
            for effect in effects {
                self.carry_out(effect);
            }
        }
        Ok(())
    }

    /// Gives the money back, and waits for what is still being ended.
    async fn finish(mut self) -> Result<RunEnd, RunError> {
        self.followers.shutdown().await;
        let allocation = self.outside.purse.allocation();
        let in_vain = self.core.has_open_rentals();
        let (releasing, rest_takes) = if in_vain { LAST_TRIES } else { (RELEASING, LAST_MOMENT) };
        if self.outside.release_within(releasing).await {
            let kind = EventKind::AllocationReleased { allocation: allocation.clone() };
            self.outbox.push(vec![Event { at: self.outside.clock.now(), kind }], Vec::new());
            self.write_rest().await?;
        }
        // Refusals and withdrawals are still on their way: they get a moment, no more.
        let rest = async { while self.effects.join_next().await.is_some() {} };
        tokio::time::timeout(rest_takes, rest).await.ok();
        self.effects.shutdown().await;
        if self.outside.purse.allocation() != allocation {
            // One in place of a lost one came at the last moment.
            self.outside.release().await;
        }
        self.core.end().cloned().ok_or_else(|| RunError::Broken("a run without an end".to_owned()))
    }

    /// Ends what runs although it can't be written down any more: ending saves money, and nobody else would.
    /// Nothing that spends is sent.
    async fn abandon(mut self) {
        let deadline = Instant::now() + ABANDONING;
        for effect in self.outbox.abandon() {
            match effect {
                Effect::Sign { rental, .. } => {
                    let reason = "the run broke".to_owned();
                    self.end_only(Input::NotApproved { rental, reason, open: false });
                }
                ending => self.carry_out_ending(ending),
            }
        }
        self.end_only(Input::Stop { why: StopReason::Broken });
        while self.core.has_open_rentals() {
            tokio::select! {
                input = self.inputs.recv() => match input {
                    Some(input) => self.end_only(input),
                    None => break,
                },
                Some(_) = self.effects.join_next() => {}
                () = sleep_until(deadline) => {
                    tracing::warn!("agreements couldn't be ended; their providers will end them");
                    break;
                }
            }
        }
        self.followers.shutdown().await;
        self.outside.release().await;
        let rest = async { while self.effects.join_next().await.is_some() {} };
        tokio::time::timeout(LAST_MOMENT, rest).await.ok();
        self.effects.shutdown().await;
    }

    fn end_only(&mut self, input: Input) {
        for effect in self.core.on(self.outside.clock.now(), input).effects {
            self.carry_out_ending(effect);
        }
    }

    fn carry_out_ending(&mut self, effect: Effect) {
        let ends = matches!(
            effect,
            Effect::Close { .. }
                | Effect::CloseActivity { .. }
                | Effect::TakeBack { .. }
                | Effect::Withdraw { .. }
        );
        if ends {
            self.carry_out(effect);
        }
    }
}

impl Outside {
    /// Gives back what of the money isn't promised.
    pub(crate) async fn release(&self) -> bool {
        self.release_within(RELEASING).await
    }

    async fn release_within(&self, most: Duration) -> bool {
        if self.purse.has_nothing() {
            return false;
        }
        release(&self.client, &self.purse.allocation(), most).await
    }
}

/// Releases an allocation, again while the daemon can't: money that is set aside is lost to everything else.
async fn release(client: &Client, allocation: &AllocationId, most: Duration) -> bool {
    let deadline = Instant::now() + most;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Err(error) = client.call_within(&ReleaseAllocation(allocation.clone()), left).await else {
            return true;
        };
        if error.disposition() != Disposition::Retry || Instant::now() >= deadline {
            tracing::warn!(%error, %allocation, "the allocation couldn't be released; it ends by itself");
            return false;
        }
        sleep(RELEASE_PAUSE).await;
    }
}

/// Work that panicked is a bug, and nothing it was to do can be relied on.
fn sound(ended: Result<(), JoinError>) -> Result<(), RunError> {
    match ended {
        Err(error) if error.is_panic() => Err(RunError::Broken(error.to_string())),
        _ => Ok(()),
    }
}
