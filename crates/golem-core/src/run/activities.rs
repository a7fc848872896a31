//! The activities of rentals: opened for a job, ready, ended; and the choice of the job that gets the next one.

use std::time::Duration;

use yagna_api::time::between;
use yagna_api::{ActivityId, Timestamp};

use super::rental::{LiveRental, RentalView, Stage};
use super::rentals::Ending;
use super::spending::Room;
use super::{Effect, Run, Step, WorkerFailure};
use crate::event::{ActivityNo, EventKind, JobId, RentalId, SentScript};
use crate::state::Rental;

impl Run {
    /// Begins an activity for a job under an agreement that has none.
    pub(super) fn open_activity(&mut self, now: Timestamp, id: RentalId, job: JobId, step: &mut Step) {
        let Some(rental) = self.rental(id).filter(|rental| rental.live.stage == Stage::Held) else {
            return;
        };
        let (Some(agreement), provider) = (rental.kept.agreement.clone(), rental.kept.provider.clone())
        else {
            return;
        };
        if let Some(rental) = self.live.rentals.get_mut(&id) {
            rental.open(now);
        }
        step.emit(&mut self.books, now, EventKind::ActivityIntended { rental: id, job });
        let Some(no) = self.books.rental(id).map(Rental::newest) else { return };
        step.effects.push(Effect::OpenActivity { rental: id, no, job, agreement, provider });
    }

    pub(super) fn on_activity_created(
        &mut self,
        now: Timestamp,
        id: RentalId,
        no: ActivityNo,
        activity: ActivityId,
        step: &mut Step,
    ) {
        if self.current(id, no).is_some() {
            step.emit(&mut self.books, now, EventKind::ActivityCreated { rental: id, activity });
        }
    }

    pub(super) fn on_worker_ready(
        &mut self,
        now: Timestamp,
        id: RentalId,
        no: ActivityNo,
        room: usize,
        step: &mut Step,
    ) {
        let Some(job) = self.current(id, no).map(|activity| activity.job) else {
            return;
        };
        let Some(rental) = self.live.rentals.get_mut(&id) else {
            return;
        };
        if rental.stage == Stage::Opening {
            rental.stage = Stage::Working;
            rental.since = now;
            if let Some(job) = self.live.jobs.get_mut(&job) {
                job.ever_worked = true;
            }
            step.emit(&mut self.books, now, EventKind::ActivityReady { rental: id });
        }
        if rental.stage == Stage::Working {
            rental.room = Some(room.max(1));
            rental.idle_since = Some(now);
        }
    }

    /// Notes a script, so that whoever resumes the run finds its batch.
    pub(super) fn on_batch_sent(
        &mut self,
        now: Timestamp,
        id: RentalId,
        no: ActivityNo,
        script: SentScript,
        step: &mut Step,
    ) {
        if self.current(id, no).is_some()
            && let Some(rental) = self.live.rentals.get(&id)
        {
            let attempts = rental.in_hands();
            step.emit(&mut self.books, now, EventKind::BatchSent { rental: id, no, attempts, script });
        }
    }

    pub(super) fn on_worker_ended(
        &mut self,
        now: Timestamp,
        id: RentalId,
        no: ActivityNo,
        failure: Option<WorkerFailure>,
        step: &mut Step,
    ) {
        // One that is being ended anyway may end as it likes.
        let at_work = |rental: &&LiveRental| matches!(rental.stage, Stage::Opening | Stage::Working);
        let Some(rental) = self.live.rentals.get(&id).filter(at_work) else {
            return;
        };
        let (asked, is_busy) = (rental.idle_since.is_some(), !rental.running.is_empty());
        let current = self.current(id, no);
        let Some((job, was_given)) = current.map(|activity| (activity.job, activity.was_given)) else {
            return;
        };
        match failure {
            None => {
                // Its unanswered tasks are lost. A worker that never took a task while there were some would end the
                // same way the next time.
                let why = "the worker ended without an answer";
                let idle = !asked && !was_given;
                if is_busy || (idle && self.books.queue.n_waiting_for(job) > 0) {
                    self.count_failure(why);
                    self.lose_running(now, id, why, step);
                    return self.close(now, id, &Ending::failure(why), step);
                }
                self.end_activity(now, id, false, step);
            }
            Some(failure) => self.on_worker_failed(now, id, job, &failure, step),
        }
    }

    /// Ends an activity and keeps the agreement, for now. What it was doing is given up.
    pub(super) fn end_activity(&mut self, now: Timestamp, id: RentalId, gently: bool, step: &mut Step) {
        self.give_up_running(now, id, step);
        let Some(rental) = self.live.rentals.get_mut(&id) else {
            return;
        };
        if !matches!(rental.stage, Stage::Opening | Stage::Working) {
            return;
        }
        rental.stage = Stage::Ending;
        rental.since = now;
        rental.room = None;
        rental.idle_since.get_or_insert(now);
        let Some(kept) = self.books.rental(id) else { return };
        let (no, Some(current), Some(live)) = (kept.newest(), kept.current(), rental.activities.last_mut())
        else {
            return;
        };
        live.closing = true;
        let activity = current.id.clone();
        step.effects.push(Effect::CloseActivity { rental: id, no, activity, gently });
    }

