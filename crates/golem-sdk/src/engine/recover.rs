//! The daemon's view of a run that is resumed: its rentals, and the parts that the run never learnt of.
//!
//! Everything here only asks. What follows from the answers is decided in the core; only what belongs to nobody is
//! ended from here.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::future::{BoxFuture, join3};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use golem_core::event::{RentalId, RunEnd};
use golem_core::run::{Found, FoundActivity, FoundAgreement, FoundRental, Input};
use golem_core::state::{Activity, InvoiceState, Rental, RunState};
use tokio::time::{sleep, timeout};
use yagna_api::activity::{
    DestroyActivity, GetResults, GetState, GetUsage, ListActivities, Outcome, State, StatePair,
};
use yagna_api::market::{
    AgreementEventKind, AgreementState, GetAgreement, GetTerminationReason, ListAgreements, Reason,
    Terminator,
};
use yagna_api::{ActivityId, AgreementId, ApiError, BatchId, Timestamp};
use yagna_client::{ClientError, Disposition};

use super::{Engine, Outside};
use crate::run::RunError;
use crate::text::chain;

/// Rentals that are asked about at the same time.
const AT_ONCE: usize = 8;
/// The first pause before something that couldn't be ended is ended again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// The longest that a look at what has changed may take.
const LOOK: Duration = Duration::from_secs(60);

/// The findings about a rental, and its parts that belong to nobody: its agreement, if that may still come into force,
/// and activities.
type Told = (RentalId, FoundRental, Option<AgreementId>, Vec<ActivityId>);

/// The findings about a run.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// The findings about the rentals that it knows.
    pub(super) found: Found,
    /// Agreements that it doesn't know, or that were never decided about.
    strangers: Vec<AgreementId>,
    /// Activities that it doesn't know, and that can't be what it was making.
    strays: Vec<ActivityId>,
}

/// The end of a run of which nothing is left to be done, awaited or given back.
pub(crate) fn nothing_left(state: &RunState) -> Option<RunEnd> {
    state.end.clone().filter(|_| state.is_finished() && nothing_open(state))
}

/// True if everything that was begun at the daemon has ended, and nothing is awaited from there.
pub(crate) fn nothing_open(state: &RunState) -> bool {
    state.allocations.is_empty()
        && state.allocation_intents.is_empty()
        && state.demands.is_empty()
        && !owes(state)
}

/// True if any rental must still be ended, or may still be billed.
pub(super) fn owes(state: &RunState) -> bool {
    state.rentals.values().any(|rental: &Rental| {
        rental.ended.is_none()
            || !rental.accepting.is_empty()
            || !rental.undecided.is_empty()
            || rental.activities.iter().any(|activity| !activity.over)
            || (rental.invoice == InvoiceState::Awaited
                && rental.activities.iter().any(|activity| activity.id.is_some()))
    })
}

impl Engine {
    /// Ends what belongs to nobody, for as long as it takes.
    pub(super) fn end_strangers(&mut self, recovered: Recovered) {
        for agreement in recovered.strangers {
            let outside = self.outside.clone();
            self.spawn(async move { outside.end_stranger(agreement).await });
        }
        for activity in recovered.strays {
            let outside = self.outside.clone();
            self.spawn(async move { outside.end_stray(activity).await });
        }
    }
}

impl Outside {
    /// Asks for everything that may have changed, or come about, since the state was stored.
    pub(super) async fn recover(&self, state: &RunState) -> Result<Recovered, RunError> {
        let mut recovered = Recovered { strangers: self.strangers(state).await?, ..Recovered::default() };
        let mut asked: Vec<BoxFuture<'_, Result<Told, ClientError>>> = Vec::new();
        for (id, rental) in &state.rentals {
            let over = rental.ended.is_some() && rental.activities.iter().all(|activity| activity.over);
            if let Some(agreement) = rental.agreement.as_ref().filter(|_| !over) {
                asked.push(Box::pin(self.find_rental(*id, rental, agreement)));
            }
        }
        let found: Vec<Told> = stream::iter(asked).buffer_unordered(AT_ONCE).try_collect().await?;
        for (id, rental, stranger, strays) in found {
            recovered.strangers.extend(stranger);
            recovered.found.0.insert(id, rental);
            recovered.strays.extend(strays);
        }
        Ok(recovered)
    }

