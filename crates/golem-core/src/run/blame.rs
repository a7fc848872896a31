//! The blame for a worker that fails: its provider, which is then paused for a while, or the work, which would fail
//! anywhere. And which jobs are given up because no worker of theirs can begin.

use std::collections::HashSet;

use yagna_api::{NodeId, Timestamp};

use super::input::WorkerFailure;
use super::live::jobs::{Alike, Failings};
use super::rental::{RentalView, Stage};
use super::rentals::Ending;
use super::{Run, Step};
use crate::event::{FailureKind, JobId, Provider, RentalId};
use crate::words::{without_details, without_others};

impl Run {
    /// So many providers must fail to get to work before their job is given up, or all that there are.
    const MOST_OPENINGS: usize = 10;

    /// A job's worker has failed, or couldn't begin: its tasks are tried elsewhere, and its provider gets no tasks for
    /// a while, unless the work is to blame.
    pub(super) fn on_worker_failed(
        &mut self,
        now: Timestamp,
        id: RentalId,
        job: JobId,
        failure: &WorkerFailure,
        step: &mut Step,
    ) {
        let Some(kept) = self.books.rental(id) else { return };
        let Some(rental) = self.live.rentals.get_mut(&id) else { return };
        // Where the daemon is in trouble itself, or the provider has ended the agreement, that isn't its death.
        rental.out_of_reach =
            failure.kind == FailureKind::Lost && kept.ended.is_none() && self.live.trouble.is_none();
        let began = kept.current().map_or(rental.since, |activity| activity.meter.started);
        if failure.kind == FailureKind::OwnTrouble || self.live.ours.cost_by_silence(began, failure.kind, now)
        {
            if failure.kind == FailureKind::OwnTrouble {
                self.on_own_failure(now, &failure.message, step);
            }
            return self.end_activity(now, id, false, step);
        }
        let Some(RentalView { kept, live }) = self.rental(id) else { return };
        let opening = live.stage == Stage::Opening;
        let was_given = kept.current().is_some_and(|activity| activity.was_given);
        let provider = kept.provider.clone();
        let stage = if opening { "activity didn't start" } else { "worker failed" };
        self.count_failure(&format!("{stage}: {}", failure.message));
        let words = common_words(&failure.message, &provider);
        if let Some(known) = self.live.jobs.get_mut(&job) {
            known.failings.note(&words, &provider, failure.kind, was_given);
            if opening {
                known.never_opened.insert(provider.id);
            }
        }
        let excused = match failure.kind {
            FailureKind::Invalid => true,
            FailureKind::Lost => false,
            _ => was_given && (self.has_failed_elsewhere(id) || self.has_failed_wherever(now, job, &words)),
        };
        let ending = match failure.kind {
            FailureKind::Lost => self.ending_of_loss(id, failure.message.clone()),
            _ => Ending::failure(failure.message.clone()),
        };
        self.lose_running(now, id, &failure.message, step);
        if excused {
            self.end_activity(now, id, false, step);
        } else {
            self.close(now, id, &ending, step);
        }
    }

    /// True if the work that this rental failed at has failed with other providers too.
    fn has_failed_elsewhere(&self, id: RentalId) -> bool {
        self.rental(id).is_some_and(|rental| {
            let elsewhere = |task| self.failed_elsewhere(task, rental.provider());
            rental.live.failed_shared || rental.live.running.keys().any(|attempt| elsewhere(attempt.task))
        })
    }

    /// True if the workers of all providers that there are failed in these words, and none has done anything since.
    /// Providers that were set back for it get tasks again: there is nobody else to wait for.
    fn has_failed_wherever(&mut self, now: Timestamp, job: JobId, words: &str) -> bool {
        let alike = self.live.jobs.get(&job).and_then(|job| job.failings.alike.get(words));
        let Some(providers) = alike.map(|alike| &alike.providers) else {
            return false;
        };
        if self.is_anybody_else(now, job, providers) {
            return false;
        }
        for provider in providers {
            self.live.providers.standings.forgive(provider);
        }
        true
    }

