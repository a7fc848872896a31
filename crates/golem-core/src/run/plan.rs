//! The plan: after every input the run compares its state with its goal, and decides the next steps.

use std::collections::BTreeMap;
use std::time::Duration;

use yagna_api::time::{after, between};
use yagna_api::{Glm, NodeId, Timestamp};

use super::books::Books;
use super::choice::Ranks;
use super::live::Stopping;
use super::rental::{LiveRental, RentalView, Stage, price_of_opening};
use super::rentals::Ending;
use super::spending::Room;
use super::{Effect, Run, Step, market};
use crate::event::{EventKind, JobId, RentalId, RentalTerms, RunEnd, StopReason};
use crate::explain::Explanation;
use crate::raise::Raise;

impl Run {
    /// The longest time that a request to the daemon may take, sent again for as long as that is safe. For so long what
    /// is on its way is waited for at the end of a run, whatever its settle time-out: it is known to come, or to fail,
    /// by then.
    const ON_ITS_WAY: Duration = Duration::from_secs(120);
    /// Beyond the time that bills are awaited, rentals are given so long to be ended: with a daemon that doesn't answer, and
    /// with one that does.
    const LAST_CALLS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
    /// The time for which nothing must run before it is explained for the first time.
    pub(super) const FIRST_EXPLANATION: Duration = Duration::from_secs(10);

    pub(super) fn plan(&mut self, now: Timestamp, step: &mut Step) {
        self.plan_allocation(now, step);
        self.plan_bills(now, step);
        self.plan_jobs(now, step);
        if self.live.stopping.is_some() {
            return self.plan_stop(now, step);
        }
        if self.live.jobs.is_empty() && self.had_job() && !self.live.standing {
            self.stop(now, StopReason::AllDone, step);
            return self.plan_stop(now, step);
        }
        if self.has_all_results() {
            self.stop(now, StopReason::ResultsReached, step);
            return self.plan_stop(now, step);
        }
        if self.has_done_part() {
            self.stop(now, StopReason::PartDone, step);
            return self.plan_stop(now, step);
        }
        if self
            .config
            .halt
            .is_some_and(|halt| halt.is_reached(self.books.state.done, self.books.state.failed))
        {
            self.stop(now, StopReason::TooManyFailed, step);
            return self.plan_stop(now, step);
        }
        self.plan_hopeless(now, step);
        if self.live.stopping.is_some() {
            return self.plan_stop(now, step);
        }
        self.plan_loading(step);
        if self.books.queue.n_running() > 0 || self.books.queue.n_waiting() == 0 {
            self.live.last_alive = now;
        }
        self.plan_ours(now, step);
        if self.live.stopping.is_some() {
            return self.plan_stop(now, step);
        }
        self.live.money.budget_blocks = self.live.money.budget_blocks && self.books.queue.n_waiting() > 0;
        self.plan_pause(now, step);
        if self.live.stopping.is_some() {
            return self.plan_stop(now, step);
        }
        self.plan_usage(now, step);
        self.plan_budget(now, step);
        self.plan_prices(now, step);
        self.plan_turns(now, step);
        self.plan_fresh_starts(now, step);
        self.plan_assignments(now, step);
        self.plan_releases(now, step);
        self.plan_surplus(now, step);
        let opening_blocked = self.plan_openings(now, step);
        self.plan_holds(now, step);
        let n_of_use = self.n_counted(now) - self.stuck(now).len();
        if self.live.money.paused.is_none() && !self.live.ours.is_in_trouble() && self.n_wanted() > n_of_use {
            let starving = n_of_use == 0 && self.live.market.n_drafts() == 0;
            self.plan_demand(now, starving, step);
            self.plan_negotiations(now, step);
            self.plan_replacement(now, step);
            if !self.live.ours.looks_after_gap(now) {
                self.plan_taking_back(now, self.n_wanted() - n_of_use, step);
            }
            self.plan_signing(now, opening_blocked, step);
        }
        if !self.live.ours.looks_after_gap(now) {
            self.plan_patience(now, step);
        }
    }

    /// True if there ever was a job, or no more are to come.
    fn had_job(&self) -> bool {
        self.books.state.next_job > 0 || self.live.no_more_jobs
    }

    pub(super) fn n_live(&self) -> usize {
        self.live.rentals.values().filter(|rental| rental.is_live()).count()
    }