    /// Agreements of the run's session that are open and that it has no use for.
    async fn strangers(&self, state: &RunState) -> Result<Vec<AgreementId>, ClientError> {
        let known: HashSet<&AgreementId> = state
            .rentals
            .values()
            .filter(|rental| rental.ended.is_none())
            .filter_map(|rental| rental.agreement.as_ref())
            .collect();
        let mut strangers = Vec::new();
        for state in [AgreementState::Approved, AgreementState::Pending] {
            let session = Some(self.options.session.clone());
            let list = ListAgreements { state: Some(state), session, ..ListAgreements::default() };
            let listed = self.client.call(&list).await?.items;
            let ours = listed.into_iter().filter(|listed| listed.role == Terminator::Requestor);
            strangers.extend(ours.map(|listed| listed.id).filter(|id| {
                // An agreement that its provider hasn't decided about isn't waited for any more.
                state == AgreementState::Pending || !known.contains(id)
            }));
        }
        Ok(strangers)
    }

    async fn find_rental(
        &self,
        rental: RentalId,
        kept: &Rental,
        id: &AgreementId,
    ) -> Result<Told, ClientError> {
        let agreement = match self.client.call(&GetAgreement(id.clone())).await {
            Ok(agreement) => agreement,
            Err(error) if error.is_not_found() => {
                let agreement = FoundAgreement::None;
                return Ok((
                    rental,
                    FoundRental { agreement, activities: BTreeMap::new() },
                    None,
                    Vec::new(),
                ));
            }
            Err(error) => return Err(error),
        };
        let state = agreement.state;
        let agreement = match state {
            AgreementState::Approved => FoundAgreement::Approved(Box::new(agreement)),
            AgreementState::Terminated => self.how_it_ended(id).await?,
            _ => FoundAgreement::None,
        };
        let mut strays = Vec::new();
        let mut activities = BTreeMap::new();
        let last = kept.activities.len().saturating_sub(1);
        let uncertain = kept.activities.iter().enumerate().filter(|(place, activity)| {
            // The end of the last one may never have been confirmed. Under an agreement in force that matters.
            let unconfirmed = *place == last && !activity.meter.complete && state == AgreementState::Approved;
            !activity.over || unconfirmed
        });
        for (_, activity) in uncertain {
            if let Some(id) = &activity.id {
                activities.insert(id.clone(), self.find_activity(id, last_script(activity)).await);
            }
        }
        if state == AgreementState::Approved {
            let known: HashSet<_> = kept.activities.iter().filter_map(|known| known.id.as_ref()).collect();
            let mut making = kept.activities.last().is_some_and(|last| last.id.is_none() && !last.over);
            for id in self.client.call(&ListActivities(id.clone())).await? {
                if known.contains(&id) {
                    continue;
                }
                let found = self.find_activity(&id, None).await;
                if std::mem::take(&mut making) {
                    activities.insert(id, found);
                } else if !found.over {
                    strays.push(id);
                }
            }
        }
        // A request sent in the last moment may still be on its way to the provider.
        let stranger = (state == AgreementState::Proposal).then(|| id.clone());
        Ok((rental, FoundRental { agreement, activities }, stranger, strays))
    }

    async fn how_it_ended(&self, id: &AgreementId) -> Result<FoundAgreement, ClientError> {
        let event = match self.client.call(&GetTerminationReason(id.clone())).await {
            Ok(event) => event,
            Err(error) if error.disposition() == Disposition::Retry => return Err(error),
            Err(_) => return Ok(FoundAgreement::None),
        };
        Ok(match event.kind {
            AgreementEventKind::Terminated(ended) => FoundAgreement::Ended {
                at: event.event_date,
                by: ended.terminator,
                reason: ended.reason.unwrap_or_else(|| Reason::new("no reason given")),
            },
            _ => FoundAgreement::None,
        })
    }