    /// True if there is a provider beside these who works for this job, could, or is being negotiated with.
    fn is_anybody_else(&self, now: Timestamp, job: JobId, these: &HashSet<NodeId>) -> bool {
        let at_hand = self
            .rentals()
            .map(|(_, rental)| rental)
            .filter(|rental| Self::counts(rental.live, now) && rental.job().is_none_or(|its| its == job))
            .map(|rental| rental.provider());
        let on_the_market = self.live.market.in_sight().chain(self.live.market.waiting());
        let welcome = |provider: &&NodeId| self.live.providers.standings.is_welcome(provider, now);
        at_hand.chain(on_the_market.filter(welcome)).any(|provider| !these.contains(provider))
    }

    /// Gives up jobs whose set-up fails wherever it is tried: it fails on the next provider too, and each is paid for it.
    pub(super) fn plan_hopeless(&mut self, now: Timestamp, step: &mut Step) {
        let lost: Vec<JobId> =
            self.live.jobs.keys().copied().filter(|job| self.is_hopeless(now, *job)).collect();
        if !lost.is_empty() {
            self.tell_waiting(now, step);
            self.give_up(now, &lost, step);
        }
    }

    /// True if workers of this job may be started. Not after some couldn't for a reason of our own; a result gives new
    /// hope.
    pub(super) fn may_begin(&self, job: JobId) -> bool {
        self.live.jobs.get(&job).is_some_and(|job| job.failings.ours < Failings::HOPELESS_OURS)
    }

    fn is_hopeless(&self, now: Timestamp, id: JobId) -> bool {
        let job = &self.live.jobs[&id];
        if job.failings.alike.is_empty() && job.never_opened.is_empty() {
            return false;
        }
        let is_tried = || self.rentals().any(|(_, rental)| rental.job() == Some(id));
        if !self.may_begin(id) {
            return !is_tried();
        }
        if job.ever_worked {
            return false;
        }
        let often = |alike: &&Alike| alike.times >= Failings::HOPELESS;
        let wherever = |alike: &Alike| !self.is_anybody_else(now, id, &alike.providers);
        if job.failings.alike.values().filter(often).any(wherever) {
            return !is_tried();
        }
        let all = self.live.market.n_usable(&job.never_opened);
        job.never_opened.len() >= all.clamp(1, Self::MOST_OPENINGS)
            && !self
                .rentals()
                .any(|(_, rental)| rental.live.is_live() && rental.job().is_none_or(|its| its == id))
    }
}

/// The words of a failure without those that differ from one provider or task to the next: the provider's name, text
/// between backticks, numbers.
fn common_words(message: &str, provider: &Provider) -> String {
    let mut words = without_details(without_others(message)).replace(provider.id.as_str(), "");
    if !provider.name.is_empty() {
        for after in [":", ",", " "] {
            words = words.replace(&format!(" on {}{after}", provider.name), after);
        }
    }
    let outside_quotes = words.split('`').step_by(2);
    outside_quotes
        .flat_map(str::chars)
        .filter(|character| !character.is_ascii_digit())
        .take(Failings::COMPARED)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(n: u8, name: &str) -> Provider {
        Provider { id: format!("0x{n:040x}").parse().unwrap(), name: name.to_owned() }
    }

    #[test]
    fn the_same_failure_is_known_again_with_another_task_on_another_provider() {
        let said =
            |n: u64, name: &str| format!("`work {n}` (command 0) failed on {name}: code 127: not found");
        let one = common_words(&said(3, "ada"), &provider(1, "ada"));
        let other = common_words(&said(4711, "bob's"), &provider(2, "bob's"));
        assert_eq!(one, other);
        let different = "`work 3` (command 0) failed on ada: code 1: the disk is full";
        assert_ne!(one, common_words(different, &provider(1, "ada")));
    }

    #[test]
    fn what_providers_say_is_kept_in_bounds() {
        let mut failings = Failings::default();
        for n in 0..100 {
            let words = "no ".repeat(n);
            failings.note(&words, &provider(1, "ada"), FailureKind::CommandFailed, true);
        }
        assert_eq!(failings.alike.len(), Failings::MOST_WORDS);
        assert!(common_words(&"x".repeat(10_000), &provider(1, "")).len() <= Failings::COMPARED);
    }
}