    /// As many rentals as there is work for, and no more.
    fn n_wanted(&self) -> usize {
        let busy = self
            .live
            .rentals
            .values()
            .filter(|rental| rental.is_live() && !rental.running.is_empty())
            .count();
        let begun = self.live.jobs.keys().filter(|job| self.may_begin(**job));
        let waiting: usize = begun.map(|job| self.books.queue.n_waiting_for(*job)).sum();
        (self.config.workers as usize).min(busy + waiting)
    }

    /// Ends rentals whose activity's own results cost more than one may.
    ///
    /// The cost is what the provider can bill for it by now, with its start and whatever failed or never ended; one without
    /// results has one that cost it all. So one that only prepares itself is looked at as well.
    fn plan_prices(&mut self, now: Timestamp, step: &mut Step) {
        let Some(most) = self.config.max_price else { return };
        let dear: Vec<_> = self
            .rentals()
            .filter(|(_, rental)| matches!(rental.live.stage, Stage::Opening | Stage::Working))
            .filter_map(|(id, rental)| {
                let activity = rental.kept.current()?;
                let cost = rental.cost_so_far(now)?;
                let each = cost.to_decimal().checked_div(activity.done.max(1).into())?;
                let late = between(activity.meter.started, now) >= self.config.price_grace;
                (late && each > most.to_decimal()).then(|| (id, Glm::from_decimal_rounding_down(each)))
            })
            .collect();
        for (id, each) in dear {
            let each = each.unwrap_or(Glm::MAX);
            let words = format!("a result costs {each} GLM here, more than {most}");
            self.close(now, id, &Ending::failure(words), step);
        }
    }

    /// Ends activities that others have run in where tasks wait for one that nothing has run in, as many as are needed.
    fn plan_fresh_starts(&mut self, now: Timestamp, step: &mut Step) {
        if !self.books.queue.wants_any_fresh() {
            return;
        }
        let used: Vec<_> = self
            .rentals()
            .filter(|(_, rental)| rental.live.room.is_some() && rental.takes_tasks(now))
            .filter(|(_, rental)| rental.kept.current().is_some_and(|activity| activity.was_given))
            .map(|(id, _)| id)
            .collect();
        let elsewhere = self.in_reach(now);
        for id in used {
            let Some(rental) = self.rental(id) else { continue };
            let Some(job) = rental.job() else { continue };
            let (wanting, is_urgent) =
                self.books.queue.n_wanting_fresh(&self.books.state, job, rental.provider(), &elsewhere, now);
            if !is_urgent || wanting == 0 {
                continue;
            }
            let comes = |(_, rental): &(RentalId, RentalView<'_>)| match rental.live.stage {
                Stage::Ending | Stage::Held => true,
                Stage::Opening => rental.job() == Some(job),
                Stage::Working => {
                    rental.job() == Some(job)
                        && rental.kept.current().is_some_and(|activity| !activity.was_given)
                }
                Stage::Signing | Stage::Closing | Stage::Closed => false,
            };
            if wanting <= self.rentals().filter(comes).count() {
                continue;
            }
            let opening = rental.price_of_opening(self.config.stop_horizon);
            let exposures = self.exposures(now, self.config.stop_horizon);
            if self.affords(now, &exposures, opening) == Room::Enough {
                self.end_activity(now, id, true, step);
            } else {
                // A used machine is better than none.
                self.books.queue.waive_fresh(job);
            }
        }
    }

    fn plan_assignments(&mut self, now: Timestamp, step: &mut Step) {
        // Those without a job may come to this one.
        let only = self.live.jobs.keys().next().copied();
        let mut takers: BTreeMap<Option<JobId>, usize> = BTreeMap::new();
        for (_, rental) in self.rentals().filter(|(_, rental)| Self::counts(rental.live, now)) {
            *takers.entry(rental.job()).or_default() += 1;
        }
        let idlers = takers.get(&None).copied().unwrap_or_default();
        let takers = |job| (takers.get(&Some(job)).copied().unwrap_or_default() + idlers).max(1);
        self.live.pace.takers = only.map_or(1, takers);
        if self.books.queue.n_waiting() == 0 {
            return;
        }
        let mut free: Vec<_> = self
            .rentals()
            .filter(|(_, rental)| rental.live.room.is_some() && rental.takes_tasks(now))
            .map(|(id, _)| id)
            .collect();
        if free.is_empty() {
            return;
        }
        let elsewhere = self.in_reach(now);
        // The job that has waited longest comes first.
        free.sort_by_key(|id| (self.live.rentals[id].idle_since, *id));
        for id in free {
            if let Some(job) = self.rental(id).and_then(|rental| rental.job()) {
                self.assign(now, id, job, takers(job), &elsewhere, step);
            }
        }
    }

