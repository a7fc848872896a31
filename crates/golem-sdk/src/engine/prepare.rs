//! The preparation for the first decision: our identity, the money, and the payment properties of demands. A run that
//! is resumed finds what is left of it at the daemon.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use golem_core::event::JobId;
use golem_core::run::{Run as Core, Step};
use golem_core::state::RunState;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use yagna_api::AllocationId;
use yagna_api::identity::GetMe;
use yagna_api::payment::{Decoration, GetDecorations};
use yagna_client::Client;

use super::allocation::{Money, SetAside};
use super::daylight::Pulse;
use super::follow::BillsFrom;
use super::jobs::Outlets;
use super::money::Purse;
use super::outbox::Outbox;
use super::recover::Recovered;
use super::{Engine, INPUT_QUEUE, Outside, RELEASING, recover, release};
use crate::run::{OneJob, Run, RunError};

impl Engine {
    pub(crate) async fn prepare(run: Run) -> Result<Self, RunError> {
        let Run {
            client,
            clock,
            journal,
            first,
            door,
            handle,
            options,
            readers,
            stop,
            witness,
            mut state,
            retried,
            settles,
        } = run;
        let mut first = first;
        let before = match (&mut first, state.as_deref_mut()) {
            (Some(job), Some(state)) => job.reopened(state, retried, clock.now())?,
            _ => Vec::new(),
        };
        // From here on only handles that were given away keep a standing run from ending.
        drop(handle);
        let me = client.call(&GetMe).await.map_err(|source| RunError::at_greeting(&client, source))?;

        let money = Money { client: &client, clock: &*clock, journal: &*journal, options: &options };
        let SetAside { allocation, amount, left, events: written } = match &state {
            None => money.set_aside(options.config.budget.at_first()).await?,
            // Where nothing is bought and nothing can be billed, nothing has to be paid.
            Some(state) => money.found(state, !settles || recover::owes(state)).await?,
        };
        if let Some(state) = state.as_deref_mut() {
            for event in &written {
                state.apply(event);
            }
        }
        let decoration = if allocation == Purse::nothing() {
            Decoration::default()
        } else {
            decoration(&client, &allocation, state.is_none()).await?
        };

        let (sender, inputs) = mpsc::channel(INPUT_QUEUE);
        let (config, now) = (options.config.clone(), clock.now());
        let outside = Outside {
            client,
            clock,
            node: me.identity,
            purse: Arc::new(Purse::new(allocation, amount)),
            options: Arc::new(options),
            inputs: sender,
            followed: Arc::default(),
            witness,
        };
        let (core, step, recovered) = match &state {
            None => {
                let mut core = Core::new(config, decoration, now);
                core.recorded(&written);
                (core, Step::default(), Recovered::default())
            }
            Some(state) => {
                let recovered = outside.recover(state).await?;
                let now = outside.clock.now();
                let begin = if settles { Core::settle } else { Core::resume };
                let (mut core, step) = begin(config, decoration, state, &recovered.found, now);
                core.set_backing(left);
                (core, step, recovered)
            }
        };
        let bills_from = match &state {
            None => BillsFrom::Now,
            Some(state) => BillsFrom::Past {
                debit_notes_after: state.debit_notes_after(),
                invoices_after: state.invoices_after(),
            },
        };
        let mut engine = Self {
            core,
            outside,
            inputs,
            effects: JoinSet::new(),
            followers: JoinSet::new(),
            outbox: Outbox::new(journal),
            signing: HashMap::new(),
            rentals: HashMap::new(),
            jobs: HashMap::new(),
            outlets: Outlets::default(),
            raises: VecDeque::new(),
            first: first.and_then(|job| left_of(job, state.as_deref())),
            door,
            readers,
            stop,
            pulse: Pulse::new(Duration::ZERO),
            bills_from,
        };
        engine.show(&Arc::new(written));
        engine.outbox.push(before, Vec::new());
        engine.outbox.push(step.events, step.effects);
        engine.end_strangers(recovered);
        Ok(engine)
    }
}

/// Reads the properties of payment for demands.
async fn decoration(
    client: &Client,
    allocation: &AllocationId,
    is_new: bool,
) -> Result<Decoration, RunError> {
    match client.call(&GetDecorations(vec![allocation.clone()])).await {
        Ok(decoration) => Ok(decoration),
        Err(error) => {
            // A run that was resumed is as it was: it may be resumed once more.
            if is_new {
                release(client, allocation, RELEASING).await;
            }
            Err(error.into())
        }
    }
}

/// The rest of a run's job; none where the job is over.
fn left_of(job: OneJob, state: Option<&RunState>) -> Option<OneJob> {
    let is_over =
        state.is_some_and(|state| state.next_job > JobId::FIRST.0 && !state.jobs.contains_key(&JobId::FIRST));
    (!is_over).then_some(job)
}