    pub(super) fn on_activity_closed(
        &mut self,
        now: Timestamp,
        id: RentalId,
        no: ActivityNo,
        usage: Option<Vec<f64>>,
        failure: Option<String>,
        step: &mut Step,
    ) {
        let Some(was_seen) = self.current(id, no).map(|current| current.id.is_some()) else {
            return;
        };
        let Some(rental) = self.live.rentals.get(&id).filter(|rental| rental.is_closing_activity()) else {
            return;
        };
        let told = rental.failure.clone();
        let complete = usage.is_some() && failure.is_none();
        step.emit(
            &mut self.books,
            now,
            EventKind::ActivityEnded { rental: id, usage, failure: told, complete },
        );
        let may_run = failure.is_some() || !was_seen;
        if let Some(problem) = failure {
            step.emit(&mut self.books, now, EventKind::Trouble { doing: "end an activity".into(), problem });
        }
        let Some(RentalView { kept, live }) = self.rental(id) else { return };
        if live.stage == Stage::Closing {
            let agreement = kept.agreement.clone().filter(|_| kept.ended.is_none());
            let reason = live.ending.clone().unwrap_or_default();
            step.effects.push(Effect::Close { rental: id, agreement, activity: None, reason });
        } else if kept.ended.is_some() || !kept.has_multi_activity() {
            self.close(now, id, &Ending::success(), step);
        } else if may_run {
            // There may be one activity at a time, and nobody knows whether this one has ended.
            self.close(now, id, &Ending::cancelled("its activity couldn't be ended"), step);
        } else if let Some(rental) = self.live.rentals.get_mut(&id) {
            rental.stage = Stage::Held;
            rental.since = now;
        }
    }

    /// Opens activities under agreements that have none, for the jobs that need workers most.
    ///
    /// `true` where only the budget forbade one.
    pub(super) fn plan_openings(&mut self, now: Timestamp, step: &mut Step) -> bool {
        let mut blocked = false;
        if !self.live.money.can_pay() || self.live.ours.is_in_trouble() {
            return blocked;
        }
        let is_open = |rental: &RentalView<'_>| rental.live.stage == Stage::Held && rental.takes_tasks(now);
        let held: Vec<_> = self.rentals().filter(|(_, rental)| is_open(rental)).map(|(id, _)| id).collect();
        if held.is_empty() {
            return blocked;
        }
        let mut exposures = self.exposures(now, self.config.stop_horizon);
        for id in held {
            let Some(job) = self.job_for(now, id) else { continue };
            let Some(rental) = self.rental(id) else { continue };
            let opening = rental.price_of_opening(self.config.stop_horizon);
            match self.affords(now, &exposures, opening) {
                Room::Enough => {
                    self.open_activity(now, id, job, step);
                    exposures.begin(opening);
                }
                // More is being set aside.
                Room::NotBacked => {}
                Room::NotInAll | Room::NotInWindow => blocked = true,
            }
        }
        blocked
    }

    /// Ends agreements that have had no work for too long, or that can't take any more.
    pub(super) fn plan_holds(&mut self, now: Timestamp, step: &mut Step) {
        let nothing_comes =
            !self.live.standing && self.live.jobs.keys().all(|job| self.books.is_exhausted(*job));
        let most = if nothing_comes { Duration::ZERO } else { self.config.hold };
        let over: Vec<_> = self
            .rentals()
            .filter(|(_, rental)| rental.live.stage == Stage::Held)
            .filter(|(id, rental)| {
                !rental.takes_tasks(now) || self.idle_for(*id, now).is_none_or(|idle| idle >= most)
            })
            .map(|(id, rental)| (id, rental.takes_tasks(now)))
            .collect();
        for (id, in_time) in over {
            let ending =
                if in_time { Ending::success() } else { Ending::cancelled("the agreement expires soon") };
            self.close(now, id, &ending, step);
        }
    }

    /// Moves workers from jobs that have many to jobs that have few.
    ///
    /// It costs an activity each time. So only a worker that asks for tasks is taken, one at a time, from a job that
    /// still has its share afterwards; where there is a single worker for several jobs they take turns.
    pub(super) fn plan_turns(&mut self, now: Timestamp, step: &mut Step) {
        if self.live.jobs.len() < 2 {
            return;
        }
        let shares = self.shares();
        for (job, share) in &shares {
            if let Some(job) = self.live.jobs.get_mut(job) {
                let starves = share.need > 0 && share.workers == 0;
                job.starving_since = starves.then(|| job.starving_since.unwrap_or(now));
            }
        }
        let Some((&needy, taker)) =
            shares.iter().filter(|(_, share)| share.need > 0).min_by(|one, other| one.1.compare(other.1))
        else {
            return;
        };
        let starves = self.live.jobs[&needy]
            .starving_since
            .is_some_and(|since| between(since, now) >= self.config.idle_grace);
        let on_its_way = self.rentals().any(|(_, rental)| match rental.live.stage {
            Stage::Ending | Stage::Held => self.books.has_use_for(needy, rental.provider()),
            Stage::Signing => !starves,
            _ => false,
        });
        let is_full = !self.has_place(now);
        if on_its_way || !(starves || (is_full && taker.workers > 0)) {
            return;
        }
        let giver = self
            .rentals()
            .filter(|(_, rental)| rental.live.room.is_some() && rental.takes_tasks(now))
            .filter(|(_, rental)| self.books.has_use_for(needy, rental.provider()))
            .filter_map(|(id, rental)| {
                let job = rental.job().filter(|job| *job != needy)?;
                let share = shares.get(&job)?;
                let had_turn = between(rental.live.since, now) >= Self::TURN;
                let fair =
                    if starves { share.workers > 1 || had_turn } else { had_turn && share.spares_for(taker) };
                fair.then_some((id, share))
            })
            .max_by(|one, other| one.1.compare(other.1).then_with(|| other.0.cmp(&one.0)));
        if let Some((id, _)) = giver {
            self.end_activity(now, id, true, step);
        }
    }
}