    /// Hands the next tasks to a worker that has just asked for some, between two looks at everything: as long as a single job
    /// has enough that waits, nothing else has to be known.
    pub(super) fn plan_next_tasks(&mut self, now: Timestamp, id: RentalId, step: &mut Step) {
        let is_stopping = self.live.stopping.is_some() || self.has_all_results() || self.has_done_part();
        let Some((&job, _)) = self.live.jobs.first_key_value().filter(|_| self.live.jobs.len() == 1) else {
            return;
        };
        let takes = |rental: &RentalView<'_>| rental.job() == Some(job) && rental.takes_tasks(now);
        if is_stopping || !self.rental(id).is_some_and(|rental| takes(&rental)) {
            return;
        }
        self.plan_loading(step);
        if self.books.queue.n_waiting_for(job) == 0 {
            return;
        }
        // Only a task that has failed asks who else there is.
        let elsewhere = if self.books.queue.has_failed_tasks(job) { self.in_reach(now) } else { Vec::new() };
        self.assign(now, id, job, self.live.pace.takers.max(1), &elsewhere, step);
    }

    /// Hands tasks of its job to a worker that waits for some: its share of those that wait, as far as it has room and they fit.
    fn assign(
        &mut self,
        now: Timestamp,
        id: RentalId,
        job: JobId,
        takers: usize,
        elsewhere: &[NodeId],
        step: &mut Step,
    ) {
        let own_room = self.live.ours.room(self.books.queue.n_running());
        let Some(rental) = self.rental(id) else { return };
        let share = self.books.queue.n_waiting_for(job).div_ceil(takers);
        let Some(room) = rental.live.room.map(|room| room.min(own_room).min(share)).filter(|room| *room > 0)
        else {
            return;
        };
        let is_fresh = rental.kept.current().is_none_or(|activity| !activity.was_given);
        let provider = rental.kept.provider.id.clone();
        let Books { state, queue, .. } = &mut self.books;
        let tasks = queue.take(state, job, &provider, room, is_fresh, elsewhere, now);
        if tasks.is_empty() {
            return;
        }
        let Some(rental) = self.live.rentals.get_mut(&id) else { return };
        rental.room = None;
        rental.idle_since = None;
        rental.failed_shared = false;
        rental.lost_several = false;
        rental.lost_to_task = false;
        for task in &tasks {
            rental.running.insert(task.attempt, now);
            step.emit(&mut self.books, now, EventKind::TaskStarted { attempt: task.attempt, rental: id });
        }
        self.live.last_alive = now;
        step.effects.push(Effect::Assign { rental: id, tasks });
    }

    /// The providers that could take a task, now or soon.
    fn in_reach(&self, now: Timestamp) -> Vec<NodeId> {
        let counted = self.rentals().filter(|(_, rental)| Self::counts(rental.live, now));
        let live = counted.map(|(_, rental)| rental.provider());
        live.chain(self.live.market.in_sight()).cloned().collect()
    }

    /// Ends the workers that nothing can be given to; their agreements are held for other jobs.
    fn plan_releases(&mut self, now: Timestamp, step: &mut Step) {
        let idle: Vec<_> = self
            .rentals()
            .filter(|(_, rental)| rental.live.stage == Stage::Working && rental.live.running.is_empty())
            .filter(|(id, rental)| !rental.takes_tasks(now) || self.is_idle(now, *id, rental))
            .map(|(id, rental)| (id, rental.takes_tasks(now)))
            .collect();
        for (id, in_time) in idle {
            if in_time {
                self.end_activity(now, id, true, step);
            } else {
                self.close(now, id, &Ending::cancelled("the agreement expires soon"), step);
            }
        }
    }

    /// True if this worker has waited so long that its activity is better ended.
    fn is_idle(&self, now: Timestamp, id: RentalId, rental: &RentalView<'_>) -> bool {
        let (Some(job), Some(idle)) = (rental.job(), self.idle_for(id, now)) else {
            return false;
        };
        let wanted = || self.is_wanted_elsewhere(job, rental.provider());
        if self.books.queue.n_waiting_for(job) > 0 {
            // The waiting tasks have failed here.
            !self.books.has_use_for(job, rental.provider()) && wanted()
        } else if self.books.is_exhausted(job) {
            self.books.queue.n_running_for(job) == 0 || idle >= self.config.idle_grace
        } else {
            idle >= self.config.hold || (idle >= self.config.idle_grace && wanted())
        }
    }

