//! Carries out a run's decisions: effects go to the daemon, what comes back goes in as inputs.
//!
//! One loop owns the decisions. Each effect is a task in one supervised set, bounded in time, whose outcome comes
//! back over one bounded channel. Events are committed to the journal in groups; an effect that spends waits in
//! the outbox until the events of its step are durable.

mod bills;
mod close;
mod deals;
mod follow;
mod outbox;
mod prepare;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use golem_core::event::{Event, EventKind, RentalId, RunEnd, StopReason};
use golem_core::run::{Effect, Input, Run as Core, Step};
use golem_core::tasks::AssignedTask;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use yagna_api::payment::ReleaseAllocation;
use yagna_api::{AllocationId, Clock, NodeId};
use yagna_client::Client;

use self::outbox::Outbox;
use crate::run::{Reader, RunError, RunOptions, TaskSource};
use crate::worker::Worker;

/// Inputs that may wait for the loop: enough for every worker to report at once.
const INPUT_QUEUE: usize = 1024;
/// Inputs taken together before their effects are sent.
const INPUTS_AT_ONCE: usize = 256;

/// How long a finished run waits for what nobody asks for any more.
const LAST_MOMENT: Duration = Duration::from_secs(3);

/// What every effect needs, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    client: Client,
    clock: Arc<dyn Clock>,
    node: NodeId,
    allocation: AllocationId,
    options: Arc<RunOptions>,
    worker: Arc<dyn Worker>,
    inputs: mpsc::Sender<Input>,
}

impl Outside {
    /// Hands an input to the loop. When the loop is gone, so is everybody who would care.
    async fn tell(&self, input: Input) {
        self.inputs.send(input).await.ok();
    }
}

/// A deal's hold on its running parts.
struct Deal {
    /// Ends the worker and whatever else runs for the deal.
    cancel: CancellationToken,
    /// Hands tasks to the worker, once there is one.
    assign: Option<mpsc::Sender<Vec<AssignedTask>>>,
}

pub(crate) struct Engine {
    core: Core,
    outside: Outside,
    inputs: mpsc::Receiver<Input>,
    effects: JoinSet<()>,
    followers: JoinSet<()>,
    outbox: Outbox,
    deals: HashMap<RentalId, Deal>,
    tasks: TaskSource,
    readers: Vec<Reader>,
    stop: CancellationToken,
}

impl Engine {
    pub(crate) async fn run(mut self) -> Result<RunEnd, RunError> {
        let mut tick = interval(self.outside.options.timing.tick);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopped = false;
        self.follow_daemon();
        while self.core.end().is_none() {
            tokio::select! {
                biased;
                committed = self.outbox.committed(), if self.outbox.is_committing() => {
                    let (events, effects) = committed?;
                    self.show(events);
                    for effect in effects {
                        self.carry_out(effect);
                    }
                    self.outbox.commit_next();
                }
                Some(input) = self.inputs.recv() => {
                    self.decide(input);
                    for _ in 1..INPUTS_AT_ONCE {
                        match self.inputs.try_recv() {
                            Ok(input) => self.decide(input),
                            Err(_) => break,
                        }
                    }
                    self.outbox.commit_next();
                }
                () = self.stop.cancelled(), if !stopped => {
                    stopped = true;
                    self.decide(Input::Stop { why: StopReason::Cancelled });
                    self.outbox.commit_next();
                }
                Some(ended) = self.effects.join_next() => sound(ended)?,
                Some(ended) = self.followers.join_next() => sound(ended)?,
                _ = tick.tick() => {
                    self.decide(Input::Tick);
                    self.outbox.commit_next();
                }
            }
        }
        self.finish().await
    }

    /// Takes an input, sends what may be sent at once and puts the rest behind the events it rests on.
    fn decide(&mut self, input: Input) {
        let now = self.outside.clock.now();
        let Step { events, effects } = self.core.on(now, input);
        let (gated, free): (Vec<_>, Vec<_>) = effects.into_iter().partition(Effect::needs_intent);
        self.outbox.push(events, gated);
        for effect in free {
            self.carry_out(effect);
        }
    }