    /// Asks for the state of an activity. Its provider may be gone: the run begins without the answer.
    async fn find_activity(&self, id: &ActivityId, last: Option<&BatchId>) -> FoundActivity {
        let state = match self.client.call_once(&GetState(id.clone())).await {
            Ok(state) => Some(state.state),
            Err(error) => {
                tracing::debug!(%error, activity = %id, "an activity doesn't answer");
                None
            }
        };
        let over = matches!(state, Some(StatePair(State::Terminated, _)));
        let sound = match state {
            None | Some(StatePair(State::New | State::Terminated | State::Unresponsive, _)) => false,
            Some(StatePair(_, None)) => true,
            // Something runs in it: that must be what was last recorded.
            Some(StatePair(_, Some(_))) => match last {
                Some(batch) => self.goes_on(id, batch).await,
                None => false,
            },
        };
        let usage = self.client.call_once(&GetUsage(id.clone())).await.ok();
        FoundActivity { over, sound, usage: usage.and_then(|usage| usage.current_usage) }
    }

    async fn goes_on(&self, activity: &ActivityId, batch: &BatchId) -> bool {
        let (activity, batch) = (activity.clone(), batch.clone());
        let look = GetResults { activity, batch, wait: Duration::ZERO, command: None };
        self.client.call_once(&look).await.is_ok_and(|results| {
            results.last().is_none_or(|last| !last.is_batch_finished && last.result == Outcome::Ok)
        })
    }

    /// Asks for what has changed while this process stood still, and hands it in. What the daemon can't tell now comes with its
    /// events.
    pub(super) async fn look_around(
        &self,
        agreements: Vec<AgreementId>,
        debit_notes_after: Option<Timestamp>,
        invoices_after: Option<Timestamp>,
    ) {
        let asked: Vec<BoxFuture<'_, ()>> =
            agreements.into_iter().map(|id| self.look_at_agreement(id).boxed()).collect();
        let ends = stream::iter(asked).buffer_unordered(AT_ONCE).collect::<()>();
        let (debit_notes, invoices) =
            (self.look_at_debit_notes(debit_notes_after), self.look_at_invoices(invoices_after));
        drop(timeout(LOOK, join3(ends, debit_notes, invoices)).await);
        self.tell(Input::LookedAround).await;
    }

    /// Hands in the end of an agreement that has ended.
    async fn look_at_agreement(&self, id: AgreementId) {
        let state = self.client.call(&GetAgreement(id.clone())).await.map(|agreement| agreement.state);
        if !matches!(state, Ok(AgreementState::Terminated)) {
            return;
        }
        if let Ok(FoundAgreement::Ended { by, reason, .. }) = self.how_it_ended(&id).await {
            self.tell(Input::AgreementTerminated { agreement: id, by, reason: Some(reason) }).await;
        }
    }

    async fn end_stranger(&self, agreement: AgreementId) {
        let reason = Reason::new("the run was interrupted").with("golem.requestor.code", "Cancelled");
        let mut pause = PAUSES.0;
        while let Err(error) = self.end_agreement(&agreement, &reason).await {
            if error.disposition() != Disposition::Retry {
                return tracing::warn!(error = chain(&error), %agreement, "an agreement couldn't be ended");
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn end_stray(&self, activity: ActivityId) {
        let wait = self.options.timing.destruction;
        let destroy = DestroyActivity { activity: activity.clone(), wait };
        let mut pause = PAUSES.0;
        loop {
            match self.client.call_within(&destroy, wait * 2).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) if error.api().is_some_and(ApiError::is_activity_lost) => return,
                Err(error) => tracing::debug!(%error, %activity, "ending an activity again"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

fn last_script(activity: &Activity) -> Option<&BatchId> {
    let tried = activity.scripts.last().map(|tried| &tried.script);
    tried.or_else(|| activity.setup.last()).map(|script| &script.batch)
}