    /// Rentals that idle although tasks wait: all those tasks have failed there.
    fn stuck(&self, now: Timestamp) -> Vec<RentalId> {
        if self.books.queue.n_waiting() == 0 {
            return Vec::new();
        }
        self.rentals()
            .filter(|(_, rental)| {
                (rental.live.room.is_some() || rental.live.stage == Stage::Held) && rental.takes_tasks(now)
            })
            .filter(|(_, rental)| !self.books.has_any_use_for(rental.provider()))
            .map(|(id, _)| id)
            .collect()
    }

    /// Lets go of a worker that has failed at all that waits, for one that hasn't, where every place is taken.
    fn plan_replacement(&mut self, now: Timestamp, step: &mut Step) {
        let n_counted = self.n_counted(now);
        if n_counted < self.config.workers as usize || self.live.market.n_drafts() == 0 {
            return;
        }
        if self.stuck(now).is_empty() || self.choose(now, &mut Ranks::default(), n_counted, step).is_none() {
            return;
        }
        if let Some(id) = self.stuck(now).first() {
            self.close(now, *id, &Ending::cancelled("the tasks that are left have failed here"), step);
        }
    }

    fn plan_signing(&mut self, now: Timestamp, opening_blocked: bool, step: &mut Step) {
        let n_live = self.n_live();
        let mut n_counted = self.n_counted(now);
        let mut n_missing = self.n_wanted().saturating_sub(n_counted - self.stuck(now).len());
        let Some(until) = self.live.market.collects_until(self.config.selection_window, n_missing) else {
            return;
        };
        if now < until {
            self.live.pace.alarm = Some(until);
            return;
        }
        if !self.live.money.can_pay() {
            return;
        }
        self.live.money.budget_blocks = opening_blocked;
        let mut n_places = self.n_places(n_counted, n_live);
        if n_missing == 0 || n_places == 0 || self.live.market.n_drafts() == 0 {
            return;
        }
        let mut exposures = self.exposures(now, self.config.stop_horizon);
        let mut ranks = Ranks::default();
        while n_missing > 0 && n_places > 0 {
            let Some(chosen) = self.choose(now, &mut ranks, n_counted, step) else {
                return;
            };
            let Some(draft) = self.live.market.draft(&chosen).cloned() else {
                return;
            };
            let expires = self.live.market.expires().unwrap_or(now);
            let who = market::provider(&draft.terms);
            let pricing = &draft.terms.pricing;
            let terms = RentalTerms { pricing: pricing.clone(), threads: draft.terms.threads, expires };
            let exposure = price_of_opening(&terms, self.config.stop_horizon);
            if self.affords(now, &exposures, self.room_to_sign(exposure)) != Room::Enough {
                return;
            }
            let id = self.next_rental();
            self.live.market.take_draft(&who.id);
            self.live.add_rental(id, &who.id, LiveRental::new(now));
            step.emit(
                &mut self.books,
                now,
                EventKind::AgreementIntended {
                    rental: id,
                    provider: who,
                    proposal: draft.proposal.clone(),
                    per_hour: pricing.per_hour(draft.terms.threads),
                    start: pricing.start_price(),
                    terms: Box::new(terms),
                },
            );
            step.effects.push(Effect::Sign { rental: id, proposal: draft.proposal });
            exposures.begin(exposure);
            n_counted += 1;
            n_missing -= 1;
            n_places -= 1;
        }
    }

