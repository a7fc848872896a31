//! What happens to the activities of rentals: opened for a job, ready, ended; and which job gets the next one.

use std::time::Duration;

use yagna_api::time::between;
use yagna_api::{ActivityId, Timestamp};

use super::rental::Stage;
use super::rentals::Ending;
use super::spending::Room;
use super::{Effect, Run, Step, WorkerFailure};
use crate::event::{ActivityNo, EventKind, JobId, RentalId, SentScript};

impl Run {
    /// Begins an activity for a job under an agreement that has none.
    pub(super) fn open_activity(&mut self, now: Timestamp, id: RentalId, job: JobId, step: &mut Step) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        let Some(agreement) = rental.agreement.clone().filter(|_| rental.stage == Stage::Held) else {
            return;
        };
        let no = rental.open(job, now);
        let provider = rental.provider.clone();
        step.event(now, EventKind::ActivityIntended { rental: id, job });
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
        let Some(current) = self.rentals.get_mut(&id).and_then(|rental| rental.current_is(no)) else {
            return;
        };
        current.id = Some(activity.clone());
        step.event(now, EventKind::ActivityCreated { rental: id, activity });
    }

    pub(super) fn on_worker_ready(
        &mut self,
        now: Timestamp,
        id: RentalId,
        no: ActivityNo,
        room: usize,
        step: &mut Step,
    ) {
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        let Some(job) = rental.current_is(no).map(|activity| activity.job) else {
            return;
        };
        if rental.stage == Stage::Opening {
            rental.stage = Stage::Working;
            rental.since = now;
            if let Some(job) = self.jobs.get_mut(&job) {
                job.ever_worked = true;
            }
            step.event(now, EventKind::ActivityReady { rental: id });
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
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if rental.current_is(no).is_some() {
            let mut attempts: Vec<_> = rental.running.keys().copied().collect();
            attempts.sort_unstable();
            step.event(now, EventKind::BatchSent { rental: id, no, attempts, script });
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
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        // One that is being ended anyway may end as it likes.
        if !matches!(rental.stage, Stage::Opening | Stage::Working) {
            return;
        }
        let (asked, is_busy) = (rental.idle_since.is_some(), !rental.running.is_empty());
        let Some((job, was_given)) = rental.current_is(no).map(|activity| (activity.job, activity.was_given))
        else {
            return;
        };
        match failure {
            None => {
                // What it was given and didn't answer is lost; and one that never took a task while there were some
                // would end the same way the next time.
                let why = "the worker ended without an answer";
                let idle = !asked && !was_given;
                if is_busy || (idle && self.queue.n_waiting_for(job) > 0) {
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
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        if !matches!(rental.stage, Stage::Opening | Stage::Working) {
            return;
        }
        rental.stage = Stage::Ending;
        rental.since = now;
        rental.room = None;
        rental.idle_since.get_or_insert(now);
        let no = rental.newest();
        let Some(current) = rental.current_is(no) else {
            return;
        };
        current.closing = true;
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
        let Some(rental) = self.rentals.get_mut(&id) else {
            return;
        };
        let Some(current) = rental.current_is(no).filter(|activity| activity.closing) else {
            return;
        };
        let was_seen = current.id.is_some();
        rental.end_activity(usage.as_ref(), failure.is_none(), now);
        let told = rental.failure.clone();
        let complete = usage.is_some() && failure.is_none();
        step.event(now, EventKind::ActivityEnded { rental: id, usage, failure: told, complete });
        let may_run = failure.is_some() || !was_seen;
        if let Some(problem) = failure {
            step.event(now, EventKind::Trouble { doing: "end an activity".into(), problem });
        }
        if rental.stage == Stage::Closing {
            let agreement = rental.agreement.clone().filter(|_| !rental.agreement_over);
            let reason = rental.ending.clone().unwrap_or_default();
            step.effects.push(Effect::Close { rental: id, agreement, activity: None, reason });
        } else if rental.agreement_over || !rental.agreed.multi_activity {
            self.close(now, id, &Ending::success(), step);
        } else if may_run {
            // There may be one activity at a time, and nobody knows whether this one has ended.
            self.close(now, id, &Ending::cancelled("its activity couldn't be ended"), step);
        } else {
            rental.stage = Stage::Held;
            rental.since = now;
        }
    }

    /// Opens activities under agreements that have none, for the jobs that need workers most.
    ///
    /// `true` where only the budget forbade one.
    pub(super) fn plan_openings(&mut self, now: Timestamp, step: &mut Step) -> bool {
        let mut blocked = false;
        if !self.can_pay() || self.is_in_own_trouble() {
            return blocked;
        }
        let held: Vec<_> = self
            .rentals
            .iter()
            .filter(|(_, rental)| rental.stage == Stage::Held && rental.takes_tasks(now))
            .map(|(id, _)| *id)
            .collect();
        for id in held {
            let Some(job) = self.job_for(now, id) else { continue };
            let opening = self.rentals[&id].price_of_opening(self.config.stop_horizon);
            match self.affords(now, opening) {
                Room::Enough => self.open_activity(now, id, job, step),
                // More is being set aside.
                Room::NotBacked => {}
                Room::NotInAll | Room::NotInWindow => blocked = true,
            }
        }
        blocked
    }

    /// Ends agreements that have had no work for too long, or that can't take any more.
    pub(super) fn plan_holds(&mut self, now: Timestamp, step: &mut Step) {
        let nothing_comes = !self.standing && self.jobs.keys().all(|job| self.queue.is_exhausted(*job));
        let most = if nothing_comes { Duration::ZERO } else { self.config.hold };
        let over: Vec<_> = self
            .rentals
            .iter()
            .filter(|(_, rental)| rental.stage == Stage::Held)
            .filter(|(id, rental)| {
                !rental.takes_tasks(now) || self.idle_for(**id, now).is_none_or(|idle| idle >= most)
            })
            .map(|(id, rental)| (*id, rental.takes_tasks(now)))
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
        if self.jobs.len() < 2 {
            return;
        }
        let shares = self.shares();
        for (job, share) in &shares {
            if let Some(job) = self.jobs.get_mut(job) {
                let starves = share.need > 0 && share.workers == 0;
                job.starving_since = starves.then(|| job.starving_since.unwrap_or(now));
            }
        }
        let Some((&needy, taker)) =
            shares.iter().filter(|(_, share)| share.need > 0).min_by(|one, other| one.1.compare(other.1))
        else {
            return;
        };
        let starves = self.jobs[&needy]
            .starving_since
            .is_some_and(|since| between(since, now) >= self.config.idle_grace);
        let on_its_way = self.rentals.values().any(|rental| match rental.stage {
            Stage::Ending | Stage::Held => self.queue.has_use_for(needy, &rental.provider.id),
            Stage::Signing => !starves,
            _ => false,
        });
        let is_full = !self.has_place(now);
        if on_its_way || !(starves || (is_full && taker.workers > 0)) {
            return;
        }
        let giver = self
            .rentals
            .iter()
            .filter(|(_, rental)| rental.room.is_some() && rental.takes_tasks(now))
            .filter(|(_, rental)| self.queue.has_use_for(needy, &rental.provider.id))
            .filter_map(|(id, rental)| {
                let job = rental.job().filter(|job| *job != needy)?;
                let share = shares.get(&job)?;
                let had_turn = between(rental.since, now) >= Self::TURN;
                let fair =
                    if starves { share.workers > 1 || had_turn } else { had_turn && share.spares_for(taker) };
                fair.then_some((*id, share))
            })
            .max_by(|one, other| one.1.compare(other.1).then_with(|| other.0.cmp(&one.0)));
        if let Some((id, _)) = giver {
            self.end_activity(now, id, true, step);
        }
    }
}