    fn show(&mut self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let n = events.len() as u64;
        let events = Arc::new(events);
        self.readers
            .retain(|reader| match reader.sender.try_send(Arc::clone(&events)) {
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
            Effect::LoadTasks { most } => self.load(most),
            Effect::Publish { demand, expires } => {
                // It follows the demand until the daemon no longer has it.
                self.followers
                    .spawn(async move { outside.publish(*demand, expires).await });
            }
            Effect::Withdraw { demand } => {
                self.spawn(async move { outside.withdraw(demand).await });
            }
            Effect::Counter {
                demand,
                proposal,
                terms,
            } => {
                self.spawn(async move { outside.counter(demand, proposal, *terms).await });
            }
            Effect::RefuseProposal {
                demand,
                proposal,
                reason,
            } => {
                self.spawn(async move { outside.refuse(demand, proposal, reason).await });
            }
            Effect::Sign { rental, proposal } => {
                self.deals.insert(
                    rental,
                    Deal {
                        cancel: CancellationToken::new(),
                        assign: None,
                    },
                );
                self.spawn(async move { outside.sign(rental, proposal).await });
            }
            Effect::OpenActivity { rental, agreement } => {
                let Some(deal) = self.deals.get_mut(&rental) else {
                    return;
                };
                // One pack at a time is on its way: the worker asks before it is given more.
                let (assign, assigned) = mpsc::channel(1);
                deal.assign = Some(assign);
                let cancel = deal.cancel.clone();
                self.spawn(async move {
                    cancel
                        .run_until_cancelled(outside.open(rental, *agreement, assigned))
                        .await;
                });
            }
            Effect::Assign { rental, tasks } => {
                // The worker is waiting: it asked, and nothing else is on its way. If it is gone, its end comes in
                // as an input and takes the tasks back.
                if let Some(assign) = self.deals.get(&rental).and_then(|deal| deal.assign.as_ref()) {
                    assign.try_send(tasks).ok();
                }
            }
            Effect::Close {
                rental,
                agreement,
                activity,
                reason,
            } => {
                if let Some(deal) = self.deals.remove(&rental) {
                    deal.cancel.cancel();
                }
                self.spawn(async move { outside.close(rental, agreement, activity, reason).await });
            }
            Effect::AcceptBill { bill, amount } => {
                self.spawn(async move { outside.accept(bill, amount).await });
            }
            Effect::RejectInvoice { invoice, rejection } => {
                self.spawn(async move { outside.reject(invoice, rejection).await });
            }
        }
    }

    /// Everything that is spawned is in one of two sets, this one for what ends by itself, and ends with them.
    fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.effects.spawn(work);
    }

    fn load(&mut self, most: usize) {
        let mut data = Vec::new();
        let mut exhausted = false;
        while data.len() < most {
            match self.tasks.next() {
                Some(Ok(task)) => data.push(task),
                Some(Err(problem)) => {
                    self.decide(Input::Tasks {
                        data,
                        exhausted: false,
                    });
                    return self.decide(Input::SourceBroken { problem });
                }
                None => {
                    exhausted = true;
                    break;
                }
            }
        }
        self.decide(Input::Tasks { data, exhausted });
    }

    /// Writes down the rest, gives the money back, and waits for what is still being ended.
    async fn finish(mut self) -> Result<RunEnd, RunError> {
        while self.outbox.is_committing() || self.outbox.commit_next() {
            let (events, effects) = self.outbox.committed().await?;
            self.show(events);
            for effect in effects {
                self.carry_out(effect);
            }
        }
        self.followers.shutdown().await;
        let allocation = self.outside.allocation.clone();
        match self
            .outside
            .client
            .call(&ReleaseAllocation(allocation.clone()))
            .await
        {
            Ok(_) => {
                let at = self.outside.clock.now();
                let released = Event {
                    at,
                    kind: EventKind::AllocationReleased { allocation },
                };
                self.outbox.push(vec![released], Vec::new());
                self.outbox.commit_next();
                let (events, _) = self.outbox.committed().await?;
                self.show(events);
            }
            Err(error) => {
                tracing::warn!(%error, %allocation, "the allocation couldn't be released; it ends by itself");
            }
        }
        // Refusals and withdrawals are still on their way: they get a moment, no more.
        let rest = async { while self.effects.join_next().await.is_some() {} };
        tokio::time::timeout(LAST_MOMENT, rest).await.ok();
        self.effects.shutdown().await;
        self.core
            .end()
            .cloned()
            .ok_or_else(|| RunError::Broken("a run without an end".to_owned()))
    }
}

/// Work that panicked is a bug, and nothing it was to do can be relied on.
fn sound(ended: Result<(), JoinError>) -> Result<(), RunError> {
    match ended {
        Err(error) if error.is_panic() => Err(RunError::Broken(error.to_string())),
        _ => Ok(()),
    }
}