    /// Says why nothing runs, and gives up when that lasts too long.
    fn plan_patience(&mut self, now: Timestamp, step: &mut Step) {
        if self.live.money.paused.is_some() {
            return;
        }
        let waited = between(self.live.last_alive, now);
        // Bills that are still to come may turn out smaller than what they were feared to be.
        let may_shrink =
            self.rentals().any(|(_, rental)| rental.live.stage != Stage::Closed || rental.awaits_invoice());
        if self.live.money.budget_blocks
            && self.n_live() == 0
            && self.books.queue.n_waiting() > 0
            && (!may_shrink || waited >= self.config.settle_timeout)
        {
            self.budget_is_reached(now, step);
            if self.live.stopping.is_some() {
                self.plan_stop(now, step);
            }
            return;
        }
        if waited < Self::FIRST_EXPLANATION.min(self.config.idle_timeout) || self.books.queue.n_waiting() == 0
        {
            return;
        }
        let due = self.live.last_explained.is_none_or(|last| {
            last < self.live.last_alive || between(last, now) >= self.config.explain_every
        });
        let give_up = waited >= self.config.idle_timeout;
        if due || give_up {
            self.live.last_explained = Some(now);
            self.tell_waiting(now, step);
        }
        if give_up {
            let waiting: Vec<JobId> = self
                .live
                .jobs
                .keys()
                .copied()
                .filter(|job| self.books.queue.n_waiting_for(*job) > 0)
                .collect();
            self.give_up(now, &waiting, step);
            self.plan_stop(now, step);
        }
    }

    pub(super) fn tell_waiting(&mut self, now: Timestamp, step: &mut Step) {
        let explanation = Box::new(self.explain(now));
        step.emit(&mut self.books, now, EventKind::Waiting { explanation });
    }

    /// Explains why nothing runs, as far as the run knows.
    pub fn explain(&self, now: Timestamp) -> Explanation {
        let count = |is: &dyn Fn(&LiveRental) -> bool| {
            self.live.rentals.values().filter(|rental| is(rental)).count() as u64
        };
        let missing = self.n_wanted().saturating_sub(self.n_live()) as u64;
        Explanation {
            waited: between(self.live.last_alive, now),
            tasks_waiting: self.books.queue.n_waiting() as u64,
            published: self.live.market.is_published(),
            offers: self.live.market.n_seen(),
            negotiated: self.live.market.agreed.len() as u64,
            signed: self.live.market.signed.len() as u64,
            working: count(&|rental| rental.stage == Stage::Working && !rental.running.is_empty()),
            refused_by_us: self.live.market.refusals_by_us(),
            refused_by_them: self.live.market.refusals_by_them(),
            unanswered: self.live.market.n_unanswered(),
            agreed: self.live.market.n_drafts(),
            failures: self.live.failures.clone(),
            set_back: self.live.providers.standings.n_set_back(now),
            in_progress: count(&|rental| matches!(rental.stage, Stage::Signing | Stage::Opening)),
            idle: count(&|rental| rental.stage == Stage::Working && rental.running.is_empty()),
            cheapest_refused: self.live.market.cheapest_refused(),
            raise: Raise::for_missing(self.live.market.prices_refused(), missing),
            budget_left: Some(self.budget().left(self.promised(), &self.books.state.promised, now)),
            budget_blocks: self.live.money.budget_blocks,
            agreement_needs: self.live.money.needed.filter(|_| self.live.money.budget_blocks),
            paused_until: self.live.money.paused.map(|pause| pause.until),
            budget_missing: self.live.money.paused.map(|pause| pause.missing),
            daemon_trouble: self.live.trouble.clone(),
        }
    }

    fn plan_stop(&mut self, now: Timestamp, step: &mut Step) {
        let Some(stopping) = self.live.stopping else { return };
        let Some(why) = self.books.state.stopping else { return };
        let graceful = why != StopReason::Broken;
        let grace_over = between(stopping.since, now) >= self.config.stop_grace;
        for id in self.live.rentals.keys().copied().collect::<Vec<_>>() {
            let rental = &self.live.rentals[&id];
            let ending = match why {
                StopReason::AllDone
                | StopReason::ResultsReached
                | StopReason::PartDone
                | StopReason::Closed => Ending::success(),
                StopReason::Cancelled => Ending::cancelled("the requestor cancelled the run"),
                StopReason::BudgetReached => Ending::cancelled("the budget is used up"),
                StopReason::TooManyFailed => Ending::cancelled("too many tasks of the run have failed"),
                StopReason::NothingRuns | StopReason::Broken | StopReason::OwnTrouble => {
                    Ending::cancelled("the run can't go on")
                }
            };
            match rental.stage {
                Stage::Opening | Stage::Held => self.close(now, id, &ending, step),
                Stage::Working if grace_over || !graceful => self.close(now, id, &ending, step),
                Stage::Working if rental.running.is_empty() => self.end_activity(now, id, true, step),
                Stage::Signing | Stage::Working | Stage::Ending | Stage::Closing | Stage::Closed => {}
            }
        }
        self.leave_jobs(now, step);
        if self.live.rentals.values().any(|rental| rental.stage != Stage::Closed) {
            return self.plan_end_of_waiting(now, stopping, why, step);
        }
        let settling_since = stopping.settling_since.unwrap_or(now);
        self.live.stopping = Some(Stopping { settling_since: Some(settling_since), ..stopping });
        if self.live.market.is_publishing() && now < after(stopping.since, Self::ON_ITS_WAY) {
            // A demand that comes on the market now must be taken off again.
            return;
        }
        let paying = self.live.rentals.values().any(|rental| !rental.sending.is_empty());
        // An undecided bill waits a few seconds at the most.
        let undecided = !self.live.bills.held.is_empty();
        let in_time = now < after(settling_since, self.config.settle_timeout);
        let unanswered = self.is_answer_awaited(now, settling_since);
        if undecided || unanswered || (paying && in_time) || self.is_bill_awaited(now, settling_since) {
            return;
        }
        self.finish(now, why, step);
    }

    /// Waits for rentals to be ended, by name, and not longer than the user waits for bills.
    fn plan_end_of_waiting(&mut self, now: Timestamp, stopping: Stopping, why: StopReason, step: &mut Step) {
        let open = self.rentals().filter(|(_, rental)| rental.live.stage != Stage::Closed);
        let open: Vec<_> = open.map(|(_, rental)| rental.kept.agreement.clone()).collect();
        let grace = after(stopping.since, self.config.stop_grace);
        let margin = if self.live.trouble.is_some() { Self::LAST_CALLS.0 } else { Self::LAST_CALLS.1 };
        let until = after(after(grace, self.config.settle_timeout), margin);
        if now < until {
            let trouble =
                self.live.trouble.clone().filter(|_| !stopping.is_told && now >= after(grace, margin));
            if let Some(trouble) = trouble {
                self.live.stopping = Some(Stopping { is_told: true, ..stopping });
                let doing = match open.len() {
                    1 => "end an agreement yet".to_owned(),
                    n => format!("end {n} agreements yet"),
                };
                let seconds = between(now, until).as_secs();
                let problem = format!("{trouble}; that is waited for, {seconds} s at the most");
                step.emit(&mut self.books, now, EventKind::Trouble { doing, problem });
            }
            return;
        }
        for agreement in open.into_iter().flatten() {
            let doing = format!("end agreement {agreement}");
            let problem = match &self.live.trouble {
                Some(trouble) => format!("it may still be in force: {trouble}"),
                None => "it may still be in force: nobody has confirmed its end in time".to_owned(),
            };
            let problem = format!("{problem}; `settle` ends it later");
            step.emit(&mut self.books, now, EventKind::Trouble { doing, problem });
        }
        self.finish(now, why, step);
    }

    /// True while news of bills is on its way from the daemon: bills that it has, or that a bill is accepted.
    fn is_answer_awaited(&self, now: Timestamp, settling_since: Timestamp) -> bool {
        // A daemon that is gone answers nothing in time; what was sent is known to whoever resumes the run.
        let patience =
            if self.live.trouble.is_some() { self.config.settle_timeout } else { Self::ON_ITS_WAY };
        let is_on_its_way = |since: Timestamp| now < after(since, patience);
        let mut rentals = self.live.rentals.values();
        let asked = !self.live.bills.all_told || rentals.any(|rental| !rental.asked_again.is_empty());
        let sending = self.live.rentals.values().flat_map(|rental| rental.sending.values());
        let mut sent = sending.filter_map(|sending| sending.sent);
        (asked && is_on_its_way(settling_since)) || sent.any(is_on_its_way)
    }

    fn finish(&mut self, now: Timestamp, why: StopReason, step: &mut Step) {
        let awaited = self.rentals().filter(|(_, rental)| rental.awaits_invoice());
        let missing: Vec<_> =
            awaited.filter_map(|(id, rental)| Some((id, rental.kept.agreement.clone()?))).collect();
        let unsettled = missing.len() as u64;
        for (rental, agreement) in missing {
            step.emit(&mut self.books, now, EventKind::BillMissing { rental, agreement });
        }
        let end = RunEnd {
            why,
            done: self.books.state.done,
            failed: self.books.state.failed,
            unfinished: self.books.state.next_task - self.books.state.done - self.books.state.failed,
            cost: self.books.state.accepted,
            unsettled,
        };
        step.emit(&mut self.books, now, EventKind::RunEnded { end });
    }
}
